"""The baselines: the original Keras model and its stock conversions, with one thread."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.benchmark.cases import BenchmarkCase, new_row
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.engines import Engine, installed_engines, open_engine
from cxr_edge.errors import EngineError, first_line
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.opening import load_original
from cxr_edge.preprocess import Batch, Pixels
from cxr_edge.spec import ModelSpec


class KerasEngine(Engine):
    """The original model, called in one of the ways that Keras offers."""

    name = "tensorflow"

    def __init__(self, spec: ModelSpec, call: Callable[[Batch], Any]) -> None:
        """Wrap a call.

        Args:
            spec: the contract of the model.
            call: maps (N, height, width, channels) float32 to a tensor or array of scores.
        """
        super().__init__(spec)
        self._call = call

    def _invoke(self, batch: Batch, count: int) -> Sequence[npt.NDArray[np.float32]]:
        try:
            return [np.asarray(self._call(batch), np.float32)]  # waits for the result
        except Exception as err:  # Keras and TensorFlow share no base class
            raise EngineError(f"Keras failed: {first_line(err)}") from err


class KerasBaseline:
    """The original Keras model."""

    def __init__(self, bundle: Bundle, source: Path | None) -> None:
        """Load the model and limit TensorFlow to one thread.

        Args:
            bundle: the bundle, which holds the model and its contract.
            source: a ``.keras`` file to use instead.

        Raises:
            MissingExtraError: TensorFlow is not installed.
            ModelError: the model cannot be loaded, or does not fit the bundle's spec.
        """
        _, self._tensorflow = require_tensorflow("export")
        self.has_one_thread = True
        """False where TensorFlow was already running, which fixes its number of threads."""
        threading = self._tensorflow.config.threading
        try:
            threading.set_intra_op_parallelism_threads(1)
            threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            self.has_one_thread = False
        self._spec = bundle.manifest.spec
        self.model: Any = (
            load_original(source, self._spec, extra="export").model
            if source
            else load_keras(bundle.read(bundle.manifest.keras), self._spec, extra="export")
        )
        """The ``keras.Model``."""

    def scores(self, pixels: Pixels) -> Scores:
        """Score inputs.

        Args:
            pixels: (N, height, width, channels) uint8.

        Returns:
            (N, spec.outputs) float32.

        Raises:
            EngineError: Keras failed.
        """
        try:
            return keras_scores(self.model, pixels, self._spec)
        except Exception as err:  # as above
            raise EngineError(f"Keras failed: {first_line(err)}") from err

    def multiply_adds(self) -> int | None:
        """Multiply-adds of one inference: every kernel weight, once per output position.

        None where the model's layers do not say, for example one that is used twice.
        """
        try:
            return _multiply_adds(self.model)
        except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError):
            return None

    def cases(self) -> Iterator[BenchmarkCase]:
        """The model in Keras, then its stock conversions.

        Rows are compared with the compiled function, or with a conversion where it fails, never
        with ``model(x)`` or ``predict()``, whose overhead would flatter every row.
        """
        model = self.model
        compiled = self._tensorflow.function(lambda batch: model(batch, training=False))
        yield self._keras_case("Keras, compiled tf.function", compiled, headline_rank=0)
        yield self._keras_case("Keras, model(x)", lambda batch: model(batch, training=False))
        yield self._keras_case("Keras, predict()", lambda batch: model.predict(batch, verbose=0))
        yield self._stock_case("stock ONNX, onnxruntime", "onnxruntime", _stock_onnx, 1)
        yield self._stock_case("stock TFLite, litert", "litert", _stock_tflite, 2)

    def _keras_case(
        self, name: str, call: Callable[[Batch], Any], headline_rank: int | None = None
    ) -> BenchmarkCase:
        load = functools.partial(KerasEngine, self._spec, call)
        return BenchmarkCase(
            new_row(name, "keras", KerasEngine.name), load, headline_rank=headline_rank
        )

    def _stock_case(
        self, name: str, engine: str, convert: Callable[[Any], bytes], headline_rank: int
    ) -> BenchmarkCase:
        missing = "" if engine in installed_engines() else "the engine is not installed"
        return BenchmarkCase(
            new_row(name, "stock", engine, skip_reason=missing),
            lambda: open_engine(engine, convert(self.model), self._spec),
            headline_rank=headline_rank,
        )


def _stock_onnx(model: Any) -> bytes:
    from cxr_edge.export.convert.onnx import export_onnx

    return export_onnx(model)


def _stock_tflite(model: Any) -> bytes:
    from cxr_edge.export.convert.tflite import export_tflite

    return export_tflite(model)


def _multiply_adds(layer: Any) -> int:
    if sublayers := getattr(layer, "layers", None):
        # A layer knows the output of its first use only.
        saved = layer.get_config()["layers"]
        uses = {entry["config"]["name"]: len(entry.get("inbound_nodes", ())) for entry in saved}
        if reused := [sub.name for sub in sublayers if sub.weights and uses[sub.name] > 1]:
            raise ValueError(f"layers are used more than once: {', '.join(reused)}")
        return sum(map(_multiply_adds, sublayers))
    kernels = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    if not kernels:
        return 0
    positions = math.prod(int(side) for side in layer.output.shape[1:-1])
    return positions * sum(math.prod(map(int, shape)) for shape in kernels)
