"""Evaluation: how often a model is right, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.metrics import (
    Interval,
    Resamples,
    calibration_error_floor,
    exact_at_ends,
    interval,
    ratio,
    resample,
)
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.figures import Samples, sampled_figures
from cxr_edge.train.evaluation.scored import Scored, confidence

EVALUATION_NAME = "evaluation.json"


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Figures of one label, all others taken together."""

    precision: float
    """Share of decisions for the label that are right, 0..1; 0 without such decisions."""
    recall: float
    """Share of the label's images that are found, 0..1."""
    f1: float
    """Harmonic mean of precision and recall, 0..1."""
    support: int
    """Images of the label."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of something else on the same images, against the model's own."""

    intervals: dict[str, Interval]
    """Its figures."""
    difference: dict[str, Interval]
    """How much it differs; a baseline's: the model's figure minus the baseline's, a shift's: the
    figure on shifted images minus that on unchanged ones. Paired, over patients."""


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """An image that is decided otherwise at another resolution."""

    name: str
    """Its file, relative to the folder of classes."""
    score: float
    """The score of the evaluated file, 0..1."""
    copy_score: float
    """The score of its copy, 0..1."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The same images at another resolution."""

    pairs: int
    """Images found in both folders."""
    unreadable: int
    """Copies that could not be read and are not counted."""
    accuracy: float
    """Share of right decisions on the evaluated files of the pairs, 0..1."""
    copy_accuracy: float
    """Share of right decisions on their copies, 0..1."""
    mean_abs_delta: float
    """Mean over pairs of the largest ``|dP(label)|``, 0..1."""
    max_abs_delta: float
    """Its maximum over pairs."""
    changed: tuple[ChangedDecision, ...]
    """The pairs that are decided differently."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on one folder of classes."""

    model: str
    """What was evaluated: its name, which file of it, and what ran it."""
    labels: tuple[str, ...]
    """The labels, in output order."""
    positive_label: str | None
    """What scores, AUC and sensitivity speak for; null for more than two labels."""
    images: int
    """How many images were scored."""
    patients: int
    """How many patients they show: the independent units of the intervals."""
    unreadable: int
    """Files that could not be read and are not counted."""
    accuracy: float
    """Share of right decisions, 0..1."""
    loss: float
    """Mean cross-entropy, natural logarithm, probabilities clipped at 1e-7."""
    auc: float
    """Area under the ROC curve of the positive label; one-against-rest mean for more labels."""
    threshold: float | None
    """Decision threshold of the positive label."""
    by_label: dict[str, LabelFigures]
    """Figures of each label, in output order."""
    confusion: tuple[tuple[int, ...], ...]
    """confusion[i][j]: images of label i decided as label j, in output order."""
    intervals: dict[str, Interval]
    """Each figure of :func:`.figures.sampled_figures` with its interval."""
    calibrated_ece: float
    """The ``ece`` that a perfectly calibrated model with these scores would show on average."""
    baseline: Comparison | None = None
    """The global-statistics baseline on the same images; null: none was asked for."""
    shifts: dict[str, Comparison] | None = None
    """Shift → the model on the images changed by it; null: not asked for."""
    copies: Copies | None = None
    """The same images at another resolution; null: not asked for."""


def evaluate(
    scored: Scored,
    spec: ModelSpec,
    *,
    model: str = "",
    patients: Sequence[str] = (),
    unreadable: int = 0,
) -> Evaluation:
    """Compute the figures.

    Args:
        scored: answers and truth of N images; every label occurs.
        spec: names of the labels, and the threshold.
        model: what answered, in words.
        patients: key of each image's patient; empty: every image is another patient's.
        unreadable: how many files were left out.
    """
    resamples = resample_labelled(scored.labels, patients)
    samples = sampled_figures(scored, spec, resamples)
    count = len(spec.labels)
    confusion = np.zeros((count, count), np.intp)
    np.add.at(confusion, (scored.labels, scored.decisions), 1)
    return Evaluation(
        model=model,
        labels=spec.labels,
        positive_label=spec.positive_label,
        images=len(scored.labels),
        patients=resamples.patients,
        unreadable=unreadable,
        accuracy=float(samples["accuracy"][0]),
        loss=float(samples["loss"][0]),
        auc=float(samples["auc"][0]),
        threshold=spec.threshold,
        by_label=_by_label(confusion, spec),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        intervals=intervals_of(samples, units_of(scored, spec, resamples)),
        calibrated_ece=calibration_error_floor(confidence(scored, spec)[1]),
    )


def resample_labelled(labels: Labels, patients: Sequence[str] = ()) -> Resamples:
    """The bootstrap samples of labelled images: whole patients, each label's among themselves.

    Args:
        labels: (N,) the truth.
        patients: key of each image's patient; empty: every image is another patient's.
    """
    return resample(patients or [str(i) for i in range(len(labels))], strata=labels)


def units_of(scored: Scored, spec: ModelSpec, resamples: Resamples) -> dict[str, int]:
    """How many patients each share of images is taken over: figure → patients.

    Args:
        scored: answers and truth of N images.
        spec: the positive label.
        resamples: which patients the N images show.
    """

    def patients(chosen: npt.NDArray[np.bool_]) -> int:
        return len(np.unique(resamples.patient_of[chosen]))

    units = {"accuracy": resamples.patients}
    if spec.positive_label is None:
        named = enumerate(spec.labels)
        return units | {f"recall {name}": patients(scored.labels == i) for i, name in named}
    positive = spec.labels.index(spec.positive_label)
    return units | {
        "sensitivity": patients(scored.labels == positive),
        "specificity": patients(scored.labels != positive),
        "precision": patients(scored.decisions == positive),
    }


def intervals_of(samples: Samples, units: dict[str, int] | None = None) -> dict[str, Interval]:
    """Each figure with its interval; one that is undefined is left out.

    Args:
        samples: from :func:`.figures.sampled_figures`, or differences of two.
        units: from :func:`units_of`: these shares get an exact interval where they are 0 or 1.
    """
    found = {}
    for name, values in samples.items():
        if (each := interval(values)) is not None:
            count = (units or {}).get(name, 0)
            found[name] = exact_at_ends(each, count) if count else each
    return found


def headline(evaluation: Evaluation) -> dict[str, float]:
    """The figures that a manifest quotes, rounded to four digits, then ends of their intervals."""
    figures = {"accuracy": evaluation.accuracy, "auc": evaluation.auc, "loss": evaluation.loss}
    figures |= {f"recall {name}": f.recall for name, f in evaluation.by_label.items()}
    for name in ("accuracy", "auc", "sensitivity", "specificity"):
        if found := evaluation.intervals.get(name):
            figures |= {f"{name} low": found.low, f"{name} high": found.high}
    rounded = {name: round(value, 4) for name, value in figures.items()}
    return {"images": float(evaluation.images), **rounded}


def _by_label(confusion: npt.NDArray[np.intp], spec: ModelSpec) -> dict[str, LabelFigures]:
    right = np.diag(confusion).astype(np.float64)
    decided, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = ratio(right, decided, 0.0), ratio(right, support, 0.0)
    f1 = ratio(2 * right, decided + support, 0.0)
    return {
        name: LabelFigures(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, name in enumerate(spec.labels)
    }
