"""The same images seen otherwise: by another machine, at another resolution, by a simpler model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.folders import LabelledFolder, LabelledImages, find_images, read_folder
from cxr_edge.decision import positive_scores
from cxr_edge.errors import DataError
from cxr_edge.files import printable
from cxr_edge.metrics import Resamples
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.train.evaluation.evaluation import (
    ChangedDecision,
    Comparison,
    Copies,
    intervals_of,
    units_of,
)
from cxr_edge.train.evaluation.figures import Samples, sampled_figures
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import Scorer
from cxr_edge.train.evaluation.shifts import SHIFTS, shifted

COMPARED = ("accuracy", "auc", "sensitivity", "specificity")
"""Figures that are compared, those of them that the labels have."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Evaluated images with their copies."""

    chosen: tuple[int, ...]
    """(M,) numbers of the evaluated images that have a copy."""
    names: tuple[str, ...]
    """(M,) their files, relative to the folder of classes."""
    pixels: Pixels
    """(M, height, width, channels) uint8, the copies."""
    unreadable: int
    """Copies left out."""


def compare_figures(
    samples: Samples, scored: Scored, spec: ModelSpec, resamples: Resamples, *, sign: int
) -> Comparison:
    """Set other answers to the same images against a model's own.

    Args:
        samples: the model's figures on the images themselves.
        scored: the baseline's answers, or the model's to changed images.
        spec: of what answered.
        resamples: of the images.
        sign: 1: the difference is the model minus the other; -1: the other minus the model.
    """
    other = sampled_figures(scored, spec, resamples)
    difference = {name: sign * (samples[name] - other[name]) for name in COMPARED if name in other}
    return Comparison(
        intervals_of(other, units_of(scored, spec, resamples)), intervals_of(difference)
    )


def compare_shifts(
    images: LabelledImages,
    scorer: Scorer,
    spec: ModelSpec,
    samples: Samples,
    resamples: Resamples,
    reporter: Reporter,
) -> dict[str, Comparison]:
    """Score every shift of :mod:`cxr_edge.train.evaluation.shifts`.

    Args:
        images: N labelled images.
        scorer: the model.
        spec: labels and decision rule.
        samples: the model's figures on the images themselves.
        resamples: of the N images.
        reporter: shows progress.

    Raises:
        EngineError: an answer is no probability.
    """
    found = {}
    with reporter.bar("scoring shifted images") as advance:
        for number, (name, pixels) in enumerate(shifted(images.pixels)):
            scored = Scored.from_scores(scorer(pixels), images.labels, spec)
            found[name] = compare_figures(samples, scored, spec, resamples, sign=-1)
            advance(number + 1, len(SHIFTS))
    return found


def read_copies(
    root: Path, files: Sequence[Path], folder: Path, spec: InputSpec, reporter: Reporter
) -> Pairs:
    """Read the copies of evaluated files: those of the same path relative to their folder.

    Args:
        root: the folder of classes that holds the evaluated files.
        files: (N,) those files.
        folder: the same names at another resolution; either side may hold more.
        spec: size, channels and geometry of the network's input.
        reporter: shows progress and the files that are left out.

    Raises:
        DataError: ``folder`` is absent, no file has a copy, or no copy can be read.
    """
    if not folder.is_dir():
        raise DataError(f"{printable(folder)}: no such folder")
    numbers = {path.relative_to(root): number for number, path in enumerate(files)}
    matching = [path for path in find_images(folder) if path.relative_to(folder) in numbers]
    if not matching:
        raise DataError(
            f"{printable(folder)}: no file has the name of one in {printable(root)}; expected "
            "copies under the same class folders and names"
        )
    # The folder itself is the only class: copies of one label are enough.
    found = LabelledFolder(folder, (".",), tuple(matching), (0,) * len(matching))
    copies = read_folder(found, spec, reporter)
    relative = [path.relative_to(folder) for path in copies.files]
    chosen = tuple(numbers[path] for path in relative)
    names = tuple(printable(path) for path in relative)
    return Pairs(chosen, names, copies.pixels, len(copies.unreadable))


def compare_copies(scored: Scored, copied: Scored, pairs: Pairs, spec: ModelSpec) -> Copies:
    """Compare decisions and scores of pairs.

    Args:
        scored: answers to the M evaluated images that have a copy.
        copied: answers to their copies.
        pairs: how they are called.
        spec: labels and decision rule.
    """
    delta = np.abs(copied.table - scored.table).max(axis=1)
    scores = positive_scores(scored.table, spec), positive_scores(copied.table, spec)
    changed = tuple(
        ChangedDecision(pairs.names[i], float(scores[0][i]), float(scores[1][i]))
        for i in np.flatnonzero(scored.decisions != copied.decisions)
    )
    return Copies(
        pairs=len(pairs.names),
        unreadable=pairs.unreadable,
        accuracy=float(np.mean(scored.decisions == scored.labels)),
        copy_accuracy=float(np.mean(copied.decisions == copied.labels)),
        mean_abs_delta=float(delta.mean()),
        max_abs_delta=float(delta.max()),
        changed=changed,
    )
