"""What a benchmark runs on: inputs scored by the original model, and image files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.benchmark.report import Truth
from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.folders import Labels, find_images
from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.data.samples import sample_folder
from cxr_edge.decision import Scores
from cxr_edge.errors import DataError
from cxr_edge.files import printable
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Inputs:
    """Preprocessed images with the original model's scores."""

    source: str
    """Description for reports."""
    pixels: Pixels
    """(N, height, width, channels) uint8."""
    scores: Scores
    """(N, spec.outputs) float32, by the original Keras model."""
    labels: Labels | None
    """(N,) indices into the spec's labels; None: unlabelled."""

    def truth(self, spec: ModelSpec) -> Truth | None:
        """Which inputs have the positive label; None: unlabelled, or more than two labels."""
        if self.labels is None or spec.positive_label is None:
            return None
        positive = spec.labels.index(spec.positive_label)
        return Truth(tuple((self.labels == positive).tolist()))


def golden_inputs(bundle: Bundle) -> Inputs:
    """The golden inputs, with the scores recorded at export.

    Raises:
        BundleError: the bundle is damaged.
    """
    golden = bundle.golden()
    return Inputs("golden inputs", golden.pixels, golden.scores, None)


def score_folder(
    folder: Path, spec: ModelSpec, score: Callable[[Pixels], Scores], reporter: Reporter
) -> Inputs:
    """Read the images of a folder and score them with the original model.

    Args:
        folder: images, or a folder of them for each label.
        spec: preprocessing and labels.
        score: the original model.
        reporter: shows progress.

    Raises:
        DataError: the folder holds no readable image.
        EngineError: the original model failed.
    """
    samples = sample_folder(folder, spec, reporter)
    reporter.say(f"scoring {len(samples.pixels):,} images with the original model")
    source = f"images of {folder.resolve().name}"
    return Inputs(source, samples.pixels, score(samples.pixels), samples.labels)


def pick_files(folder: Path, *, most: int = 50) -> tuple[Path, ...]:
    """Image files of a folder, at most ``most``, evenly spread over their sorted paths.

    Raises:
        DataError: the folder is absent or holds no images.
    """
    files = find_images(folder)
    if not files:
        raise DataError(f"{printable(folder)}: holds no images")
    indices = np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int)
    return tuple(files[index] for index in dict.fromkeys(indices.tolist()))


def draw_files(folder: Path, *, count: int = 12) -> tuple[Path, ...]:
    """Write phantom JPEGs of a radiograph's usual size into a folder."""
    paths = tuple(folder / f"phantom-{seed}.jpeg" for seed in range(count))
    for seed, path in enumerate(paths):
        path.write_bytes(phantom_jpeg(seed))
    return paths
