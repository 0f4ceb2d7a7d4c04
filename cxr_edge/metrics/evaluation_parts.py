"""Parts of ``evaluation.json``: figures by label, curves, bins, and comparisons.

Every score and share is within 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cxr_edge.document_checks import Checks
from cxr_edge.documents import since
from cxr_edge.errors import DataError
from cxr_edge.metrics.intervals import Interval

CHECK = Checks(DataError)

MAX_POINTS = 10_000
"""Of a curve. Thinned within a tolerance of 0.001, as they are written, curves have far fewer."""

_FIGURE_MAXIMUM = {"loss": 100.0, "brier": 2.0}
"""Figures that are no shares: a loss clipped at 1e-7 is below 17; Brier scores reach 2."""


def check_interval(what: str, figure: Interval, low: float, high: float) -> None:
    """Raise DataError unless a figure and its interval lie within ``low`` and ``high``."""
    for part in ("value", "low", "high"):
        CHECK.within(low, high, **{f"{what}: {part}": getattr(figure, part)})


def check_figures(figures: dict[str, Interval]) -> None:
    """Raise DataError unless every figure is within its range."""
    for name, figure in figures.items():
        check_interval(f"{name:.60}", figure, 0, figure_maximum(name))


def figure_maximum(name: str) -> float:
    """The largest value that a figure can have; the smallest is 0."""
    return _FIGURE_MAXIMUM.get(name, 1.0)


def _check_curve(**columns: Sequence[float | None]) -> None:
    CHECK.equal_lengths(**columns)
    CHECK.not_empty(**columns)
    points = len(next(iter(columns.values())))
    if points > MAX_POINTS:
        raise DataError(f"the curve has {points:,} points, expected at most {MAX_POINTS:,}")


def _check_thresholds(thresholds: Sequence[float]) -> None:
    CHECK.all_shares(thresholds=thresholds)
    CHECK.rising(**{"thresholds, from the last": thresholds[::-1]})


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Figures of one label against all others."""

    precision: float
    """Share of decisions for the label that are right; 0 without such decisions."""
    recall: float
    """Share of the label's images that are decided as the label."""
    f1: float
    """Harmonic mean of precision and recall."""
    support: int
    """Images of the label."""

    def __post_init__(self) -> None:
        CHECK.shares(precision=self.precision, recall=self.recall, f1=self.f1)
        CHECK.counts(support=self.support)


@dataclass(frozen=True, slots=True)
class SeriesFigures:
    """Images of one series: those that were numbered together, as by one hospital or machine."""

    images: int
    patients: int
    accuracy: Interval
    """Share of right decisions; for a series of one label its recall."""

    def __post_init__(self) -> None:
        CHECK.counts(images=self.images, patients=self.patients)
        check_interval("accuracy", self.accuracy, 0, 1)


@dataclass(frozen=True, slots=True)
class RocPoints:
    """A ROC curve of one label against the rest, thinned; draw straight lines between points."""

    false_positive_rate: tuple[float, ...]
    """Rising from 0 to 1."""
    true_positive_rate: tuple[float, ...]
    """Rising from 0 to 1."""
    thresholds: tuple[float | None, ...]
    """Falling; the first is null, above every score."""

    def __post_init__(self) -> None:
        false, true = self.false_positive_rate, self.true_positive_rate
        _check_curve(false_positive_rate=false, true_positive_rate=true, thresholds=self.thresholds)
        CHECK.rising(false_positive_rate=false, true_positive_rate=true)
        if (false[0], true[0]) != (0, 0) or (false[-1], true[-1]) != (1, 1):
            raise DataError("the ROC curve does not run from (0, 0) to (1, 1)")
        first, *others = self.thresholds
        if first is not None or None in others:
            raise DataError("thresholds: the first is null, and no other one")
        _check_thresholds([value for value in others if value is not None])


