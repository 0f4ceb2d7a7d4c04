"""The training loop; resumes from a checkpoint if there is one."""

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
from cxr_edge.train.fitting.callbacks import (
    EpochLog,
    Plateau,
    Seeding,
    StepProgress,
    seed_dropout,
)
from cxr_edge.train.fitting.checkpoint import State, load_state, save_state
from cxr_edge.train.fitting.data import TrainingData, validation_samples
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.fitting.network import build_network
from cxr_edge.train.fitting.normalization import FusedBatchNormalization, estimate_again
from cxr_edge.train.fitting.targets import Teacher, label_targets
from cxr_edge.train.recipe import TrainingRecipe
from cxr_edge.train.settings import Cosine, OnPlateau

keras = require_keras("train")

_CPU_INFO = Path("/proc/cpuinfo")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def fit_network(
    data: TrainingData,
    recipe: TrainingRecipe,
    *,
    seed: int,
    checkpoint: Path,
    reporter: Reporter,
    teachers: tuple[Teacher, ...] = (),
) -> tuple[Any, tuple[Epoch, ...]]:
    """Train the recipe's network.

    Args:
        data: training and validation images.
        recipe: every setting.
        seed: of weights, order, augmentation and dropout.
        checkpoint: folder that holds the last finished epoch; a training found there is resumed.
        reporter: shows progress and each epoch's figures.
        teachers: what the recipe's distillation learns from; empty if it has none.

    Returns:
        The ``keras.Model`` after the last epoch, and every epoch's figures.

    Raises:
        UsageError: ``checkpoint`` belongs to another training, or is damaged.
        OutputError: ``checkpoint`` cannot be written.
    """
    identity = identify(data, recipe, seed, teachers)
    state = load_state(checkpoint, identity)
    epochs = list(state.epochs) if state else []
    batches = _make_batches(data, recipe, seed, teachers, first_epoch=len(epochs))
    if state:
        network = _load_network(checkpoint / state.model)
        reporter.say(f"resuming after epoch {len(epochs)} of {recipe.epochs}")
    else:
        network = _new_network(recipe, seed, len(batches), reporter)
    plateau = None
    if isinstance(recipe.schedule, OnPlateau):
        plateau = Plateau(recipe.schedule, state.plateau if state else None)

    def save_epoch(finished: list[Epoch]) -> None:
        reporter.say(_epoch_line(finished, recipe))
        memory = plateau.memory if plateau else None
        state = State(identity, f"epoch-{len(finished)}.keras", tuple(finished), memory)
        save_state(checkpoint, network, state)

    validation_batch = normalize(data.validation.pixels, recipe.spec.input)
    validation_targets = label_targets(data.validation.labels, recipe.spec)
    with reporter.bar("training") as advance:
        network.fit(
            batches,
            epochs=recipe.epochs,
            initial_epoch=len(epochs),
            shuffle=False,  # Keras would shuffle the batches by a state that is not in checkpoints
            validation_data=(validation_batch, validation_targets),
            callbacks=[
                Seeding(seed),
                StepProgress(len(batches), recipe.epochs, advance),
                *([plateau] if plateau else []),
                EpochLog(epochs, save_epoch),
            ],
            verbose=0,
        )
    if recipe.averaging and recipe.averaging.norm_batches:
        reporter.say("measuring the statistics of batch normalization again")
        seed_dropout(network, seed, recipe.epochs)
        estimate_again(network, batches, recipe.averaging.norm_batches)
    return network, tuple(epochs)


def identify(
    data: TrainingData, recipe: TrainingRecipe, seed: int, teachers: tuple[Teacher, ...] = ()
) -> str:
    """Fingerprint of everything a training depends on: recipe, seed, images, split, teachers."""
    held_out = validation_samples(data)
    validation = [sha256(held_out.pixels.tobytes()), np.asarray(held_out.labels).tolist()]
    taught_by = [teacher.sha256 for teacher in teachers]
    return sha256(documents.dump([recipe, seed, data.sha256, validation, taught_by]))


