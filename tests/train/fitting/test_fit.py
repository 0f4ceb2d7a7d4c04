"""A resumed training ends with the weights of an uninterrupted one, or is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import UsageError
from cxr_edge.reporting import Advance, Silent
from cxr_edge.spec import InputSpec
from cxr_edge.train.fitting.data import TrainingData
from cxr_edge.train.fitting.fit import fit_network
from cxr_edge.train.fitting.held_out import HeldOut
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.fitting.targets import Teacher
from cxr_edge.train.recipe import ROBUST, SEED, TrainingRecipe, with_epochs, with_width
from cxr_edge.train.settings import Augmentation, Distillation

pytestmark = pytest.mark.slow

STEPS = 3
"""Batches an epoch."""
TINY = dataclasses.replace(
    SEED,
    spec=dataclasses.replace(SEED.spec, input=InputSpec(height=16, width=16)),
    epochs=5,
    batch_size=8,
)
TINY_ROBUST = dataclasses.replace(ROBUST, spec=TINY.spec, epochs=4, batch_size=8)
RATES = (1e-3, 1e-3, 1e-3, 3e-4, 3e-4)
"""Of a training whose validation accuracy never improves, with a patience of two epochs."""
TOLERANCE = 1e-5
"""Largest difference of a weight. Measured: 0 after an interruption, .03 with the batches in
another order, .27 between the first weights and the last, .36 with another seed."""


class PowerCutError(Exception):
    """Raised in the middle of a training."""


class Interrupting(Silent):
    """Interrupts the training before it finishes this many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        def advance(done: int, total: int) -> None:
            if done >= self._steps:
                raise PowerCutError

        yield advance


class Recording(Silent):
    """A reporter that records messages and progress."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        yield lambda done, total: self.steps.append((done, total))


def draw_data(*, training_seed: int = 1, validation_seed: int = 2) -> TrainingData:
    """Noise to learn by heart; validation shows one picture under both labels: accuracy 1/2."""
    random = np.random.default_rng(training_seed)
    pixels = random.integers(0, 256, (STEPS * 8 - 1, 16, 16, 1), np.uint8)
    picture = np.random.default_rng(validation_seed).integers(0, 256, (1, 16, 16, 1), np.uint8)
    return TrainingData(
        pixels=pixels,
        labels=np.arange(len(pixels)) % 2,
        validation=HeldOut(np.repeat(picture, 6, axis=0), np.arange(6) % 2, ()),
        block=None,
        patients={"training": len(pixels), "validation": 6},
        unreadable=(),
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        test=None,
    )


def train(
    checkpoint: Path,
    reporter: Any = None,
    *,
    recipe: TrainingRecipe = TINY,
    seed: int = 3,
    teachers: tuple[Teacher, ...] = (),
    **data: int,
) -> tuple[list[np.ndarray], tuple[Epoch, ...]]:
    """Weights and figures."""
    network, epochs = fit_network(
        draw_data(**data),
        recipe,
        seed=seed,
        checkpoint=checkpoint,
        reporter=reporter or Silent(),
        teachers=teachers,
    )
    return network.get_weights(), epochs


def largest_difference(one: list[np.ndarray], two: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training that was interrupted in its third epoch; take a copy."""
    folder = tmp_path_factory.mktemp("unfinished") / "checkpoint"
    with pytest.raises(PowerCutError):
        train(folder, Interrupting(2 * STEPS + 2))
    return folder


@pytest.fixture
def checkpoint(unfinished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unfinished, tmp_path / "checkpoint"))


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Recording, list[np.ndarray], tuple[Epoch, ...]]:
    folder, reporter = tmp_path_factory.mktemp("whole") / "checkpoint", Recording()
    return folder, reporter, *train(folder, reporter)


@pytest.fixture(scope="module")
def resumed(
    unfinished: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Recording, list[np.ndarray], tuple[Epoch, ...]]:
    """That training, gone on with."""
    folder = Path(shutil.copytree(unfinished, tmp_path_factory.mktemp("resumed") / "checkpoint"))
    reporter = Recording()
    return reporter, *train(folder, reporter)


def test_an_interrupted_training_ends_with_the_same_weights(
    uninterrupted: Any, resumed: Any
) -> None:
    _, _, whole, _ = uninterrupted
    _, pieces, _ = resumed
    assert largest_difference(whole, pieces) <= TOLERANCE


