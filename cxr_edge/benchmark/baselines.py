"""The baselines: the original Keras model and its stock conversions, with one thread."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.benchmark.cases import BenchmarkCase, new_row
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.engines import Engine, installed_engines, open_engine
from cxr_edge.errors import BenchmarkError, EngineError, first_line
from cxr_edge.extras import require_tensorflow
from cxr_edge.files import read_file, write_file
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.opening import load_original
from cxr_edge.preprocess import Batch, Pixels
from cxr_edge.spec import ModelSpec

STOCK_ONNX = "stock ONNX, onnxruntime"
"""Name of the row that the others are compared with."""
_MAX_BYTES = 2**31
_MOST_DELTA = 1e-3
"""Largest score difference of a conversion that neither rewrites nor quantizes; 1e-5 is usual."""


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

        Rows are compared with the ONNX one, which runs on the same engine as ours, never with
        Keras, whose overhead would flatter every row.
        """
        model = self.model
        compiled = self._tensorflow.function(lambda batch: model(batch, training=False))
        yield self._keras_case("Keras, compiled tf.function", compiled)
        yield self._keras_case("Keras, model(x)", lambda batch: model(batch, training=False))
        yield self._keras_case("Keras, predict()", lambda batch: model.predict(batch, verbose=0))
        yield self._stock_case(STOCK_ONNX, "onnxruntime", _stock_onnx)
        yield self._stock_case("stock TFLite, litert", "litert", _stock_tflite)

    def _keras_case(self, name: str, call: Callable[[Batch], Any]) -> BenchmarkCase:
        load = functools.partial(KerasEngine, self._spec, call)
        return BenchmarkCase(new_row(name, "keras", KerasEngine.name), load)

    def _stock_case(self, name: str, engine: str, convert: Callable[[Any], bytes]) -> BenchmarkCase:
        return stock_case(name, engine, lambda: convert(self.model), self._spec)


def stock_case(
    name: str, engine: str, make_file: Callable[[], bytes], spec: ModelSpec
) -> BenchmarkCase:
    """The row of a stock conversion of the original.

    Args:
        name: of the row.
        engine: the engine that runs it; everything is compared with onnxruntime's.
        make_file: returns the file; called once.
        spec: the contract that it must fulfil.
    """
    missing = "" if engine in installed_engines() else "the engine is not installed"
    file = functools.cache(make_file)
    return BenchmarkCase(
        new_row(name, "stock", engine, skip_reason=missing),
        lambda: open_engine(engine, file(), spec),
        stock_file=file,
        is_baseline=engine == "onnxruntime",
    )


def baseline_cases(
    original: KerasBaseline | None, stock: Path | None, spec: ModelSpec
) -> list[BenchmarkCase]:
    """The rows that are no artifacts.

    Args:
        original: the Keras model; None: it does not run here.
        stock: file of its stock float32 ONNX, used if it is there; None: there is none.
        spec: the contract of the model.
    """
    cases = list(original.cases()) if original else []
    if stock is None or not stock.exists():
        return cases
    read = functools.partial(read_file, stock, max_bytes=_MAX_BYTES, error=BenchmarkError)
    given = stock_case(STOCK_ONNX, "onnxruntime", read, spec)
    return [given if case.is_baseline else case for case in cases] or [given]


def refuse_other_models(cases: Iterable[BenchmarkCase]) -> None:
    """Let stock conversions fail whose scores are not the original's: a wrong file was given."""
    for case in cases:
        parity = case.row.parity
        if case.stock_file and parity and parity.max_abs_delta > _MOST_DELTA:
            case.fail(
                BenchmarkError(
                    f"scores differ by up to {parity.max_abs_delta:.2g} from the original's, "
                    f"expected at most {_MOST_DELTA:g}: it is another model; remove the file of "
                    "--stock"
                )
            )


def keep_stock_file(cases: Iterable[BenchmarkCase], path: Path) -> None:
    """Write the file that the others were compared with, unless it was read from there.

    Raises:
        OutputError: it cannot be written.
    """
    for case in cases:
        if case.is_baseline and case.stock_file and not path.exists():
            write_file(path, case.stock_file())


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
