"""Everything that ``cxr-edge evaluate`` does: reads folders, assesses models, writes results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.data.folders import LabelledImages, open_folder, read_folder
from cxr_edge.data.patients import Grouping
from cxr_edge.files import printable, write_file
from cxr_edge.reporting import Reporter
from cxr_edge.train.evaluation.assess import Beside, assess, write_evaluations
from cxr_edge.train.evaluation.baseline import fit_baseline
from cxr_edge.train.evaluation.evaluation import Evaluation
from cxr_edge.train.evaluation.robustness import read_copies
from cxr_edge.train.evaluation.scorers import ScoredModel
from cxr_edge.train.evaluation.seeds import SEEDS_NAME, Spread, check_alike, run_names, spread
from cxr_edge.train.page import spread_page


@dataclass(frozen=True, slots=True)
class Examination:
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


@dataclass(frozen=True, slots=True)
class Results:
    """What was found."""

    evaluations: dict[str, Evaluation]
    """Run → its figures; for one model its name."""
    spread: dict[str, Spread] | None
    """Over several models; None for one."""
    page: Path | None
    """What a person reads; None: nothing was written."""


def examine(models: Sequence[ScoredModel], examination: Examination, reporter: Reporter) -> Results:
    """Evaluate one model, or several of the same labels on the same images.

    Several write into a folder each, below ``out``, and ``seeds.json`` and a page above them.

    Args:
        models: at least one.
        examination: what is asked for.
        reporter: shows progress, messages and the files that are left out.

    Raises:
        DataError: a folder is not laid out as expected, or no copy has the name of an image.
        UsageError: the models' labels differ.
        EngineError: an answer is no probability.
        MissingExtraError: scikit-learn (for a baseline) or matplotlib (for pictures) is absent.
        OutputError: ``out`` cannot be written.
    """
    check_alike(models)
    part = printable(examination.data.resolve().name)
    out = examination.out
    page = out / f"{part}.html" if out else None
    alone = len(models) == 1
    names = [models[0].name] if alone else run_names(models)
    evaluations: dict[str, Evaluation] = {}
    for name, model in zip(names, models, strict=True):
        if not alone:
            reporter.say(f"evaluating {name}")
        place = out if alone or out is None else out / name
        evaluations[name] = _examine_one(model, examination, part, place, reporter)
    if alone:
        return Results(evaluations, None, page)
    found = spread(evaluations)
    if out and page:
        write_file(out / SEEDS_NAME, documents.dump({part: found}))
        images = next(iter(evaluations.values())).images
        write_file(page, spread_page(found, models, part, images))
    return Results(evaluations, found, page)


def _examine_one(
    model: ScoredModel,
    examination: Examination,
    part: str,
    out: Path | None,
    reporter: Reporter,
) -> Evaluation:
    folder = open_folder(examination.data, model.spec.labels)
    training = None
    if examination.baseline:  # a mistake there is found before images are read
        training = open_folder(examination.baseline, model.spec.labels)
    images = read_folder(folder, model.spec.input, reporter)
    copies = None
    if examination.copies:
        copies = read_copies(
            folder.root, images.files, examination.copies, model.spec.input, reporter
        )
    patients = [examination.group_of(path) for path in images.files]
    baseline = None
    if training:
        read = read_folder(training, model.spec.input, reporter)
        _warn_of_shared(patients, read, examination.group_of, reporter)
        baseline = fit_baseline(read.pixels, read.labels, model.spec)
    evaluation = assess(
        images,
        model,
        part=part,
        patients=patients,
        out=out,
        beside=Beside(baseline, examination.shifts, copies),
        reporter=reporter,
    )
    if out:
        write_evaluations(out, {part: evaluation})
    return evaluation


def _warn_of_shared(
    patients: Sequence[str], training: LabelledImages, group_of: Grouping, reporter: Reporter
) -> None:
    """Say when a baseline knows patients that it is asked about."""
    fitted = {group_of(path) for path in training.files}
    if shared := len(fitted & set(patients)):
        reporter.say(
            f"{shared} of the {len(set(patients))} evaluated patients are among those that the "
            "baseline is fitted on: its figures are too good"
        )
