"""From a decoded image to the network's input: the only definition, for training and runtime alike.

There are two steps, so that the result of the first can be stored. :func:`resize_to_input` gives
the uint8 pixels of golden inputs and calibration sets, :func:`normalize` the network's float32.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.spec import InputSpec

Image = np.ndarray[tuple[int, int] | tuple[int, int, int], np.dtype[np.uint8]]
"""One image: (H, W) grey or (H, W, 3) RGB, 0..255, any size."""
Pixels = np.ndarray[tuple[int, int, int, int], np.dtype[np.uint8]]
"""Images at the network's size: (N, height, width, channels), 0..255."""
Batch = npt.NDArray[np.float32]
"""(N, height, width, channels), in the range that the network was trained on."""

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}
# A halved image must be larger than its place in the input by this factor, both ways.
_SPARE = 2.4
_MOST_HALVED_PIXELS = (2**31 - 1) // 255  # the running totals of resize_halved are int32


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
    mean = np.asarray(spec.mean or (0.0,) * spec.channels)
    std = np.asarray(spec.std or (1.0,) * spec.channels)
    factor = (spec.scale / std).astype(np.float32)
    shift = ((spec.offset - mean) / std).astype(np.float32)
    batch: Batch = np.multiply(pixels, factor, dtype=np.float32)
    return batch + shift if shift.any() else batch


def reduction(rows: int, columns: int, spec: InputSpec) -> Literal[1, 2]:
    """The factor by which a JPEG may be decoded smaller before it is resized.

    Only ``area`` interpolation allows 2: the pixels of a halved image are nearly the means of
    2 x 2 pixels, from which :func:`resize_halved` computes nearly the same averages.

    Compared with decoding every pixel, 100 native radiographs (``benchmarks/decoding.py``): scores
    of the reference move by @FLOAT@ in float32 and by
    @INT8@ in int8, where one grey level more or less in 1 % of the input's pixels moves
    them by .0008, at most .018. No decision changes. Decoding and resizing take @TIME@ of the time.
    A quarter of the size would take @QUARTER@.

    Args:
        rows: height of the upright image, pixels.
        columns: its width, pixels.
        spec: of the input it will be resized to.
    """
    if spec.interpolation != "area":
        return 1
    height, width = (side.stop - side.start for side in image_area(rows, columns, spec))
    shown_rows, shown_columns = (s.stop - s.start for s in shown_area(rows, columns, spec))
    is_large = shown_rows >= 2 * _SPARE * height and shown_columns >= 2 * _SPARE * width
    halved_pixels = -(-rows // 2) * -(-columns // 2)
    return 2 if is_large and halved_pixels <= _MOST_HALVED_PIXELS else 1


def resize_halved(
    image: Image, rows: int, columns: int, spec: InputSpec, *, top: float = 0.0, left: float = 0.0
) -> Image:
    """Resize an upright image that was decoded at half its size.

    Args:
        image: (H, W) or (H, W, 3) uint8; each pixel is the mean of 2 x 2 pixels.
        rows: height of the whole image, pixels.
        columns: its width, pixels.
        spec: size and geometry; :func:`reduction` gives 2 for it.
        top: where the whole image begins in ``image``: 0, or 0.5 if half the first row is surplus.
        left: the same for the first column.

    Returns:
        uint8 pixels of the size that the image has in the input; :func:`resize_to_input` pads them
        to the input, and leaves them as they are.
    """
    height, width = (side.stop - side.start for side in image_area(rows, columns, spec))
    shown_rows, shown_columns = shown_area(rows, columns, spec)
    totals = cv2.integral(image, sdepth=cv2.CV_32S)
    by_row = _interval_sums(totals, top, shown_rows, height)
    sums = _interval_sums(by_row.swapaxes(0, 1), left, shown_columns, width).swapaxes(0, 1)
    shown = (shown_rows.stop - shown_rows.start) * (shown_columns.stop - shown_columns.start)
    means = np.rint(sums * (4 * height * width / shown))
    return np.ascontiguousarray(np.clip(means, 0, 255), np.uint8)


def _interval_sums(
    totals: npt.NDArray[np.generic], offset: float, shown: slice, count: int
) -> npt.NDArray[np.float64]:
    """Sums of equal intervals along the first axis, whose borders may cut through pixels.

    A halved pixel is taken as the mean of a slope, whose gradient is half the difference between
    its neighbours.

    Args:
        totals: running totals along the axis, one more than pixels.
        offset: position of the whole image's first pixel, halved pixels.
        shown: pixels of the whole image to divide.
        count: number of intervals.
    """
    borders = offset + np.linspace(shown.start / 2, shown.stop / 2, count + 1)
    last = len(totals) - 2
    pixel = np.minimum(borders.astype(np.intp), last)
    inside = borders - pixel
    bend = np.where((pixel == 0) | (pixel == last), 0, (inside * inside - inside) / 4)
    column = (-1, *[1] * (totals.ndim - 1))
    at = totals[pixel] * (1 - inside - bend).reshape(column)
    at += totals[pixel + 1] * (inside - bend).reshape(column)
    outer = totals[np.maximum(pixel - 1, 0)].astype(np.float64)
    outer += totals[np.minimum(pixel + 2, last + 1)]
    at += outer * bend.reshape(column)
    return np.diff(at, axis=0)


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
    method = _INTERPOLATION[spec.interpolation]
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _letterbox(image: Image, spec: InputSpec) -> Image:
    """Resize until one side fits, centre, and pad the other side."""
    rows, columns = image.shape[:2]
    area = image_area(rows, columns, spec)
    height, width = (side.stop - side.start for side in area)
    canvas = np.full((spec.height, spec.width, *image.shape[2:]), spec.pad_value, np.uint8)
    canvas[area] = _resize(image, width, height, spec)
    return canvas
