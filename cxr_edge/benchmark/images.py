"""What a benchmark runs on: inputs with the original's answers, and files to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.folders import Labels, find_images
from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.data.samples import sample_folder
from cxr_edge.decision import Scores
from cxr_edge.errors import DataError
from cxr_edge.files import printable
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter

MOST_FILES = 50
"""Files that the end-to-end figures are measured on."""
_DRAWN = 12


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs at the network's size, with the original model's answers."""

    source: str
    """What they are, in words."""
    pixels: Pixels
    """(N, height, width, channels) uint8."""
    scores: Scores
    """(N, spec.outputs) float32, the original Keras model's."""
    labels: Labels | None
    """(N,) the truth; None: unlabelled."""


def read_inputs(
    bundle: Bundle,
    folder: Path | None,
    original: Callable[[Pixels], Scores] | None,
    reporter: Reporter,
) -> Inputs:
    """What every row answers, to be compared.

    Args:
        bundle: holds the golden inputs.
        folder: images, or a folder of them for each label; None: the golden inputs.
        original: the original model; None: it cannot run here, so only the golden inputs, whose
            answers were recorded at export, say whether a row is faithful.
        reporter: shows progress.

    Raises:
        DataError: the folder holds no readable image.
        BundleError: the bundle is damaged.
    """
    if folder is None or original is None:
        golden = bundle.golden()
        return Inputs("golden inputs", golden.pixels, golden.scores, None)
    samples = sample_folder(folder, bundle.manifest.spec, reporter)
    reporter.say(f"scoring {len(samples.pixels):,} images with the original model")
    source = f"images of {folder.resolve().name}"
    return Inputs(source, samples.pixels, original(samples.pixels), samples.labels)


def find_files(folder: Path | None, drawn: Path) -> tuple[Path, ...]:
    """Files to read, decode and classify: some of a folder, evenly spread, or drawn ones.

    Args:
        folder: holds images; None: JPEGs of a radiograph's usual size are drawn.
        drawn: where to draw them.

    Raises:
        DataError: the folder is absent, or holds no images.
    """
    if folder is not None:
        found = find_images(folder)
        if not found:
            raise DataError(f"{printable(folder)}: holds no images")
        kept = np.linspace(0, len(found) - 1, min(MOST_FILES, len(found))).round().astype(int)
        return tuple(found[index] for index in dict.fromkeys(kept.tolist()))
    paths = []
    for seed in range(_DRAWN):
        paths.append(drawn / f"phantom-{seed}.jpeg")
        paths[-1].write_bytes(phantom_jpeg(seed))
    return tuple(paths)
