"""What a picture's file tells beside its pixels at the network's size: how large, how colourful."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SAMPLES = 128  # rows and columns of a block that are looked at


class PictureFacts:
    """Filled in while a picture is read; see :func:`cxr_edge.image.read_image`."""

    __slots__ = ("_chroma", "_count", "side")

    def __init__(self) -> None:
        self.side = 0
        """Shorter side as stored, pixels; 0: not yet read."""
        self._chroma, self._count = 0, 0

    @property
    def chroma(self) -> float:
        """Mean difference of the largest and the smallest of R, G and B, 0..255; 0: grey."""
        return self._chroma / self._count if self._count else 0.0

    def see(self, image: npt.NDArray[np.uint8]) -> None:
        """Note the size and the colour of a whole picture, (H, W) or (H, W, 3)."""
        self.side = min(image.shape[:2])
        self.see_colour(image)

    def see_colour(self, rows: npt.NDArray[np.uint8]) -> None:
        """Note the colour of some rows, (rows, W, 3 or 4) RGB or BGR, or of grey (rows, W)."""
        if rows.ndim == 2 or rows.shape[2] < 3:
            return
        step = max(min(rows.shape[:2]) // _SAMPLES, 1)
        sample = rows[::step, ::step, :3]
        differences = sample.max(axis=2) - sample.min(axis=2)
        self._chroma += int(differences.sum())
        self._count += differences.size
