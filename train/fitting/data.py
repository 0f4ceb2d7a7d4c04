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
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.image import ImageLimits
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.train.fitting.contradictions import refuse_contradictions
from cxr_edge.train.fitting.held_out import HeldOut, choose_block
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
    validation: HeldOut
    """Images of randomly chosen patients, or of the folder ``val``."""
    block: HeldOut | None
    """Images of the patients with the lowest numbers, held out too; None: the recipe takes none,
    or the folder is too small."""
    patients: dict[str, int]
    """Number of patients in ``training``, ``validation`` and, if there is one, ``block``."""
    unreadable: tuple[str, ...]
    """Reasons, one for each file that could not be read."""
    sha256: str
    """Fingerprint of the training folder's images and labels."""
    test: LabelledFolder | None
    """The test folder, not read; None: there is none, or the recipe does not use it."""

    @property
    def held_out(self) -> tuple[HeldOut, ...]:
        """Validation and, if there is one, the block."""
        return (self.validation, self.block) if self.block else (self.validation,)


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
        seed: of the split, unless the recipe has its own.
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
    most = ImageLimits().max_bytes
    hashes = [sha256(read_file(file, max_bytes=most, error=DataError)) for file in images.files]
    fingerprint = _fingerprint(hashes, images.labels)
    held = (
        read_folder(validation_folder, recipe.spec.input, reporter) if validation_folder else None
    )
    refuse_contradictions(images, hashes, held, test_folder, data)
    if recipe.distinct:
        images = _drop_copies(images, hashes, reporter)
    block = None
    if held:
        training, validation = images, held
    else:
        patients = [group_of(path) for path in images.files]
        split_seed = seed if recipe.split_seed is None else recipe.split_seed
        held_out = np.asarray(
            hold_out(patients, images.labels.tolist(), recipe.validation_fraction, split_seed),
            np.bool_,
        )
        in_block = np.zeros(len(patients), np.bool_)
        if recipe.block:
            in_block = choose_block(images, patients, ~held_out, recipe.block, reporter)
        training = _select(images, np.flatnonzero(~held_out & ~in_block))
        validation = _select(images, np.flatnonzero(held_out))
        if in_block.any():
            block = _select(images, np.flatnonzero(in_block))
    _check_labels({"training": training, "validation": validation}, folder)
    validation_root = (validation_folder or folder).root
    return TrainingData(
        pixels=training.pixels,
        labels=training.labels,
        validation=HeldOut.of(validation, validation_root),
        block=HeldOut.of(block, folder.root) if block else None,
        patients={
            part: len({group_of(path) for path in chosen.files})
            for part, chosen in (
                ("training", training),
                ("validation", validation),
                ("block", block),
            )
            if chosen
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
    """The validation images and the block, for an export to choose a quantization recipe by."""
    return Samples(
        np.concatenate([part.pixels for part in images.held_out]),
        np.concatenate([part.labels for part in images.held_out]),
        tuple(name for part in images.held_out for name in part.names),
    )
