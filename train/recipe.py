"""Training recipes: every setting of a training, named and versioned."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from cxr_edge.errors import UsageError, unknown_name
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Random changes of exposure, sharpness, noise and compression, uniform within their ranges."""

    probability: float
    """Probability of each of corner, drift, black, noise and quality for an image."""
    corner: float
    """Largest side of an erased corner, as a share of the image's side."""
    drift: float
    """Largest brightness ramp: 1 - drift at one end, 1 + drift at the other."""
    gamma: float
    """Largest absolute value of the logarithm of gamma."""
    contrast: float
    """Largest relative change of contrast, either way."""
    brightness: float
    """Largest change of brightness either way, as a share of white."""
    black: float
    """Highest level that black is lifted to, as a share of white."""
    blur: float
    """Largest sigma of a Gaussian blur, pixels; for a sixth of the images."""
    sharpen: float
    """Largest strength of an unsharp mask; for a sixth of the images."""
    resample: float
    """Smallest share of its sides that an image is shrunk to before it is enlarged again; for a
    sixth of the images."""
    noise: float
    """Largest standard deviation of noise, grey levels."""
    quality: int
    """Lowest quality of a JPEG compression, 1..95."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of each training image, drawn anew every epoch."""

    rotation_degrees: float = 0.0
    """Largest rotation either way."""
    zoom: float = 0.0
    """Each axis is sampled in steps of 1 - zoom to 1 + zoom pixels; above 1 the picture shrinks."""
    shift: float = 0.0
    """Largest shift either way along each axis, as a share of its side."""
    horizontal_flip: bool = False
    """Whether half of the images are mirrored."""
    crop_area: float = 1.0
    """Smallest area of a random crop, as a share of the image's; 1: no crop."""
    crop_stretch: float = 1.0
    """Largest change of a crop's aspect ratio, as a factor."""
    acquisition: Acquisition | None = None
    """Changes of exposure, sharpness, noise and compression; None: no such changes."""


@dataclass(frozen=True, slots=True)
class OnPlateau:
    """Reduces the learning rate when validation accuracy stops improving."""

    patience: int
    """Epochs without improvement before each reduction."""
    factor: float
    """Factor of each reduction, 0..1."""
    min_learning_rate: float
    """Lower bound of the learning rate."""


@dataclass(frozen=True, slots=True)
class Cosine:
    """Linear warm-up, then cosine decay to zero (Loshchilov, Hutter 2017)."""

    warmup_epochs: int
    """Epochs of warm-up."""


@dataclass(frozen=True, slots=True)
class Target:
    """Goals of the decision threshold and the uncertainty band."""

    recall: float
    """Recall of the positive label on validation images and on their shifted copies, 0..1."""
    error: float
    """Share of each label's images that may be wrong outside the uncertainty band, 0..1."""


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
    version=1,
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
)
"""Augmented against the acquisition shortcut: a network that cannot see how a picture was taken has
to look at the lungs. docs/lab-book.md lists what was tried."""

RECIPES = {recipe.name: recipe for recipe in (ROBUST, SEED)}
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


def recipe_name(recipe: TrainingRecipe) -> str:
    """What provenance calls a recipe: ``robust v1``, or ``robust v1, 3 epochs`` if that differs."""
    name = f"{recipe.name} v{recipe.version}"
    named = RECIPES.get(recipe.name)
    if named is None or named.epochs == recipe.epochs:
        return name
    return f"{name}, {recipe.epochs} epoch{'' if recipe.epochs == 1 else 's'}"


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
        UsageError: ``positive`` is not among the labels, or a recipe that takes the folder's labels
            is given more than two.
    """
    if positive is not None and positive not in labels:
        raise unknown_name("label", positive, labels)
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
        name=f"{labels[0]} or {labels[1]}, {recipe.name} recipe",
        labels=labels,
        positive_label=positive or labels[1],
    )
    return dataclasses.replace(recipe, spec=spec)
