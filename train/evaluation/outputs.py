"""What an evaluation writes: documents, text, table of scores and charts."""

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
from cxr_edge.metrics.evaluation import (
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
from cxr_edge.report.documents import can_draw
from cxr_edge.report.evaluation.text import report_text
from cxr_edge.train.evaluation.inputs import EvaluationInputs
from cxr_edge.train.evaluation.scored import Scored

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
    evaluations: dict[str, Evaluation],
    spreads: dict[str, Spread],
    command: str,
) -> None:
    """Write ``seeds.json``.

    Args:
        out: the folder above those of the runs.
        evaluations: run → its evaluation on the same images.
        spreads: over these runs.
        command: makes the documents again.

    Raises:
        OutputError: it cannot be written.
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


def write_part(
    out: Path, inputs: EvaluationInputs, evaluation: Evaluation, scores: ScoredImages
) -> None:
    """Write text, table of scores and, with the extra ``report``, charts of one folder of images.

    Raises:
        OutputError: a file cannot be written.
    """
    part, spec = inputs.part, evaluation.model.spec
    write_file(out / f"{part}-report.txt", (report_text(evaluation) + "\n").encode())
    _draw(out, part, evaluation)
    if inputs.images.files:
        table = _score_table(inputs, scores.own, positive_scores(scores.own.table, spec))
        write_file(out / f"{part}-scores.csv", table)


def _draw(out: Path, part: str, evaluation: Evaluation) -> None:
    """Write every chart of the page as a PNG; nothing without the extra ``report``."""
    if not can_draw():
        return
    from cxr_edge.report.charts import png
    from cxr_edge.report.evaluation.page import evaluation_figures

    for figure in evaluation_figures(evaluation):
        write_file(out / f"{part}-{figure.name}.png", png(figure.chart))


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
    return text.getvalue().encode(errors="backslashreplace")
