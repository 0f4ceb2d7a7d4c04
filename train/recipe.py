"""Recipes: every choice of a training in one readable, versioned place."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.names import unknown_name
from cxr_edge.spec import SEED_SPEC, ModelSpec


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of each training image, drawn anew every epoch."""

    rotation_degrees: float
    """Largest rotation either way."""
    zoom: float
    """Each axis is sampled in steps of 1 - zoom .. 1 + zoom pixels; above 1 the picture shrinks."""
    shift: float
    """Largest shift either way along each axis, as a share of its side."""
    horizontal_flip: bool
    """Whether half of the images are mirrored."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained."""

    name: str
    """What the command line calls it."""
    version: int
    """Raised when the recipe changes."""
    spec: ModelSpec
    """Input, label order and decision rule of the result."""
    augmentation: Augmentation
    """Random changes of the images."""
    epochs: int
    """Passes over the training images; the last epoch is the model."""
    batch_size: int
    """Images a step."""
    learning_rate: float
    """Initial rate of RMSprop."""
    plateau_patience: int
    """Epochs without a better validation accuracy before the rate falls."""
    plateau_factor: float
    """What the rate is multiplied by then."""
    min_learning_rate: float
    """The rate falls no further."""
    validation_fraction: float
    """Share of the training images held out, whole patients at a time."""
    opens_test: bool
    """Whether the test folder is scored at the end of the training."""


SEED = Recipe(
    name="seed",
    version=1,
    spec=SEED_SPEC,
    augmentation=Augmentation(rotation_degrees=30, zoom=0.2, shift=0.1, horizontal_flip=True),
    epochs=5,
    batch_size=32,
    # The seed's text says .01, its log shows .001, which is also what Keras' "rmsprop" means.
    learning_rate=1e-3,
    plateau_patience=2,
    plateau_factor=0.3,
    min_learning_rate=1e-6,
    validation_fraction=0.1,
    opens_test=True,
)
"""The seed document's training, with validation made from train by patient."""

RECIPES = {SEED.name: SEED}
"""Every recipe by name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
