"""``evaluation.json`` and ``seeds.json``: their schema is this module.

A page is drawn from these documents alone, perhaps on another machine, so they hold everything that
it shows, and this module imports neither Keras nor scikit-learn. Pictures are files beside the
JSON, named by relative paths. Every score and share is within 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge import documents
from cxr_edge.errors import DataError
from cxr_edge.files import printable, read_file
from cxr_edge.metrics import Interval
from cxr_edge.spec import ModelSpec

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
class ModelSource:
    """What was evaluated."""

    name: str
    """Name of the run folder, ``.keras`` file or bundle."""
    artifact: str
    """The file of it that ran."""
    engine: str
    """What ran it: ``Keras``, or an engine's name."""
    spec: ModelSpec
    """Input, labels, decision rule and how the threshold was chosen."""

    @property
    def description(self) -> str:
        """For example ``onnx-int8 of bundle, run by onnxruntime``."""
        file = self.name if self.artifact == self.name else f"{self.artifact} of {self.name}"
        return f"{file}, run by {self.engine}"


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The images that a model was evaluated on."""

    name: str
    """Name of their folder."""
    images: int
    """How many were scored."""
    patients: int
    """How many patients they show: the independent units of the intervals."""
    unreadable: int
    """Files that could not be read and are not counted."""
    resamples: int
    """Bootstrap samples behind each interval."""


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
    """Its own figures, named as :attr:`Evaluation.figures`."""
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
    """As :attr:`Evaluation.roc`."""


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


@dataclass(frozen=True, slots=True)
class GalleryGroup:
    """Images chosen for one reason."""

    kind: Literal["wrong", "nearest", "right"]
    """``wrong``: the most certain errors first. ``nearest``: the decisions nearest to changing.
    ``right``: right ones, spread over the folder."""
    total: int
    """How many images of this kind there are; for ``nearest`` all of them."""
    entries: tuple[GalleryEntry, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on one folder of classes."""

    model: ModelSource
    data: ImageSource
    figures: dict[str, Interval]
    """Each figure of :func:`.figures.compute_figures` with its interval."""
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
    def loss(self) -> float:
        """Mean cross-entropy, natural logarithm."""
        return self.figures["loss"].value


@dataclass(frozen=True, slots=True)
class Origin:
    """When, with what and how a document was made."""

    created: str
    """UTC, ISO 8601."""
    command: str
    """Makes it again."""
    versions: dict[str, str]
    """Package → version."""


@dataclass(frozen=True, slots=True)
class EvaluationDocument:
    """One model on one or several folders."""

    schema: Literal["cxr-edge.evaluation/1"]
    """Which document this is."""
    origin: Origin
    parts: dict[str, Evaluation]
    """Part (``validation``, ``test``, or the name of the folder) → its evaluation."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over several runs."""

    runs: dict[str, float]
    """Run → figure."""
    mean: float
    standard_deviation: float
    """Sample standard deviation (divided by runs - 1)."""


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