def test_an_interrupted_training_reports_the_same_figures(uninterrupted: Any, resumed: Any) -> None:
    whole, pieces = uninterrupted[-1], resumed[-1]
    assert len(whole) == len(pieces) == TINY.epochs
    for one, two in zip(whole, pieces, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert getattr(two, name) == pytest.approx(getattr(one, name), rel=1e-4), name


@pytest.mark.thorough
def test_an_interrupted_robust_training_ends_with_the_same_weights_too(tmp_path: Path) -> None:
    whole, figures = train(tmp_path / "whole", recipe=TINY_ROBUST)
    with pytest.raises(PowerCutError):
        train(tmp_path / "pieces", Interrupting(2 * STEPS + 2), recipe=TINY_ROBUST)
    pieces, again = train(tmp_path / "pieces", recipe=TINY_ROBUST)
    assert largest_difference(whole, pieces) <= TOLERANCE
    assert [epoch.loss for epoch in figures] == pytest.approx([epoch.loss for epoch in again])
    # A linear rise over the first epoch, then half a cosine to zero; noted as an epoch begins.
    assert [epoch.learning_rate for epoch in figures] == pytest.approx([0, 1e-3, 7.5e-4, 2.5e-4])


def test_a_narrow_network_learns_its_teachers_scores_and_resumes_with_them_only(
    tmp_path: Path,
) -> None:
    """The teacher says the opposite of every label; what is learnt is what it says."""
    data = draw_data()
    dark = data.pixels.mean(axis=(1, 2, 3))

    def opposite(batch: np.ndarray) -> np.ndarray:
        nearest = [int(np.abs(dark / 255 - grey).argmin()) for grey in batch.mean(axis=(1, 2, 3))]
        return np.array([[0.02 if data.labels[image] else 0.98] for image in nearest], np.float32)

    recipe = dataclasses.replace(
        with_width(TINY, 0.25),
        epochs=8,
        augmentation=Augmentation(),
        learning_rate=3e-3,
        distillation=Distillation(temperature=1.0),
    )
    teacher = Teacher("opposite", "a", recipe.spec, opposite)
    with pytest.raises(PowerCutError):
        train(tmp_path / "c", Interrupting(6 * STEPS + 2), recipe=recipe, teachers=(teacher,))
    other = dataclasses.replace(teacher, sha256="b")
    for stranger in ((other,), (), (teacher, teacher)):
        with pytest.raises(UsageError, match="unfinished training of another recipe, seed"):
            train(tmp_path / "c", recipe=recipe, teachers=stranger)
    weights, epochs = train(tmp_path / "c", recipe=recipe, teachers=(teacher,))
    assert weights[0].shape == (3, 3, 1, 8)
    assert len(epochs) == 8
    # "accuracy" is agreement with the teacher, though its scores are not 0 and 1.
    assert epochs[-1].accuracy > 0.8


def test_the_learning_rate_falls_after_the_same_epochs(uninterrupted: Any, resumed: Any) -> None:
    for epochs in (uninterrupted[-1], resumed[-1]):
        assert {epoch.val_accuracy for epoch in epochs} == {0.5}
        assert tuple(epoch.learning_rate for epoch in epochs) == pytest.approx(RATES)


def test_progress_counts_the_steps_of_the_whole_training(uninterrupted: Any, resumed: Any) -> None:
    total = STEPS * TINY.epochs
    assert uninterrupted[1].steps == [(step, total) for step in range(1, total + 1)]
    assert resumed[0].steps == [(step, total) for step in range(2 * STEPS + 1, total + 1)]
    assert resumed[0].messages[0] == "resuming after epoch 2 of 5"


def test_only_the_last_epochs_checkpoint_is_kept(uninterrupted: Any, unfinished: Path) -> None:
    assert {path.name for path in uninterrupted[0].iterdir()} == {"state.json", "epoch-5.keras"}
    assert {path.name for path in unfinished.iterdir()} == {"state.json", "epoch-2.keras"}


def test_a_training_that_was_stopped_after_its_last_epoch_is_not_trained_again(
    uninterrupted: Any,
) -> None:
    folder, _, weights, epochs = uninterrupted
    reporter = Recording()
    again, figures = train(folder, reporter)
    assert largest_difference(weights, again) == 0
    assert figures == epochs
    assert reporter.steps == []


OTHER_TRAININGS: dict[str, dict[str, Any]] = {
    "seed": {"seed": 4},
    "recipe": {"recipe": dataclasses.replace(TINY, learning_rate=2e-3)},
    "augmentation": {
        "recipe": dataclasses.replace(
            TINY, augmentation=dataclasses.replace(TINY.augmentation, zoom=0.1)
        )
    },
    "training images": {"training_seed": 5},
    "validation images": {"validation_seed": 5},
}


@pytest.mark.parametrize("other", OTHER_TRAININGS.values(), ids=OTHER_TRAININGS)
def test_another_training_does_not_go_on_from_here(checkpoint: Path, other: dict[str, Any]) -> None:
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with pytest.raises(UsageError, match="unfinished training of another recipe, seed, teacher"):
        train(checkpoint, **other)
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before


@pytest.mark.parametrize("damaged", ["state.json", "epoch-2.keras"])
def test_a_damaged_checkpoint_is_refused_by_name(checkpoint: Path, damaged: str) -> None:
    data = (checkpoint / damaged).read_bytes()
    (checkpoint / damaged).write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=damaged):
        train(checkpoint)


def test_a_checkpoint_without_its_network_is_refused(checkpoint: Path) -> None:
    (checkpoint / "epoch-2.keras").unlink()
    with pytest.raises(UsageError, match=r"epoch-2\.keras.*delete .*checkpoint to start again"):
        train(checkpoint)


def test_a_recipe_with_a_warm_up_can_train_one_epoch_from_a_seed_beyond_32_bits(
    tmp_path: Path,
) -> None:
    weights, (epoch,) = train(tmp_path, recipe=with_epochs(TINY_ROBUST, 1), seed=2**32 + 5)
    assert epoch.learning_rate == pytest.approx(TINY_ROBUST.learning_rate)
    assert np.isfinite(epoch.loss) and all(np.isfinite(array).all() for array in weights)
    with pytest.raises(UsageError, match="number of epochs"):
        train(tmp_path, recipe=with_epochs(TINY_ROBUST, 2), seed=2**32 + 5)
