"""onnxruntime: the default engine."""

from __future__ import annotations

import os

# From 1.29 on, onnxruntime opens network connections and writes below HOME at import unless told
# otherwise before it; disable_telemetry_events() after the import is too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

from cxr_edge.decision import Scores
from cxr_edge.engines import Engine, Port
from cxr_edge.errors import EngineError, first_line
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec

_ERRORS_ONLY = 3


class OnnxRuntimeEngine(Engine):
    """An ONNX file in an onnxruntime session on the CPU. Sessions are safe to share by threads."""

    name = "onnxruntime"

    def __init__(self, model: bytes, spec: ModelSpec, threads: int) -> None:
        super().__init__(spec)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # its exceptions share no base class
            raise EngineError(f"onnxruntime refuses the model: {first_line(err)}") from err
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._check_contract([_port(i) for i in inputs], [_port(o) for o in outputs])
        self._input, self._outputs = inputs[0].name, [outputs[0].name]

    def _invoke(self, batch: Batch) -> Scores:
        try:
            (scores,) = self._session.run(self._outputs, {self._input: batch})
        except Exception as err:
            raise EngineError(f"onnxruntime failed: {first_line(err)}") from err
        return np.asarray(scores, np.float32)


def open_model(model: bytes, spec: ModelSpec, threads: int) -> Engine:
    """Load an ONNX file; see :func:`cxr_edge.engines.open_engine`."""
    return OnnxRuntimeEngine(model, spec, threads)


def _port(argument: onnxruntime.NodeArg) -> Port:
    dtype = {"tensor(float)": "float32"}.get(argument.type, argument.type)
    shape = tuple(side if isinstance(side, int) else None for side in argument.shape)
    return Port(argument.name, dtype, shape)
