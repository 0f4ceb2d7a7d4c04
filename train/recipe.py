"""Training recipes: every setting of a training, named and versioned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from cxr_edge.documents import since
from cxr_edge.errors import UsageError, unknown_name
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec
from cxr_edge.train.settings import (
    Acquisition,
    Augmentation,
    Averaging,
    Block,
    Cosine,
    Distillation,
    OnPlateau,
    Target,
)


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Every setting of a training."""

    name: str
    """Value of ``--recipe`` on the command line."""
    version: int
    """Raised with each change of the recipe."""
    spec: ModelSpec
    """Input, label order and initial decision rule of the trained model."""
    labels_of_folder: bool
    """Whether the labels are the sorted names of the data's class folders, not the spec's."""
    augmentation: Augmentation
    """Random changes of the training images."""
    epochs: int
    """Passes over the training images; the model of the last epoch is kept."""
    batch_size: int
    """Images a training step."""
    balanced: bool
    """Whether every batch shows each label equally often."""
    distinct: bool
    """Whether only the first of byte-identical training files is used."""
    optimizer: Literal["rmsprop", "adamw"]
    """Keras optimizer."""
    learning_rate: float
    """Largest learning rate."""
    schedule: OnPlateau | Cosine
    """Change of the learning rate over the training."""
    weight_decay: float
    """Weight decay of AdamW, multiplied by the learning rate; RMSprop uses none."""
    label_smoothing: float
    """Label smoothing of the loss, 0..1: .05 turns the targets 0 and 1 into .025 and .975."""
    norm_momentum: float
    """Momentum of the running statistics of every BatchNormalization, 0..1."""
    precision: Literal["float32", "bfloat16 where fast"]
    """Arithmetic of the training; the saved model is float32 in either case."""
    validation_fraction: float
    """Share of the training images to hold out, as whole patients, 0..1."""
    target: Target | None
    """Goals of the calibration on validation; None: no calibration, the spec's fixed threshold."""
    opens_test: bool
    """Whether the test folder is evaluated at the end of the training."""
    width: float = since("2.1", 1.0)
    """Filters of each convolution, as a share of the reference's; above 0, at most 1."""
    distillation: Distillation | None = since("2.1", None)
    """How the network learns from a teacher; None: from the labels."""
    split_seed: int | None = since("2.1", None)
    """Seed of the choice of validation patients; None: the training's. With one number, trainings
    of several seeds hold out the same patients."""
    block: Block | None = since("2.1", None)
    """Patients who are held out beside the random ones; None: none."""
    averaging: Averaging | None = since("2.1", None)
    """How the last weights are averaged; None: not at all."""


SEED = TrainingRecipe(
    name="seed",
    version=1,
    spec=SEED_SPEC,
    labels_of_folder=False,
    augmentation=Augmentation(rotation_degrees=30, zoom=0.2, shift=0.1, horizontal_flip=True),
    epochs=5,
    batch_size=32,
    balanced=False,
    distinct=False,
    optimizer="rmsprop",
    # The seed's text says .01. Its log shows .001, which is also Keras's default for "rmsprop".
    learning_rate=1e-3,
    schedule=OnPlateau(patience=2, factor=0.3, min_learning_rate=1e-6),
    weight_decay=0.0,
    label_smoothing=0.0,
    norm_momentum=0.99,
    precision="float32",
    validation_fraction=0.1,
    target=None,
    opens_test=True,
)
"""The seed document's training, but validated on held-out patients of the training images."""

ROBUST = TrainingRecipe(
    name="robust",
    version=2,
    spec=ModelSpec(
        name="chest X-ray pneumonia CNN, robust recipe",
        input=InputSpec(height=150, width=150),
        labels=("NORMAL", "PNEUMONIA"),
        activation="sigmoid",
        positive_label="PNEUMONIA",
        threshold=0.5,
        threshold_choice="fixed at 0.5, before calibration",
    ),
    labels_of_folder=True,
    # Not mirrored: the heart is on the left.
    augmentation=Augmentation(
        rotation_degrees=10,
        crop_area=0.5,
        crop_stretch=1.33,
        acquisition=Acquisition(
            probability=0.3,
            corner=0.25,
            drift=0.3,
            gamma=0.4,
            contrast=0.35,
            brightness=0.15,
            black=0.2,
            blur=1.5,
            sharpen=1.5,
            resample=0.4,
            noise=12.0,
            quality=30,
            speckle=0.15,
            quanta=150.0,
            salt=0.02,
            exposure=0.3,
        ),
    ),
    epochs=30,
    batch_size=32,
    balanced=True,
    distinct=True,
    optimizer="adamw",
    learning_rate=1e-3,
    schedule=Cosine(warmup_epochs=1),
    weight_decay=0.004,
    label_smoothing=0.05,
    norm_momentum=0.9,
    precision="bfloat16 where fast",
    validation_fraction=0.1,
    target=Target(recall=0.97, error=0.01),
    opens_test=True,
    split_seed=1,
    block=Block(series=("NORMAL2-IM", "bacteria", "virus"), images=100, share=0.1, fewest=20),
    averaging=Averaging(window=0.12, norm_batches=60),
)
"""Augmented against the acquisition shortcut: a network that cannot see how a picture was taken has
to look at the lungs. docs/lab-book.md lists what was tried."""

