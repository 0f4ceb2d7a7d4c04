"""Phantoms: drawn chest X-rays for demonstrations, golden inputs and tests.

``python -m cxr_edge.data.phantom OUT.png [SEED]`` writes one that says that it is a drawing. A
phantom has what a network sees in a chest X-ray (lungs, heart, spine, ribs, noise). It shows no
patient and no disease.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.files import write_file
from cxr_edge.preprocess import Image


def draw_phantom(random: np.random.Generator, *, height: int = 480, width: int = 600) -> Image:
    """Draw one grey chest phantom of random build, exposure, sharpness and opacities.

    Args:
        random: the generator; the same state gives the same picture.
        height: rows, pixels.
        width: columns, pixels.

    Returns:
        (height, width) uint8.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height, (x - width / 2) / height
    breadth = random.uniform(0.85, 1.15)
    body = _soft_ellipse(x, y, 0, 0.62, 0.52 * breadth, 0.72, 0.04)
    density = 0.62 * body
    lungs = np.zeros_like(density)
    for side in (-1, 1):
        lung = _soft_ellipse(
            x, y, side * 0.21 * breadth, random.uniform(0.44, 0.5), 0.135 * breadth, 0.31, 0.05
        )
        lungs = np.maximum(lungs, lung)
    density -= random.uniform(0.32, 0.5) * lungs
    density += 0.2 * _soft_ellipse(x, y, 0, 0.5, 0.045, 0.6, 0.02) * body  # spine
    heart = _soft_ellipse(x, y, 0.06, 0.62, random.uniform(0.1, 0.15), 0.15, 0.05)
    density += random.uniform(0.2, 0.34) * heart
    density += 0.25 * _soft_ellipse(x, y, 0, 1.0, 0.5, 0.22, 0.05) * body  # below the diaphragm
    density += random.uniform(0.02, 0.07) * _ribs(x, y, random) * body
    for _ in range(random.integers(0, 5)):  # patches of denser lung
        centre = random.choice((-1, 1)) * random.uniform(0.12, 0.28), random.uniform(0.3, 0.68)
        radius = random.uniform(0.03, 0.12)
        patch = _soft_ellipse(
            x, y, *centre, radius, radius * random.uniform(0.7, 1.4), 0.6 * radius
        )
        density += random.uniform(0.08, 0.35) * patch * lungs
    return _expose(density, random)


def _soft_ellipse(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    centre_x: float,
    centre_y: float,
    radius_x: float,
    radius_y: float,
    edge: float,
) -> npt.NDArray[np.float32]:
    """1 inside, 0 outside, a slope of about ``edge`` between; lengths in image heights."""
    distance = np.sqrt(((x - centre_x) / radius_x) ** 2 + ((y - centre_y) / radius_y) ** 2) - 1
    steepness = min(radius_x, radius_y) / edge
    inside = 1 / (1 + np.exp(np.clip(4 * steepness * distance, -30, 30)))
    return inside.astype(np.float32)


def _ribs(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Arched stripes, -1..1."""
    spacing, phase = random.uniform(0.065, 0.085), random.uniform(0, 1)
    ribs: npt.NDArray[np.float32] = np.sin(2 * np.pi * ((y - 1.3 * x**2) / spacing + phase))
    return ribs


def _expose(density: npt.NDArray[np.float32], random: np.random.Generator) -> Image:
    """Turn densities into grey levels by random exposure, contrast, sharpness and noise."""
    level = np.clip(density + random.uniform(-0.06, 0.12), 0, 1) ** random.uniform(0.7, 1.5)
    level = cv2.GaussianBlur(level, (0, 0), random.uniform(0.6, 3.0))
    noise = random.normal(0, random.uniform(0.003, 0.03), level.shape)
    grey = 255 * random.uniform(0.8, 1.0) * (level + noise)
    image: Image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return image


def phantom_jpeg(seed: int = 0) -> bytes:
    """A phantom as JPEG, 1280 x 876 pixels: the median size of the original radiographs."""
    image = draw_phantom(np.random.default_rng(seed), height=876, width=1280)
    data: bytes = cv2.imencode(".jpg", image)[1].tobytes()
    return data


def write_phantom(path: Path, seed: int = 0) -> None:
    """Write a phantom as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    image = draw_phantom(np.random.default_rng(seed))
    write_file(path, cv2.imencode(".png", image)[1].tobytes())


def draw_demo(seed: int = 0) -> Image:
    """A phantom with DRAWING NOT A PATIENT across it, (480, 600) uint8.

    The words are for people, and a network that knows radiographs finds them out of its domain.
    """
    image = draw_phantom(np.random.default_rng(seed))
    for row, words in enumerate(("DRAWING", "NOT A", "PATIENT")):
        (width, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 4.0, 12)
        start = ((image.shape[1] - width) // 2, 150 + 140 * row)
        cv2.putText(image, words, start, cv2.FONT_HERSHEY_DUPLEX, 4.0, 255, 12)
    return image


if __name__ == "__main__":
    demo = draw_demo(*map(int, sys.argv[2:3]))
    write_file(Path(sys.argv[1]), cv2.imencode(".png", demo)[1].tobytes())
