"""LiteRT, formerly TensorFlow Lite, with XNNPACK."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from cxr_edge.engines import SCORES, Engine, Output, Port, reason_of
from cxr_edge.engines.tflite_file import check_tflite
from cxr_edge.errors import EngineError
from cxr_edge.preprocess import Batch
from cxr_edge.spec import ModelSpec


class LiteRtEngine(Engine):
    """A .tflite file. An interpreter is not thread-safe, so each concurrent call gets its own."""

    name = "litert"

    def __init__(self, model: bytes, spec: ModelSpec, threads: int) -> None:
        super().__init__(spec)
        self._model, self._threads = model, threads
        check_tflite(model)
        # Not thread-local: a fork destroys what belongs to other threads, and destroying an
        # interpreter in a child may crash it.
        self._idle: deque[Any] = deque()
        interpreter = self._new_interpreter()
        self._idle.append(interpreter)
        try:
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
            ports = [_port(i) for i in inputs], [_port(o) for o in outputs]
        except Exception as err:  # a name that is not UTF-8
            raise EngineError(f"LiteRT cannot load the model: {reason_of(err)}") from err
        self._check_contract(*ports)
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._input_port, self._output_port = ports[0][0], ports[1][0]

    def _new_interpreter(self) -> Any:
        try:
            interpreter = Interpreter(model_content=self._model, num_threads=self._threads)
            interpreter.allocate_tensors()
        except Exception as err:  # its errors share no base class
            raise EngineError(f"LiteRT cannot load the model: {reason_of(err)}") from err
        return interpreter

    def _invoke(self, batch: Batch, count: int) -> list[npt.NDArray[np.float32]]:
        try:
            interpreter = self._idle.pop()
        except IndexError:  # all are in use by other threads
            interpreter = self._new_interpreter()
        try:
            interpreter.set_tensor(self._input, self._input_port.quantize(batch))
            interpreter.invoke()
            return [self._output_port.dequantize(interpreter.get_tensor(self._output))]
        except Exception as err:  # as above
            raise EngineError(f"LiteRT failed: {reason_of(err)}") from err
        finally:
            self._idle.append(interpreter)


def open_model(
    model: bytes, spec: ModelSpec, threads: int, outputs: tuple[Output, ...] = SCORES
) -> Engine:
    """Load a .tflite file; see :func:`cxr_edge.engines.open_engine`."""
    if outputs != SCORES:  # the TFLite converter does not keep the order of several outputs
        raise EngineError(
            "LiteRT computes scores only, the manifest declares a heat map; "
            "use onnxruntime or openvino"
        )
    return LiteRtEngine(model, spec, threads)


def _port(details: dict[str, Any]) -> Port:
    shape = tuple(int(side) for side in details["shape"])
    scale, zero_point = details["quantization"]
    dtype = np.dtype(details["dtype"]).name
    return Port(details["name"], dtype, shape, float(scale), int(zero_point))
