"""The rows of a benchmark: a bundle's files on the engines here, and their baselines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_edge.benchmark.report import Kind
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.engines import Engine, Format, installed_engines, open_engine, suits
from cxr_edge.errors import EngineError, first_line
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.preprocess import Batch, Pixels

Answer = Callable[[Batch], object]
"""Runs the network on (N, height, width, channels) float32."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the network; nothing is loaded yet."""

    name: str
    """What tables call it."""
    kind: Kind
    """Ours, or what it is compared with."""
    artifact: ArtifactRecord | None
    """The bundle's file; None for the others."""
    engine: str
    """What runs it."""
    threads: int
    """Threads for one inference."""
    precision: str
    """Type of weights and arithmetic."""
    bytes: int | None
    """Size of the file."""
    open: Callable[[], Engine | Answer]
    """Loads it."""
    absent: str = ""
    """Why it cannot run here; empty: it may."""


def exported_candidates(bundle: Bundle, threads: tuple[int, ...]) -> Iterator[Candidate]:
    """Every file of a bundle on every engine that it was proven on."""
    present = installed_engines()
    for artifact in bundle.manifest.artifacts:
        for record in artifact.engines:
            absent = "" if record.engine in present else "the engine is not installed"
            if not absent and not suits(artifact.target):
                absent = f"made for {artifact.target}: this CPU would get its sums wrong"
            for count in threads[:1] if absent else threads:
                yield Candidate(
                    f"{artifact.name}, {record.engine}{_threads(count)}",
                    "exported",
                    artifact,
                    record.engine,
                    count,
                    artifact.precision,
                    artifact.file.bytes,
                    functools.partial(bundle.load, artifact, record.engine, threads=count),
                    absent,
                )


def _threads(count: int) -> str:
    return "" if count == 1 else f", {count} threads"


class KerasBaseline:
    """The original Keras model, and what stock converters make of it; on one thread."""

    def __init__(self, bundle: Bundle, source: Path | None) -> None:
        """Load the model.

        Args:
            bundle: says what it expects, and carries it.
            source: a ``.keras`` file instead of the bundle's.

        Raises:
            MissingExtraError: TensorFlow is not installed.
            ModelError: the model does not fit the bundle's spec.
        """
        _, self._tensorflow = require_tensorflow("export")
        self.has_one_thread = True
        """Whether TensorFlow could be told to use one thread; not if it was already running."""
        setting = self._tensorflow.config.threading
        try:
            setting.set_intra_op_parallelism_threads(1)
            setting.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            self.has_one_thread = False
        self._spec = bundle.manifest.spec
        self.model: Any = load_keras(
            source or bundle.read(bundle.manifest.keras), self._spec, extra="export"
        )
        """The ``keras.Model``."""

    def scores(self, pixels: Pixels) -> Scores:
        """What it answers to (N, height, width, channels) uint8."""
        return keras_scores(self.model, pixels, self._spec)

    def multiply_adds(self) -> int:
        """Of one inference: every weight of a layer, once for each position of its output."""
        return _multiply_adds(self.model)

    def candidates(self) -> Iterator[Candidate]:
        """Keras, the fair way first, and stock conversions."""
        model = self.model
        compiled = self._tensorflow.function(lambda batch: model(batch, training=False))
        ways: dict[str, Answer] = {
            "Keras, compiled tf.function": compiled,
            "Keras, model(x)": lambda batch: model(batch, training=False),
            "Keras, predict()": lambda batch: model.predict(batch, verbose=0),
        }
        for name, way in ways.items():
            yield Candidate(
                name, "keras", None, "tensorflow", 1, "fp32", None, functools.partial(_answer, way)
            )
        yield self._stock("stock ONNX, onnxruntime", "onnx", "onnxruntime")
        yield self._stock("stock TFLite, litert", "tflite", "litert")

    def _stock(self, name: str, format: Format, engine: str) -> Candidate:
        absent = "" if engine in installed_engines() else "the engine is not installed"

        def opened() -> Engine:
            from cxr_edge.export.convert.onnx import export_onnx
            from cxr_edge.export.convert.tflite import export_tflite

            made = (
                export_onnx(self.model) if format == "onnx" else export_tflite(self.model, "fp32")
            )
            return open_engine(engine, made, self._spec)

        return Candidate(name, "stock", None, engine, 1, "fp32", None, opened, absent)


def _answer(way: Answer) -> Answer:
    """One that waits for the answer, since Keras hands out promises, and fails as engines do."""

    def answer(batch: Batch) -> object:
        try:
            found: Any = way(batch)
            return found.numpy() if hasattr(found, "numpy") else found
        except Exception as err:  # Keras and TensorFlow share no base class
            raise EngineError(f"Keras failed: {first_line(err)}") from err

    return answer


def _multiply_adds(layer: Any) -> int:
    if inner := getattr(layer, "layers", None):
        return sum(_multiply_adds(each) for each in inner)
    positions = 1
    for side in layer.output.shape[1:-1]:
        positions *= int(side)
    total = 0
    for weight in layer.weights:
        if len(weight.shape) > 1:
            size = 1
            for side in weight.shape:
                size *= int(side)
            total += positions * size
    return total
