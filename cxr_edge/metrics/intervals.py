"""Bootstrap intervals over patients.

Images of one patient are correlated, so whole patients are resampled: the cluster bootstrap (Field
and Welsh, J. R. Stat. Soc. B 69:369, 2007) with percentile intervals. Two models on the same images
are compared sample by sample (paired).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import DataError

RESAMPLES = 1000
"""Default number of bootstrap samples."""

Weights = npt.NDArray[np.float64]
"""(samples, N): how often each image occurs in each sample."""

# Weights are made in blocks of rows of about 16 MB, so that a large folder fits into memory.
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % confidence interval over patients."""

    value: float
    """The figure on all images."""
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise DataError(f"value {self.value}, low {self.low}, high {self.high} are not finite")
        # The figure itself may lie outside: a percentile interval need not hold it.
        if self.low > self.high:
            raise DataError(f"low is {self.low:.6g}, above high, {self.high:.6g}")


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Bootstrap samples of whole patients."""

    patient_of: npt.NDArray[np.intp]
    """(N,) index of each image's patient."""
    drawn: npt.NDArray[np.intp]
    """(samples, patients): the patients drawn, with repetitions."""

    @property
    def patients(self) -> int:
        """Number of patients: the independent units."""
        return int(self.drawn.shape[1])

    def indices(self) -> Iterator[npt.NDArray[np.intp]]:
        """Indices of images: first all of them, then those of each sample."""
        order = np.argsort(self.patient_of, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(self.patient_of))[:-1])
        yield np.arange(len(self.patient_of), dtype=np.intp)
        for row in self.drawn:
            yield np.concatenate([members[patient] for patient in row])

    def weights(self) -> Iterator[Weights]:
        """The samples of :meth:`indices` as weights, in blocks; the first row is all ones."""
        yield np.ones((1, len(self.patient_of)))
        step = max(1, _BLOCK_CELLS // len(self.patient_of))
        for start in range(0, len(self.drawn), step):
            rows = self.drawn[start : start + step]
            cells = rows + np.arange(len(rows))[:, np.newaxis] * self.patients
            counts = np.bincount(cells.ravel(), minlength=len(rows) * self.patients)
            yield counts.reshape(len(rows), -1)[:, self.patient_of].astype(np.float64)


def resample(
    patients: Sequence[str],
    *,
    strata: npt.NDArray[np.intp] | None = None,
    count: int = RESAMPLES,
) -> Resamples:
    """Draw whole patients with replacement; equal arguments give equal samples.

    Args:
        patients: key of each image's patient, at least one.
        strata: (N,) label of each image: patients are then drawn within each label, so that every
            sample holds the same number of each. A patient with images of several labels belongs
            to the label of the first. None: patients are drawn from all.
        count: number of samples.
    """
    numbers: dict[str, int] = {}
    patient_of = np.asarray([numbers.setdefault(key, len(numbers)) for key in patients], np.intp)
    random = np.random.default_rng(0)
    parts = [np.arange(len(numbers), dtype=np.intp)]
    if strata is not None:
        first = np.unique(patient_of, return_index=True)[1]
        parts = [np.flatnonzero(strata[first] == label) for label in np.unique(strata[first])]
    drawn = [part[random.integers(0, len(part), (count, len(part)))] for part in parts]
    return Resamples(patient_of, np.concatenate(drawn, axis=1))


def interval(samples: npt.NDArray[np.float64]) -> Interval | None:
    """The 95 % percentile interval of a figure.

    Args:
        samples: (1 + samples,) the figure on all images, then on each sample; NaN where it is
            undefined there.

    Returns:
        None where it is undefined on all images. Without a defined sample both ends are the figure.
    """
    value, drawn = samples[0], samples[1:]
    if np.isnan(value):
        return None
    defined = drawn[~np.isnan(drawn)]
    low, high = np.quantile(defined, [0.025, 0.975]) if len(defined) else (value, value)
    return Interval(float(value), float(low), float(high))


def paired_difference(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> Interval | None:
    """``second - first`` of a figure of two models on the same bootstrap samples.

    Args:
        first: (1 + samples,) the figure on all images, then on each sample; NaN where undefined.
        second: (1 + samples,) the same of the other model.

    Returns:
        None where one of them is undefined on all images.
    """
    return interval(second - first)


def exact_at_ends(share: Interval, units: int) -> Interval:
    """Replace the bootstrap interval of a share of 0 or 1 by Clopper and Pearson's exact one.

    A bootstrap cannot draw what did not occur: for 20 right decisions of 20 it claims 1 to 1.

    Args:
        share: a share with its bootstrap interval.
        units: independent units that the share is taken over, at least one.
    """
    width = 1 - 0.025 ** (1 / units)
    if share.value == share.low == 1:
        return Interval(1.0, 1 - width, 1.0)
    if share.value == share.high == 0:
        return Interval(0.0, 0.0, width)
    return share
