"""Images at the network's size, kept in a file: what an export calibrates on and chooses by.

A training leaves two such files in its run folder. They hold patients' images, so they stay
there: a bundle never contains them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.folders import LabelledFolder, Labels, find_images, open_folder, read_folder
from cxr_edge.errors import CxrEdgeError, DataError, ModelError
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

MAX_SAMPLES_BYTES = 2**31
"""The largest file that is read."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Images with what is known of them."""

    pixels: Pixels
    """(N, height, width, channels) uint8, preprocessed."""
    labels: Labels | None
    """(N,) indices into the spec's labels; None: unlabelled."""
    names: tuple[str, ...]
    """What reports call each image; empty where that would say who it is."""

    def hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image's pixels."""
        return tuple(sha256(image.tobytes()) for image in self.pixels)

    def without(self, others: Samples) -> Samples:
        """These images without those that occur among others, pixel by pixel."""
        taken = set(others.hashes())
        kept = [i for i, digest in enumerate(self.hashes()) if digest not in taken]
        names = tuple(self.names[i] for i in kept) if self.names else ()
        labels = None if self.labels is None else self.labels[kept]
        return Samples(self.pixels[kept], labels, names)


def dump_samples(samples: Samples) -> bytes:
    """Write images as a compressed .npz."""
    buffer = io.BytesIO()
    labels = np.zeros(0, np.int64) if samples.labels is None else samples.labels.astype(np.int64)
    names = np.asarray(samples.names, np.str_)
    np.savez_compressed(buffer, pixels=samples.pixels, labels=labels, names=names)
    return buffer.getvalue()


def read_samples(path: Path, spec: ModelSpec) -> Samples:
    """Read images that a training kept.

    Raises:
        ModelError: the file is absent, malformed or does not fit the spec.
    """
    data = read_file(path, max_bytes=MAX_SAMPLES_BYTES, error=ModelError)
    return parse_samples(data, spec, printable(path), ModelError)


def parse_samples(data: bytes, spec: ModelSpec, name: str, error: type[CxrEdgeError]) -> Samples:
    """Read images from the bytes of their file.

    Raises:
        error: the bytes are malformed or do not fit the spec.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            pixels, labels, names = arrays["pixels"], arrays["labels"], arrays["names"]
    except Exception as err:  # zip, zlib and numpy have one each
        raise error(f"{name}: not readable as images: {err}") from err
    count = len(pixels) if pixels.ndim else 0
    if pixels.dtype != np.uint8 or not count or pixels.shape[1:] != spec.input_shape:
        raise error(f"{name}: images are {pixels.dtype} {pixels.shape}, unlike the spec")
    if labels.shape not in ((0,), (count,)) or names.shape not in ((0,), (count,)):
        raise error(f"{name}: labels or names are not one for each image")
    if labels.dtype.kind not in "iu":
        raise error(f"{name}: labels are {labels.dtype}, expected whole numbers")
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(spec.labels)):
        raise error(f"{name}: a label is outside 0..{len(spec.labels) - 1}")
    kept = labels.astype(np.intp) if len(labels) else None
    return Samples(pixels, kept, tuple(map(str, names)))


def sample_folder(root: Path, spec: ModelSpec, reporter: Reporter) -> Samples:
    """Read a folder of images: one folder a class, or images without labels.

    Raises:
        DataError: it holds no readable image, or folders for some of the labels only, or several
            folders of images that are no labels.
    """
    labelled = any((root / name).is_dir() for name in spec.labels)
    if labelled:
        folder = open_folder(root, spec.labels)
    else:
        files = tuple(find_images(root))
        if not files:
            raise DataError(f"{printable(root)}: holds no images, and no folders named by label")
        below = sorted({path.relative_to(root).parts[0] for path in files if path.parent != root})
        if len(below) > 1:  # classes, it seems
            raise DataError(
                f"{printable(root)}: has images in {', '.join(map(printable, below[:5]))}, "
                f"expected the folders {', '.join(spec.labels)}, or images without folders"
            )
        # The folder itself is the only class.
        folder = LabelledFolder(root.parent, (root.name,), files, (0,) * len(files))
    images = read_folder(folder, spec.input, reporter)
    labels = images.labels if labelled else None
    names = tuple(str(path.relative_to(root)) for path in images.files)
    return Samples(images.pixels, labels, names)
