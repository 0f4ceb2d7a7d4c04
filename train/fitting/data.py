"""The images of a training: read once, split by patient, kept in memory as uint8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.data.folders import (
    LabelledFolder,
    LabelledImages,
    Labels,
    find_split,
    open_folder,
    read_folder,
)
from cxr_edge.data.patients import Grouping, hold_out
from cxr_edge.data.samples import Samples
from cxr_edge.errors import DataError
from cxr_edge.files import printable, sha256
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.train.recipe import TrainingRecipe

CALIBRATION_IMAGES = 100
"""Images of each label that are kept for an export to calibrate on."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training and validation images, and where the test images are."""

    pixels: Pixels
    """(N, height, width, channels) uint8, the training images."""
    labels: Labels
    """(N,) their labels."""
    held_pixels: Pixels
    """(M, height, width, channels) uint8, the validation images."""
    held_labels: Labels
    """(M,) their labels."""
    held_names: tuple[str, ...]
    """The M files, relative to their folder."""
    patients: dict[str, int]
    """Patients in ``training`` and in ``validation``."""
    unreadable: tuple[str, ...]
    """Files left out, each with the reason."""
    sha256: str
    """Fingerprint of the training folder's images."""
    test: LabelledFolder | None
    """The test folder, not read; None where there is none or the recipe leaves it closed."""


def find_labels(data: Path) -> tuple[str, ...]:
    """The sorted names of a data set's class folders.

    Raises:
        DataError: there are fewer than two, or one without images.
    """
    return open_folder(find_split(data, "train") or data).labels


def read_training_data(
    data: Path,
    recipe: TrainingRecipe,
    *,
    seed: int,
    group_of: Grouping,
    use_val_folder: bool,
    reporter: Reporter,
) -> TrainingData:
    """Read the training folder and hold out whole patients for validation.

    Args:
        data: holds ``train/`` (and ``test/``) with a folder for each class, or the class folders.
        recipe: labels, input, and the share to hold out.
        seed: of the split.
        group_of: which files show the same patient.
        use_val_folder: validate on ``data/val`` as it is instead.
        reporter: shows progress and the files that are left out.

    Raises:
        DataError: the folders are not laid out as expected, or a label is missing on one side of
            the split.
    """
    labels = recipe.spec.labels
    folder = open_folder(find_split(data, "train") or data, labels)
    val_folder = open_folder(data / "val", labels) if use_val_folder else None
    test = find_split(data, "test") if recipe.opens_test else None
    test_folder = open_folder(test, labels) if test else None

    images = read_folder(folder, recipe.spec.input, reporter)
    hashes = [sha256(path.read_bytes()) for path in images.files]
    fingerprint = _fingerprint(hashes, images.labels)
    if recipe.distinct:
        images = _first_copies(images, hashes, reporter)
    groups = [group_of(path) for path in images.files]
    if val_folder:
        kept = np.ones(len(groups), np.bool_)
        held = read_folder(val_folder, recipe.spec.input, reporter)
        held_groups = [group_of(path) for path in held.files]
    else:
        fraction = recipe.validation_fraction
        kept = ~np.asarray(hold_out(groups, images.labels.tolist(), fraction, seed))
        chosen = np.flatnonzero(~kept)
        files = tuple(images.files[i] for i in chosen)
        held = LabelledImages(images.pixels[chosen], images.labels[chosen], files, ())
        held_groups = [groups[i] for i in chosen]
    for part, present in (("training", images.labels[kept]), ("validation", held.labels)):
        for index, name in enumerate(labels):
            if index not in present:
                raise DataError(
                    f"{printable(folder.root)}: no image of {name} is left for {part} when whole "
                    "patients are held out; add images or check the patient pattern"
                )
    return TrainingData(
        pixels=images.pixels[kept],
        labels=images.labels[kept],
        held_pixels=held.pixels,
        held_labels=held.labels,
        held_names=tuple(
            str(path.relative_to(val_folder.root if val_folder else folder.root))
            for path in held.files
        ),
        patients={
            "training": len({groups[i] for i in np.flatnonzero(kept)}),
            "validation": len(set(held_groups)),
        },
        unreadable=tuple(reason for _, reason in images.unreadable + held.unreadable),
        sha256=fingerprint,
        test=test_folder,
    )


def _fingerprint(hashes: list[str], labels: Labels) -> str:
    """SHA-256 over the sorted hashes of the image files, each with its label.

    Names, order and folders do not matter; a changed byte or label does.
    """
    lines = sorted(f"{hash} {label}" for hash, label in zip(hashes, labels, strict=True))
    return sha256("\n".join(lines).encode())


def _first_copies(images: LabelledImages, hashes: list[str], reporter: Reporter) -> LabelledImages:
    """Of byte-identical files the first; none where their labels contradict each other."""
    labels_of: dict[str, set[int]] = {}
    first: dict[str, int] = {}
    for index, (hash, label) in enumerate(zip(hashes, images.labels.tolist(), strict=True)):
        labels_of.setdefault(hash, set()).add(label)
        first.setdefault(hash, index)
    kept = [index for hash, index in first.items() if len(labels_of[hash]) == 1]
    if dropped := len(hashes) - len(kept):
        reporter.say(f"left out: {dropped} byte-identical copies of other training images")
    files = tuple(images.files[index] for index in kept)
    return LabelledImages(images.pixels[kept], images.labels[kept], files, images.unreadable)


def counts(labels: Labels, names: tuple[str, ...]) -> dict[str, int]:
    """Images by label."""
    return {name: int(np.count_nonzero(labels == i)) for i, name in enumerate(names)}


def calibration_samples(images: TrainingData, seed: int) -> Samples:
    """Training images for an export to calibrate on: as many of each label, none held out too."""
    random = np.random.default_rng([seed, 20])
    chosen = []
    for label in np.unique(images.labels):
        members = np.flatnonzero(images.labels == label)
        chosen.append(random.permutation(members)[:CALIBRATION_IMAGES])
    indices = np.sort(np.concatenate(chosen))
    return Samples(images.pixels[indices], images.labels[indices], ()).without(
        validation_samples(images)
    )


def validation_samples(images: TrainingData) -> Samples:
    """The validation images, for an export to choose recipes by."""
    return Samples(images.held_pixels, images.held_labels, images.held_names)
