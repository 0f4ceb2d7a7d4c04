"""A model against a baseline, on shifted images, and on copies at another resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import LabelledFolder, LabelledImages, find_images, read_folder
from cxr_edge.decision import positive_scores
from cxr_edge.errors import DataError
from cxr_edge.files import printable
from cxr_edge.metrics import Resamples
from cxr_edge.metrics.evaluation import (
    ChangedDecision,
    CopyComparison,
    FigureComparison,
)
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.train.evaluation.figures import SampledFigures, compute_figures, figure_differences
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import Scorer
from cxr_edge.train.evaluation.shifts import SHIFTS, shifted

_KEPT_PAIRS = 500  # pairs in a document, enough for a scatter plot


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Evaluated images with their copies."""

    chosen: tuple[int, ...]
    """(M,) indices of the evaluated images that have a copy."""
    names: tuple[str, ...]
    """(M,) their files, relative to the folder of classes."""
    pixels: Pixels
    """(M, height, width, channels) uint8, the copies."""
    unreadable: int
    """Copies left out."""


def compare_shifts(
    images: LabelledImages,
    scorer: Scorer,
    spec: ModelSpec,
    figures: SampledFigures,
    resamples: Resamples,
    reporter: Reporter,
) -> dict[str, FigureComparison]:
    """Score every shift of :mod:`cxr_edge.train.evaluation.shifts`.

    Args:
        images: N labelled images.
        scorer: the model.
        spec: labels and decision rule.
        figures: the model's on the unchanged images.
        resamples: of the N images.
        reporter: shows progress.

    Raises:
        EngineError: a score is no probability.
    """
    comparisons = {}
    with reporter.bar("scoring shifted images") as advance:
        for number, (name, pixels) in enumerate(shifted(images.pixels)):
            scored = Scored.from_scores(scorer(pixels), images.labels, spec)
            changed = compute_figures(scored, spec, resamples)
            difference = figure_differences(figures, changed)
            comparisons[name] = FigureComparison(changed.intervals, difference)
            advance(number + 1, len(SHIFTS))
    return comparisons


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
    copy_folder = LabelledFolder(folder, (".",), tuple(matching), (0,) * len(matching))
    copies = read_folder(copy_folder, spec, reporter)
    relative = [path.relative_to(folder) for path in copies.files]
    chosen = tuple(numbers[path] for path in relative)
    names = tuple(printable(path) for path in relative)
    return Pairs(chosen, names, copies.pixels, len(copies.unreadable))


def compare_copies(scored: Scored, copied: Scored, pairs: Pairs, spec: ModelSpec) -> CopyComparison:
    """Compare decisions and scores of pairs.

    Args:
        scored: of the M evaluated images that have a copy.
        copied: of their copies.
        pairs: names of the M images.
        spec: labels and decision rule.
    """
    delta = np.abs(copied.table - scored.table).max(axis=1)
    scores, copy_scores = (positive_scores(each.table, spec) for each in (scored, copied))
    differs = scored.decisions != copied.decisions
    changed = tuple(
        ChangedDecision(pairs.names[i], float(scores[i]), float(copy_scores[i]))
        for i in np.flatnonzero(differs)
    )
    kept = spread_evenly(np.flatnonzero(~differs), _KEPT_PAIRS)
    return CopyComparison(
        pairs=len(pairs.names),
        unreadable=pairs.unreadable,
        accuracy=float(np.mean(scored.decisions == scored.labels)),
        copy_accuracy=float(np.mean(copied.decisions == copied.labels)),
        mean_abs_delta=float(delta.mean()),
        max_abs_delta=float(delta.max()),
        changed=changed,
        scores=tuple(scores[kept].round(6).tolist()),
        copy_scores=tuple(copy_scores[kept].round(6).tolist()),
    )


def spread_evenly(indices: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """At most ``count`` of the indices, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return indices[places.astype(np.intp)]
