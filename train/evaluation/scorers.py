"""Anything that answers images: the original Keras model, or an exported file on an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.files import printable
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.spec import ModelSpec

Scorer = Callable[[Pixels], Scores]
"""Answers (N, height, width, channels) uint8 with (N, spec.outputs) float32."""


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """A model with its contract."""

    name: str
    """What tables call it: its folder or file."""
    spec: ModelSpec
    """Input, labels and decision rule."""
    scorer: Scorer
    """The model."""
    source: str
    """Which file of it runs on which engine, in words."""


def keras_model(model: Path, spec: Path | None) -> ScoredModel:
    """The original Keras model of a run folder or ``.keras`` file.

    Raises:
        ModelError: the model or its spec is absent or malformed.
        MissingExtraError: Keras is not installed.
    """
    run = open_run(model, spec)
    network = load_keras(run.model, run.spec)

    def scorer(pixels: Pixels) -> Scores:
        return keras_scores(network, pixels, run.spec)

    name = printable(model.resolve().name)
    return ScoredModel(name, run.spec, scorer, f"{name}, run by Keras")


def exported_model(
    bundle: Path | None, artifact: str | None, engine: str | None, threads: int
) -> ScoredModel:
    """An exported file; names as in :meth:`cxr_edge.Classifier.load`.

    Raises:
        CxrEdgeError: as :meth:`cxr_edge.Classifier.load` does.
    """
    opened = Bundle.open(bundle)
    spec = opened.manifest.spec
    record, runs_on = opened.choose(artifact, engine)
    loaded = opened.load(record, runs_on, threads=threads)

    def scorer(pixels: Pixels) -> Scores:
        # One at a time: as float32 a whole folder would be four times as large.
        rows = [loaded.run(normalize(pixels[i : i + 1], spec.input)) for i in range(len(pixels))]
        return np.concatenate(rows)

    name = printable(bundle.resolve().name) if bundle else "the bundled reference"
    return ScoredModel(name, spec, scorer, f"{record.name} of {name}, run by {runs_on}")
