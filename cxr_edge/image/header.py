"""What a format's header must tell before anything is decoded, and the limits it must respect."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.errors import ImageError, UsageError


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How much one image may claim; what is exactly at a limit is accepted."""

    max_pixels: int = 50_000_000
    """Largest width x height, pixels."""
    max_bytes: int = 256 * 2**20
    """Largest file, bytes."""

    def __post_init__(self) -> None:
        """Refuse limits that accept nothing."""
        for name, value in (("max_pixels", self.max_pixels), ("max_bytes", self.max_bytes)):
            if value <= 0:
                raise UsageError(f"{name} is {value}, expected at least 1")


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class Header:
    """What a format's inspector found in a header that it accepts."""

    width: int
    """Stored columns, pixels, before the orientation is applied."""
    height: int
    """Stored rows, pixels."""
    orientation: int = 1
    """EXIF orientation, 1..8."""
    has_alpha: bool = False
    """The file can hold transparency: the pixels must be proven opaque."""
    transparent: tuple[int, int, int] | None = None
    """RGB of the pixels that are transparent by their value: there must be none."""
    is_colour: bool = False
    """Grey must come from decoded colours, because the format's own conversion differs."""
    payload: bytes = b""
    """What to decode instead of the file; empty: the file."""


def check_size(width: int, height: int, limits: ImageLimits) -> None:
    """Refuse empty and oversized images.

    Raises:
        ImageError: a side is 0 or less, or width x height exceeds ``limits.max_pixels``.
    """
    if width <= 0 or height <= 0:
        raise ImageError(f"the header says {width}x{height} pixels, expected at least 1x1")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the header says {width}x{height} = {width * height:,} pixels,"
            f" the limit is {limits.max_pixels:,}"
        )
