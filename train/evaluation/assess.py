"""Scoring labelled images with any model, and what is written about it."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.data.folders import LabelledImages
from cxr_edge.decision import positive_scores
from cxr_edge.files import write_file
from cxr_edge.metrics import Resamples
from cxr_edge.reporting import Reporter, Silent
from cxr_edge.spec import ModelSpec
from cxr_edge.train import curve_plots, evaluation_plots
from cxr_edge.train.evaluation.baseline import Baseline
from cxr_edge.train.evaluation.evaluation import (
    EVALUATION_NAME,
    Evaluation,
    evaluate,
    resample_labelled,
)
from cxr_edge.train.evaluation.figures import sampled_figures
from cxr_edge.train.evaluation.reliability import reliability
from cxr_edge.train.evaluation.report import report_text
from cxr_edge.train.evaluation.robustness import (
    Pairs,
    compare_copies,
    compare_figures,
    compare_shifts,
)
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import ScoredModel
from cxr_edge.train.page import evaluation_page


@dataclass(frozen=True, slots=True)
class Beside:
    """What is evaluated beside a model's plain figures."""

    baseline: Baseline | None = None
    """A fitted baseline for the same size of image; None: none."""
    shifts: bool = False
    """Whether every shift of :mod:`cxr_edge.train.evaluation.shifts` is scored too."""
    copies: Pairs | None = None
    """The same images at another resolution; None: none."""


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """Everything that pictures are drawn from."""

    own: Scored
    baseline: Scored | None
    paired: tuple[Scored, Scored] | None
    resamples: Resamples


def assess(
    images: LabelledImages,
    model: ScoredModel,
    *,
    part: str,
    patients: Sequence[str],
    out: Path | None,
    beside: Beside | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Score labelled images; write report, plots and page where asked.

    Args:
        images: every label of the spec occurs.
        model: what answers them.
        part: what the images are called, for example ``test``.
        patients: key of each image's patient, for the intervals.
        out: folder for ``<part>.html``, ``<part>-*.png``, ``<part>-report.txt`` and, where the
            images are files, ``<part>-scores.csv``; None: nothing is written.
        beside: what else is evaluated; None: nothing.
        reporter: shows progress.

    Raises:
        EngineError: an answer is no probability.
        MissingExtraError: ``out`` is given and matplotlib is not installed.
        OutputError: ``out`` cannot be written.
    """
    beside, spec = beside or Beside(), model.spec
    scored = Scored.from_scores(model.scorer(images.pixels), images.labels, spec)
    evaluation = evaluate(
        scored,
        spec,
        model=f"{spec.name}; {model.source}",
        patients=patients,
        unreadable=len(images.unreadable),
    )
    resamples = resample_labelled(images.labels, patients)
    samples = sampled_figures(scored, spec, resamples)
    baseline = paired = None
    if beside.baseline:
        baseline = beside.baseline.score(images.pixels, images.labels)
        found = compare_figures(samples, baseline, beside.baseline.spec, resamples, sign=1)
        evaluation = dataclasses.replace(evaluation, baseline=found)
    if beside.shifts:
        shifts = compare_shifts(
            images, model.scorer, spec, samples, resamples, reporter or Silent()
        )
        evaluation = dataclasses.replace(evaluation, shifts=shifts)
    if beside.copies:
        pairs, chosen = beside.copies, list(beside.copies.chosen)
        truth = images.labels[chosen]
        evaluated = Scored(scored.table[chosen], scored.decisions[chosen], truth)
        paired = evaluated, Scored.from_scores(model.scorer(pairs.pixels), truth, spec)
        copies = compare_copies(*paired, pairs, spec)
        evaluation = dataclasses.replace(evaluation, copies=copies)
    if out is not None:
        answers = _Answers(scored, baseline, paired, resamples)
        write_file(out / f"{part}-report.txt", (report_text(evaluation) + "\n").encode())
        plots = _draw(out, part, images, answers, evaluation, spec, beside)
        page = evaluation_page(evaluation, model, part, {n: p.read_bytes() for n, p in plots})
        write_file(out / f"{part}.html", page)
        if images.files:
            write_file(out / f"{part}-scores.csv", _score_table(images, scored, spec))
    return evaluation


def write_evaluations(out: Path, evaluations: dict[str, Evaluation]) -> None:
    """Write ``evaluation.json``: part → figures."""
    write_file(out / EVALUATION_NAME, documents.dump(evaluations))


def _draw(
    out: Path,
    part: str,
    images: LabelledImages,
    answers: _Answers,
    evaluation: Evaluation,
    spec: ModelSpec,
    beside: Beside,
) -> list[tuple[str, Path]]:
    """Draw every picture that the figures allow; name and file of each, in the page's order."""
    drawn: list[tuple[str, Path]] = []

    def place(name: str) -> Path:
        drawn.append((name, out / f"{part}-{name}.png"))
        return drawn[-1][1]

    own = answers.own
    evaluation_plots.plot_confusion(place("confusion"), evaluation, f"Decisions on {part}")
    if spec.positive_label is not None:
        other = None
        if answers.baseline and beside.baseline:
            other = answers.baseline, beside.baseline.spec
        curve_plots.plot_roc(place("roc"), own, evaluation, spec, other)
        curve_plots.plot_precision_recall(place("precision-recall"), own, evaluation, spec)
    bins = reliability(own, spec, answers.resamples)
    curve_plots.plot_reliability(place("reliability"), bins, evaluation, spec)
    evaluation_plots.plot_scores(place("histogram"), own, spec)
    if evaluation.shifts:
        evaluation_plots.plot_shifts(place("shifts"), evaluation, evaluation.shifts)
    if answers.paired:
        evaluation_plots.plot_copies(place("copies"), *answers.paired, spec)
    evaluation_plots.plot_gallery(place("gallery"), images.pixels, own, spec)
    return drawn


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
