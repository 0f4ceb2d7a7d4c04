"""What models are evaluated on: images, patients, copies and baseline, read or computed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.folders import LabelledImages, check_outside, open_folder, read_folder
from cxr_edge.data.patients import Grouping, kermany_series, refuse_no_series
from cxr_edge.errors import DataError, UsageError
from cxr_edge.files import printable
from cxr_edge.metrics import Resamples
from cxr_edge.metrics.evaluation import EVALUATION_NAME, SEEDS_NAME, ImageSource
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.baseline import Baseline, ScoredBaseline, fit_baseline
from cxr_edge.train.evaluation.figures import resample_labelled
from cxr_edge.train.evaluation.robustness import Pairs, read_copies


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What is evaluated, and on what."""

    data: Path
    """The folder of classes."""
    group_of: Grouping
    """Which files show the same patient."""
    out: Path | None = None
    """Where JSON, pictures and page go; None: nothing is written."""
    baseline: Path | None = None
    """Folder of classes that the baseline is fitted on; None: no baseline."""
    shifts: bool = True
    """Whether shifted images are scored too."""
    copies: Path | None = None
    """The same images at another resolution; None: none."""
    command: str = ""
    """Makes the documents again."""
    series_of: Grouping = kermany_series
    """Which files belong to one series; empty: to none."""
    series_are_named: bool = False
    """Whether the user gave that rule: it must find some then."""


def check_output(options: EvaluationOptions) -> None:
    """Refuse an output folder that holds an evaluation, or lies among the images.

    Raises:
        UsageError: another folder must be chosen.
    """
    out = options.out
    if out is None:
        return
    if any((out / name).exists() for name in (EVALUATION_NAME, SEEDS_NAME)):
        raise UsageError(
            f"{printable(out)}: holds an evaluation; choose another output folder (-o) or delete it"
        )
    check_outside(out, options.data)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationInputs:
    """Labelled images at a network's size, with everything about them that no model changes."""

    part: str
    """What the images are called, for example ``test``; names the written files."""
    labels: tuple[str, ...]
    """What the indices in ``images.labels`` mean."""
    images: LabelledImages
    names: tuple[str, ...]
    """(N,) files relative to their folder; empty: unknown."""
    resamples: Resamples
    baseline: ScoredBaseline | None = None
    copies: Pairs | None = None
    series: tuple[str, ...] = ()
    """(N,) series of each image, some perhaps empty; empty: unknown."""

    @property
    def source(self) -> ImageSource:
        """For the document."""
        return ImageSource(
            name=self.part,
            images=len(self.images.labels),
            patients=self.resamples.patients,
            unreadable=len(self.images.unreadable),
            resamples=len(self.resamples.drawn),
        )

    def relabelled(self, labels: tuple[str, ...]) -> EvaluationInputs:
        """The same for a model whose outputs have another order."""
        if labels == self.labels:
            return self
        order = np.asarray([labels.index(name) for name in self.labels], np.intp)
        images = dataclasses.replace(self.images, labels=order[self.images.labels])
        return dataclasses.replace(self, labels=labels, images=images)


def gather_inputs(
    part: str,
    images: LabelledImages,
    spec: ModelSpec,
    patients: Sequence[str],
    *,
    names: Sequence[str] = (),
    baseline: Baseline | None = None,
    copies: Pairs | None = None,
    series: Sequence[str] = (),
) -> EvaluationInputs:
    """Draw the bootstrap samples, and score the baseline.

    Args:
        part: what the images are called.
        images: N labelled images; every label of the spec occurs.
        spec: what their labels mean.
        patients: key of each image's patient.
        names: of the N images; empty: unknown.
        baseline: fitted for images of this size; None: none.
        copies: the same images at another resolution; None: none.
        series: of each of the N images, empty for an image of none; empty: unknown.
    """
    resamples = resample_labelled(images.labels, patients)
    scored = baseline.score(images.pixels, images.labels, resamples) if baseline else None
    return EvaluationInputs(
        part, spec.labels, images, tuple(names), resamples, scored, copies, tuple(series)
    )


def read_inputs(
    options: EvaluationOptions, spec: ModelSpec, part: str, reporter: Reporter
) -> EvaluationInputs:
    """Read the folders that the options name.

    Args:
        options: what is asked for.
        spec: size of the input, labels, decision rule.
        part: what the images are called.
        reporter: shows progress, messages and the files that are left out.

    Raises:
        DataError: a folder is not laid out as expected, or no copy has the name of an image.
        MissingExtraError: a baseline is asked for and scikit-learn is not installed.
    """
    folder = open_folder(options.data, spec.labels)
    training = None
    if options.baseline:  # a mistake there is reported before images are read
        training = open_folder(options.baseline, spec.labels)
    if options.copies and not options.copies.is_dir():
        raise DataError(f"{printable(options.copies)}: no such folder; expected copies (--copies)")
    images = read_folder(folder, spec.input, reporter)
    copies = None
    if options.copies:
        copies = read_copies(folder.root, images.files, options.copies, spec.input, reporter)
    patients = [options.group_of(path) for path in images.files]
    series = [options.series_of(path) for path in images.files]
    if options.series_are_named:
        refuse_no_series(options.series_of, images.files)
    baseline = None
    if training:
        fitted_on = read_folder(training, spec.input, reporter)
        _warn_of_shared(patients, fitted_on, options.group_of, reporter)
        baseline = fit_baseline(fitted_on.pixels, fitted_on.labels, spec)
    names = [printable(path.relative_to(folder.root).as_posix()) for path in images.files]
    return gather_inputs(
        part,
        images,
        spec,
        patients,
        names=names,
        baseline=baseline,
        copies=copies,
        series=series,
    )


def _warn_of_shared(
    patients: Sequence[str], training: LabelledImages, group_of: Grouping, reporter: Reporter
) -> None:
    """Say when a baseline was fitted on evaluated patients."""
    fitted = {group_of(path) for path in training.files}
    if shared := len(fitted & set(patients)):
        reporter.say(
            f"{shared} of the {len(set(patients))} evaluated patients are among those that the "
            "baseline is fitted on: its figures are too good"
        )
