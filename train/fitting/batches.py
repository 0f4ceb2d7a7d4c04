"""Augmented batches: the same for the same seed, epoch and position, whatever ran before."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import Labels
from cxr_edge.extras import require_keras
from cxr_edge.preprocess import Batch, Pixels, normalize
from cxr_edge.spec import InputSpec
from cxr_edge.train.fitting.augment import augment
from cxr_edge.train.recipe import Augmentation

keras = require_keras("train")


class AugmentedBatches(keras.utils.PyDataset):  # type: ignore[name-defined]
    """Shuffled, augmented batches of one epoch after the other.

    Every random number comes from (seed, epoch, place in the epoch), so a training that was
    interrupted and goes on sees what it would have seen.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: Labels,
        spec: InputSpec,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        balanced: bool = False,  # every batch shows each label equally often
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._pixels, self._labels, self._spec = pixels, labels, spec
        self._augmentation, self._batch_size, self._seed = augmentation, batch_size, seed
        self._epoch, self._balanced = first_epoch, balanced
        self._order = self._shuffled()

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Batch, npt.NDArray[np.float32]]:
        """Batch ``index`` of the present epoch: images (N, H, W, C) and labels (N, 1), float32."""
        first = index * self._batch_size
        chosen = self._order[first : first + self._batch_size]
        images = [
            augment(self._pixels[image], self._augmentation, self._random(place))
            for place, image in enumerate(chosen, start=first)
        ]
        targets = self._labels[chosen].astype(np.float32)[:, np.newaxis]
        return normalize(np.stack(images), self._spec), targets

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch; called by Keras."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> npt.NDArray[np.intp]:
        random = self._random()
        if not self._balanced:
            return random.permutation(len(self._labels))
        # The labels take turns; a rare one starts again, reshuffled, when all were shown.
        present = np.unique(self._labels)
        turns = []
        for label in present:
            members = np.flatnonzero(self._labels == label)
            wanted = len(self._labels) // len(present)
            rounds = [random.permutation(members) for _ in range(-(-wanted // len(members)))]
            turns.append(np.concatenate(rounds)[:wanted])
        return np.stack(turns, axis=1).ravel()

    def _random(self, *position: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, *position])
