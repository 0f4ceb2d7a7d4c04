"""What an evaluation writes: documents, text, table of scores, pictures and page."""

from __future__ import annotations

import csv
import datetime
import io
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.decision import positive_scores
from cxr_edge.engines import ENGINES
from cxr_edge.extras import package_version
from cxr_edge.files import write_file
from cxr_edge.train import curve_plots, evaluation_plots
from cxr_edge.train.evaluation.document import (
    EVALUATION_NAME,
    EVALUATION_SCHEMA,
    SEEDS_NAME,
    SEEDS_SCHEMA,
    Evaluation,
    EvaluationDocument,
    ModelSource,
    Origin,
    SeedsDocument,
    Spread,
)
from cxr_edge.train.evaluation.inputs import EvaluationInputs
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.text import report_text
from cxr_edge.train.page import evaluation_page, spread_page

_PACKAGES = ("cxr-edge", "numpy", "opencv-python-headless", "scikit-learn")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImages:
    """Scores that pictures are drawn from."""

    own: Scored
    paired: tuple[Scored, Scored] | None
    """Of the images that have a copy, and of their copies; None: there are no copies."""


def make_origin(command: str, models: Iterable[ModelSource]) -> Origin:
    """When, with what and how: the time is now, the versions are those that run.

    Args:
        command: makes the document again.
        models: what was evaluated; names the engines.
    """
    engines = dict.fromkeys(model.engine for model in models)
    packages = [ENGINES[e].distribution if e in ENGINES else e.lower() for e in engines]
    versions = {name: package_version(name) for name in (*_PACKAGES, *packages)}
    return Origin(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command,
        versions={
            "python": platform.python_version(),
            **{name: version for name, version in versions.items() if version},
        },
    )


def write_document(out: Path, parts: dict[str, Evaluation], origin: Origin) -> None:
    """Write ``evaluation.json``.

    Raises:
        OutputError: it cannot be written.
    """
    document = EvaluationDocument(EVALUATION_SCHEMA, origin, parts)
    write_file(out / EVALUATION_NAME, documents.dump(document))


def write_seeds(
    out: Path,
    page: Path,
    evaluations: dict[str, Evaluation],
    spreads: dict[str, Spread],
    command: str,
) -> None:
    """Write ``seeds.json`` and its page.

    Args:
        out: the folder above those of the runs.
        page: the page's file.
        evaluations: run → its evaluation on the same images.
        spreads: over these runs.
        command: makes the documents again.

    Raises:
        OutputError: a file cannot be written.
    """
    models = {run: evaluation.model for run, evaluation in evaluations.items()}
    document = SeedsDocument(
        schema=SEEDS_SCHEMA,
        origin=make_origin(command, models.values()),
        data=next(iter(evaluations.values())).data,
        models=models,
        figures=spreads,
    )
    write_file(out / SEEDS_NAME, documents.dump(document))
    write_file(page, spread_page(document))


def write_part(
    out: Path, inputs: EvaluationInputs, evaluation: Evaluation, scores: ScoredImages
) -> None:
    """Write text, table of scores, pictures and page of one folder of images.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: a file cannot be written.
    """
    part, spec = inputs.part, evaluation.model.spec
    write_file(out / f"{part}-report.txt", (report_text(evaluation) + "\n").encode())
    plots = _draw(out, inputs, evaluation, scores)
    page = evaluation_page(evaluation, part, {n: p.read_bytes() for n, p in plots})
    write_file(out / f"{part}.html", page)
    if inputs.images.files:
        table = _score_table(inputs, scores.own, positive_scores(scores.own.table, spec))
        write_file(out / f"{part}-scores.csv", table)


def _draw(
    out: Path, inputs: EvaluationInputs, evaluation: Evaluation, scores: ScoredImages
) -> list[tuple[str, Path]]:
    """Draw every picture that the figures allow; name and file of each, in the page's order."""
    drawn: list[tuple[str, Path]] = []

    def place(name: str) -> Path:
        drawn.append((name, out / f"{inputs.part}-{name}.png"))
        return drawn[-1][1]

    own, spec = scores.own, evaluation.model.spec
    evaluation_plots.plot_confusion(place("confusion"), evaluation, f"Decisions on {inputs.part}")
    if spec.positive_label is not None:
        curve_plots.plot_roc(place("roc"), evaluation)
        curve_plots.plot_precision_recall(place("precision-recall"), evaluation)
    curve_plots.plot_reliability(place("reliability"), evaluation)
    evaluation_plots.plot_scores(place("histogram"), own, spec)
    if evaluation.shifts:
        evaluation_plots.plot_shifts(place("shifts"), evaluation, evaluation.shifts)
    if scores.paired:
        evaluation_plots.plot_copies(place("copies"), *scores.paired, spec)
    evaluation_plots.plot_gallery(place("gallery"), inputs.images.pixels, own, spec)
    return drawn


def _score_table(inputs: EvaluationInputs, scored: Scored, scores: Iterable[float]) -> bytes:
    """One row an image: file, truth, decision, score."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "label", "decision", "score"])
    names = inputs.labels
    for path, truth, decision, score in zip(
        inputs.images.files, scored.labels, scored.decisions, scores, strict=True
    ):
        table.writerow([path, names[truth], names[decision], f"{score:.6f}"])
    return text.getvalue().encode(errors="surrogateescape")
