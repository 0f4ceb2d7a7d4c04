"""The training as one call, for Python and for ``cxr-edge train``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.errors import UsageError
from cxr_edge.files import PathLike
from cxr_edge.reporting import Reporter, Silent

if TYPE_CHECKING:
    from cxr_edge.metrics.evaluation import Evaluation
    from cxr_edge.train.recipe import TrainingRecipe

_USER = "cxr-edge train"


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training."""

    run: Path
    """The run folder; :func:`cxr_edge.export_model` takes it."""
    evaluations: dict[str, Evaluation]
    """Figures on ``validation``, on ``block`` if one was held out, and on ``test`` if the recipe
    uses it and the folder exists."""

    @property
    def why_useless(self) -> dict[str, str]:
        """One sentence for each of them on which the model is worth nothing; empty: of some use."""
        reasons = {split: figures.why_useless for split, figures in self.evaluations.items()}
        return {split: reason for split, reason in reasons.items() if reason}


def train_model(
    data: PathLike,
    out: PathLike = "run",
    *,
    recipe: str | TrainingRecipe = "robust",
    epochs: int | None = None,
    seed: int = 1,
    positive: str | None = None,
    use_val_folder: bool = False,
    patient_pattern: str | None = None,
    series_pattern: str | None = None,
    teacher: PathLike | Sequence[PathLike] | None = None,
    width: float | None = None,
    no_block: bool = False,
    about_data: str = "",
    about_limits: str = "",
    command: str = "cxr_edge.train_model, called from Python",
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Train the reference network and write a run folder.

    After an interruption the same call resumes from the last finished epoch.

    Args:
        data: folder that holds ``train/`` and perhaps ``test/``, each with a folder for each
            class; or the class folders themselves.
        out: the run folder to write; one that holds a finished training is refused.
        recipe: ``robust``, ``compact``, ``seed``, or a recipe of your own.
        epochs: passes over the training images; None: the recipe's own number.
        seed: of weights, image order and augmentation, and of the validation split unless the
            recipe has its own; 0 or more.
        positive: label whose probability is the score; None: the recipe's, else PNEUMONIA if
            there is one, else the last label by name.
        use_val_folder: validate on ``data/val`` instead of on held-out patients.
        patient_pattern: regular expression searched in each file name; its groups identify the
            patient. None: Kermany's file names; any other file is a patient of its own.
        series_pattern: regular expression searched in each file name; its groups name the series
            whose accuracy is reported apart. None: the numberings of Kermany's file names.
        teacher: a run folder, a Keras model with its ``spec.json``, or a bundle, whose scores the
            network learns instead of the labels; it gets that model's input and labels. Several
            models of the same input and labels: it learns the mean of their scores. None: the
            recipe ``compact`` learns from the bundled reference, the others from the labels.
        width: filters of each convolution as a share of the reference's, above 0, at most 1; None:
            the recipe's own.
        no_block: train on the lowest-numbered patients too, which a recipe may hold out beside
            validation: for a last training, once every choice is made.
        about_data: for the model card: what the images are, their licence, attribution.
        about_limits: for the model card: whom the model is not for, and how it fails.
        command: what ``evaluation.json`` says that it was made by.
        reporter: shows messages and progress; None: nothing is shown.

    Raises:
        UsageError: an argument is wrong, ``out`` holds another training, or ``data`` is not laid
            out as expected (:class:`DataError`).
        MissingExtraError: Keras or scikit-learn is not installed (extra ``train``).
        OutputError: ``out`` cannot be written.
    """
    from cxr_edge.data.patients import grouping, refuse_no_series, series_grouping
    from cxr_edge.extras import check_keras, require_installed
    from cxr_edge.files import check_writable
    from cxr_edge.train.recipe import find_recipe, with_epochs, with_width, without_block
    from cxr_edge.train.request import check_request, open_training_folders
    from cxr_edge.train.teacher import for_teacher, load_teacher, teacher_name, teachers_spec

    images, folder = Path(data), Path(out)
    chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
    if epochs is not None:
        chosen = with_epochs(chosen, epochs)
    if width is not None:
        chosen = with_width(chosen, width)
    if no_block or use_val_folder:  # all of DATA/train is trained on then
        chosen = without_block(chosen)
    if seed < 0:
        raise UsageError(f"seed is {seed}, expected 0 or more")
    group_of, series_of = grouping(patient_pattern), series_grouping(series_pattern)
    taught_by = _teacher_paths(teacher)
    if not taught_by and chosen.distillation:
        taught_by = (None,)
    if taught_by:
        chosen = for_teacher(chosen, teachers_spec(taught_by), teacher_name(taught_by[0]), images)
    adapted = check_request(
        images, folder, chosen, positive=positive, use_val_folder=use_val_folder
    )
    if series_pattern is not None:
        parts = open_training_folders(images, adapted, use_val_folder=use_val_folder)
        refuse_no_series(series_of, [path for part in parts if part for path in part.files])
    check_writable(folder)
    require_installed(["sklearn"], "train", user=_USER)
    check_keras(user=_USER, extra="train")
    from cxr_edge.train import pipeline  # imports Keras

    reporter = reporter or Silent()
    teachers = tuple(load_teacher(source, reporter) for source in taught_by)
    for loaded in teachers:
        reporter.say(f"teacher: {loaded.name} ({loaded.spec.name})")

    evaluations = pipeline.train(
        images,
        folder,
        chosen,
        seed=seed,
        group_of=group_of,
        series_of=series_of,
        use_val_folder=use_val_folder,
        reporter=reporter,
        about_data=about_data,
        about_limits=about_limits,
        positive=positive,
        command=command,
        teachers=teachers,
    )
    return TrainingResult(folder, evaluations)


def _teacher_paths(
    teacher: PathLike | Sequence[PathLike] | None,
) -> tuple[Path | None, ...]:
    if teacher is None:
        return ()
    if isinstance(teacher, str | os.PathLike):
        return (Path(teacher),)
    return tuple(Path(source) for source in teacher)
