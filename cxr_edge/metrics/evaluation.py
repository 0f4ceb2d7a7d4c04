"""``evaluation.json`` and ``seeds.json``: their schema is this module and ``evaluation_parts``.

A page is drawn from these documents alone, perhaps on another machine, so they hold everything that
it shows, and these modules import neither Keras nor scikit-learn. Pictures are files beside the
JSON, named by relative paths. Every score and share is within 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge import documents
from cxr_edge.errors import DataError
from cxr_edge.files import printable, read_file
from cxr_edge.metrics.evaluation_checks import check_evaluation
from cxr_edge.metrics.evaluation_parts import (
    CHECK,
    BaselineComparison,
    ChangedDecision,
    CopyComparison,
    FigureComparison,
    LabelFigures,
    PrecisionRecallPoints,
    ReliabilityBin,
    RocPoints,
    ScoreHistogram,
    SeriesFigures,
    figure_maximum,
)
from cxr_edge.metrics.evaluation_sources import ImageSource, ModelSource, Origin
from cxr_edge.metrics.intervals import Interval
from cxr_edge.metrics.usefulness import why_confusion_useless

__all__ = [
    "CURVE_SPECIFICITY",
    "EVALUATION_NAME",
    "EVALUATION_SCHEMA",
    "SEEDS_NAME",
    "SEEDS_SCHEMA",
    "SENSITIVITY",
    "BaselineComparison",
    "ChangedDecision",
    "CopyComparison",
    "Evaluation",
    "EvaluationDocument",
    "FigureComparison",
    "GalleryEntry",
    "GalleryGroup",
    "ImageSource",
    "LabelFigures",
    "ModelSource",
    "Origin",
    "PrecisionRecallPoints",
    "ReliabilityBin",
    "RocPoints",
    "ScoreHistogram",
    "SeedsDocument",
    "SeriesFigures",
    "Spread",
    "parse_evaluation",
    "parse_seeds",
    "read_evaluation",
    "read_seeds",
]

EVALUATION_NAME = "evaluation.json"
EVALUATION_SCHEMA: Literal["cxr-edge.evaluation/1"] = "cxr-edge.evaluation/1"
"""Name and version; the number rises when a key changes its meaning or goes away."""
SEEDS_NAME = "seeds.json"
SEEDS_SCHEMA: Literal["cxr-edge.seeds/1"] = "cxr-edge.seeds/1"
"""Name and version; the number rises when a key changes its meaning or goes away."""

SENSITIVITY = 0.95
"""Where on the ROC curve a specificity is read."""
CURVE_SPECIFICITY = f"specificity at sensitivity {SENSITIVITY:g}"
"""Name of that figure."""

_MAX_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class GalleryEntry:
    """One image with what the model made of it."""

    file: str | None
    """Relative to the folder of classes; null: it was no file."""
    label: str
    """The true label."""
    decision: str
    score: float
    """P(positive label), or P(decision) for more than two labels."""
    uncertain: bool | None
    """Whether the score lies in the band of uncertainty; null: the model has none."""
    out_of_domain: bool | None
    """Whether it looks unlike the training images; null: the model cannot tell."""
    picture: str
    """Path of a small picture, relative to the JSON, with ``/``."""
    heatmap: str | None
    """Path of the picture coloured by what moved the score; null: the model has no heat map."""

    def __post_init__(self) -> None:
        CHECK.shares(score=self.score)


@dataclass(frozen=True, slots=True)
class GalleryGroup:
    """Images chosen for one reason."""

    kind: Literal["wrong", "nearest", "right"]
    """``wrong``: the most certain errors first. ``nearest``: the decisions nearest to changing.
    ``right``: right ones, spread over the folder."""
    total: int
    """How many images of this kind there are; for ``nearest`` all of them."""
    entries: tuple[GalleryEntry, ...]

    def __post_init__(self) -> None:
        if self.total < len(self.entries):
            raise DataError(f"total is {self.total}, fewer than the {len(self.entries)} entries")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on one folder of classes."""

    model: ModelSource
    data: ImageSource
    figures: dict[str, Interval]
    """Each figure of ``train.evaluation.figures`` with its interval."""
    calibration_error_floor: float
    """The ``ece`` that a perfectly calibrated model with these scores would show on average."""
    by_label: dict[str, LabelFigures]
    """Figures of each label, in output order."""
    confusion: tuple[tuple[int, ...], ...]
    """confusion[i][j]: images of label i decided as label j, in output order."""
    roc: dict[str, RocPoints]
    """Of the positive label only; for more than two labels of each against the rest."""
    precision_recall: dict[str, PrecisionRecallPoints]
    """Of the same labels as ``roc``."""
    reliability: tuple[ReliabilityBin, ...]
    """Bins of equal width, empty ones too."""
    histogram: ScoreHistogram
    baseline: BaselineComparison | None = None
    """null: not asked for."""
    shifts: dict[str, FigureComparison] | None = None
    """Shift → the model on the images changed by it; null: not asked for."""
    copies: CopyComparison | None = None
    """null: not asked for."""
    gallery: tuple[GalleryGroup, ...] | None = None
    """null: no pictures were written."""
    heatmap_source: str | None = None
    """What drew the gallery's heat maps, in words; null: it has none."""
    by_series: dict[str, SeriesFigures] | None = documents.since("1.1", None)
    """Series → figures; null: the images are of no series."""

    def __post_init__(self) -> None:
        check_evaluation(self)

    @property
    def labels(self) -> tuple[str, ...]:
        """In output order."""
        return self.model.spec.labels

    @property
    def positive_label(self) -> str | None:
        """What scores, ROC curve and sensitivity refer to; None for more than two labels."""
        return self.model.spec.positive_label

    @property
    def threshold(self) -> float | None:
        """A score of at least this is the positive label; None for more than two labels."""
        return self.model.spec.threshold

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return self.figures["accuracy"].value

    @property
    def auc(self) -> float:
        """Area under the ROC curve; mean of one against the rest for more than two labels."""
        return self.figures["auc"].value

    @property
    def why_useless(self) -> str | None:
        """One sentence if the model is worth nothing on these images; None: it is of some use."""
        return why_confusion_useless(self.confusion, self.auc, names=self.labels)

    @property
    def loss(self) -> float:
        """Mean cross-entropy, natural logarithm."""
        return self.figures["loss"].value


