"""What a training writes down about itself."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.train.recipe import TrainingRecipe

HISTORY_NAME = "history.json"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Figures of one pass over the training images."""

    loss: float
    """Mean binary cross-entropy over the epoch's batches, augmented and with dropout."""
    accuracy: float
    """Share of right decisions over the epoch's batches, 0..1."""
    val_loss: float
    """Binary cross-entropy on validation."""
    val_accuracy: float
    """Share of right decisions on validation, 0..1."""
    learning_rate: float
    """Rate that the epoch was trained with."""
    seconds: float
    """How long the epoch took, validation included."""


@dataclass(frozen=True, slots=True)
class History:
    """A whole training."""

    recipe: TrainingRecipe
    """Every choice."""
    seed: int
    """Of weights, order, augmentation, dropout and split."""
    train_images: dict[str, int]
    """Images trained on, by label."""
    validation_images: dict[str, int]
    """Images held out, by label."""
    patients: dict[str, int]
    """Groups of images in training and in validation."""
    unreadable: tuple[str, ...]
    """Files left out, each with the reason."""
    epochs: tuple[Epoch, ...]
    """Figures of every epoch."""
