"""What the domain check looks at: small pictures of one image's brightness and of its texture."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from cxr_edge.device.threads import importing_opencv
from cxr_edge.image.averaging import area_means, blurred
from cxr_edge.preprocess import Pixels

SIDE = 16
"""Rows and columns an image is averaged to before it is compared."""
MIN_CONTRAST = 8.0
"""Standard deviation, in grey levels at 16 x 16, below which an image counts as blank."""

_STRIDES = (2, 4)  # pixels between which second differences are taken, beside 1
_LEAST_STEP = 0.01  # added before a logarithm: a smaller step is rounding
_LEAST_CURVATURE = 0.001

FEATURES = 2 * SIDE * SIDE + 2 + 2 * len(_STRIDES)
"""Number of values of :func:`describe`."""
SHARPNESS = slice(2 * SIDE * SIDE, FEATURES)
"""The second differences among them."""

Floats = npt.NDArray[np.float32]


def standardize(pixels: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Reduce images to 16 x 16 grey pixels with mean 0 and standard deviation 1.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N, 256) standardized pixels, and (N,) the standard deviation in grey levels. Where that
        is below :data:`MIN_CONTRAST`, the pixels are divided by the constant instead.
    """
    standardized = [standardize_one(image) for image in pixels]
    rows = np.stack([row for row, _ in standardized])
    return rows, np.array([contrast for _, contrast in standardized], np.float64)


def standardize_one(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], float]:
    """One image, (height, width, channels), as :func:`standardize` does."""
    row = _small(image).reshape(SIDE * SIDE, -1).mean(axis=1)
    row -= row.mean()
    contrast = math.sqrt(float(row @ row) / row.size)
    row /= max(contrast, MIN_CONTRAST)
    return row, contrast


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    image = _at_least_small(image)
    channels = [area_means(image[..., n], SIDE, SIDE) for n in range(image.shape[2])]
    return np.stack(channels, axis=2)


def _at_least_small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The image, enlarged if a side is below 16 pixels."""
    if min(image.shape[:2]) >= SIDE:
        return image
    with importing_opencv():
        import cv2

    enlarged = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(enlarged, np.uint8).reshape(SIDE, SIDE, image.shape[2])


def to_grey(image: npt.NDArray[np.uint8]) -> Floats:
    """(height, width) mean over the channels of (height, width, channels)."""
    grey = image.astype(np.float32)
    return grey[..., 0] if grey.shape[2] == 1 else grey.mean(axis=2)


def detail(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Share of each image's contrast that is finer than 1/75 of its shorter side.

    Args:
        pixels: (N, height, width, channels) uint8.

    Returns:
        (N,) mean absolute difference from a blurred copy, over the standard deviation.
    """
    return np.array([detail_of(to_grey(image)) for image in pixels], np.float64)


def detail_of(grey: Floats) -> float:
    """One grey image, (height, width), as :func:`detail` does."""
    difference = blurred(grey, max(min(grey.shape) / 75, 0.5))
    difference -= grey
    return float(np.abs(difference, difference).mean()) / max(_deviation(grey), MIN_CONTRAST)


def _deviation(grey: Floats) -> float:
    centred = (grey - grey.mean()).ravel()
    return math.sqrt(float(centred @ centred) / grey.size)


def describe(row: npt.NDArray[np.float64], image: npt.NDArray[np.uint8]) -> Floats:
    """The features by which a discriminator tells an image of the domain from outliers.

    Args:
        row: (256,) its standardized pixels.
        image: (height, width, channels) uint8.

    Returns:
        (518,) the standardized pixels; the logarithm of the mean step between neighbouring pixels
        in each of 16 x 16 areas, relative to the image's contrast; and the logarithm of the root
        mean square second difference over 1, 2 and 4 pixels, down and across.
    """
    grey = to_grey(_at_least_small(image))
    grey = grey / np.float32(max(_deviation(grey), MIN_CONTRAST))
    down, across = np.diff(grey, axis=0), np.diff(grey, axis=1)
    curvatures = [
        _root_mean_square(np.diff(down, axis=0)),
        *(_root_mean_square(_second_difference(grey, stride)) for stride in _STRIDES),
        _root_mean_square(np.diff(across, axis=1)),
        *(_root_mean_square(_second_difference(grey[::2].T, stride)) for stride in _STRIDES),
    ]
    steps = np.zeros_like(grey)
    np.abs(across, out=steps[:, 1:])
    steps[1:] += np.abs(down, out=down)
    texture = np.log(_area_means(steps).ravel() + np.float32(_LEAST_STEP))
    sharpness = np.log(np.add(curvatures, _LEAST_CURVATURE))
    return np.concatenate([row, texture, sharpness], dtype=np.float32)


def _second_difference(lines: Floats, stride: int) -> Floats:
    steps = lines[stride:] - lines[:-stride]
    difference: Floats = steps[stride:] - steps[:-stride]
    return difference


def _root_mean_square(values: Floats) -> float:
    flat = values.ravel(order="K")
    return math.sqrt(float(flat @ flat) / flat.size)


def _area_means(values: Floats) -> Floats:
    """(16, 16) means of about equal areas of whole pixels."""
    (tops, heights), (lefts, widths) = (_parts(side) for side in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, tops, axis=0), lefts, axis=1)
    means: Floats = sums / (heights[:, None] * widths)
    return means


@functools.lru_cache(maxsize=8)
def _parts(side: int) -> tuple[npt.NDArray[np.intp], Floats]:
    """The starts and lengths of 16 parts of a side."""
    borders = np.arange(SIDE + 1) * side // SIDE
    return borders[:-1], np.diff(borders).astype(np.float32)
