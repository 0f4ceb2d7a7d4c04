"""A folder of results: one run at a time, its settings, and parts that are only ever added.

::

    results/
      _archive.json          what the rows were made with
      part-000001.parquet    a commit each: beside, fsync, rename
      part-000002.parquet
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_edge import documents
from cxr_edge.archive.formats import FormatName, Standing, part_format
from cxr_edge.archive.rows import Row
from cxr_edge.device.temporary import alone_in, sweep_unfinished
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.files import atomic_path, printable, read_file, why, write_file

SETTINGS_NAME = "_archive.json"
"""Readers of Parquet folders pass files that begin so."""

_MOST_BYTES = 2**20
_PART = re.compile(r"part-([0-9]{6,})\.(parquet|jsonl)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the rows of a folder beside the images and the bundle."""

    schema: str
    """:data:`cxr_edge.archive.rows.SCHEMA`."""
    archive: str
    """Its whole path, or its address."""
    made_by: str
    """``local`` or ``ray``."""
    format: str
    """``parquet`` or ``jsonl``."""
    decode: str
    """``fast`` or ``exact``."""
    radiographs: str
    """``frontal-chest`` or ``any``."""
    max_pixels: int
    max_bytes: int
    ids: bool
    """Whether rows have the SOP Instance UID."""
    artifacts: dict[str, str]
    """The model file that runs, by the SHA-256 of its bundle's manifest."""


_FIELDS = [field for field in dataclasses.fields(Settings) if field.name != "artifacts"]


class ResultsFolder:
    """The parts of a folder that this process has to itself; see :func:`open_results`."""

    def __init__(self, folder: Path, format: FormatName) -> None:
        self._folder, self._format = folder, part_format(format)
        self._status = folder.stat()
        numbers = [int(match[1]) for match in map(_PART.fullmatch, _names(folder)) if match]
        self._next = max(numbers, default=0) + 1

    @property
    def parts(self) -> list[Path]:
        """The committed files, older ones first."""
        matches = [match for match in map(_PART.fullmatch, _names(self._folder)) if match]
        return [self._folder / m[0] for m in sorted(matches, key=lambda match: int(match[1]))]

    def standings(self) -> Iterator[Standing]:
        """What all rows say about their images, older ones first.

        Raises:
            OutputError: a part is damaged.
        """
        for part in self.parts:
            yield from self._format.standings(part)

    def commit(self, rows: Sequence[Row]) -> None:
        """Add a part, which is there as a whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        path = self._folder / f"part-{self._next:06}{self._format.suffix}"
        self._check_unchanged(path)
        with atomic_path(path) as file:
            self._format.write(rows, file)
        self._next += 1

    def _check_unchanged(self, part: Path) -> None:
        """Refuse to go on elsewhere, as where a disk was unmounted or the folder removed.

        Raises:
            OutputError: the folder is another than the one locked, or the part is there already.
        """
        name = printable(self._folder)
        try:
            is_same = os.path.samestat(self._folder.stat(), self._status)
        except OSError as err:
            raise OutputError(f"{name}: cannot be written: {why(err)}") from err
        if not is_same:
            raise OutputError(f"{name}: is another folder than at the start; mount the old one")
        if part.exists():  # on a file system without locks
            raise OutputError(
                f"{printable(part)}: was written by another run; let one run at a time"
            )


@contextlib.contextmanager
def open_results(folder: Path, settings: Settings) -> Iterator[None]:
    """Make a folder of results or go on with one, and let no other run into it meanwhile.

    Raises:
        UsageError: another run has it, it was begun with other settings, or it is another folder.
        OutputError: it cannot be written.
    """
    name = printable(folder)
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone_in(folder, longest_wait_s=0))
            sweep_unfinished(folder)
            _agree(folder, settings)
        except TimeoutError as err:
            raise UsageError(
                f"{name}: another run writes there; wait for it, or name another folder"
            ) from err
        except FileExistsError as err:
            raise OutputError(f"{name}: is no folder; name one for --to") from err
        except OSError as err:
            reason = err.strerror or err
            raise OutputError(
                f"{name}: cannot be written: {reason}; name another for --to"
            ) from err
        yield


def _agree(folder: Path, settings: Settings) -> None:
    """Write the settings into an empty folder, or compare them with those it was begun with.

    Raises:
        UsageError: they differ, or the folder holds something else.
        OutputError: it cannot be written.
    """
    file = folder / SETTINGS_NAME
    name = printable(folder)
    if not file.exists():
        if others := [other for other in _names(folder) if not other.startswith(".")]:
            raise UsageError(
                f"{name}: holds {printable(others[0])} and no {SETTINGS_NAME}; name a new folder "
                "for the results, or one of an earlier run"
            )
        _write(file, settings)
        return
    begun = documents.parse(
        read_file(file, max_bytes=_MOST_BYTES, error=UsageError),
        Settings,
        name=printable(file),
        error=UsageError,
    )
    pairs = [(f.name, getattr(begun, f.name), getattr(settings, f.name)) for f in _FIELDS]
    for bundle, artifact in settings.artifacts.items():
        pairs.append(("artifact", begun.artifacts.get(bundle, artifact), artifact))
    for setting, before, now in pairs:
        if before != now:
            raise UsageError(
                f"{name}: was begun {_in_words(setting, before)}, this run is "
                f"{_in_words(setting, now)}; do as before, or name another folder"
            )
    artifacts = begun.artifacts | settings.artifacts
    if artifacts != begun.artifacts:
        _write(file, dataclasses.replace(settings, artifacts=artifacts))


def _in_words(setting: str, value: object) -> str:
    """A setting as the user gave it."""
    if setting == "archive":
        return f"for {printable(str(value))}"
    if setting in ("made_by", "ids"):
        option = "--ids" if setting == "ids" else "--ray"
        return f"with {option}" if value in (True, "ray") else f"without {option}"
    return f"with --{setting.replace('_', '-')} {value}"


def _write(file: Path, settings: Settings) -> None:
    write_file(file, documents.dump(settings))


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
