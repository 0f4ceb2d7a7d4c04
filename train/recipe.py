"""Recipes: every choice of a training in one readable, versioned place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from cxr_edge.errors import UsageError, unknown_name
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Random changes of how a picture seems to have been taken, each uniform within its range."""

    probability: float
    """Share of images that each of corner, drift, black, noise and quality changes."""
    corner: float
    """Largest side of an erased corner, as a share of the image's."""
    drift: float
    """Largest brightness ramp: 1 - drift at one end, 1 + drift at the other."""
    gamma: float
    """Largest logarithm of the gamma, either way."""
    contrast: float
    """Largest relative change of contrast, either way."""
    brightness: float
    """Largest change of brightness either way, as a share of white."""
    black: float
    """Highest level that black is lifted to, as a share of white."""
    blur: float
    """Largest sigma of a Gaussian blur, pixels; a sixth of the images is blurred."""
    sharpen: float
    """Largest amount of an unsharp mask; a sixth of the images is sharpened."""
    resample: float
    """Smallest size, as a share, that a sixth of the images is shrunk to and enlarged again."""
    noise: float
    """Largest standard deviation of noise, grey levels."""
    quality: int
    """Lowest JPEG quality that an image is encoded with again, 1..95."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of each training image, drawn anew every epoch."""

    rotation_degrees: float = 0.0
    """Largest rotation either way."""
    zoom: float = 0.0
    """Each axis is sampled in steps of 1 - zoom .. 1 + zoom pixels; above 1 the picture shrinks."""
    shift: float = 0.0
    """Largest shift either way along each axis, as a share of its side."""
    horizontal_flip: bool = False
    """Whether half of the images are mirrored."""
    crop_area: float = 1.0
    """Smallest share of the image's area that is cut out and enlarged to its size; 1: none."""
    crop_stretch: float = 1.0
    """Largest ratio by which such a crop's sides are stretched against each other."""
    acquisition: Acquisition | None = None
    """Changes of exposure, sharpness, noise and compression; None: none."""


@dataclass(frozen=True, slots=True)
class OnPlateau:
    """The rate falls when validation no longer improves."""

    patience: int
    """Epochs without a better validation accuracy before the rate falls."""
    factor: float
    """What the rate is multiplied by then."""
    min_learning_rate: float
    """The rate falls no further."""


@dataclass(frozen=True, slots=True)
class Cosine:
    """The rate rises linearly, then falls to zero along half a cosine (Loshchilov, Hutter 2017)."""

    warmup_epochs: int
    """Epochs of the rise."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the threshold and the band of uncertainty are chosen for."""

    recall: float
    """Share of the positive label that validation images and their shifted copies must reach."""
    error: float
    """Share of each label's images that may lie beyond the band of uncertainty, on the wrong side.
    """


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """How a network is trained."""

    name: str
    """What the command line calls it."""
    version: int
    """Raised when the recipe changes."""
    spec: ModelSpec
    """Input, label order and decision rule of the result."""
    labels_of_folder: bool
    """Whether labels are the data's sorted folder names instead of the spec's."""
    augmentation: Augmentation
    """Random changes of the images."""
    epochs: int
    """Passes over the training images; the last epoch is the model."""
    batch_size: int
    """Images a step."""
    balanced: bool
    """Whether every batch shows each label equally often."""
    distinct: bool
    """Whether of byte-identical training files only the first is kept."""
    optimizer: Literal["rmsprop", "adamw"]
    """Kind of gradient descent."""
    learning_rate: float
    """Its largest rate."""
    schedule: OnPlateau | Cosine
    """How the rate changes."""
    weight_decay: float
    """Share of each weight that a step takes away, times the rate; AdamW only."""
    label_smoothing: float
    """Targets are this much nearer to one half, doubled: .05 makes .025 and .975 of 0 and 1."""
    norm_momentum: float
    """Share of its running statistics that a BatchNormalization keeps each step."""
    precision: Literal["float32", "bfloat16 where fast"]
    """Arithmetic of the training; the saved model is float32 in either case."""
    validation_fraction: float
    """Share of the training images held out, whole patients at a time."""
    target: Target | None
    """Calibrate on validation for this; None: the spec's fixed threshold, no temperature."""
    opens_test: bool
    """Whether the test folder is scored at the end of the training."""


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
    # The seed's text says .01, its log shows .001, which is also what Keras' "rmsprop" means.
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
"""The seed document's training, with validation made from train by patient."""

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
    # No mirroring: the heart is on the left.
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
"""Against the acquisition shortcut: a network that cannot tell how a picture was taken has to look
at the lungs. docs/lab-book.md has what was tried."""

RECIPES = {recipe.name: recipe for recipe in (ROBUST, SEED)}
"""Every recipe by name, the default first."""


def find_recipe(name: str) -> TrainingRecipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def for_labels(
    recipe: TrainingRecipe, labels: tuple[str, ...], positive: str | None
) -> TrainingRecipe:
    """The recipe for a folder's labels, where it takes them from there.

    Args:
        recipe: any.
        labels: sorted names of the class folders.
        positive: the label that a score speaks for; None: the spec's where the folder has the
            spec's labels, else the last.

    Raises:
        UsageError: the folder has more than two labels, or ``positive`` is none of them.
    """
    if positive is not None and positive not in labels:
        raise unknown_name("label", positive, labels)
    if not recipe.labels_of_folder or set(labels) == set(recipe.spec.labels):
        changed = dataclasses.replace(
            recipe.spec, positive_label=positive or recipe.spec.positive_label
        )
        return dataclasses.replace(recipe, spec=changed)
    if len(labels) != 2:
        raise UsageError(
            f"the {recipe.name} recipe tells two labels apart, the folder has {len(labels)}: "
            + ", ".join(labels)
        )
    spec = dataclasses.replace(
        recipe.spec,
        name=f"{labels[0]} or {labels[1]}, {recipe.name} recipe",
        labels=labels,
        positive_label=positive or labels[1],
    )
    return dataclasses.replace(recipe, spec=spec)