@dataclass(frozen=True, slots=True)
class EvaluationDocument:
    """One model on one or several folders."""

    schema: Literal["cxr-edge.evaluation/1"]
    """Which document this is."""
    origin: Origin
    parts: dict[str, Evaluation]
    """Part (``validation``, ``test``, or the name of the folder) → its evaluation."""

    def __post_init__(self) -> None:
        CHECK.not_empty(parts=self.parts)


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    runs: dict[str, float]
    """Run → figure."""
    mean: float
    standard_deviation: float
    """Sample standard deviation (divided by runs - 1)."""

    def __post_init__(self) -> None:
        CHECK.not_empty(runs=self.runs)
        CHECK.within(0, math.inf, standard_deviation=self.standard_deviation)


@dataclass(frozen=True, slots=True)
class SeedsDocument:
    """Several models of the same labels on the same images."""

    schema: Literal["cxr-edge.seeds/1"]
    """Which document this is."""
    origin: Origin
    data: ImageSource
    models: dict[str, ModelSource]
    """Run → what it is; each has an ``evaluation.json`` in a folder of the run's name."""
    figures: dict[str, Spread]
    """Figure → its values over the runs."""

    def __post_init__(self) -> None:
        CHECK.not_empty(models=self.models, figures=self.figures)
        for name, spread in self.figures.items():
            CHECK.same_names(f"figures[{name!r:.60}].runs", spread.runs, self.models)
            most = figure_maximum(name)
            values = {"mean": spread.mean, "standard_deviation": spread.standard_deviation}
            for key, value in {**values, **spread.runs}.items():
                CHECK.within(0, most, **{f"{name:.60}: {key:.60}": value})


def read_evaluation(path: Path) -> EvaluationDocument:
    """Read ``evaluation.json``.

    Raises:
        DataError: it is absent, malformed, or of another version.
    """
    return parse_evaluation(_read(path), printable(path))


def parse_evaluation(data: bytes, name: str) -> EvaluationDocument:
    """Read ``evaluation.json`` from its bytes; ``name`` is what errors call it.

    Raises:
        DataError: it is malformed, or of another version.
    """
    return documents.parse(data, EvaluationDocument, name=name, error=DataError)


def read_seeds(path: Path) -> SeedsDocument:
    """Read ``seeds.json``.

    Raises:
        DataError: it is absent, malformed, or of another version.
    """
    return parse_seeds(_read(path), printable(path))


def parse_seeds(data: bytes, name: str) -> SeedsDocument:
    """Read ``seeds.json`` from its bytes; ``name`` is what errors call it.

    Raises:
        DataError: it is malformed, or of another version.
    """
    return documents.parse(data, SeedsDocument, name=name, error=DataError)


def _read(path: Path) -> bytes:
    return read_file(path, max_bytes=_MAX_BYTES, error=DataError)
