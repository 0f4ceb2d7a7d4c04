"""What may be given as an image: a path, bytes, an open file, an array, or an image of Pillow."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.files import printable, read_file
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.image.decode import to_channels
from cxr_edge.image.facts import PictureFacts
from cxr_edge.image.pillow import PillowImage, is_pillow, pixels_of
from cxr_edge.preprocess import Image, Pixels, resize_to_input
from cxr_edge.spec import Decoding, InputSpec, ModelSpec

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image | PillowImage
"""A path, the bytes of a file, a file opened with ``"rb"``, an image of Pillow, or an array: uint8,
(H, W) grey or (H, W, 3) with red first (OpenCV reads blue first: ``image[..., ::-1]``).

Colour becomes grey, and grey colour, as the network needs it, by the rule for files."""

Loaded = bytes | Image | PillowImage
"""A source whose file, if it is one, was read."""

_EXPECTED = (
    "give a path, the bytes of a file, a file opened with 'rb', a uint8 array or an image of Pillow"
)


def load(source: Source, limits: ImageLimits) -> Loaded:
    """Read what is a file, to its bytes; return an image as it is.

    Raises:
        ImageError: the file cannot be read, or is too large.
        TypeError: ``source`` is no image.
    """
    if isinstance(source, bytes | np.ndarray):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return read_file(source, max_bytes=limits.max_bytes, error=ImageError)
    if is_pillow(source):
        return cast(PillowImage, source)
    if not hasattr(source, "read"):
        raise TypeError(f"an image cannot be of type {type(source).__name__}; {_EXPECTED}")
    try:
        return _read_stream(cast(BinaryIO, source), limits.max_bytes)
    except (TypeError, UnicodeDecodeError) as err:
        raise TypeError(f"the file does not give bytes ({err}); open it with 'rb'") from err
    except Exception as err:  # archives, connections and the like raise errors of many types
        reason = " ".join(str(err).split())[:150].rstrip(".") or type(err).__name__
        name = printable(name_of(source) or "<file>")
        raise ImageError(f"{name}: cannot be read: {printable(reason)}; open it again") from err


def _read_stream(file: BinaryIO, max_bytes: int) -> bytes:
    """Read to the end, or just over the limit, which is enough to be refused.

    Raises:
        TypeError: it gives something else than bytes.
        OSError: it gives nothing yet.
        Exception: whatever its ``read`` raises.
    """
    whole = io.BytesIO()
    data = _read_some(file, max_bytes + 1)
    while data:
        length = whole.tell() + len(data)
        following = _read_some(file, max_bytes + 1 - length) if length <= max_bytes else b""
        if not following and not whole.tell():
            return data  # all at once, as most do
        whole.write(data)
        data = following
    return whole.getvalue()


def _read_some(file: BinaryIO, size: int) -> bytes:
    data: object = file.read(size)
    if data is None:
        raise OSError("it gives nothing yet, expected a stream that waits")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"it gives {type(data).__name__}")
    return bytes(data)  # no copy of what is bytes


def decode_source(
    data: Loaded,
    *,
    channels: int,
    limits: ImageLimits,
    name: str | None,
    shrink_for: InputSpec | None,
    facts: PictureFacts | None = None,
) -> Image:
    """Turn what :func:`load` returned into pixels.

    Args:
        data: bytes of a file, or an image.
        channels: 1 for grey, 3 for RGB.
        limits: the largest file and picture accepted.
        name: for messages; None: it has none.
        shrink_for: see :func:`cxr_edge.image.read_image`.
        facts: see :func:`cxr_edge.image.read_image`.

    Returns:
        (H, W) or (H, W, 3) uint8, upright.

    Raises:
        ImageError: it is damaged, too large, or not supported.
        MissingExtraError: reading it needs an optional package.
    """
    if isinstance(data, bytes):
        return read_image(
            data,
            channels=3 if channels == 3 else 1,
            limits=limits,
            name=name,
            shrink_for=shrink_for,
            facts=facts,
        )
    if isinstance(data, np.ndarray):
        array = _check_array(data)
        if facts:
            facts.see(array)
        return to_channels(array, channels)
    try:
        return pixels_of(data, channels, limits, facts)
    except ImageError as err:
        raise ImageError(f"{printable(name or '<image>')}: {err}") from err
    except MemoryError as err:
        label = printable(name or "<image>")
        raise ImageError(f"{label}: not enough memory to read it; free some, or shrink it") from err


def decode_loaded(
    source: Source,
    data: Loaded,
    spec: ModelSpec,
    limits: ImageLimits,
    decode: Decoding,
    facts: PictureFacts | None = None,
) -> Image:
    """Decode what :func:`load` returned of a source, for a network; see :func:`decode_source`."""
    return decode_source(
        data,
        channels=spec.input.channels,
        limits=limits,
        name=name_of(source),
        shrink_for=spec.input if decode == "fast" else None,
        facts=facts,
    )


def read_pixels(
    source: Source,
    spec: ModelSpec,
    limits: ImageLimits | None = None,
    *,
    decode: Decoding = "exact",
) -> Pixels:
    """Read one image and resize it, as :meth:`Classifier.predict` does.

    Args:
        source: the image.
        spec: of the network that it is for.
        limits: the largest file and image accepted; None: the defaults.
        decode: ``exact`` as training, calibration and export read images, or ``fast``.

    Returns:
        (1, height, width, channels) uint8.

    Raises:
        ImageError: it cannot be read, exceeds a limit, or is damaged.
        MissingExtraError: reading it needs an optional package.
    """
    limits = limits or ImageLimits()
    data = load(source, limits)
    return resize_to_input(decode_loaded(source, data, spec, limits, decode), spec.input)


def name_of(source: object) -> str | None:
    """The path as it was given, or that of an open file; None for bytes and images."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None) if hasattr(source, "read") else None
    return name if isinstance(name, str) else None


