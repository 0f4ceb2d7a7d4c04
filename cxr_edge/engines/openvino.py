"""OpenVINO, for the same ONNX files."""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import Any

# `import openvino` reports to an analytics service and has no setting to turn that off. If its
# telemetry package cannot be imported, it falls back to a stub that sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import numpy as np
import numpy.typing as npt
import openvino

from cxr_edge.engines import SCORES, Engine, Output, Port, reason_of
from cxr_edge.engines.onnx_file import check_onnx
from cxr_edge.errors import EngineError
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

_process: int | None = None
"""The process that OpenVINO was first used in, or one that this one was forked from."""


class OpenVinoEngine(Engine):
    """An ONNX file compiled for the CPU. Each concurrent call gets its own inference request."""

    name = "openvino"

    def __init__(
        self, model: bytes, spec: ModelSpec, threads: int, declared: tuple[Output, ...] = SCORES
    ) -> None:
        super().__init__(spec, declared)
        check_onnx(model)
        _check_process()
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # By default it computes in bfloat16 where the CPU can; parity was checked in float32.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            network = core.read_model(model)
            self._compiled = core.compile_model(network, "CPU", settings)
            inputs = [_port(i) for i in self._compiled.inputs]
            outputs = [_port(o) for o in self._compiled.outputs]
        except Exception as err:  # also UnicodeDecodeError: a message or name that is not UTF-8
            raise EngineError(f"OpenVINO cannot load the model: {reason_of(err, -1)}") from err
        self._check_contract(inputs, outputs)
        self._idle: deque[Any] = deque()  # not thread-local: a fork destroys what is

    def _invoke(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        try:
            request = self._idle.pop()
        except IndexError:  # all are in use by other threads
            request = self._compiled.create_infer_request()
        try:
            results = request.infer([batch], share_inputs=True)
            return [np.array(results[self._compiled.output(i)], np.float32) for i in range(count)]
        except Exception as err:  # as above
            raise EngineError(f"OpenVINO failed: {reason_of(err, -1)}") from err
        finally:
            self._idle.append(request)


def open_model(
    model: bytes, spec: ModelSpec, threads: int, outputs: tuple[Output, ...] = SCORES
) -> Engine:
    """Load an ONNX file; see :func:`cxr_edge.engines.open_engine`."""
    return OpenVinoEngine(model, spec, threads, outputs)


def _check_process() -> None:
    """Refuse what hangs: the threads that OpenVINO shares between models do not survive a fork.

    Raises:
        EngineError: a process that this one was forked from has used OpenVINO.
    """
    global _process
    _process = _process or os.getpid()
    if os.getpid() != _process:
        raise EngineError(
            f"OpenVINO was used in process {_process} and this is a fork of it; start workers "
            "with 'spawn', or take onnxruntime"
        )


def _port(port: Any) -> Port:
    shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    return Port(port.any_name, np.dtype(port.element_type.to_dtype()).name, shape)
