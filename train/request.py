"""What can be wrong with a call of ``train``, found before Keras loads or images are read."""

from __future__ import annotations

from pathlib import Path

from cxr_edge.data.folders import (
    LabelledFolder,
    check_outside,
    find_split,
    open_folder,
    training_folder,
)
from cxr_edge.errors import UsageError
from cxr_edge.files import printable
from cxr_edge.original.run_folder import MODEL_NAME
from cxr_edge.train.recipe import TrainingRecipe, for_labels

CHECKPOINT_NAME = "checkpoint"
"""Folder of an unfinished training in its run folder."""

STATE_NAME = "state.json"
"""What is there of it; without this file there is nothing to resume."""


def check_request(
    data: Path, out: Path, recipe: TrainingRecipe, *, positive: str | None, use_val_folder: bool
) -> TrainingRecipe:
    """Refuse a training that would fail later, and adapt its recipe to the folder's labels.

    Raises:
        UsageError: ``out`` holds a finished training or lies in ``data``, or the recipe does not
            fit the labels.
        DataError: a folder is not laid out as expected.
    """
    # The folder alone may be what is left of one whose deletion was interrupted.
    unfinished = (out / CHECKPOINT_NAME / STATE_NAME).exists()
    if (out / MODEL_NAME).exists() and not unfinished:
        raise UsageError(
            f"{printable(out)}: holds a finished training; choose another output folder (-o)"
        )
    labels = open_folder(training_folder(data)).labels
    check_outside(out, data)
    adapted = for_labels(recipe, labels, positive)
    open_training_folders(data, adapted, use_val_folder=use_val_folder)
    return adapted


def open_training_folders(
    data: Path, recipe: TrainingRecipe, *, use_val_folder: bool
) -> tuple[LabelledFolder, LabelledFolder | None, LabelledFolder | None]:
    """List the folders of a training without reading an image.

    Returns:
        The training folder; the folder to validate on, if ``use_val_folder``; the test folder, if
        there is one and the recipe uses it.

    Raises:
        DataError: one of them is not laid out as expected.
    """
    labels = recipe.spec.labels
    folder = open_folder(training_folder(data), labels)
    held = open_folder(find_split(data, "val") or data / "val", labels) if use_val_folder else None
    test = find_split(data, "test") if recipe.opens_test else None
    return folder, held, open_folder(test, labels) if test else None
