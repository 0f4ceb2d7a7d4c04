"""Images to encode: drawn radiographs, and real ones in their original resolution."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]


@pytest.fixture(scope="session")
def xray() -> Image:
    """(300, 401) grey, textured."""
    random = np.random.default_rng(5)
    smooth = draw_phantom(random, height=300, width=401).astype(float)
    noisy = smooth * 0.8 + 20 + random.normal(0, 4, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def encode() -> Encode:
    """``encode(array, "PNG", **options)`` by Pillow."""

    def by_pillow(array: Image, format_name: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        Pillow.fromarray(array).save(buffer, format_name, **options)
        return buffer.getvalue()

    return by_pillow


@pytest.fixture(scope="session")
def natives(data_root: Path) -> list[Path]:
    """Every 20th of the images at the hospital's resolution."""
    return sorted((data_root / "native").rglob("*.jpeg"))[::20]