def check_many(sources: object) -> None:
    """Refuse one image where many are expected: it would be taken apart.

    Raises:
        TypeError: ``sources`` is one image, or cannot be iterated over.
    """
    one = isinstance(sources, str | os.PathLike | bytes | bytearray | memoryview)
    if isinstance(sources, np.ndarray):  # one image is (H, W) or (H, W, 3), several are (N, H, W)
        one = sources.ndim < 3 or (sources.ndim == 3 and sources.shape[-1] == 3)
    if one or hasattr(sources, "read") or is_pillow(sources):
        raise TypeError(
            f"one image ({type(sources).__name__}) where several are expected; "
            "give a list of images, or use predict or explain"
        )
    if not isinstance(sources, Iterable):
        raise TypeError(f"images are {type(sources).__name__}, expected a list of images")


def _check_array(array: npt.NDArray[Any]) -> Image:
    """Refuse an array that is no image; the result lies in one block of memory.

    Raises:
        ImageError: its type or shape is not that of an image.
    """
    shape = tuple(array.shape)
    found = f"the array is {array.dtype} {shape}, expected uint8 (H, W) or (H, W, 3) RGB"
    if array.dtype != np.uint8:
        raise ImageError(f"{found}; scale it to 0..255 and use astype('uint8')")
    if array.ndim == 3 and array.shape[2] == 1:
        raise ImageError(f"{found}; use array[..., 0]")
    if array.ndim == 3 and array.shape[2] == 4:
        raise ImageError(f"{found}; flatten the transparency and use array[..., :3]")
    if 0 in shape:
        raise ImageError(f"the array is empty, {shape}, expected at least one pixel")
    if array.ndim not in (2, 3):
        raise ImageError(f"{found}; give one image at a time")
    if shape[2:] not in ((), (3,)):
        raise ImageError(f"{found}; transpose it")
    return cast(Image, np.ascontiguousarray(array))
