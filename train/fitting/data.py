"""Training data: read once, split by patient, and held in memory as uint8."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_edge.data.folders import (
    LabelledFolder,
    LabelledImages,
    Labels,
    read_folder,
)
from cxr_edge.data.patients import Grouping, hold_out
from cxr_edge.data.samples import Samples
from cxr_edge.errors import DataError
from cxr_edge.files import printable, sha256
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.train.fitting.contradictions import refuse_contradictions
from cxr_edge.train.recipe import TrainingRecipe
from cxr_edge.train.request import open_training_folders

CALIBRATION_IMAGES = 100
"""Most images of each label that are kept for an export to calibrate on."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Training and validation images in memory, and the test folder."""

    pixels: Pixels
    """(N, height, width, channels) uint8, the training images."""
    labels: Labels
    """(N,) indices into the recipe's labels."""
    validation_pixels: Pixels
    """(M, height, width, channels) uint8, the validation images."""
    validation_labels: Labels
    """(M,) indices into the recipe's labels."""
    validation_names: tuple[str, ...]
    """The M files' paths, relative to their split's folder."""
    patients: dict[str, int]
    """Number of patients in ``training`` and in ``validation``."""
    unreadable: tuple[str, ...]
    """Reasons, one for each file that could not be read."""
    sha256: str
    """Fingerprint of the training folder's images and labels."""
    test: LabelledFolder | None
    """The test folder, not read; None: there is none, or the recipe does not use it."""


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
        data: a folder with ``train/`` (and ``test/``), each with a folder for each class; or the
            class folders themselves.
        recipe: gives labels, input, and the share to hold out.
        seed: of the split.
        group_of: gives each file's patient.
        use_val_folder: validate on all of ``data/val`` instead of on held-out patients.
        reporter: shows progress and the files that are left out.

    Raises:
        DataError: the folders are not laid out as expected, the same image has two labels, or a
            label is missing on one side of the split.
    """
    folder, validation_folder, test_folder = open_training_folders(
        data, recipe, use_val_folder=use_val_folder
    )
    images = read_folder(folder, recipe.spec.input, reporter)
    hashes = [sha256(path.read_bytes()) for path in images.files]
    fingerprint = _fingerprint(hashes, images.labels)
    held = (
        read_folder(validation_folder, recipe.spec.input, reporter) if validation_folder else None
    )
    refuse_contradictions(images, hashes, held, test_folder, data)
    if recipe.distinct:
        images = _drop_copies(images, hashes, reporter)
    if held:
        training, validation = images, held
    else:
        patients = [group_of(path) for path in images.files]
        held_out = np.asarray(
            hold_out(patients, images.labels.tolist(), recipe.validation_fraction, seed), np.bool_
        )
        training = _select(images, np.flatnonzero(~held_out))
        validation = _select(images, np.flatnonzero(held_out))
    _check_labels({"training": training, "validation": validation}, folder)
    validation_root = (validation_folder or folder).root
    return TrainingData(
        pixels=training.pixels,
        labels=training.labels,
        validation_pixels=validation.pixels,
        validation_labels=validation.labels,
        validation_names=tuple(str(path.relative_to(validation_root)) for path in validation.files),
        patients={
            "training": len({group_of(path) for path in training.files}),
            "validation": len({group_of(path) for path in validation.files}),
        },
        unreadable=tuple(reason for _, reason in images.unreadable + validation.unreadable),
        sha256=fingerprint,
        test=test_folder,
    )


def _check_labels(splits: dict[str, LabelledImages], folder: LabelledFolder) -> None:
    """Refuse a split that lacks a label."""
    for split, images in splits.items():
        for index, name in enumerate(folder.labels):
            if index not in images.labels:
                raise DataError(
                    f"{printable(folder.root)}: no image of {name} is left for {split} when whole "
                    "patients are held out; add images or check the patient pattern"
                )


def _select(images: LabelledImages, indices: npt.NDArray[np.intp]) -> LabelledImages:
    files = tuple(images.files[index] for index in indices)
    return LabelledImages(images.pixels[indices], images.labels[indices], files, ())


def _fingerprint(hashes: list[str], labels: Labels) -> str:
    """SHA-256 over the sorted file hashes and labels; file names and order do not matter."""
    lines = sorted(f"{hash} {label}" for hash, label in zip(hashes, labels, strict=True))
    return sha256("\n".join(lines).encode())


def _drop_copies(images: LabelledImages, hashes: list[str], reporter: Reporter) -> LabelledImages:
    """Keep the first of byte-identical files."""
    first: dict[str, int] = {}
    for index, hash in enumerate(hashes):
        first.setdefault(hash, index)
    indices = list(first.values())
    if dropped := len(hashes) - len(indices):
        copies = "copy" if dropped == 1 else "copies"
        reporter.say(f"left out: {dropped} byte-identical {copies} of other training images")
    distinct = _select(images, np.asarray(indices, np.intp))
    return dataclasses.replace(distinct, unreadable=images.unreadable)


def counts(labels: Labels, names: tuple[str, ...]) -> dict[str, int]:
    """Label → number of images."""
    return {name: int(np.count_nonzero(labels == i)) for i, name in enumerate(names)}


def calibration_samples(images: TrainingData, seed: int) -> Samples:
    """Choose training images for an export to calibrate on, none of them a validation image.

    Up to ``CALIBRATION_IMAGES`` of each label, without file names.
    """
    random = np.random.default_rng([seed, 20])
    chosen = []
    for label in np.unique(images.labels):
        candidates = np.flatnonzero(images.labels == label)
        chosen.append(random.permutation(candidates)[:CALIBRATION_IMAGES])
    indices = np.sort(np.concatenate(chosen))
    return Samples(images.pixels[indices], images.labels[indices], ()).without(
        validation_samples(images)
    )


def validation_samples(images: TrainingData) -> Samples:
    """The validation images, for an export to choose a quantization recipe by."""
    return Samples(images.validation_pixels, images.validation_labels, images.validation_names)
