"""Charts of answers: the rows' scores beside the original's, and beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from cxr_edge.benchmark import svg
from cxr_edge.benchmark.columns import delta
from cxr_edge.benchmark.report import Answers, Report
from cxr_edge.benchmark.svg import WIDTH, Chart, Drawing

BINS = 10
"""Of equal width, for the reliability."""
_SMALL = 260.0  # width of a small multiple
_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, WIDTH - 14, 28.0, 400.0
_UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Roc:
    """How well scores rank positives above negatives."""

    false_positives: Floats
    """Share of the negatives at or above each threshold, rising from 0 to 1."""
    true_positives: Floats
    """Share of the positives at or above it."""
    auc: float
    """Area below the curve."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often scores are right, in bins of equal width that hold any."""

    score: Floats
    """Mean score of a bin."""
    share: Floats
    """Share of positives in it."""
    count: npt.NDArray[np.int64]
    """Images in it."""
    place: npt.NDArray[np.int64]
    """Which of :data:`BINS` it is."""


def roc(scores: Floats, positive: Flags) -> Roc | None:
    """The ROC curve; null: one of the two classes is empty."""
    if not positive.any() or positive.all():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # ties are one step
    true = np.append(0.0, np.cumsum(hits)[last] / hits.sum())
    false = np.append(0.0, np.cumsum(~hits)[last] / (~hits).sum())
    return Roc(false, true, float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)))


def reliability(scores: Floats, positive: Flags) -> Reliability:
    """Scores beside shares of positives."""
    place = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    filled = np.flatnonzero(count)
    score = np.bincount(place, weights=scores, minlength=BINS)[filled] / count[filled]
    share = np.bincount(place, weights=positive, minlength=BINS)[filled] / count[filled]
    return Reliability(score, share, count[filled], filled)


def parity_chart(report: Report) -> Chart | None:
    """Each row's scores beside the original's; null: there are none."""
    if not report.answers:
        return None
    kind = f"P({report.positive_label})" if report.positive_label else "P(decision)"
    legend = [
        (svg.key("c0 dots", "M8 7h0M13 9h0M16 4h0"), "an input that is decided alike"),
        (svg.key("c4 stroke thick", "M8 3l8 8m0 -8l-8 8"), "decided otherwise (flip)"),
        (svg.key("mean", "M2 13L22 1"), "the same score"),
    ]
    if report.threshold is not None:
        legend.append((svg.key("fg front", "M0 7H24"), f"threshold {report.threshold:.3g}"))
    return Chart(
        "parity",
        "Score by score",
        f"{kind} by the row, upright, against {kind} by the original. Points off the diagonal are "
        "scores that moved; only those that cross a threshold line change a decision.",
        tuple(_scatter(each, report.threshold) for each in report.answers),
        tuple(legend),
    )


def _scatter(answers: Answers, threshold: float | None) -> Drawing:
    left, right, top, bottom = 34.0, _SMALL - 10, 26.0, 240.0
    across = svg.Axis(0, 1, left, right, False, (0, 0.5, 1))
    upright = svg.Axis(0, 1, bottom, top, False, (0, 0.5, 1))
    flipped = np.asarray(answers.flipped, np.bool_)
    x, y = np.asarray(answers.original, np.float64), np.asarray(answers.exported, np.float64)
    at_x, at_y = left + x * (right - left), bottom - y * (bottom - top)
    content = [
        svg.x_axis(across, top, bottom, "score of the original (0 to 1)"),
        svg.y_axis(upright, left, right, "↑ score of the row"),
        svg.line(left, bottom, right, top, "mean"),
    ]
    if threshold is not None:
        content.append(svg.line(across.at(threshold), top, across.at(threshold), bottom, "front"))
        content.append(svg.line(left, upright.at(threshold), right, upright.at(threshold), "front"))
    content.append(f'<path class="c0 dots" d="{svg.dots(at_x[~flipped], at_y[~flipped])}"/>')
    crosses = "".join(
        f"M{a - 4:.1f} {b - 4:.1f}l8 8m0 -8l-8 8"
        for a, b in zip(at_x[flipped], at_y[flipped], strict=True)
    )
    content.append(f'<path class="c4 stroke thick" d="{crosses}"/>')
    largest = float(np.abs(x - y).max(initial=0))
    heading = f"{answers.row}\nmax |Δ| {delta(largest)}, flips {int(flipped.sum())}"
    name = f"Scores of {answers.row} against the original's"
    return Drawing(svg.drawing(content, bottom + 40, name, _SMALL), heading)


@dataclass(frozen=True, slots=True)
class _Series:
    name: str
    scores: Floats
    colour: str
    dash: str
    shape: int


def _series(report: Report) -> list[_Series]:
    """The original, then each row."""
    found = [
        _Series("original", np.asarray(report.answers[0].original, np.float64), "fg", "none", 0)
    ]
    for n, each in enumerate(report.answers):
        scores = np.asarray(each.exported, np.float64)
        dash = svg.DASHES[n % len(svg.DASHES)]
        found.append(_Series(each.row, scores, f"c{n % svg.COLOURS}", dash, n + 1))
    return found


