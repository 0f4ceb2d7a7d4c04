"""Fitting the network, epoch by epoch, from wherever an earlier attempt stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from cxr_edge import documents
from cxr_edge.errors import UsageError
from cxr_edge.extras import require_keras
from cxr_edge.files import sha256
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter
from cxr_edge.train.fitting.batches import AugmentedBatches
from cxr_edge.train.fitting.callbacks import EpochLog, Plateau, Seeding, StepProgress
from cxr_edge.train.fitting.checkpoint import State, load_state, save_state
from cxr_edge.train.fitting.data import TrainingData
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.fitting.network import build_network
from cxr_edge.train.recipe import Cosine, OnPlateau, TrainingRecipe

keras = require_keras("train")

_CPU = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def fit_network(
    data: TrainingData, recipe: TrainingRecipe, *, seed: int, checkpoint: Path, reporter: Reporter
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train the recipe's network.

    Args:
        data: images in memory.
        recipe: every choice.
        seed: of weights, order, augmentation and dropout.
        checkpoint: folder where each finished epoch is kept; a training found there goes on.
        reporter: shows progress and each epoch's figures.

    Returns:
        The network after the last epoch, and every epoch's figures.

    Raises:
        UsageError: ``checkpoint`` belongs to another training.
        OutputError: ``checkpoint`` cannot be written.
    """
    identity = identify(data, recipe, seed)
    state = load_state(checkpoint, identity)
    epochs = list(state.epochs) if state else []
    batches = AugmentedBatches(
        data.pixels,
        data.labels,
        recipe.spec.input,
        recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=seed,
        balanced=recipe.balanced,
        first_epoch=len(epochs),
    )
    if state:
        network = _load_network(checkpoint / state.model)
        reporter.say(f"going on after epoch {len(epochs)} of {recipe.epochs}")
    else:
        network = _fresh_network(recipe, seed, len(batches), reporter)
    plateau = None
    if isinstance(recipe.schedule, OnPlateau):
        plateau = Plateau(recipe.schedule, state.plateau if state else None)

    def keep(done: list[Epoch]) -> None:
        reporter.say(_epoch_line(done, recipe))
        memory = plateau.memory if plateau else None
        state = State(identity, f"epoch-{len(done)}.keras", tuple(done), memory)
        save_state(checkpoint, network, state)

    held = normalize(data.held_pixels, recipe.spec.input)
    held_labels = data.held_labels.astype(np.float32)[:, np.newaxis]
    with reporter.bar("training") as advance:
        network.fit(
            batches,
            epochs=recipe.epochs,
            initial_epoch=len(epochs),
            shuffle=False,  # Keras would reorder the batches by a state that no checkpoint keeps
            validation_data=(held, held_labels),
            callbacks=[
                Seeding(seed),
                StepProgress(len(batches), recipe.epochs, advance),
                *([plateau] if plateau else []),
                EpochLog(epochs, keep),
            ],
            verbose=0,
        )
    return network, tuple(epochs)


def identify(data: TrainingData, recipe: TrainingRecipe, seed: int) -> str:
    """Fingerprint of everything that a training depends on, the split included."""
    held = [sha256(data.held_pixels.tobytes()), data.held_labels.tolist()]
    return sha256(documents.dump([recipe, seed, data.sha256, held]))


def _fresh_network(recipe: TrainingRecipe, seed: int, steps: int, reporter: Reporter) -> Any:
    keras.utils.set_random_seed(seed % 2**32)
    precision = choose_precision(recipe.precision)
    if precision != "float32":
        reporter.say(f"training in {precision}, which this machine computes faster")
    network = build_network(recipe.spec, momentum=recipe.norm_momentum, precision=precision)
    network.compile(
        optimizer=_optimizer(recipe, steps),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )
    return network


def _optimizer(recipe: TrainingRecipe, steps: int) -> Any:
    """The recipe's optimizer, for epochs of so many steps."""
    rate: Any = recipe.learning_rate
    if isinstance(recipe.schedule, Cosine):
        warmup = recipe.schedule.warmup_epochs * steps
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            decay_steps=recipe.epochs * steps - warmup,
            warmup_target=recipe.learning_rate,
            warmup_steps=warmup,
        )
    if recipe.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate)
    # Of every variable: what Keras is told to exclude is not in a checkpoint.
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)


def _load_network(path: Path) -> Any:
    try:
        return keras.saving.load_model(path)
    except Exception as err:  # a zip, JSON, HDF5 or layer error: Keras wraps none of them
        raise UsageError(
            f"{path}: the unfinished training cannot be read; delete {path.parent} to start again"
        ) from err


def _epoch_line(done: list[Epoch], recipe: TrainingRecipe) -> str:
    last = done[-1]
    return (
        f"epoch {len(done)}/{recipe.epochs}: accuracy {last.accuracy:.4f} loss {last.loss:.4f}, "
        f"validation {last.val_accuracy:.4f} {last.val_loss:.4f}, "
        f"rate {last.learning_rate:.0e}, {last.seconds:.0f} s"
    )


def choose_precision(wanted: Literal["float32", "bfloat16 where fast"]) -> str:
    """Keras's name for the arithmetic: ``float32`` or ``mixed_bfloat16``.

    16-bit numbers are taken only where TensorFlow's CPU kernels multiply them in hardware; there an
    epoch takes a fifth less. Elsewhere they are slower than float32, or not supported.
    """
    if wanted == "float32" or keras.backend.backend() != "tensorflow":
        return "float32"
    try:
        flags = _CPU.read_text().split()
    except OSError:  # no Linux: then no way to know
        return "float32"
    return "mixed_bfloat16" if any(flag in flags for flag in _BFLOAT16_FLAGS) else "float32"
