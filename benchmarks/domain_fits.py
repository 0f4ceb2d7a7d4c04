"""Compares the fits that a training's out-of-domain check is chosen from: ``domain_fits.py DATA``.

DATA holds chest_xray and native. A line for each fit: the share of the outliers kept back that it
finds, by which a training chooses, and the share of pictures of nine kinds, drawn from validation
files and native ones, that it marks.
"""

from __future__ import annotations

import numpy as np
from arguments import paths
from odd_pictures import CHANGES
from out_of_domain import changed, read_large

from cxr_edge.cli.output.console import Terminal
from cxr_edge.data.patients import kermany_patient
from cxr_edge.preprocess import resize_to_input
from cxr_edge.train.fitting.data import read_training_data
from cxr_edge.train.fitting.domain import fit_candidates
from cxr_edge.train.recipe import ROBUST, without_block

KINDS = (
    "film that fills the photo",
    "screen, photographed, moire",
    "film on a light box, photographed",
    "lower third",
    "upper third",
    "lower left quarter",
    "blurred by 20 of 1280 pixels",
    "screenshot of a viewer",
    "thumbnails in JPEG of quality 2 to 5",
)
"""Grey ones that some fit missed; the first two have a column each."""


def main() -> None:
    """Draw the pictures, fit, print."""
    (data,) = paths(__doc__, "DATA")
    images = read_training_data(
        data / "chest_xray",
        without_block(ROBUST),
        seed=1,
        group_of=kermany_patient,
        use_val_folder=False,
        reporter=Terminal(),
    )
    files = [data / "chest_xray" / "train" / name for name in images.validation.names]
    large = read_large(files[::4]) + read_large(sorted((data / "native").rglob("*.jpeg"))[::2])
    pictures = {
        kind: np.concatenate(
            [
                resize_to_input(picture, ROBUST.spec.input)
                for picture in changed(large, CHANGES[kind])
            ]
        )
        for kind in KINDS
    }
    print("| fit | outliers kept back | films | screens | nine kinds |\n|---|---|---|---|---|")
    candidates = fit_candidates(images.pixels, images.validation.pixels)
    for number, candidate in enumerate(candidates, 1):
        shares = [candidate.domain.outside(some).mean() for some in pictures.values()]
        figures = (candidate.detected, *shares[:2], np.mean(shares))
        print(f"| {number} | {' | '.join(f'{figure:.3f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
