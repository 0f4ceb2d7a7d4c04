"""Keras callbacks: seeding, learning-rate schedule, progress, and the figures of each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cxr_edge.extras import require_keras
from cxr_edge.reporting import Advance
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.settings import OnPlateau

keras = require_keras("train")


def seed_dropout(network: Any, seed: int, epoch: int) -> None:
    """Set every Dropout layer's random state from (seed, epoch)."""
    for position, layer in enumerate(network.layers):
        if isinstance(layer, keras.layers.Dropout):
            state = (seed * 1000 + position) % 2**32  # Keras keeps 32 bits
            layer.seed_generator.state.assign([state, epoch])


class Seeding(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Sets every Dropout layer's random state from (seed, epoch).

    An epoch then draws the same masks in a resumed training as in an uninterrupted one.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the states for this epoch."""
        seed_dropout(self.model, self._seed, epoch)


class Plateau(keras.callbacks.ReduceLROnPlateau):  # type: ignore[name-defined]
    """ReduceLROnPlateau that can resume.

    Args:
        schedule: patience, factor and smallest rate.
        memory: best validation accuracy so far and the epochs since then; None: a new training.
    """

    def __init__(self, schedule: OnPlateau, memory: tuple[float, int] | None) -> None:
        super().__init__(
            monitor="val_accuracy",
            mode="max",
            patience=schedule.patience,
            factor=schedule.factor,
            min_lr=schedule.min_learning_rate,
        )
        self._memory = memory

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the memory, which Keras's own callback resets here."""
        super().on_train_begin(logs)
        if self._memory:
            self.best, self.wait = self._memory

    @property
    def memory(self) -> tuple[float, int]:
        """Best validation accuracy so far and the epochs since then, for a checkpoint."""
        return float(self.best), int(self.wait)


class StepProgress(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Reports the steps done, out of all steps of the training."""

    def __init__(self, steps_per_epoch: int, epochs: int, advance: Advance) -> None:
        super().__init__()
        self._steps, self._total, self._advance = steps_per_epoch, steps_per_epoch * epochs, advance
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the step."""
        self._advance(self._epoch * self._steps + batch + 1, self._total)


class EpochLog(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Appends each epoch's figures to a list and passes the list on.

    Must come after the learning-rate schedule in the list of callbacks, so that a checkpoint holds
    the schedule's new state.
    """

    def __init__(self, epochs: list[Epoch], on_epoch: Callable[[list[Epoch]], None]) -> None:
        super().__init__()
        self._epochs, self._on_epoch = epochs, on_epoch
        self._start, self._rate = 0.0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the start time and the learning rate."""
        self._start = time.monotonic()
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append the epoch's figures."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._epochs.append(
            Epoch(
                loss=figures["loss"],
                accuracy=figures["accuracy"],
                val_loss=figures["val_loss"],
                val_accuracy=figures["val_accuracy"],
                learning_rate=self._rate,
                seconds=round(time.monotonic() - self._start, 1),
            )
        )
        self._on_epoch(self._epochs)
