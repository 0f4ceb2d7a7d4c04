"""Images that a training holds out, and the choice of the lowest-numbered patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import LabelledImages, Labels
from cxr_edge.data.patients import hold_out_lowest, kermany_series
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.train.settings import Block


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Labelled images of patients that the network is not trained on."""

    pixels: Pixels
    """(N, height, width, channels) uint8."""
    labels: Labels
    """(N,) indices into the recipe's labels."""
    names: tuple[str, ...]
    """(N,) files, relative to the folder of classes."""

    @classmethod
    def of(cls, images: LabelledImages, root: Path) -> HeldOut:
        """Name images relative to ``root``."""
        names = tuple(str(path.relative_to(root)) for path in images.files)
        return cls(images.pixels, images.labels, names)


def choose_block(
    images: LabelledImages,
    patients: list[str],
    free: npt.NDArray[np.bool_],
    block: Block,
    reporter: Reporter,
) -> npt.NDArray[np.bool_]:
    """Choose the patients with the lowest numbers.

    Args:
        images: N labelled images.
        patients: (N,) their patients.
        free: (N,) whether an image is not held out already.
        block: its settings.
        reporter: told if there is no block.

    Returns:
        (N,) whether each image is in the block; none is if a label has too few.
    """
    series = np.array([kermany_series(path) for path in images.files])
    in_block = np.zeros(len(patients), np.bool_)
    for label in np.unique(images.labels):
        is_label = free & (images.labels == label)
        named = [is_label & (series == name) for name in block.series]
        chosen = []
        for group in [members for members in named if members.any()] or [is_label]:
            count = min(block.images, int(block.share * np.count_nonzero(is_label)))
            chosen += hold_out_lowest(patients, np.flatnonzero(group).tolist(), count)
        if len(chosen) < block.fewest:
            reporter.say(
                f"no block of the lowest-numbered patients: a label would have {len(chosen)} "
                f"images in it, fewer than {block.fewest}"
            )
            return np.zeros(len(patients), np.bool_)
        # With all their images, those of another label too.
        chosen_patients = {patients[index] for index in chosen}
        in_block |= free & np.array([patient in chosen_patients for patient in patients])
    return in_block
