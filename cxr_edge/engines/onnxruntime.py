"""onnxruntime: the default engine."""

from __future__ import annotations

import functools
import os

# From 1.29 on, onnxruntime opens network connections and writes below HOME at import unless told
# otherwise before it; disable_telemetry_events() after the import is too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import numpy.typing as npt
import onnxruntime

from cxr_edge.engines import SCORES, Engine, Output, Port, reason_of
from cxr_edge.engines.onnx_file import check_onnx
from cxr_edge.errors import EngineError
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

_ERRORS_ONLY = 3


class OnnxRuntimeEngine(Engine):
    """An ONNX file in an onnxruntime session on the CPU. Sessions are thread-safe."""

    name = "onnxruntime"

    def __init__(
        self, model: bytes, spec: ModelSpec, threads: int, declared: tuple[Output, ...] = SCORES
    ) -> None:
        super().__init__(spec, declared)
        self._session = open_session(model, threads)
        try:
            inputs = [_port(i) for i in self._session.get_inputs()]
            outputs = [_port(o) for o in self._session.get_outputs()]
        except Exception as err:  # a name that is not UTF-8
            raise EngineError(f"onnxruntime cannot load the model: {reason_of(err)}") from err
        self._check_contract(inputs, outputs)
        self._input, self._outputs = inputs[0].name, [output.name for output in outputs]

    def _invoke(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        try:
            outputs = self._session.run(self._outputs[:count], {self._input: batch})
        except Exception as err:  # its exceptions share no base class
            raise EngineError(f"onnxruntime failed: {reason_of(err)}") from err
        return [np.asarray(output, np.float32) for output in outputs]


def open_model(
    model: bytes, spec: ModelSpec, threads: int, outputs: tuple[Output, ...] = SCORES
) -> Engine:
    """Load an ONNX file; see :func:`cxr_edge.engines.open_engine`."""
    return OnnxRuntimeEngine(model, spec, threads, outputs)


# An ONNX model of one MatMulInteger: `a` uint8 (1, 64) times `w` int8 (64, 16) gives `y` int32
# (1, 16). tests/engines/test_saturation.py builds the same bytes.
_PRODUCT = bytes.fromhex(
    "080812086378722d656467653a650a180a01610a0177120179220d4d61744d756c496e746567657212"
    "0a73617475726174696f6e5a130a0161120e0a0c080212080a0208010a0208405a130a0177120e0a0c"
    "080312080a0208400a02081062130a0179120e0a0c080612080a0208010a02081042040a001011"
)


@functools.cache
def sums_are_exact() -> bool:
    """Whether this CPU adds products of 8-bit numbers without saturation.

    x86 CPUs without VNNI add pairs of products in 16 bits, which saturate, so a model with 8-bit
    weights silently gives wrong scores. Found by a test computation, not from CPU flags.
    """
    inputs = {"a": np.full((1, 64), 255, np.uint8), "w": np.full((64, 16), 127, np.int8)}
    (sums,) = open_session(_PRODUCT, 1).run(None, inputs)
    return bool(np.all(sums == 255 * 127 * 64))


def new_options() -> onnxruntime.SessionOptions:
    """Create session options for :func:`open_session`, after this module disabled telemetry."""
    return onnxruntime.SessionOptions()


def open_session(
    model: bytes,
    threads: int,
    options: onnxruntime.SessionOptions | None = None,
    *,
    arena: bool = False,
) -> onnxruntime.InferenceSession:
    """Open a session on the CPU with the settings that all our sessions share.

    Args:
        model: the bytes of an ONNX file.
        threads: threads for one inference.
        options: further settings; changed in place. None: onnxruntime's defaults.
        arena: whether it keeps the memory of its tensors between inferences.

    Raises:
        EngineError: the file needs other files or operators, or onnxruntime cannot load it.
    """
    check_onnx(model)
    options = options or new_options()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # The arena never frees its peak memory and is no faster: 2 MB more after one image, 2.98 ms an
    # image without it, 3.07 with it (medians of 100, the reference model's onnx-int8).
    options.enable_cpu_mem_arena = arena
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # its exceptions share no base class
        raise EngineError(f"onnxruntime cannot load the model: {reason_of(err)}") from err


def _port(argument: onnxruntime.NodeArg) -> Port:
    dtype = {"tensor(float)": "float32"}.get(argument.type, argument.type)
    shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
    return Port(argument.name, dtype, shape)