def truth_charts(report: Report) -> list[Chart]:
    """ROC and reliability; none without labelled images."""
    if report.truth is None or not report.answers:
        return []
    positive = np.asarray(report.truth.positive, np.bool_)
    series = _series(report)
    drawn = [(each, found) for each in series if (found := roc(each.scores, positive))]
    charts = [_roc_chart(drawn, report)] if drawn else []
    return [*charts, _reliability_chart(series, positive, report)]


def _roc_chart(drawn: Sequence[tuple[_Series, Roc]], report: Report) -> Chart:
    across = svg.Axis(0, 1, _LEFT, _RIGHT, False, _UNIT)
    upright = svg.Axis(0, 1, _BOTTOM, _TOP, False, _UNIT)
    content = [
        svg.x_axis(across, _TOP, _BOTTOM, "false positives, share of the negatives"),
        svg.y_axis(upright, _LEFT, _RIGHT, "↑ true positives, share of the positives"),
        svg.line(_LEFT, _BOTTOM, _RIGHT, _TOP, "mean"),
    ]
    legend = []
    for each, found in drawn:
        points = zip(found.false_positives, found.true_positives, strict=True)
        path = svg.polyline((across.at(x), upright.at(y)) for x, y in points)
        content.append(_curve(each, path))
        key = _line_key(each)
        legend.append((key, f"{each.name}: AUC {found.auc:.4f}"))
    return Chart(
        "roc",
        "ROC: right and wrong positives",
        f"Curves of {report.positive_label} that lie on the original's (the broad one) rank the "
        "images as it does; a curve that leaves it has lost something.",
        (Drawing(svg.drawing(content, _BOTTOM + 40, "ROC curves")),),
        tuple(legend),
    )


def _reliability_chart(series: Sequence[_Series], positive: Flags, report: Report) -> Chart:
    across = svg.Axis(0, 1, _LEFT, _RIGHT, False, _UNIT)
    upright = svg.Axis(0, 1, _BOTTOM - 70, _TOP, False, _UNIT)
    content = [
        svg.x_axis(across, _TOP, _BOTTOM, f"P({report.positive_label}), mean of a bin"),
        svg.y_axis(upright, _LEFT, _RIGHT, f"↑ share of {svg.clip(_label(report), 240)}"),
        svg.line(_LEFT, upright.start, _RIGHT, _TOP, "mean"),
        *_counts(reliability(series[0].scores, positive), across),
    ]
    legend = []
    for each in series:
        found = reliability(each.scores, positive)
        points = [
            (across.at(x), upright.at(y)) for x, y in zip(found.score, found.share, strict=True)
        ]
        marks = "".join(svg.mark(each.shape, x, y, 40) for x, y in points)
        content.append(_curve(each, svg.polyline(points)))
        content.append(f'<path class="{each.colour} fill" d="{marks}"/>')
        legend.append((_line_key(each, marked=True), each.name))
    legend.append((svg.key("count"), "images of a bin, by the original's scores"))
    return Chart(
        "reliability",
        "Reliability: what a score is worth",
        "On the diagonal a score is the chance of being right; above it scores are too low, below "
        "too high. Bins with few images say little.",
        (Drawing(svg.drawing(content, _BOTTOM + 40, "Reliability")),),
        tuple(legend),
    )


def _label(report: Report) -> str:
    return report.positive_label or "positives"


def _counts(found: Reliability, across: svg.Axis) -> list[str]:
    """Bars with numbers below the curves: how many images a point stands for."""
    parts = []
    most = int(found.count.max(initial=1))
    for place, count in zip(found.place, found.count, strict=True):
        left, right = across.at(place / BINS), across.at((place + 1) / BINS)
        height = 36 * int(count) / most
        parts.append(svg.bar(left + 2, _BOTTOM - height, right - left - 4, height, "count"))
        parts.append(svg.label((left + right) / 2, _BOTTOM - height - 4, f"{count}", "mid soft"))
    return parts


def _curve(each: _Series, path: str) -> str:
    kind = f"{each.colour} stroke {'broad' if each.colour == 'fg' else 'curve'}"
    hint = escape(each.name)
    return f'<path class="{kind}" stroke-dasharray="{each.dash}" d="{path}"><title>{hint}</title></path>'  # noqa: E501


def _line_key(each: _Series, *, marked: bool = False) -> str:
    kind = f"{each.colour} stroke {'broad' if each.colour == 'fg' else 'curve'}"
    mark = f'<path class="{each.colour} fill" d="{svg.mark(each.shape, 12, 7, 40)}"/>'
    return (
        f'<svg class="key" aria-hidden="true" viewBox="0 0 24 14"><path class="{kind}" '
        f'stroke-dasharray="{each.dash}" d="M0 7H24"/>{mark if marked else ""}</svg>'
    )