@dataclass(frozen=True, slots=True)
class PrecisionRecallPoints:
    """A precision-recall curve of one label against the rest, thinned."""

    precision: tuple[float, ...]
    recall: tuple[float, ...]
    """Rising to 1."""
    thresholds: tuple[float, ...]
    """Falling."""
    share: float
    """Share of the label among the images: the precision of chance."""

    def __post_init__(self) -> None:
        _check_curve(precision=self.precision, recall=self.recall, thresholds=self.thresholds)
        CHECK.all_shares(precision=self.precision)
        CHECK.rising(recall=(0, *self.recall, 1))
        if self.recall[-1] != 1:
            raise DataError(f"recall ends at {self.recall[-1]:.6g}, expected 1")
        _check_thresholds(self.thresholds)
        CHECK.shares(share=self.share)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predicted against observed frequency in one range of scores."""

    low: float
    """Scores of the bin are at least this."""
    high: float
    """They are below this; the last bin holds 1 too."""
    images: int
    """How many images."""
    score: float | None
    """Their mean score; null: the bin is empty."""
    share: Interval | None
    """Share of them that show the positive label, for more than two labels that are decided right;
    null: the bin is empty."""

    def __post_init__(self) -> None:
        CHECK.shares(low=self.low, high=self.high, score=self.score)
        CHECK.counts(images=self.images)
        if self.low >= self.high:
            raise DataError(f"low is {self.low:.6g}, not below high, {self.high:.6g}")
        if {self.score is None, self.share is None} != {self.images == 0}:
            raise DataError(f"{self.images} images: score and share are null in empty bins only")
        if self.share:
            check_interval("share", self.share, 0, 1)


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How many images have which score: P(positive label), or P(decision) for more labels."""

    edges: tuple[float, ...]
    """(bins + 1,) rising from 0 to 1; a bin holds its lower edge, the last one 1 too."""
    by_label: dict[str, tuple[int, ...]]
    """True label → (bins,) images."""
    wrong: dict[str, tuple[int, ...]]
    """True label → (bins,) those of them that are decided wrongly."""

    def __post_init__(self) -> None:
        CHECK.all_shares(edges=self.edges)
        if len(self.edges) < 2 or self.edges[0] != 0 or self.edges[-1] != 1:
            raise DataError("edges do not reach from 0 to 1")
        if len(self.edges) > MAX_POINTS:
            raise DataError(f"{len(self.edges):,} edges, expected at most {MAX_POINTS:,}")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise DataError("edges do not rise")
        CHECK.same_names("wrong", self.wrong, self.by_label)
        for label, counts in self.by_label.items():
            wrong = self.wrong[label]
            if not len(counts) == len(wrong) == len(self.edges) - 1:
                raise DataError(
                    f"{label!r:.60}: {len(counts)} bins, {len(wrong)} of wrong decisions; expected "
                    f"{len(self.edges) - 1}, one fewer than edges"
                )
            if any(not 0 <= errors <= count for errors, count in zip(wrong, counts, strict=True)):
                raise DataError(
                    f"{label!r:.60}: more wrong decisions than images in a bin, or below 0"
                )


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """Figures of something else on the same images, and how far they are from the model's own."""

    figures: dict[str, Interval]
    """Its own figures, named as :attr:`.document.Evaluation.figures`."""
    difference: dict[str, Interval]
    """Paired over patients. Baseline: model minus baseline. Shift: shifted minus unchanged."""

    def __post_init__(self) -> None:
        check_figures(self.figures)
        CHECK.present("figures", self.figures, ["accuracy"])
        CHECK.present("difference", self.difference, ["accuracy"])
        CHECK.known_names("difference", self.difference, self.figures)
        for name, change in self.difference.items():
            check_interval(f"difference of {name:.60}", change, -1, 1)


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """A logistic regression on 16 numbers of brightness and sharpness, on the same images."""

    training_images: int
    """Images that it was fitted on."""
    comparison: FigureComparison
    """At its own threshold of 0.5; the model minus it."""
    roc: dict[str, RocPoints]
    """As :attr:`.document.Evaluation.roc`."""
    explained: float | None = since("1.1", None)
    """Share of the variance of the model's logits within a label that a linear regression on the 16
    numbers predicts for images it was not fitted on; 0: none. null: not measured, for more than two
    labels or too few images."""

    def __post_init__(self) -> None:
        CHECK.counts(training_images=self.training_images)
        if self.explained is not None:
            CHECK.shares(explained=self.explained)


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """An image that is decided differently at another resolution."""

    name: str
    """Its file, relative to the folder of classes."""
    score: float
    """The score of the evaluated file."""
    copy_score: float
    """The score of its copy."""

    def __post_init__(self) -> None:
        CHECK.shares(score=self.score, copy_score=self.copy_score)


@dataclass(frozen=True, slots=True)
class CopyComparison:
    """The same images at another resolution."""

    pairs: int
    """Images found in both folders."""
    unreadable: int
    """Copies that could not be read and are not counted."""
    accuracy: float
    """Share of right decisions on the evaluated files of the pairs."""
    copy_accuracy: float
    """Share of right decisions on their copies."""
    mean_abs_delta: float
    """Mean over pairs of the largest ``|dP(label)|``."""
    max_abs_delta: float
    """Its maximum over pairs."""
    changed: tuple[ChangedDecision, ...]
    """The pairs that are decided differently, all of them."""
    scores: tuple[float, ...]
    """Score of the evaluated file of some pairs with the same decision, spread over the folder."""
    copy_scores: tuple[float, ...]
    """Scores of their copies, in the same order."""

    def __post_init__(self) -> None:
        CHECK.counts(pairs=self.pairs, unreadable=self.unreadable)
        CHECK.shares(
            accuracy=self.accuracy,
            copy_accuracy=self.copy_accuracy,
            mean_abs_delta=self.mean_abs_delta,
            max_abs_delta=self.max_abs_delta,
        )
        CHECK.rising(deltas=(self.mean_abs_delta, self.max_abs_delta))
        CHECK.equal_lengths(scores=self.scores, copy_scores=self.copy_scores)
        CHECK.all_shares(scores=self.scores, copy_scores=self.copy_scores)
        shown = len(self.changed) + len(self.scores)
        if shown > self.pairs:
            raise DataError(
                f"changed and scores hold {shown} pairs, more than the {self.pairs} in all"
            )
