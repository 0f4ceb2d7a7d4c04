"""From a decoded image to the network's input: the only definition, for training and runtime alike.

There are two steps, so that the result of the first can be stored. :func:`resize_to_input` gives
the uint8 pixels of golden inputs and calibration sets, :func:`normalize` the network's float32.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from cxr_edge.device.threads import importing_opencv
from cxr_edge.errors import ImageError
from cxr_edge.image.averaging import area_means
from cxr_edge.spec import InputSpec

Image = np.ndarray[tuple[int, int] | tuple[int, int, int], np.dtype[np.uint8]]
"""One image: (H, W) grey or (H, W, 3) RGB, 0..255, any size."""
Pixels = np.ndarray[tuple[int, int, int, int], np.dtype[np.uint8]]
"""Images at the network's size: (N, height, width, channels), 0..255."""
Batch = npt.NDArray[np.float32]
"""(N, height, width, channels), in the range that the network was trained on."""


def resize_to_input(image: Image, spec: InputSpec) -> Pixels:
    """Bring one image to the network's size.

    Args:
        image: (H, W) uint8 for one channel, (H, W, 3) uint8 RGB for three.
        spec: size, interpolation and geometry.

    Returns:
        (1, height, width, channels) uint8.

    Raises:
        ImageError: the array has another type or number of channels.
    """
    expected = 2 if spec.channels == 1 else 3
    if image.dtype != np.uint8 or image.ndim != expected or image.shape[2:] not in ((), (3,)):
        wanted = "(H, W)" if spec.channels == 1 else "(H, W, 3) RGB"
        raise ImageError(f"the image is {image.dtype} {image.shape}, expected uint8 {wanted}")
    if 0 in image.shape:
        raise ImageError(f"the image is empty: {image.shape}")
    if spec.geometry == "letterbox":
        fitted = _letterbox(image, spec)
    else:
        shown = image[shown_area(*image.shape[:2], spec)]
        fitted = _resize(shown, spec.width, spec.height, spec)
    return fitted.reshape(1, spec.height, spec.width, spec.channels)


def normalize(pixels: Pixels, spec: InputSpec) -> Batch:
    """Scale pixels to the network's range: ((pixel * scale + offset) - mean) / std.

    Args:
        pixels: (N, height, width, channels) uint8, three channels as RGB.
        spec: channel order, scale, offset, mean and std.

    Returns:
        The same shape, float32, in the spec's channel order.
    """
    if spec.channel_order == "bgr":
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    factor, shift = _range_of(spec)
    batch: Batch = pixels.astype(np.float32)
    batch *= factor
    if shift is not None:
        batch += shift
    return batch


@functools.lru_cache(maxsize=16)
def _range_of(spec: InputSpec) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Factor and shift of each channel; None: no shift."""
    mean = np.asarray(spec.mean or (0.0,) * spec.channels)
    std = np.asarray(spec.std or (1.0,) * spec.channels)
    factor = (spec.scale / std).astype(np.float32)
    shift = ((spec.offset - mean) / std).astype(np.float32)
    return factor, shift if shift.any() else None


def average_areas(image: Image, spec: InputSpec) -> Image:
    """Resize an upright image as ``area`` interpolation does, but faster, without OpenCV.

    OpenCV rounds otherwise: 1 of 10,000 pixels differs, by one grey level. Compared with OpenCV's
    averages, scores of 100 native radiographs move by .00003 on average and .0014 at most in int8,
    by .0002 at most in float32, and no decision changes (``benchmarks/decoding.py``).

    Decoding JPEGs at half or a quarter of the size takes 23 or 43 % less time. But halving changes
    10 to 20 % of the input's pixels and quartering 20 to 36 %, depending on how they are averaged.
    One grey level more or less in 1 % of them is enough to move int8 scores by .0008 on average and
    .018 at most.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        spec: size, interpolation and geometry.

    Returns:
        Pixels of the size that the image has in the input: :func:`resize_to_input` leaves them as
        they are, and pads them. Images that are not larger than that, and those for another
        interpolation, are returned unchanged.
    """
    rows, columns = shown_area(*image.shape[:2], spec)
    height, width = (side.stop - side.start for side in image_area(*image.shape[:2], spec))
    is_larger = rows.stop - rows.start > height and columns.stop - columns.start > width
    if spec.interpolation != "area" or not is_larger:
        return image
    shown = image[rows, columns]
    if shown.ndim == 2:
        return area_means(shown, height, width)
    channels = [area_means(shown[..., n], height, width) for n in range(3)]
    return np.stack(channels, axis=2)


def image_area(rows: int, columns: int, spec: InputSpec) -> tuple[slice, slice]:
    """Rows and columns of the network's input that an image of a size fills.

    A letterbox pads the others.
    """
    if spec.geometry != "letterbox":
        return slice(0, spec.height), slice(0, spec.width)
    factor = min(spec.height / rows, spec.width / columns)
    height = min(max(round(rows * factor), 1), spec.height)
    width = min(max(round(columns * factor), 1), spec.width)
    top, left = (spec.height - height) // 2, (spec.width - width) // 2
    return slice(top, top + height), slice(left, left + width)


def shown_area(rows: int, columns: int, spec: InputSpec) -> tuple[slice, slice]:
    """Rows and columns of an image that the network's input shows.

    A center crop cuts the others off: of the largest part with the input's aspect ratio, as Keras's
    ``crop_to_aspect_ratio`` finds it, rounding included.
    """
    if spec.geometry != "center-crop":
        return slice(0, rows), slice(0, columns)
    height = min(max(columns * spec.height // spec.width, 1), rows)
    width = min(max(rows * spec.width // spec.height, 1), columns)
    top, left = (rows - height) // 2, (columns - width) // 2
    return slice(top, top + height), slice(left, left + width)


def _resize(image: Image, width: int, height: int, spec: InputSpec) -> Image:
    if image.shape[:2] == (height, width):
        return image
    with importing_opencv():
        import cv2  # a JPEG that is averaged down does without

    method = cv2.INTER_AREA if spec.interpolation == "area" else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _letterbox(image: Image, spec: InputSpec) -> Image:
    """Resize until one side fits, centre, and pad the other side."""
    rows, columns = image.shape[:2]
    area = image_area(rows, columns, spec)
    height, width = (side.stop - side.start for side in area)
    canvas = np.full((spec.height, spec.width, *image.shape[2:]), spec.pad_value, np.uint8)
    canvas[area] = _resize(image, width, height, spec)
    return canvas
