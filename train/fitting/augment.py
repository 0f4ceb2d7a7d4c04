"""Augmentation: random changes of training images, against learning how a picture was taken."""

from __future__ import annotations

import math

import cv2
import numpy as np

from cxr_edge.preprocess import Image
from cxr_edge.train.fitting import photometry
from cxr_edge.train.settings import Acquisition, Augmentation

_NO_DONOR = "an augmentation that swaps exposure needs an image of another label"


def augment(
    image: Image,
    augmentation: Augmentation,
    random: np.random.Generator,
    donor: Image | None = None,
) -> Image:
    """Change one image's geometry, then its exposure, sharpness, noise and compression.

    Args:
        image: (H, W, C) uint8.
        augmentation: ranges of the changes.
        random: the generator; the same state gives the same change.
        donor: an image of another label and the same shape, whose exposure may be taken; None if
            the augmentation swaps none.

    Returns:
        (H, W, C) uint8.
    """
    warped = _warp(image, augmentation, random)
    if augmentation.acquisition is None:
        return warped
    if augmentation.acquisition.exposure:
        if donor is None:
            raise ValueError(_NO_DONOR)
        warped = _swap_exposure(warped, donor, augmentation.acquisition.exposure, random)
    return _vary_acquisition(warped, augmentation.acquisition, random)


def _warp(image: Image, augmentation: Augmentation, random: np.random.Generator) -> Image:
    """Rotate, shift, zoom, crop and mirror about the centre; border pixels are repeated."""
    rows, columns = image.shape[:2]
    angle = math.radians(random.uniform(-1, 1) * augmentation.rotation_degrees)
    down = random.uniform(-1, 1) * augmentation.shift * rows
    right = random.uniform(-1, 1) * augmentation.shift * columns
    zoom_x, zoom_y = random.uniform(1 - augmentation.zoom, 1 + augmentation.zoom, 2)
    mirror = -1.0 if augmentation.horizontal_flip and random.random() < 0.5 else 1.0
    if augmentation.crop_area < 1:
        area = random.uniform(augmentation.crop_area, 1)
        stretch = math.exp(random.uniform(-1, 1) * math.log(augmentation.crop_stretch) / 2)
        side_x = min(1.0, math.sqrt(area) * stretch)
        side_y = min(1.0, math.sqrt(area) / stretch)
        zoom_x, zoom_y = zoom_x * side_x, zoom_y * side_y
        right += random.uniform(-1, 1) * (1 - side_x) / 2 * columns
        down += random.uniform(-1, 1) * (1 - side_y) / 2 * rows
    # Maps output to input pixels: mirror, zoom, shift and rotate, all about the centre.
    cosine, sine = math.cos(angle), math.sin(angle)
    rotate = np.array([[cosine, -sine], [sine, cosine]])
    linear = rotate @ np.diag([zoom_x * mirror, zoom_y])
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    constant = centre - linear @ centre + rotate @ np.array([right, down])
    matrix = np.column_stack([linear, constant])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        image, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped.reshape(image.shape), np.uint8)


def _vary_acquisition(image: Image, ranges: Acquisition, random: np.random.Generator) -> Image:
    """Change gamma, contrast and brightness always; the rest with ``ranges.probability``."""

    def sometimes() -> bool:
        return random.random() < ranges.probability

    if sometimes():
        image = _erase_corner(image, ranges.corner, random)
    if sometimes():
        image = photometry.drift(image, random.uniform(0, ranges.drift), random.uniform(0, 360))
    image = photometry.change_gamma(image, math.exp(random.uniform(-1, 1) * ranges.gamma))
    contrast = 1 + random.uniform(-1, 1) * ranges.contrast
    image = photometry.change_levels(image, contrast, random.uniform(-1, 1) * ranges.brightness)
    if sometimes():
        image = photometry.raise_black(image, random.uniform(0, ranges.black))
    choice = random.integers(6)  # blur, sharpen, resample; 3 to 5 keep the sharpness
    if choice == 0:
        image = photometry.blur(image, random.uniform(0.3, ranges.blur))
    elif choice == 1:
        image = photometry.sharpen(image, random.uniform(0.2, ranges.sharpen))
    elif choice == 2:
        image = photometry.resample(image, random.uniform(ranges.resample, 0.9))
    if sometimes():
        image = _add_noise(image, ranges, random)
    if sometimes():
        image = photometry.encode_again(image, int(random.integers(ranges.quality, 96)))
    return image


def _swap_exposure(
    image: Image, donor: Image, probability: float, random: np.random.Generator
) -> Image:
    """Take the donor's histogram or its lowest frequencies, so that neither tells the label."""
    if random.random() >= probability:
        return image
    if random.random() < 0.5:
        return photometry.take_histogram(image, donor, random.uniform(0.5, 1))
    return photometry.take_low_frequencies(image, donor, int(random.integers(1, 3)))


def _add_noise(image: Image, ranges: Acquisition, random: np.random.Generator) -> Image:
    """Add noise of one of the kinds that have a range, all equally likely."""
    kinds = {
        "normal": ranges.noise,
        "speckle": ranges.speckle,
        "quanta": ranges.quanta,
        "salt": ranges.salt,
    }
    present = [kind for kind, strength in kinds.items() if strength] or ["normal"]
    kind = present[int(random.integers(len(present)))] if len(present) > 1 else present[0]
    if kind == "quanta":  # fewer quanta, more noise: uniform in the noise's deviation
        deviation = random.uniform(0, 1) / math.sqrt(ranges.quanta)
        return photometry.count_quanta(image, 1 / max(deviation, 0.01) ** 2, random)
    strength = random.uniform(0, kinds[kind])
    if kind == "speckle":
        return photometry.add_speckle(image, strength, random)
    if kind == "salt":
        return photometry.add_salt_and_pepper(image, strength, random)
    return photometry.add_noise(image, strength, random)


def _erase_corner(image: Image, share: float, random: np.random.Generator) -> Image:
    """Fill a rectangle in one corner with a grey level of the image: hides or fakes a marker."""
    rows, columns = image.shape[:2]
    height = max(1, round(rows * random.uniform(0.05, share)))
    width = max(1, round(columns * random.uniform(0.05, share)))
    top = 0 if random.random() < 0.5 else rows - height
    left = 0 if random.random() < 0.5 else columns - width
    erased = image.copy()
    erased[top : top + height, left : left + width] = image[
        random.integers(rows), random.integers(columns)
    ]
    return erased
