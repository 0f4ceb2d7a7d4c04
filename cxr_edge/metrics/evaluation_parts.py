"""Parts of ``evaluation.json``: figures by label, curves, bins, and comparisons.

Every score and share is within 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.metrics import Interval


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


@dataclass(frozen=True, slots=True)
class RocPoints:
    """A ROC curve of one label against the rest, thinned; draw straight lines between points."""

    false_positive_rate: tuple[float, ...]
    """Rising from 0 to 1."""
    true_positive_rate: tuple[float, ...]
    """Rising from 0 to 1."""
    thresholds: tuple[float | None, ...]
    """Falling; the first is null, above every score."""


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


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """How many images have which score: P(positive label), or P(decision) for more labels."""

    edges: tuple[float, ...]
    """(bins + 1,) rising from 0 to 1; a bin holds its lower edge, the last one 1 too."""
    by_label: dict[str, tuple[int, ...]]
    """True label → (bins,) images."""
    wrong: dict[str, tuple[int, ...]]
    """True label → (bins,) those of them that are decided wrongly."""


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """Figures of something else on the same images, and how far they are from the model's own."""

    figures: dict[str, Interval]
    """Its own figures, named as :attr:`.document.Evaluation.figures`."""
    difference: dict[str, Interval]
    """Paired over patients. Baseline: model minus baseline. Shift: shifted minus unchanged."""


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """A logistic regression on 16 numbers of brightness and sharpness, on the same images."""

    training_images: int
    """Images that it was fitted on."""
    comparison: FigureComparison
    """At its own threshold of 0.5; the model minus it."""
    roc: dict[str, RocPoints]
    """As :attr:`.document.Evaluation.roc`."""


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """An image that is decided differently at another resolution."""

    name: str
    """Its file, relative to the folder of classes."""
    score: float
    """The score of the evaluated file."""
    copy_score: float
    """The score of its copy."""


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
