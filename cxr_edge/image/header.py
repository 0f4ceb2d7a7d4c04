"""The result of inspecting a header, and the limits on image size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, get_args

from cxr_edge.errors import ImageError, UsageError, unknown_name
from cxr_edge.records import dataclass

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MAX_EXTRA_BYTES = 64 * 2**20
_MAX_SIDE = 65_535  # pixels, the most that JPEG and DICOM can hold

Radiographs = Literal["any", "frontal-chest"]
"""Which radiographs are read from DICOM files: any, or those of a chest from the front or behind
as far as the files say (:mod:`cxr_edge.image.dicom.selection`)."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is accepted as an image; limits of size are inclusive."""

    max_pixels: int = 50_000_000
    """Largest width x height, pixels; a side has at most 65,535, whatever this is."""
    max_bytes: int = 256 * 2**20
    """Largest file, bytes."""
    radiographs: Radiographs = "any"
    """Radiographs that a DICOM file may hold; any other is a
    :class:`~cxr_edge.errors.LeftOut`."""

    def __post_init__(self) -> None:
        """Refuse limits that accept nothing."""
        if self.radiographs not in get_args(Radiographs):
            raise unknown_name(
                "choice of radiographs", str(self.radiographs), get_args(Radiographs)
            )
        for name, value in (("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)):
            if value <= 0:
                raise UsageError(f"{name} is {value}, expected at least 1")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class Header:
    """What a format's inspector returns for a header that it accepts."""

    width: int
    """Stored columns, pixels, before the orientation is applied."""
    height: int
    """Stored rows, pixels."""
    orientation: int = 1
    """EXIF orientation, 1..8."""
    has_alpha: bool = False
    """Whether the file may hold transparency, so that the decoded pixels must be checked."""
    transparent: tuple[int, int, int] | None = None
    """RGB value that the file declares transparent; a picture that uses it is refused."""
    is_colour: bool = False
    """Whether to convert to grey after decoding, because the decoder's own conversion differs."""
    hides_colour: bool = False
    """Whether the picture may be in colour although the decoder gives grey."""
    payload: bytes = b""
    """Bytes to decode in place of the file; empty: the file itself."""
    split: Callable[[], Iterator[bytes]] | None = None
    """Gives the bytes to decode as files of a band of rows each, from the top; None: one file."""
    decode_bands: Callable[[], Iterator[npt.NDArray[np.uint8]]] | None = None
    """The format's own decoder; None: OpenCV's. It gives bands of rows from the top, each (rows, W)
    grey, (rows, W, 3) BGR or (rows, W, 4) BGRA."""


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Refuse empty and oversized images.

    Raises:
        ImageError: a side is 0 or less or over 65,535, or width x height exceeds
            ``limits.max_pixels``.
    """
    if width <= 0 or height <= 0:
        raise ImageError(
            f"the header says {width}x{height} pixels, expected at least 1x1; get the file again"
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the header says {width}x{height} = {width * height:,} pixels,"
            f" the limit is {limits.max_pixels:,} (max_pixels, --max-pixels)"
        )
    if max(width, height) > _MAX_SIDE:
        raise ImageError(
            f"the header says {width}x{height} pixels, the limit for a side is {_MAX_SIDE:,}; crop"
            " the picture"
        )


def check_extra(width: int, height: int, bytes_a_pixel: int, kind: str) -> None:
    """Refuse a picture whose kind is expensive to decode, and which is larger than any radiograph.

    Args:
        width: columns, pixels.
        height: rows, pixels.
        bytes_a_pixel: memory that its decoder needs in excess of the picture's own channels.
        kind: of the picture, for the message.

    Raises:
        ImageError: decoding it needs 64 MiB more than the picture itself.
    """
    most = _MAX_EXTRA_BYTES // bytes_a_pixel
    if width * height > most:
        raise ImageError(
            f"{kind} of {width}x{height} = {width * height:,} pixels, the limit for this kind is"
            f" {most:,}; save it as grey PNG, not interlaced"
        )
