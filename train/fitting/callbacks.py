"""What happens between the steps and epochs of a training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cxr_edge.extras import require_keras
from cxr_edge.reporting import Advance
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.recipe import OnPlateau

keras = require_keras("train")


class Seeding(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Sets every Dropout layer's random state from (seed, epoch).

    So an epoch draws the same masks whether the training was interrupted before it or not.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        for position, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout):
                state = (self._seed * 1000 + position) % 2**32  # Keras keeps 32 bits
                layer.seed_generator.state.assign([state, epoch])


class Plateau(keras.callbacks.ReduceLROnPlateau):  # type: ignore[name-defined]
    """The recipe's learning-rate schedule, which remembers across an interruption.

    Args:
        schedule: patience, factor and smallest rate.
        memory: best validation accuracy so far and epochs since then; None: a new training.
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
        """Called by Keras, whose own schedule forgets here."""
        super().on_train_begin(logs)
        if self._memory:
            self.best, self.wait = self._memory

    @property
    def memory(self) -> tuple[float, int]:
        """What an interrupted training must remember."""
        return float(self.best), int(self.wait)


class StepProgress(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Tells how many of all steps of the training are done."""

    def __init__(self, steps_per_epoch: int, epochs: int, advance: Advance) -> None:
        super().__init__()
        self._steps, self._total, self._advance = steps_per_epoch, steps_per_epoch * epochs, advance
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        self._advance(self._epoch * self._steps + batch + 1, self._total)


class EpochLog(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Collects the figures of each epoch, then hands all of them on; comes after the schedule."""

    def __init__(self, epochs: list[Epoch], done: Callable[[list[Epoch]], None]) -> None:
        super().__init__()
        self._epochs, self._done = epochs, done
        self._start, self._rate = 0.0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        self._start = time.monotonic()
        self._rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
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
        self._done(self._epochs)
