"""Whether an image is of the kind that the network was trained on.

A classifier with two labels is as confident about a holiday photograph as about a radiograph. At
16 x 16 pixels, with brightness and contrast removed, chest radiographs are so similar that a few
principal components describe them. The distance from them is that of probabilistic PCA (Tipping and
Bishop 1999): the Mahalanobis distance within the components plus the squared residual over its
mean variance. Images too smooth to be a radiograph, such as a ramp, are found by their lack of
fine detail.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt

from cxr_edge.device.threads import importing_opencv
from cxr_edge.errors import CxrEdgeError
from cxr_edge.image.averaging import area_means, blurred
from cxr_edge.preprocess import Pixels
from cxr_edge.records import dataclass

SIDE = 16
"""Rows and columns an image is averaged to before it is compared."""
MIN_CONTRAST = 8.0
"""Standard deviation, in grey levels at 16 x 16, below which an image counts as blank."""

_ROUNDING = 1e-6  # distances are float32, and the limit is itself the distance of an image

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Domain:
    """Mean and principal components of the training images, and the limits of a match."""

    mean: Floats
    """(256,) mean of the standardized images."""
    components: Floats
    """(K, 256) principal components, orthonormal."""
    variances: Floats
    """(K,) variance along each component, above 0."""
    residual: float
    """Mean variance of a pixel outside the components, above 0."""
    limit: float
    """Largest distance of an image of this kind, above 0."""
    least_detail: float
    """Smallest :func:`detail` of an image of this kind, 0 or more."""

    def distances(self, pixels: Pixels) -> npt.NDArray[np.float64]:
        """Distance of each image from the training images, relative to the limits.

        Args:
            pixels: (N, height, width, channels) uint8, at the network's size.

        Returns:
            (N,) above 1: outside the domain. The larger of distance / ``limit`` and
            ``least_detail`` / detail; infinite for a blank image.
        """
        return np.array([self._distance(image) for image in pixels], np.float64)

    def _distance(self, image: npt.NDArray[np.uint8]) -> float:
        """Relative distance of one image, (height, width, channels)."""
        row, contrast = _standardize(image)
        if contrast < MIN_CONTRAST:
            return math.inf
        centred = row.astype(np.float32) - self.mean
        coordinates = self.components @ centred
        residual = centred - coordinates @ self.components
        distance = float(coordinates @ (coordinates / self.variances))
        distance += float(residual @ residual) / self.residual
        return max(distance / self.limit, self.least_detail / max(_detail(image), 1e-12))

    def outside(self, pixels: Pixels) -> npt.NDArray[np.bool_]:
        """(N,) whether each image is unlike the training images."""
        return np.asarray(self.distances(pixels) > 1 + _ROUNDING)


def standardize(pixels: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Reduce images to 16 x 16 grey pixels with mean 0 and standard deviation 1.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N, 256) standardized pixels, and (N,) the standard deviation in grey levels. Where that
        is below :data:`MIN_CONTRAST`, the pixels are divided by the constant instead.
    """
    standardized = [_standardize(image) for image in pixels]
    rows = np.stack([row for row, _ in standardized])
    return rows, np.array([contrast for _, contrast in standardized], np.float64)


def _standardize(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], float]:
    """One image, (height, width, channels), as :func:`standardize` does."""
    row = _small(image).reshape(SIDE * SIDE, -1).mean(axis=1)
    row -= row.mean()
    contrast = math.sqrt(float(row @ row) / row.size)
    row /= max(contrast, MIN_CONTRAST)
    return row, contrast


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if min(image.shape[:2]) < SIDE:  # enlarged
        with importing_opencv():
            import cv2

        return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    channels = [area_means(image[..., n], SIDE, SIDE) for n in range(image.shape[2])]
    return np.stack(channels, axis=2)


def detail(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Share of each image's contrast that is finer than 1/75 of its shorter side.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N,) mean absolute difference from a blurred copy, over the standard deviation.
    """
    return np.array([_detail(image) for image in pixels], np.float64)


def _detail(image: npt.NDArray[np.uint8]) -> float:
    """One image, (height, width, channels), as :func:`detail` does."""
    grey = image.astype(np.float32)
    grey = grey[..., 0] if grey.shape[2] == 1 else grey.mean(axis=2)
    difference = blurred(grey, max(min(grey.shape) / 75, 0.5))
    difference -= grey
    centred = (grey - grey.mean()).ravel()
    deviation = math.sqrt(float(centred @ centred) / grey.size)
    return float(np.abs(difference, difference).mean()) / max(deviation, MIN_CONTRAST)


def dump_domain(domain: Domain) -> bytes:
    """The bytes of a compressed .npz with the domain's fields."""
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
        error: the bytes are no such .npz, or the parameters are invalid.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            mean, components, variances = (
                np.asarray(arrays[key], np.float32) for key in ("mean", "components", "variances")
            )
            residual, limit, least = (
                np.asarray(arrays[key], np.float64) for key in ("residual", "limit", "least_detail")
            )
    except Exception as err:  # zipfile, zlib and numpy each raise their own
        raise error(f"{name}: not readable as a domain: {err}") from err
    pixels = SIDE * SIDE
    count = len(components) if components.ndim else 0
    arrays_read = (mean, components, variances, residual, limit, least)
    shapes = tuple(array.shape for array in arrays_read)
    expected = ((pixels,), (count, pixels), (count,), (), (), ())
    if shapes != expected:
        raise error(f"{name}: its arrays have the shapes {shapes}, expected {expected}")
    positive = all(np.all(array > 0) for array in (variances, residual, limit)) and least >= 0
    if not positive or not all(np.isfinite(array).all() for array in arrays_read):
        raise error(f"{name}: contains invalid PCA parameters; export again or restore it")
    return Domain(mean, components, variances, float(residual), float(limit), float(least))
