"""Augmented batches, reproducible from seed, epoch and position."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.decision import Scores
from cxr_edge.extras import require_keras
from cxr_edge.preprocess import Batch, Image, Pixels, normalize
from cxr_edge.spec import ModelSpec
from cxr_edge.train.fitting.augment import augment
from cxr_edge.train.fitting.targets import Teacher, label_targets, soften, student_scores
from cxr_edge.train.settings import Augmentation, Distillation

keras = require_keras("train")

_TEACHER = 1  # tells the draw of a batch's teacher from that of an image's changes


class AugmentedBatches(keras.utils.PyDataset):  # type: ignore[name-defined]
    """Shuffled, augmented batches, epoch after epoch.

    Every random number is drawn from (seed, epoch, position in the epoch), so a resumed training
    sees the same batches as an uninterrupted one.

    Args:
        pixels: (N, height, width, channels) uint8.
        labels: (N,) indices into the spec's labels.
        spec: gives the network's range and outputs.
        augmentation: ranges of the random changes.
        batch_size: images a batch.
        seed: of order and augmentation.
        balanced: show each label equally often in every batch; rare labels repeat within an epoch.
        first_epoch: epochs that were trained before.
        taught: teachers, and how to learn from them; None: from the labels. Each batch is scored by
            one of them, drawn anew, whose mean over batches is the gradient that the mean of their
            softened scores has, at the price of one.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: Labels,
        spec: ModelSpec,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        balanced: bool = False,
        first_epoch: int = 0,
        taught: tuple[tuple[Teacher, ...], Distillation] | None = None,
    ) -> None:
        super().__init__()
        self._pixels, self._labels, self._spec = pixels, labels, spec
        self._augmentation, self._batch_size, self._seed = augmentation, batch_size, seed
        self._epoch, self._balanced, self._taught = first_epoch, balanced, taught
        self._others = {int(label): np.flatnonzero(labels != label) for label in np.unique(labels)}
        self._order = self._shuffled()

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Batch, Scores]:
        """Batch ``index`` of the current epoch: images (N, H, W, C), targets (N, outputs)."""
        first = index * self._batch_size
        indices = self._order[first : first + self._batch_size]
        images = [self._augmented(image, position) for position, image in enumerate(indices, first)]
        batch = normalize(np.stack(images), self._spec.input)
        if self._taught is None:
            return batch, label_targets(self._labels[indices], self._spec)
        teachers, distillation = self._taught
        teacher = teachers[int(self._random(index, _TEACHER).integers(len(teachers)))]
        scores = student_scores(teacher.scores(batch), teacher.spec, self._spec)
        return batch, soften(scores, distillation.temperature)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1
        self._order = self._shuffled()

    def _augmented(self, index: int, position: int) -> Image:
        """An augmented image; ``position`` is its place in the epoch."""
        random = self._random(position)
        ranges = self._augmentation.acquisition
        donor = None
        if ranges and ranges.exposure:
            others = self._others[int(self._labels[index])]
            donor = self._pixels[others[int(random.integers(len(others)))]]
        return augment(self._pixels[index], self._augmentation, random, donor)

    def _shuffled(self) -> npt.NDArray[np.intp]:
        random = self._random()
        if not self._balanced:
            return random.permutation(len(self._labels))
        # The labels alternate. A label that runs out of images starts again, reshuffled.
        present = np.unique(self._labels)
        orders = []
        for label in present:
            images = np.flatnonzero(self._labels == label)
            count = len(self._labels) // len(present)
            repeats = [random.permutation(images) for _ in range(-(-count // len(images)))]
            orders.append(np.concatenate(repeats)[:count])
        return np.stack(orders, axis=1).ravel()

    def _random(self, *position: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, *position])
