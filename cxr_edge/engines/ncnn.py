"""ncnn: convolutions by Winograd's algorithm, which multiplies less often than the others'."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import ncnn
import numpy as np
import numpy.typing as npt

from cxr_edge.engines import SCORES, Engine, Output, Port, reason_of
from cxr_edge.engines.ncnn_file import INPUT, OUTPUT, NcnnFile, read_ncnn
from cxr_edge.errors import EngineError
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

_process: int | None = None
"""The process that ran ncnn on several threads first, or one that this one was forked from."""

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


class NcnnEngine(Engine):
    """A .ncnn file. Threads share the network, each call has an extractor of its own."""

    name = "ncnn"

    def __init__(self, model: bytes, spec: ModelSpec, threads: int) -> None:
        super().__init__(spec)
        file = read_ncnn(model)
        if threads > 1:
            _check_process()
        channels, height, width = file.input
        self._check_contract(
            [Port(INPUT, "float32", (1, height, width, channels))],
            [Port(OUTPUT, "float32", (1, *file.output))],
        )
        self._shape = 1, height, width, channels
        self._net = _load(file, threads)

    def _invoke(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        if batch.shape != self._shape:  # ncnn would compute something
            raise EngineError(f"ncnn failed: the input is {batch.shape}, expected {self._shape}")
        image = np.ascontiguousarray(batch[0].transpose(2, 0, 1), np.float32)
        try:
            extractor = self._net.create_extractor()
            failed = extractor.input(INPUT, ncnn.Mat(image).clone())
            status, scores = extractor.extract(OUTPUT)
            if failed or status:
                raise EngineError(f"ncnn failed with status {failed or status}")
            return [np.array(scores, np.float32).reshape(1, -1)]
        except EngineError:
            raise
        except Exception as err:  # whatever its bindings raise
            raise EngineError(f"ncnn failed: {reason_of(err)}") from err


class _Weights(ncnn.DataReader):
    """Hands weights to ncnn from memory, never more than there are.

    ``load_model_mem`` would keep pointers into a copy that is freed when it returns.
    """

    def __init__(self, weights: memoryview) -> None:
        super().__init__()
        self._values, self._place = np.frombuffer(weights, np.uint8), 0

    def read(self, target: Any, size: int) -> int:
        """Copy the next bytes to where a capsule points to; how many."""
        part = self._values[self._place : self._place + size]
        self._place += len(part)
        if len(part):
            ctypes.memmove(_pointer(target, None), part.ctypes.data, len(part))
        return len(part)


def _load(file: NcnnFile, threads: int) -> Any:
    half = file.precision == "fp16"
    try:
        net = ncnn.Net()
        options = net.opt
        options.num_threads = threads
        options.use_vulkan_compute = False
        options.lightmode = True
        # In 16 bits, tiles of 6x6 cost a factor of four in accuracy (docs/quantization.md).
        options.use_winograd63_convolution = not half
        # All of these but bfloat16 are on by default, and an arm64 CPU then computes in 16 bits.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = half
        options.use_bf16_packed = options.use_bf16_storage = False
        options.use_int8_inference = False
        failed = net.load_param_mem(file.param) or net.load_model(_Weights(file.weights))
    except Exception as err:  # whatever its bindings raise
        raise EngineError(f"ncnn cannot load the model: {reason_of(err)}") from err
    if failed:
        raise EngineError(f"ncnn cannot load the model: status {failed}; export it again")
    return net


def _check_process() -> None:
    """Refuse what hangs: the threads that OpenMP keeps do not survive a fork.

    Raises:
        EngineError: a process that this one was forked from has used ncnn with several threads.
    """
    global _process
    _process = _process or os.getpid()
    if os.getpid() != _process:
        raise EngineError(
            f"ncnn was used with several threads in process {_process} and this is a fork of it; "
            "take one thread, or start workers with 'spawn'"
        )


def open_model(
    model: bytes, spec: ModelSpec, threads: int, outputs: tuple[Output, ...] = SCORES
) -> Engine:
    """Load a .ncnn file; see :func:`cxr_edge.engines.open_engine`."""
    if outputs != SCORES:
        raise EngineError(
            "ncnn computes scores only, the manifest declares a heat map; "
            "use onnxruntime or openvino"
        )
    return NcnnEngine(model, spec, threads)
