"""Preprocessed images in a file, which an export uses to calibrate and to choose a recipe.

Training leaves two such files in its run folder. They contain patients' images, so they stay there
and never go into a bundle.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.arrays import read_arrays
from cxr_edge.data.folders import LabelledFolder, Labels, find_images, open_folder, read_folder
from cxr_edge.errors import CxrEdgeError, DataError, ModelError
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

MAX_SAMPLES_BYTES = 2**31
"""Largest file accepted."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Preprocessed images with their labels and names."""

    pixels: Pixels
    """(N, height, width, channels) uint8, preprocessed."""
    labels: Labels | None
    """(N,) indices into the spec's labels; None: unlabelled."""
    names: tuple[str, ...]
    """Each image's name in reports; empty where a name would identify a patient."""

    def hashes(self) -> tuple[str, ...]:
        """SHA-256 of each image's pixels."""
        return tuple(sha256(image.tobytes()) for image in self.pixels)

    def without(self, others: Samples) -> Samples:
        """The images whose pixels equal none of the others'."""
        excluded = set(others.hashes())
        indices = [i for i, digest in enumerate(self.hashes()) if digest not in excluded]
        names = tuple(self.names[i] for i in indices) if self.names else ()
        labels = None if self.labels is None else self.labels[indices]
        return Samples(self.pixels[indices], labels, names)


def dump_samples(samples: Samples) -> bytes:
    """Serialize samples as a compressed .npz; reads back with :func:`parse_samples`."""
    buffer = io.BytesIO()
    labels = np.zeros(0, np.int64) if samples.labels is None else samples.labels.astype(np.int64)
    names = np.asarray(samples.names, np.str_)
    np.savez_compressed(buffer, pixels=samples.pixels, labels=labels, names=names)
    return buffer.getvalue()


def read_samples(path: Path, spec: ModelSpec) -> Samples:
    """Read a samples file of a run folder.

    Raises:
        ModelError: the file does not exist, is malformed or does not fit the spec.
    """
    data = read_file(path, max_bytes=MAX_SAMPLES_BYTES, error=ModelError)
    return parse_samples(data, spec, printable(path), ModelError)


def parse_samples(data: bytes, spec: ModelSpec, name: str, error: type[CxrEdgeError]) -> Samples:
    """Read samples from the bytes of their file.

    Args:
        data: the .npz file.
        spec: gives the image shape and the number of labels.
        name: the file's name in messages.
        error: the exception to raise.

    Raises:
        error: the bytes are malformed or do not fit the spec.
    """
    try:
        arrays = read_arrays(data)
        pixels, labels, names = arrays["pixels"], arrays["labels"], arrays["names"]
    except Exception as err:  # zipfile, zlib and numpy each raise their own
        raise error(f"{name}: not readable as images: {err}; expected an .npz file") from err
    count = len(pixels) if pixels.ndim else 0
    if pixels.dtype != np.uint8 or not count or pixels.shape[1:] != spec.input_shape:
        raise error(
            f"{name}: images are {pixels.dtype} {pixels.shape}, the spec says uint8 "
            f"(N, {', '.join(map(str, spec.input_shape))})"
        )
    if labels.shape not in ((0,), (count,)) or names.shape not in ((0,), (count,)):
        raise error(
            f"{name}: labels are {labels.shape} and names {names.shape}, "
            f"expected ({count},) or (0,)"
        )
    if labels.dtype.kind not in ("i", "u"):
        raise error(f"{name}: labels are {labels.dtype}, expected whole numbers")
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(spec.labels)):
        raise error(
            f"{name}: labels are {labels.min()}..{labels.max()}, expected 0..{len(spec.labels) - 1}"
        )
    indices = labels.astype(np.intp) if len(labels) else None
    return Samples(pixels, indices, tuple(map(str, names)))


def sample_folder(root: Path, spec: ModelSpec, reporter: Reporter) -> Samples:
    """Read a folder of images: one folder for each label, or images without labels.

    Raises:
        DataError: as :func:`list_samples`, or no image can be read.
    """
    folder, labelled = list_samples(root, spec)
    images = read_folder(folder, spec.input, reporter)
    labels = images.labels if labelled else None
    names = tuple(str(path.relative_to(root)) for path in images.files)
    return Samples(images.pixels, labels, names)


def list_samples(root: Path, spec: ModelSpec) -> tuple[LabelledFolder, bool]:
    """List a folder of images without reading one.

    Returns:
        The files, and whether they are labelled; else the folder itself is their only class.

    Raises:
        DataError: the folder has no image, has folders for only some of the labels, or has several
            folders of images with names other than the labels.
    """
    labelled = any((root / name).is_dir() for name in spec.labels)
    if labelled:
        return open_folder(root, spec.labels), True
    files = tuple(find_images(root))
    if not files:
        raise DataError(
            f"{printable(root)}: holds no images, expected the folders "
            f"{', '.join(spec.labels)}, or images without folders"
        )
    folders = sorted({path.relative_to(root).parts[0] for path in files if path.parent != root})
    if len(folders) > 1:  # probably the classes of another model
        raise DataError(
            f"{printable(root)}: has images in {', '.join(map(printable, folders[:5]))}, "
            f"expected the folders {', '.join(spec.labels)}, or images without folders"
        )
    return LabelledFolder(root.parent, (root.name,), files, (0,) * len(files)), False
