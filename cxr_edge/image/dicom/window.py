"""Windows: which values are shown, by the first center and width (PS3.3 C.11.2.1.2, C.11.2.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ImageError
from cxr_edge.image.dicom.attributes import numbers, quotable

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the range that is spread over black to white."""

    center: float
    width: float
    function: str
    """``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``."""

    def apply(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map values to 0..1."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(exponent)), np.float64)
        if self.function == "LINEAR_EXACT":
            shown = (values - self.center) / self.width + 0.5
        elif self.width == 1:  # the formula's two limits meet, and nothing lies between
            shown = (values > self.center - 0.5).astype(np.float64)
        else:
            shown = (values - (self.center - 0.5)) / (self.width - 1) + 0.5
        return np.asarray(np.clip(shown, 0, 1), np.float64)


def read_window(dataset: Any) -> Window | None:
    """Read the first window; None: there is none.

    Raises:
        ImageError: half a window, a width that the function does not have, or an unknown function.
    """
    centers, widths = (numbers(dataset, key, most=1) for key in ("WindowCenter", "WindowWidth"))
    if not centers and not widths:
        return None
    if not centers or not widths:
        present, absent = ("WindowCenter", "WindowWidth")[:: 1 if centers else -1]
        raise ImageError(f"the DICOM file has {present} without {absent}; export it again")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip()
    if function not in _FUNCTIONS:
        raise ImageError(
            f"the DICOM window function is {quotable(function)}, expected {', '.join(_FUNCTIONS)}"
        )
    center, width = centers[0], widths[0]
    if width < 1 if function == "LINEAR" else width <= 0:
        raise ImageError(
            f"the DICOM window has center {center:g} and width {width:g}, expected a width of"
            f" {'at least 1' if function == 'LINEAR' else 'more than 0'}"
        )
    return Window(center, width, function)
