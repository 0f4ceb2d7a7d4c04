"""Scoring labelled images with any model, and what is written about it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cxr_edge import documents
from cxr_edge.bundle import Bundle
from cxr_edge.dataset import LabelledImages
from cxr_edge.decision import Scores, positive_scores
from cxr_edge.files import write_file
from cxr_edge.keras_model import keras_scores, load_keras
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.run import open_run
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation import (
    EVALUATION_NAME,
    Evaluation,
    Scored,
    evaluate,
    report_text,
    roc_curve,
)
from cxr_edge.train.plots import plot_confusion, plot_gallery, plot_roc

Scorer = Callable[[Pixels], Scores]
"""Answers (N, height, width, channels) uint8 with (N, spec.outputs) float32."""


def assess(
    images: LabelledImages, scorer: Scorer, spec: ModelSpec, out: Path | None, part: str
) -> Evaluation:
    """Score labelled images; write plots and the classification report where asked.

    Args:
        images: every label of the spec occurs.
        scorer: the model.
        spec: labels and decision rule.
        out: folder for ``<part>-*.png`` and ``<part>-report.txt``; None: nothing is written.
        part: what the images are called, for example ``test``.

    Raises:
        EngineError: an answer is no probability.
        OutputError: ``out`` cannot be written.
    """
    scored = Scored.from_scores(scorer(images.pixels), images.labels, spec)
    evaluation = evaluate(scored, spec, unreadable=len(images.unreadable))
    if out is not None:
        write_file(out / f"{part}-report.txt", (report_text(evaluation) + "\n").encode())
        plot_confusion(out / f"{part}-confusion.png", evaluation, f"Decisions on {part}")
        plot_gallery(out / f"{part}-gallery.png", images.pixels, scored, spec)
        if spec.positive_label is not None:
            plot_roc(out / f"{part}-roc.png", *roc_curve(scored, spec), evaluation, spec)
        if images.files:
            write_file(out / f"{part}-scores.csv", _score_table(images, scored, spec))
    return evaluation


def keras_scorer(model: Path, spec: Path | None) -> tuple[ModelSpec, Scorer]:
    """Score with the original Keras model of a run folder or ``.keras`` file.

    Raises:
        ModelError: the model or its spec is absent or malformed.
        MissingExtraError: Keras is not installed.
    """
    run = open_run(model, spec)
    network = load_keras(run.model, run.spec)
    return run.spec, lambda pixels: keras_scores(network, pixels, run.spec)


def bundle_scorer(
    bundle: Path | None, artifact: str | None, engine: str | None, threads: int
) -> tuple[ModelSpec, Scorer]:
    """Score with an exported file; names as in :meth:`cxr_edge.Classifier.load`.

    Raises:
        CxrEdgeError: as :meth:`cxr_edge.Classifier.load` does.
    """
    opened = Bundle.open(bundle)
    spec = opened.manifest.spec
    loaded = opened.load(*opened.choose(artifact, engine), threads=threads)

    def scorer(pixels: Pixels) -> Scores:
        # One at a time: as float32 a whole folder would be four times as large.
        rows = [loaded.run(normalize(pixels[i : i + 1], spec.input)) for i in range(len(pixels))]
        return np.concatenate(rows)

    return spec, scorer


def write_evaluations(out: Path, evaluations: dict[str, Evaluation]) -> None:
    """Write ``evaluation.json``: part → figures."""
    write_file(out / EVALUATION_NAME, documents.dump(evaluations))


def _score_table(images: LabelledImages, scored: Scored, spec: ModelSpec) -> bytes:
    """One row an image: file, truth, decision, score."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "label", "decision", "score"])
    scores = positive_scores(scored.table, spec)
    for path, truth, decision, score in zip(
        images.files, scored.labels, scored.decisions, scores, strict=True
    ):
        table.writerow([path, spec.labels[truth], spec.labels[decision], f"{score:.6f}"])
    return text.getvalue().encode(errors="surrogateescape")
