"""Pictures drawn from statistics of a user's images, so that they lie where the network works.

A network that was trained on bright shapes has never seen anything like a phantom. Its activations
then leave the ranges that were measured for its integer files, and those files differ there from
the original as they never do on the user's images.

What is taken from the images are averages over at least :data:`FEWEST` of them: the amplitudes of
their spatial frequencies, without phases, and the grey levels of each channel, sorted, without
places. No image, and no part of one, can be had back from these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.data.samples import Samples
from cxr_edge.export.golden import draw_pictures
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import ModelSpec

FEWEST = 8
"""Images that a statistic is averaged over, at least."""

Plane = npt.NDArray[np.float64]

_SEED = 20260711


@dataclass(frozen=True, slots=True)
class Statistics:
    """Averages over images of one label, or of all labels."""

    amplitudes: Plane
    """(height, width) mean amplitude of each spatial frequency, channels averaged."""
    levels: Plane
    """(height * width, channels) mean of the sorted grey levels, 0..255."""
    mixing: Plane
    """(channels, channels) turns independent channels into channels correlated as theirs."""


def measure(samples: Samples) -> list[Statistics]:
    """Statistics by label where a label has enough images, else of all images together.

    Args:
        samples: the user's images.

    Returns:
        Nothing if there are fewer than :data:`FEWEST` images.
    """
    pixels, labels = samples.pixels, samples.labels
    groups = []
    if labels is not None:
        groups = [pixels[labels == label] for label in np.unique(labels)]
    if not groups or min(map(len, groups)) < FEWEST:
        groups = [pixels]
    return [_average(group) for group in groups if len(group) >= FEWEST]


def draw_alike(statistics: list[Statistics], spec: ModelSpec, first: int, count: int) -> Pixels:
    """Draw pictures that have the statistics: in turn noise, and phantoms, at all contrasts.

    Args:
        statistics: see :func:`measure`; at least one.
        spec: size and channels.
        first: number of the first picture; a number always gives the same picture.
        count: pictures to draw.

    Returns:
        (count, height, width, channels) uint8.
    """
    phantoms = draw_pictures(spec, first, count)
    drawn = np.empty_like(phantoms)
    for place, number in enumerate(range(first, first + count)):
        random = np.random.default_rng([_SEED, number])
        one, other = (statistics[i] for i in random.integers(0, len(statistics), 2))
        share = random.choice((0.0, 1.0, random.uniform()))
        if number % 2:
            field = phantoms[place].astype(np.float64) + random.uniform(0, 1, phantoms.shape[1:])
        else:
            field = _noise(random, (1 - share) * one.amplitudes + share * other.amplitudes)
            mixing = (1 - share) * one.mixing + share * other.mixing
            field = _noise_of_channels(random, field, len(mixing)) @ mixing.T
        levels = (1 - share) * one.levels + share * other.levels
        contrast = random.choice((1.0, random.uniform(0.3, 1.0)))
        middle = levels.mean(axis=0)
        drawn[place] = np.rint(_with_levels(field, middle + contrast * (levels - middle)))
    return drawn


def _average(pixels: Pixels) -> Statistics:
    height, width, channels = pixels.shape[1:]
    amplitudes = np.zeros((height, width))
    levels = np.zeros((height * width, channels))
    covariance = np.zeros((channels, channels))
    for image in pixels.astype(np.float64):
        flat = image.reshape(-1, channels)
        levels += np.sort(flat, axis=0) / len(pixels)
        centred = flat - flat.mean(axis=0)
        covariance += centred.T @ centred / (len(flat) * len(pixels))
        spectrum = np.abs(np.fft.fft2(centred.reshape(image.shape), axes=(0, 1)))
        amplitudes += spectrum.mean(axis=2) / len(pixels)
    values, vectors = np.linalg.eigh(covariance)
    return Statistics(amplitudes, levels, vectors * np.sqrt(values.clip(0)))


def _noise(random: np.random.Generator, amplitudes: Plane) -> Plane:
    """A plane of these amplitudes and random phases."""
    white = np.fft.fft2(random.standard_normal(amplitudes.shape))
    phases = white / np.maximum(np.abs(white), 1e-12)
    return np.asarray(np.fft.ifft2(amplitudes * phases).real)


def _noise_of_channels(random: np.random.Generator, first: Plane, channels: int) -> Plane:
    """(height, width, channels): the plane, and others of the same amplitudes."""
    amplitudes = np.abs(np.fft.fft2(first))
    others = [_noise(random, amplitudes) for _ in range(channels - 1)]
    planes = np.stack([first, *others], axis=-1)
    return np.asarray(planes / max(float(planes.std()), 1e-12))


def _with_levels(field: Plane, levels: Plane) -> Plane:
    """Give the field's values, by their ranks in each channel, these levels."""
    flat = field.reshape(-1, levels.shape[1])
    ranks = flat.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return np.take_along_axis(levels, ranks, axis=0).reshape(field.shape)
