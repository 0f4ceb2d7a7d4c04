"""Fits the out-of-domain detector: which images are unlike the training images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.domain import Discriminator, Domain, standardize
from cxr_edge.domain.detector import NO_CHROMA_LIMIT
from cxr_edge.domain.features import FEATURES, Floats, describe, standardize_one
from cxr_edge.errors import ImageError
from cxr_edge.extras import require
from cxr_edge.image import read_image
from cxr_edge.image.facts import PictureFacts
from cxr_edge.preprocess import Pixels
from cxr_edge.records import dataclass
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.fitting.discriminator import fit_discriminator
from cxr_edge.train.fitting.outliers.draw import describe_outliers, describe_varied
from cxr_edge.train.fitting.outliers.kinds import Grey

COMPONENTS = 20
"""Principal components kept. More of them, on finer images, also describe inverted radiographs:
20 on 16 x 16 pixels detected all of those, 80 on 24 x 24 half, 120 on 32 x 32 an eighth."""
FALSE_ALARMS = 0.008
"""Share of the validation images, and of each of their shifted copies, that may be flagged."""

FAR = 0.002
"""As above, at ``FAR_MARGIN`` times less than the limit of the distance from the components."""
FAR_MARGIN = 1.25
"""The distance is for what is far from any training image; the discriminator finds what is near."""

MOST_IMAGES = 4000
"""Training images that outliers are drawn from."""
OUTLIERS_AN_IMAGE, MOST_OUTLIERS = 20, 24_000
VARIED_AN_IMAGE, MOST_VARIED = 8, 9_000
MOST_SHIFTED = 1000
"""Validation images whose shifted copies set the limits."""
MOST_FITS, IMAGES_A_FIT = 8, 500
"""Fits that are tried, each with a generator of its own, and the training images for each of them.
Fits of the reference's data differ by chance: with limits of the same false alarms, one found .90
of photographed screens, another all of them, and the one that found most of the outliers kept back
found most of those screens too (docs/lab-book.md)."""
OUTLIERS_KEPT_BACK = 6000
"""Outliers to choose the fit by, drawn from validation images."""

LEAST_SIDE = 64
"""A picture with a shorter side is an icon, unless the training files are as small; pixels."""
MOST_CHROMA = 6.0
"""A picture with more is in colour, in grey levels: JPEG colours grey by up to 3."""
_SURVEYED = 300  # files


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What the training files tell of size and colour."""

    least_side: float = 0.0
    """Pixels; 0: any."""
    most_chroma: float = NO_CHROMA_LIMIT
    """Grey levels; 255: any."""


def survey_files(files: Sequence[Path]) -> FileLimits:
    """Choose limits of size and colour by some of the training files.

    A picture may have half the shorter side of the smallest, or 64 pixels if that is less. Colour
    is accepted if more than 1 % of the files have some.

    Args:
        files: the training files; those that cannot be read do not count.
    """
    sides, chromas = [], []
    chosen = np.random.default_rng(0).permutation(len(files))[:_SURVEYED]
    for index in chosen:
        facts = PictureFacts()
        try:
            read_image(files[index], facts=facts)
        except ImageError:
            continue  # reported when the folder was read
        sides.append(facts.side)
        chromas.append(facts.chroma)
    if not sides:
        return FileLimits()
    is_grey = np.mean(np.array(chromas) > MOST_CHROMA) <= 0.01
    return FileLimits(min(LEAST_SIDE, min(sides) / 2), MOST_CHROMA if is_grey else NO_CHROMA_LIMIT)


