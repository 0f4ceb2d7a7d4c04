"""The training as one call, for Python and for ``cxr-edge train``."""

from __future__ import annotations

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
    """Figures on ``validation``, and on ``test`` if the recipe uses it and the folder exists."""

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
    teacher: PathLike | None = None,
    width: float | None = None,
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
        seed: of weights, image order, augmentation and validation split; 0 or more.
        positive: label whose probability is the score; None: the recipe's, else PNEUMONIA if
            there is one, else the last label by name.
        use_val_folder: validate on ``data/val`` instead of on held-out patients.
        patient_pattern: regular expression searched in each file name; its groups identify the
            patient. None: Kermany's file names; any other file is a patient of its own.
        teacher: a run folder, a Keras model with its ``spec.json``, or a bundle, whose scores the
            network learns instead of the labels; it gets that model's input and labels. None: the
            recipe ``compact`` learns from the bundled reference, the others from the labels.
        width: filters of each convolution as a share of the reference's, above 0, at most 1; None:
            the recipe's own.
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
    from cxr_edge.data.patients import grouping
    from cxr_edge.extras import check_keras, require_installed
    from cxr_edge.files import check_writable, printable
    from cxr_edge.train.recipe import find_recipe, with_epochs, with_width
    from cxr_edge.train.request import check_request
    from cxr_edge.train.teacher import THE_REFERENCE, for_teacher, load_teacher, teacher_spec

    images, folder = Path(data), Path(out)
    chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
    if epochs is not None:
        chosen = with_epochs(chosen, epochs)
    if width is not None:
        chosen = with_width(chosen, width)
    if seed < 0:
        raise UsageError(f"seed is {seed}, expected 0 or more")
    group_of = grouping(patient_pattern)
    is_taught = teacher is not None or chosen.distillation is not None
    taught_by = None if teacher is None else Path(teacher)
    if is_taught:
        name = printable(taught_by) if taught_by else THE_REFERENCE
        chosen = for_teacher(chosen, teacher_spec(taught_by), name, images)
    check_request(images, folder, chosen, positive=positive, use_val_folder=use_val_folder)
    check_writable(folder)
    require_installed(["sklearn"], "train", user=_USER)
    check_keras(user=_USER, extra="train")
    from cxr_edge.train import pipeline  # imports Keras

    reporter = reporter or Silent()
    loaded = load_teacher(taught_by, reporter) if is_taught else None
    if loaded:
        reporter.say(f"teacher: {loaded.name} ({loaded.spec.name})")

    evaluations = pipeline.train(
        images,
        folder,
        chosen,
        seed=seed,
        group_of=group_of,
        use_val_folder=use_val_folder,
        reporter=reporter,
        about_data=about_data,
        about_limits=about_limits,
        positive=positive,
        command=command,
        teacher=loaded,
    )
    return TrainingResult(folder, evaluations)
