"""history.json: the settings of a training and the figures of every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.train.recipe import TrainingRecipe

HISTORY_NAME = "history.json"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Figures of one pass over the training images."""

    loss: float
    """Mean cross-entropy over the epoch's batches, augmented and with dropout."""
    accuracy: float
    """Share of correct decisions over the epoch's batches, 0..1."""
    val_loss: float
    """Cross-entropy on validation."""
    val_accuracy: float
    """Share of correct decisions on validation, 0..1."""
    learning_rate: float
    """Learning rate at the start of the epoch."""
    seconds: float
    """Duration of the epoch, validation included."""


@dataclass(frozen=True, slots=True)
class History:
    """A finished training."""

    recipe: TrainingRecipe
    """Every setting."""
    seed: int
    """Of weights, order, augmentation and dropout, and of the split unless the recipe has its
    own."""
    train_images: dict[str, int]
    """Label → number of training images."""
    validation_images: dict[str, int]
    """Label → number of validation images."""
    patients: dict[str, int]
    """Number of patients in ``training``, ``validation`` and, if there is one, ``block``."""
    unreadable: tuple[str, ...]
    """Reasons, one for each file that could not be read."""
    epochs: tuple[Epoch, ...]
    """Figures of every epoch, the first one first."""
