"""Outliers that hold an image in another picture: photos of films, pages, collages."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.train.fitting.outliers.grounds import background, fit_to
from cxr_edge.train.fitting.outliers.kinds import Grey, Random


def photograph(image: Grey, other: Grey, random: Random) -> Grey:
    """A film or screen taken by a camera: tilted, in perspective, with what lies around it."""
    rows, columns = image.shape
    film = 255 - image if random.random() < 0.4 else image
    if random.random() < 0.3:  # the film's own margin
        margin = max(round(min(image.shape) * random.uniform(0.02, 0.1)), 1)
        level = float(random.choice([0, 255, int(random.integers(256))]))
        film = fit_to(
            np.asarray(
                cv2.copyMakeBorder(film, *(margin,) * 4, cv2.BORDER_CONSTANT, value=level),
                np.uint8,
            ),
            image,
        )
    corners = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
    size = random.uniform(0.45, 0.95, 2)
    angle = math.radians(random.normal(0, 9))
    cosine, sine = math.cos(angle), math.sin(angle)
    centre = corners.mean(axis=0)
    placed = (corners - centre) * size @ np.array([[cosine, sine], [-sine, cosine]])
    placed += centre + random.uniform(-0.5, 0.5, 2) * (1 - size) * (columns, rows)
    placed += random.normal(0, 0.03, (4, 2)) * (columns, rows)
    matrix = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    mask = cv2.warpPerspective(np.ones(image.shape, np.float32), matrix, (columns, rows))
    ground = background(image.shape, other, random)
    photo = ground * (1 - mask) + cv2.warpPerspective(film, matrix, (columns, rows)) * mask
    photo = photo * _vignette(image.shape, random)
    if random.random() < 0.3:
        photo = photo + _glare(image.shape, random)
    return np.asarray(photo.clip(0, 255), np.uint8)


def _vignette(shape: tuple[int, int], random: Random) -> npt.NDArray[np.float32]:
    """Light that falls off from a point near the centre."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    down, right = random.normal(0, 0.3, 2)
    distance = (rows[:, None] - down) ** 2 + (columns - right) ** 2
    falloff = random.uniform(0, 0.45) * distance / 2
    return np.asarray((1 - falloff).clip(0.05, 1), np.float32)


def _glare(shape: tuple[int, int], random: Random) -> npt.NDArray[np.float32]:
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    down, right = random.uniform(-1, 1, 2)
    distance = (rows[:, None] - down) ** 2 + (columns - right) ** 2
    spot = random.uniform(40, 200) * np.exp(-distance / random.uniform(0.01, 0.3))
    return np.asarray(spot, np.float32)


def place(image: Grey, other: Grey, random: Random) -> Grey:
    """Upright and small on a page, or several on one."""
    page = background(image.shape, other, random).copy()
    for picture in (image, other)[: int(random.integers(1, 3))]:
        height, width = (max(round(side * random.uniform(0.3, 0.75)), 4) for side in image.shape)
        small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
        top = int(random.integers(image.shape[0] - height + 1))
        left = int(random.integers(image.shape[1] - width + 1))
        page[top : top + height, left : left + width] = small
    return page


def shuffle(image: Grey, other: Grey, random: Random) -> Grey:
    """Parts of two images in a wrong order."""
    parts = int(random.integers(2, 5))
    rows, columns = (np.arange(parts + 1) * side // parts for side in image.shape)
    size = (int(np.diff(columns).min()), int(np.diff(rows).min()))
    result = image.copy()
    for down in range(parts):
        for right in range(parts):
            source = (image, other)[int(random.random() < 0.3)]
            top, left = rows[random.integers(parts)], columns[random.integers(parts)]
            tile = source[top : top + size[1], left : left + size[0]]
            result[rows[down] : rows[down] + size[1], columns[right] : columns[right] + size[0]] = (
                tile
            )
    return result


def cover(image: Grey, other: Grey, random: Random) -> Grey:
    """Bars, boxes, lines or writing over a good part of the image."""
    covered = image.copy()
    rows, columns = image.shape
    level = int(random.choice([0, 255, int(random.integers(256))]))
    choice = int(random.integers(3))
    if choice == 0:  # bars along one or two borders
        for _ in range(int(random.integers(1, 3))):
            side = np.rot90(covered, int(random.integers(4)))
            bar = max(round(len(side) * random.uniform(0.15, 0.4)), 1)
            side[:bar] = background((bar, side.shape[1]), other, random)
    elif choice == 1:  # boxes
        for _ in range(int(random.integers(2, 6))):
            height, width = (
                max(round(side * random.uniform(0.15, 0.5)), 1) for side in image.shape
            )
            top = int(random.integers(rows - height + 1))
            left = int(random.integers(columns - width + 1))
            covered[top : top + height, left : left + width] = background(
                (height, width), other, random
            )
    else:  # lines of writing
        scale = random.uniform(0.25, 1.2) * min(image.shape) / 150
        step = max(int(30 * scale), 4)
        for row in range(int(random.integers(step)), rows + step, step):
            letters = "".join(chr(code) for code in random.integers(33, 127, 40))
            start = (int(random.integers(-step, step)), row)
            cv2.putText(
                covered,
                letters,
                start,
                cv2.FONT_HERSHEY_SIMPLEX,
                scale,
                level,
                max(round(1.5 * scale), 1),
            )
    return covered
