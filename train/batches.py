"""Augmented batches: the same for the same seed, epoch and position, whatever ran before."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.dataset import Labels
from cxr_edge.extras import require_keras
from cxr_edge.preprocess import Batch, Image, Pixels, normalize
from cxr_edge.spec import InputSpec
from cxr_edge.train.recipe import Augmentation

keras = require_keras("train")


class AugmentedBatches(keras.utils.PyDataset):  # type: ignore[name-defined]
    """Shuffled, augmented batches of one epoch after the other.

    Every random number comes from (seed, epoch, image), so a training that was interrupted and
    goes on sees what it would have seen.
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
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._pixels, self._labels, self._spec = pixels, labels, spec
        self._augmentation, self._batch_size, self._seed = augmentation, batch_size, seed
        self._epoch = first_epoch
        self._order = self._shuffled()

    def __len__(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return math.ceil(len(self._labels) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Batch, npt.NDArray[np.float32]]:
        """Batch ``index`` of the present epoch: images (N, H, W, C) and labels (N, 1), float32."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        images = [
            augment(self._pixels[i], self._augmentation, self._random(int(i))) for i in chosen
        ]
        targets = self._labels[chosen].astype(np.float32)[:, np.newaxis]
        return normalize(np.stack(images), self._spec), targets

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch; called by Keras."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> npt.NDArray[np.intp]:
        return self._random().permutation(len(self._labels))

    def _random(self, *position: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, *position])


def augment(image: Image, augmentation: Augmentation, random: np.random.Generator) -> Image:
    """Rotate, shift, zoom and mirror one image about its centre; borders are repeated.

    Args:
        image: (H, W, C) uint8.
        augmentation: the ranges.
        random: where the draws come from.

    Returns:
        (H, W, C) uint8.
    """
    rows, columns = image.shape[:2]
    turn = math.radians(random.uniform(-1, 1) * augmentation.rotation_degrees)
    down = random.uniform(-1, 1) * augmentation.shift * rows
    right = random.uniform(-1, 1) * augmentation.shift * columns
    zoom_x, zoom_y = random.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, 2)
    mirror = -1.0 if augmentation.horizontal_flip and random.random() < 0.5 else 1.0
    # Where each output pixel is taken from: mirror, zoom, shift, rotate, all about the centre.
    cosine, sine = math.cos(turn), math.sin(turn)
    rotate = np.array([[cosine, -sine], [sine, cosine]])
    linear = rotate @ np.diag([zoom_x * mirror, zoom_y])
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    constant = centre - linear @ centre + rotate @ np.array([right, down])
    matrix = np.column_stack([linear, constant])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        image, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.astype(np.uint8, copy=False).reshape(image.shape)