def _make_batches(
    data: TrainingData,
    recipe: TrainingRecipe,
    seed: int,
    teachers: tuple[Teacher, ...],
    *,
    first_epoch: int,
) -> AugmentedBatches:
    distillation = recipe.distillation
    return AugmentedBatches(
        data.pixels,
        data.labels,
        recipe.spec,
        recipe.augmentation,
        batch_size=recipe.batch_size,
        seed=seed,
        balanced=recipe.balanced,
        first_epoch=first_epoch,
        taught=(teachers, distillation) if teachers and distillation else None,
    )


def _new_network(recipe: TrainingRecipe, seed: int, steps: int, reporter: Reporter) -> Any:
    keras.utils.set_random_seed(seed % 2**32)
    precision = choose_precision(recipe.precision)
    if precision != "float32":
        reporter.say(f"training in {precision}, which is faster on this CPU")
    network = build_network(
        recipe.spec,
        width=recipe.width,
        momentum=recipe.norm_momentum,
        precision=precision,
        normalization=FusedBatchNormalization,
    )
    losses = keras.losses
    loss = losses.BinaryCrossentropy if recipe.spec.outputs == 1 else losses.CategoricalCrossentropy
    network.compile(
        optimizer=_optimizer(recipe, steps),
        loss=loss(label_smoothing=recipe.label_smoothing),
        metrics=[accuracy],
    )
    return network


@keras.saving.register_keras_serializable(package="cxr_edge")  # type: ignore[untyped-decorator]
def accuracy(targets: Any, scores: Any) -> Any:
    """(N,) whether each decision is the target's; Keras's own needs targets of 0 or 1."""
    ops = keras.ops
    if targets.shape[-1] == 1:
        return ops.cast(ops.equal(targets > 0.5, scores > 0.5), "float32")[:, 0]
    same = ops.equal(ops.argmax(targets, axis=-1), ops.argmax(scores, axis=-1))
    return ops.cast(same, "float32")


def _optimizer(recipe: TrainingRecipe, steps: int) -> Any:
    """The recipe's optimizer; ``steps`` is the number of batches an epoch."""
    rate: Any = recipe.learning_rate
    if isinstance(recipe.schedule, Cosine):
        warmup = recipe.schedule.warmup_epochs * steps
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else recipe.learning_rate,
            decay_steps=recipe.epochs * steps - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    if recipe.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate)
    # Weight decay applies to every variable: Keras does not save exclusions in a checkpoint.
    window = recipe.averaging.window * recipe.epochs * steps if recipe.averaging else 0.0
    averaged = {"use_ema": True, "ema_momentum": 1 - 1 / window} if window > 1 else {}
    return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **averaged)


def _load_network(path: Path) -> Any:
    try:
        return keras.saving.load_model(path)
    except Exception as err:  # Keras passes on zip, JSON and HDF5 errors of many types
        raise UsageError(
            f"{path}: the unfinished training cannot be read; delete {path.parent} to start again"
        ) from err


def _epoch_line(finished: list[Epoch], recipe: TrainingRecipe) -> str:
    last = finished[-1]
    return (
        f"epoch {len(finished)}/{recipe.epochs}: "
        f"accuracy {last.accuracy:.4f} loss {last.loss:.4f}, "
        f"validation {last.val_accuracy:.4f} {last.val_loss:.4f}, "
        f"rate {last.learning_rate:.0e}, {last.seconds:.0f} s"
    )


def choose_precision(precision: Literal["float32", "bfloat16 where fast"]) -> str:
    """Keras's dtype policy for a recipe's precision: ``float32`` or ``mixed_bfloat16``.

    bfloat16 is chosen only where TensorFlow's CPU kernels multiply it in hardware; an epoch then
    takes a fifth less time. Elsewhere it is slower than float32, or not supported.
    """
    if precision == "float32" or keras.backend.backend() != "tensorflow":
        return "float32"
    try:
        flags = _CPU_INFO.read_text().split()
    except OSError:  # not Linux: the CPU's features are unknown
        return "float32"
    return "mixed_bfloat16" if any(flag in flags for flag in _BFLOAT16_FLAGS) else "float32"
