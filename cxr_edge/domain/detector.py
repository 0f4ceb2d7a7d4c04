"""Domain: the distance of an image from the training images, and what marks it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cxr_edge.domain.features import (
    MIN_CONTRAST,
    Floats,
    describe,
    detail_of,
    standardize_one,
    to_grey,
)
from cxr_edge.image.facts import PictureFacts
from cxr_edge.preprocess import Pixels
from cxr_edge.records import dataclass

NO_CHROMA_LIMIT = 255.0
"""No picture has more chroma than this."""

_ROUNDING = 1e-6  # distances are float32, and the limit is itself the distance of an image
_CLIP = 8.0  # standard deviations
_MOST_LOG_ODDS = 50.0


@dataclass(frozen=True, slots=True)
class Discriminator:
    """A small network that tells outliers from images of the domain: one hidden layer of ReLUs.

    It has an output for each of G groups of outliers, with a limit of its own: a blur that is hard
    to tell from a soft radiograph takes nothing from the limit of crops.
    """

    centre: Floats
    """(518,) mean of each of :func:`cxr_edge.domain.features.describe` over the domain."""
    scale: Floats
    """(518,) standard deviation of each, above 0."""
    hidden: Floats
    """(518, H) weights of the hidden layer."""
    hidden_bias: Floats
    """(H,)"""
    output: Floats
    """(H, G) weights of the outputs."""
    output_bias: Floats
    """(G,) such that an output is 0 at its limit."""

    def log_odds(self, features: Floats) -> Floats:
        """Logarithms of the odds of being an outlier of each group over the odds at its limit.

        Args:
            features: (518,) of one image.

        Returns:
            (G,)
        """
        inputs = ((features - self.centre) / self.scale).clip(-_CLIP, _CLIP)
        hidden = np.maximum(inputs @ self.hidden + self.hidden_bias, 0)
        log_odds: Floats = hidden @ self.output + self.output_bias
        return log_odds


@dataclass(frozen=True, slots=True)
class Domain:
    """Mean and principal components of the training images, and the limits of a match.

    At 16 x 16 pixels, with brightness and contrast removed, chest radiographs are so similar that a
    few principal components describe them. The distance from them is that of probabilistic PCA
    (Tipping and Bishop 1999): the Mahalanobis distance within the components plus the squared
    residual over its mean variance. It finds what is far from a radiograph; the discriminator,
    which was fitted on outliers, finds what is near.
    """

    mean: Floats
    """(256,) mean of the standardized images."""
    components: Floats
    """(K, 256) principal components, orthonormal."""
    variances: Floats
    """(K,) variance along each component, above 0."""
    residual: float
    """Mean variance of a pixel outside the components, above 0."""
    limit: float
    """Largest distance of an image of this kind, above 0."""
    least_detail: float
    """Smallest :func:`cxr_edge.domain.features.detail` of an image of this kind, 0 or more; 0: not
    checked."""
    discriminator: Discriminator | None = None
    """What tells outliers from the training images; None: it was fitted without (format 2.0)."""
    least_side: float = 0.0
    """Smallest shorter side of a picture of this kind, pixels as stored; 0: any."""
    most_chroma: float = NO_CHROMA_LIMIT
    """Largest chroma of a picture of this kind, grey levels, 0..255; 255: any."""

    def distances(self, pixels: Pixels) -> npt.NDArray[np.float64]:
        """Distance of each image from the training images, relative to the limits.

        Args:
            pixels: (N, height, width, channels) uint8, at the network's size.

        Returns:
            (N,) above 1: outside the domain. The largest of distance / ``limit``, ``least_detail``
            / detail and the discriminator's odds; infinite for a blank image, or where one of
            them is no number.
        """
        return np.array([self._distance(image) for image in pixels], np.float64)

    def _distance(self, image: npt.NDArray[np.uint8]) -> float:
        """Relative distance of one image, (height, width, channels)."""
        row, contrast = standardize_one(image)
        if contrast < MIN_CONTRAST:
            return math.inf
        centred = row.astype(np.float32) - self.mean
        coordinates = self.components @ centred
        residual = centred - coordinates @ self.components
        distance = float(coordinates @ (coordinates / self.variances))
        distance += float(residual @ residual) / self.residual
        relative = [distance / self.limit]
        if self.least_detail:
            relative.append(self.least_detail / max(detail_of(to_grey(image)), 1e-12))
        if self.discriminator:
            log_odds = float(self.discriminator.log_odds(describe(row, image)).max())
            relative.append(math.exp(min(log_odds, _MOST_LOG_ODDS)))
        return math.inf if any(map(math.isnan, relative)) else max(relative)

    def outside(self, pixels: Pixels) -> npt.NDArray[np.bool_]:
        """(N,) whether each image is unlike the training images."""
        return np.asarray(self.distances(pixels) > 1 + _ROUNDING)

    def marks(self, pixels: Pixels, facts: PictureFacts | None) -> bool:
        """Whether one picture is unlike the training images, or too small, or in colour.

        Args:
            pixels: (1, height, width, channels) uint8.
            facts: of its file; None: unknown.
        """
        if facts and (facts.side < self.least_side or facts.chroma > self.most_chroma):
            return True
        return bool(self.outside(pixels)[0])


def facts_for(domain: Domain | None) -> PictureFacts | None:
    """Where to note a picture's facts; None: its size and colour do not count."""
    if domain and (domain.least_side > 0 or domain.most_chroma < NO_CHROMA_LIMIT):
        return PictureFacts()
    return None
