"""Whether an image looks like those that the network was trained on at all.

A classifier of two labels answers a photograph as surely as a radiograph. Seen at 16 x 16 pixels,
with brightness and contrast taken out, radiographs of chests are so alike that a few principal
components describe them; everything else is far from them, or differs from its own projection.
The distance is that of probabilistic PCA (Tipping, Bishop 1999): the Mahalanobis distance within
the components plus the squared residual over its mean variance. What is too smooth to be a
radiograph, such as a ramp, is recognized by its fine detail.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import CxrEdgeError
from cxr_edge.preprocess import Pixels

SIDE = 16
"""Rows and columns that an image is averaged to."""
MIN_CONTRAST = 8.0
"""Standard deviation, in grey levels at 16 x 16, below which an image shows nothing."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Domain:
    """What the training images have in common."""

    mean: Floats
    """(256,) their mean, standardized."""
    components: Floats
    """(K, 256) their main differences, orthonormal."""
    variances: Floats
    """(K,) how much they differ in each."""
    residual: float
    """Mean variance of a pixel outside the components."""
    limit: float
    """The largest distance of an image that is one of them."""
    least_detail: float
    """The smallest :func:`detail` of an image that is one of them."""

    def distances(self, pixels: Pixels) -> npt.NDArray[np.float64]:
        """How far images are from the training images; above 1: outside.

        Args:
            pixels: (N, height, width, channels) uint8, at the network's size.

        Returns:
            (N,) the distance over ``limit``, or ``least_detail`` over the detail if that is more;
            infinite for an image without contrast.
        """
        rows, contrast = standardize(pixels)
        centred = rows - self.mean
        inside = centred @ self.components.T
        left = centred - inside @ self.components
        rest = np.square(left).sum(axis=1)
        distance = np.square(inside) @ (1 / self.variances) + rest / self.residual
        smooth = self.least_detail / np.maximum(detail(pixels), 1e-12)
        share = np.maximum(distance / self.limit, smooth)
        return np.where(contrast < MIN_CONTRAST, np.inf, share)

    def outside(self, pixels: Pixels) -> npt.NDArray[np.bool_]:
        """(N,) whether each image looks like none of the training images."""
        return np.asarray(self.distances(pixels) > 1)


def standardize(pixels: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Images at 16 x 16 grey pixels with mean 0 and standard deviation 1.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N, 256) numbers, and (N,) the standard deviation in grey levels that was divided by, at
        least as :data:`MIN_CONTRAST`.
    """
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in pixels]
    grey = np.stack(small).reshape(len(pixels), SIDE * SIDE, -1).mean(axis=2, dtype=np.float64)
    centred = grey - grey.mean(axis=1, keepdims=True)
    contrast = np.sqrt(np.square(centred).mean(axis=1))
    return centred / np.maximum(contrast, MIN_CONTRAST)[:, np.newaxis], contrast


def detail(pixels: Pixels) -> npt.NDArray[np.float64]:
    """How much of each image's contrast is finer than 1/75 of its shorter side.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N,) mean absolute difference from a blurred copy over the standard deviation.
    """
    found = []
    for image in pixels:
        grey = image.astype(np.float32)
        grey = grey[..., 0] if grey.shape[2] == 1 else grey.mean(axis=2)
        smooth = cv2.GaussianBlur(grey, (0, 0), max(min(grey.shape) / 75, 0.5))
        difference = cv2.norm(grey, smooth, cv2.NORM_L1) / grey.size
        # Ten times faster on whole numbers, and the same.
        deviation = float(cv2.meanStdDev(image if image.shape[2] == 1 else grey)[1].item())
        found.append(difference / max(deviation, MIN_CONTRAST))
    return np.asarray(found, np.float64)


def dump_domain(domain: Domain) -> bytes:
    """Write a domain as a compressed .npz."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mean=domain.mean,
        components=domain.components,
        variances=domain.variances,
        residual=np.float64(domain.residual),
        limit=np.float64(domain.limit),
        least_detail=np.float64(domain.least_detail),
    )
    return buffer.getvalue()


def parse_domain(data: bytes, name: str, error: type[CxrEdgeError]) -> Domain:
    """Read a domain from the bytes of its file.

    Raises:
        error: the bytes are malformed, or the numbers no distance.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            mean, components, variances = (
                np.asarray(arrays[key], np.float32) for key in ("mean", "components", "variances")
            )
            residual, limit, least = (
                np.asarray(arrays[key], np.float64) for key in ("residual", "limit", "least_detail")
            )
    except Exception as err:  # zip, zlib and numpy have one each
        raise error(f"{name}: not readable as a domain: {err}") from err
    count = SIDE * SIDE
    kept = len(components) if components.ndim else 0
    numbers = (mean, components, variances, residual, limit, least)
    shapes = tuple(array.shape for array in numbers)
    if shapes != ((count,), (kept, count), (kept,), (), (), ()):
        raise error(f"{name}: its arrays have the shapes {shapes}")
    positive = all(np.all(array > 0) for array in (variances, residual, limit)) and least >= 0
    if not positive or not all(np.isfinite(array).all() for array in numbers):
        raise error(f"{name}: holds numbers that make no distance")
    return Domain(mean, components, variances, float(residual), float(limit), float(least))
