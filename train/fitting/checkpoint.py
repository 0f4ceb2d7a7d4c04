"""Checkpoints: an unfinished training, saved after every epoch and resumable."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_edge import documents
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.files import atomic_path, printable, read_file, why, write_file
from cxr_edge.train.fitting.history import Epoch
from cxr_edge.train.request import STATE_NAME

_MAX_STATE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class State:
    """What a training needs to resume, besides weights and optimizer."""

    identity: str
    """Fingerprint of recipe, seed and data; no other training may resume from here."""
    model: str
    """Name of the file with the network and its optimizer, in the same folder."""
    epochs: tuple[Epoch, ...]
    """Figures of the finished epochs."""
    plateau: tuple[float, int] | None
    """Best validation accuracy so far and the epochs since then; None: the schedule is not
    :class:`~cxr_edge.train.recipe.OnPlateau`."""


def save_state(folder: Path, network: Any, state: State) -> None:
    """Save a compiled network and its state; replacing ``state.json`` is the commit.

    Raises:
        OutputError: the folder cannot be written.
    """
    with atomic_path(folder / state.model) as temporary:
        network.save(temporary)
    write_file(folder / STATE_NAME, documents.dump(state))
    for old in folder.glob("epoch-*.keras"):
        if old.name != state.model:
            old.unlink()


def load_state(folder: Path, identity: str) -> State | None:
    """Read the state of an unfinished training; None if there is none.

    Raises:
        UsageError: the state belongs to another recipe, seed or data, or is malformed.
    """
    if not (folder / STATE_NAME).exists():
        return None
    data = read_file(folder / STATE_NAME, max_bytes=_MAX_STATE_BYTES, error=UsageError)
    state = documents.parse(data, State, name=str(folder / STATE_NAME), error=UsageError)
    if state.identity != identity:
        raise UsageError(
            f"{printable(folder.parent)}: holds an unfinished training of another recipe, seed, "
            "teacher or data (or number of epochs); choose another output folder or delete it"
        )
    return state


def remove_state(folder: Path) -> None:
    """Delete a finished training's checkpoint, the state first: the rest alone resumes nothing.

    Raises:
        OutputError: the folder cannot be deleted.
    """
    try:
        (folder / STATE_NAME).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as err:
        raise OutputError(f"{folder}: cannot be deleted: {why(err)}") from err
