"""The types that the drawing functions share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
"""(H, W)"""
Random = np.random.Generator
Draw = Callable[[Grey, Grey, Random], Grey]
"""From two images of the domain to one of the same size that is none."""