def fit_domain(
    pixels: Pixels, validation_pixels: Pixels, limits: FileLimits | None = None, *, seed: int = 1
) -> Domain:
    """Fit components and discriminator on the training images, and their limits on validation.

    Args:
        pixels: (N, height, width, channels) uint8, the training images.
        validation_pixels: (M, height, width, channels) uint8, the validation images.
        limits: of size and colour; None: none.
        seed: of the outliers that are drawn, and of the discriminator.
    """
    candidates = fit_candidates(pixels, validation_pixels, limits, seed=seed)
    return max(candidates, key=lambda candidate: candidate.detected).domain


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several fits."""

    domain: Domain
    """With its limits."""
    detected: float
    """Share of the outliers kept back that it finds, 0..1; 0 if it is the only fit."""


def fit_candidates(
    pixels: Pixels, validation_pixels: Pixels, limits: FileLimits | None = None, *, seed: int = 1
) -> Iterator[Candidate]:
    """The fits that :func:`fit_domain`, which has the same arguments, chooses from."""
    # Matrices this small take longer on several threads, much longer where a processor is busy, and
    # the order of their sums would depend on how many there are.
    with require("threadpoolctl", "train").threadpool_limits(1, user_api="blas"):
        yield from _fit(pixels, validation_pixels, limits or FileLimits(), seed)


def _fit(
    pixels: Pixels, validation_pixels: Pixels, limits: FileLimits, seed: int
) -> Iterator[Candidate]:
    domain = dataclasses.replace(
        _fit_components(pixels), least_side=limits.least_side, most_chroma=limits.most_chroma
    )
    images = _to_grey(_choose(pixels, MOST_IMAGES, seed))
    inside = describe_varied(images, min(VARIED_AN_IMAGE * len(images), MOST_VARIED), seed)
    outliers, groups = describe_outliers(
        images, min(OUTLIERS_AN_IMAGE * len(images), MOST_OUTLIERS), seed
    )
    copies = shifted(_choose(validation_pixels, MOST_SHIFTED, seed))
    sets = [_describe(domain, some) for some in (validation_pixels, *(some for _, some in copies))]
    count = max(1, min(MOST_FITS, len(images) // IMAGES_A_FIT))
    kept_back = _keep_back(validation_pixels, seed + 1) if count > 1 else None
    for number in range(count):
        discriminator = fit_discriminator(inside, outliers, groups, seed + number)
        chosen = _choose_limits(
            [np.column_stack([distances, _odds(discriminator, few)]) for distances, few in sets]
        )
        detected = 0.0
        if kept_back is not None:
            detected = float((_odds(discriminator, kept_back) > chosen[1:]).any(axis=1).mean())
        bias = (discriminator.output_bias - chosen[1:]).astype(np.float32)
        fitted = dataclasses.replace(
            domain,
            limit=max(float(chosen[0]), 1e-6),
            discriminator=dataclasses.replace(discriminator, output_bias=bias),
        )
        yield Candidate(fitted, detected)


def _keep_back(validation_pixels: Pixels, seed: int) -> Floats:
    """(N, 518) features of outliers that no fit sees."""
    images = _to_grey(validation_pixels)
    count = min(OUTLIERS_AN_IMAGE * len(images), OUTLIERS_KEPT_BACK)
    return describe_outliers(images, count, seed)[0]


def _describe(domain: Domain, pixels: Pixels) -> tuple[npt.NDArray[np.float64], Floats]:
    """(N,) distances and (N, 518) features of the images that are not blank."""
    distances = domain.distances(pixels)
    is_seen = np.isfinite(distances)
    features = [describe(standardize_one(image)[0], image) for image in pixels[is_seen]]
    return distances[is_seen], np.array(features, np.float32).reshape(-1, FEATURES)


def _odds(discriminator: Discriminator, features: Floats) -> Floats:
    """(N, G) log odds; one image after another, as a prediction computes them."""
    odds = [discriminator.log_odds(row) for row in features]
    return np.array(odds, np.float32).reshape(-1, len(discriminator.output_bias))


def _choose_limits(sets: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The lowest limits with which at most ``FALSE_ALARMS`` of each set are flagged in all.

    The discriminator's outputs have the same share of false alarms, on the set where it is largest.
    """
    present = [scores for scores in sets if len(scores)]
    if not present:
        return np.array([1.0] + [0.0] * (sets[0].shape[1] - 1))
    far = max(np.quantile(some[:, 0], 1 - FAR, method="higher") for some in present) * FAR_MARGIN
    limits = np.array([far])
    for share in np.linspace(FALSE_ALARMS, 0, 33):
        quantiles = [np.quantile(s[:, 1:], 1 - share, axis=0, method="higher") for s in present]
        limits = np.array([far, *np.max(quantiles, axis=0)])
        if max(float((some > limits).any(axis=1).mean()) for some in present) <= FALSE_ALARMS:
            break
    return limits


def _fit_components(pixels: Pixels) -> Domain:
    """Fit principal components, with a limit of 1."""
    rows, _ = standardize(pixels)
    mean = rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variances = np.square(singular) / len(rows)
    count = min(COMPONENTS, max(1, len(variances) // 2))
    return Domain(  # identical images have no variance, hence the lower bounds
        mean=mean.astype(np.float32),
        components=directions[:count].astype(np.float32),
        variances=variances[:count].astype(np.float32).clip(1e-6),
        residual=float(max(variances[count:].sum() / rows.shape[1], 1e-6)),
        limit=1.0,
        least_detail=0.0,  # the discriminator looks at it more closely
    )


def _choose(pixels: Pixels, most: int, seed: int) -> Pixels:
    """Some of the images, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:most]
    return pixels[np.sort(chosen)] if len(pixels) > most else pixels


def _to_grey(pixels: Pixels) -> Grey:
    """(N, H, W) mean over the channels."""
    if pixels.shape[3] == 1:
        return pixels[..., 0]
    return np.stack([np.rint(image.mean(axis=2)).astype(np.uint8) for image in pixels])