COMPACT = dataclasses.replace(
    ROBUST,
    name="compact",
    version=2,
    spec=dataclasses.replace(ROBUST.spec, name="chest X-ray pneumonia CNN, compact recipe"),
    width=0.25,
    distillation=Distillation(temperature=2.0),
    label_smoothing=0.0,
)
"""A narrower copy of the reference that learns the scores of a trained one."""

RECIPES = {recipe.name: recipe for recipe in (ROBUST, COMPACT, SEED)}
"""Every recipe by name, the default first."""


def find_recipe(name: str) -> TrainingRecipe:
    """Look up a recipe by name.

    Raises:
        UsageError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def with_epochs(recipe: TrainingRecipe, epochs: int) -> TrainingRecipe:
    """Change how long a recipe trains; a warm-up as long as the training is cut short.

    Raises:
        UsageError: ``epochs`` is below 1.
    """
    if epochs < 1:
        raise UsageError(f"epochs is {epochs}, expected at least 1")
    schedule = recipe.schedule
    if isinstance(schedule, Cosine):
        schedule = Cosine(min(schedule.warmup_epochs, epochs - 1))
    return dataclasses.replace(recipe, epochs=epochs, schedule=schedule)


def with_width(recipe: TrainingRecipe, width: float) -> TrainingRecipe:
    """Change how wide a recipe's network is.

    Raises:
        UsageError: ``width`` is not above 0 and at most 1.
    """
    if not 0 < width <= 1:
        raise UsageError(
            f"width is {width:g}, expected a share of the reference's filters: above 0, at most 1"
        )
    return dataclasses.replace(recipe, width=width)


def without_block(recipe: TrainingRecipe) -> TrainingRecipe:
    """Give the block back to the training: for a last training, once every choice is made."""
    return dataclasses.replace(recipe, block=None)


def recipe_name(recipe: TrainingRecipe) -> str:
    """What provenance calls a recipe: ``robust v1``, then what differs: ``, 3 epochs``."""
    name = f"{recipe.name} v{recipe.version}"
    named = RECIPES.get(recipe.name)
    if named is None:
        return name
    if named.width != recipe.width:
        name += f", width {recipe.width:g}"
    if named.epochs != recipe.epochs:
        name += f", {recipe.epochs} epoch{'' if recipe.epochs == 1 else 's'}"
    if named.distillation is None and recipe.distillation is not None:
        name += ", taught"
    if named.block and not recipe.block:
        name += ", no block"
    return name


def for_labels(
    recipe: TrainingRecipe, labels: tuple[str, ...], positive: str | None
) -> TrainingRecipe:
    """Adapt a recipe to a data set's labels.

    Args:
        recipe: keeps its own labels if its ``labels_of_folder`` is False, or if the data set has
            the same ones.
        labels: sorted names of the class folders.
        positive: the positive label. None: the spec's, or the last of the folder's labels if they
            replace the spec's.

    Raises:
        UsageError: ``positive`` is not among the labels, or they are more than two; a recipe that
            takes the folder's labels is given more than two.
    """
    if positive is not None and positive not in labels:
        raise unknown_name("label", positive, labels)
    if positive is not None and recipe.spec.outputs > 2:
        raise UsageError(
            f"--positive is for two labels, the network has {recipe.spec.outputs}: "
            f"{', '.join(recipe.spec.labels)}; leave it out"
        )
    if not recipe.labels_of_folder or set(labels) == set(recipe.spec.labels):
        own_spec = dataclasses.replace(
            recipe.spec, positive_label=positive or recipe.spec.positive_label
        )
        return dataclasses.replace(recipe, spec=own_spec)
    if len(labels) != 2:
        raise UsageError(
            f"the {recipe.name} recipe needs two labels, the folder has {len(labels)}: "
            f"{', '.join(labels)}; keep two class folders"
        )
    spec = dataclasses.replace(
        recipe.spec,
        name=f"{_shortened(labels[0])} or {_shortened(labels[1])}, {recipe.name} recipe",
        labels=labels,
        positive_label=positive or labels[1],
    )
    return dataclasses.replace(recipe, spec=spec)


def _shortened(label: str) -> str:
    return label if len(label) <= 60 else f"{label[:57].rstrip()}..."
