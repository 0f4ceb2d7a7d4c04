"""Intervals of figures: whole patients are drawn again, because images of one patient are alike.

This is the cluster bootstrap (Field and Welsh, J. R. Stat. Soc. B 69:369, 2007) with percentile
intervals. Figures of two models on the same images are compared sample by sample, which pairs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""

Weights = npt.NDArray[np.float64]
"""(samples, N): how often each image occurs in each sample."""

# Rows of weights are made in blocks of about 16 MB, so that a large folder fits into memory.
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its uncertainty."""

    value: float
    """The figure on all images."""
    low: float
    """Lower end of its 95 % interval over patients."""
    high: float
    """Its upper end."""


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Bootstrap samples of whole patients."""

    patient_of: npt.NDArray[np.intp]
    """(N,) number of each image's patient."""
    drawn: npt.NDArray[np.intp]
    """(samples, patients): the patients drawn, with repetitions."""

    @property
    def patients(self) -> int:
        """Independent units."""
        return int(self.drawn.shape[1])

    def indices(self) -> Iterator[npt.NDArray[np.intp]]:
        """All images, then the images of each sample."""
        order = np.argsort(self.patient_of, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(self.patient_of))[:-1])
        yield np.arange(len(self.patient_of), dtype=np.intp)
        for row in self.drawn:
            yield np.concatenate([members[patient] for patient in row])

    def weights(self) -> Iterator[Weights]:
        """The same as :meth:`indices` as weights, in blocks of rows; the first row is all ones."""
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
    """Draw whole patients with replacement; the same for the same patients.

    Args:
        patients: key of each image's patient, at least one.
        strata: (N,) label of each image: each label's patients are then drawn among themselves, so
            that every sample holds as many of them. A patient with images of several labels
            counts to the first. None: all are drawn together.
        count: samples.
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


def exact_at_ends(found: Interval, units: int) -> Interval:
    """Clopper and Pearson's interval of a share where none, or all, of what was seen counts.

    A bootstrap draws only what it has seen: of 20 patients who were all found it claims 1 to 1.

    Args:
        found: a share with its bootstrap interval.
        units: independent units that it is taken over, at least one.
    """
    reach = 1 - 0.025 ** (1 / units)
    if found.value == found.low == 1:
        return Interval(1.0, 1 - reach, 1.0)
    if found.value == found.high == 0:
        return Interval(0.0, 0.0, reach)
    return found
