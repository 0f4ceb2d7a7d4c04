"""The page of ``evaluation.json``, for whoever has to trust a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.metrics.evaluation import Evaluation, EvaluationDocument
from cxr_edge.report.charts import Figure
from cxr_edge.report.evaluation import summary
from cxr_edge.report.evaluation.change_charts import copies_figure, shift_figure
from cxr_edge.report.evaluation.count_charts import confusion_figure, histogram_figures
from cxr_edge.report.evaluation.curve_charts import curve_figures
from cxr_edge.report.evaluation.gallery import Gallery, PictureReader, read_gallery
from cxr_edge.report.page import render_page
from cxr_edge.report.tables import Table


@dataclass(frozen=True, slots=True)
class _Section:
    """One part of the document as the template takes it."""

    part: str
    anchor: str
    verdict: list[str]
    note: str
    figures_table: Table
    label_table: Table
    series_table: Table | None
    decisions: list[Figure]
    curves: list[Figure]
    histograms: list[Figure]
    changes: list[Figure]
    shift_table: Table | None
    copies_text: str
    gallery: Gallery
    heatmap_source: str | None
    facts: list[tuple[str, str]]

    @property
    def figures(self) -> list[Figure]:
        """All of them."""
        return [*self.decisions, *self.curves, *self.histograms, *self.changes]


def evaluation_page(document: EvaluationDocument, folder: Path) -> bytes:
    """Draw the page.

    Args:
        document: what was evaluated.
        folder: of its JSON: the gallery's pictures are read from there.

    Returns:
        A UTF-8 HTML document that fetches nothing.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    reader = PictureReader(folder)
    sections = [
        _section(part, evaluation, document, reader, number)
        for number, (part, evaluation) in enumerate(document.parts.items(), 1)
    ]
    names = {evaluation.model.spec.name for evaluation in document.parts.values()}
    return render_page(
        "evaluation.html.j2",
        title=f"Evaluation of {', '.join(sorted(names))}",
        figures=[figure for section in sections for figure in section.figures],
        sections=sections,
        command=document.origin.command,
    )


def evaluation_figures(evaluation: Evaluation) -> list[Figure]:
    """Every chart of one part, in the page's order."""
    return [
        confusion_figure(evaluation),
        *curve_figures(evaluation),
        *histogram_figures(evaluation),
        *_changes(evaluation),
    ]


def _section(
    part: str,
    evaluation: Evaluation,
    document: EvaluationDocument,
    reader: PictureReader,
    number: int,
) -> _Section:
    def unique(figures: Sequence[Figure]) -> list[Figure]:
        """The same with ids that no other part has."""
        return [dataclasses.replace(f, name=f"{f.name}-part-{number}") for f in figures]

    shifts = evaluation.shifts
    return _Section(
        part=part,
        anchor=f"part-{number}",
        verdict=summary.verdict(evaluation),
        note=summary.interval_note(evaluation.data),
        figures_table=summary.figures_table(evaluation),
        label_table=summary.label_table(evaluation),
        series_table=summary.series_table(series) if (series := evaluation.by_series) else None,
        decisions=unique([confusion_figure(evaluation)]),
        curves=unique(list(curve_figures(evaluation))),
        histograms=unique(list(histogram_figures(evaluation))),
        changes=unique(_changes(evaluation)),
        shift_table=summary.shift_table(evaluation, shifts) if shifts else None,
        copies_text=_copies_text(evaluation),
        gallery=read_gallery(evaluation, reader),
        heatmap_source=evaluation.heatmap_source,
        facts=summary.facts(evaluation, document.origin),
    )


def _changes(evaluation: Evaluation) -> list[Figure]:
    figures = [shift_figure(evaluation.shifts)] if evaluation.shifts else []
    return [*figures, *([copies_figure(evaluation, c)] if (c := evaluation.copies) else [])]


def _copies_text(evaluation: Evaluation) -> str:
    copies = evaluation.copies
    if copies is None:
        return ""
    changed = summary.counted(len(copies.changed), "is", "are")
    text = (
        f"Of {copies.pairs:,} images that were also read at another resolution, {changed} decided "
        f"differently; |ΔP| mean {copies.mean_abs_delta:.4f}, largest {copies.max_abs_delta:.3f}; "
        f"accuracy {copies.accuracy:.3f}, of the copies {copies.copy_accuracy:.3f}."
    )
    if copies.unreadable:
        unreadable = summary.counted(copies.unreadable, "copy", "copies")
        text += f" Not counted, because unreadable: {unreadable}."
    return text
