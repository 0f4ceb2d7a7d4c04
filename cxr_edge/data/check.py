"""Checks of a data set before training: counts, damage, duplicates, patients in two splits."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cxr_edge.data.folders import SPLITS, find_split, open_folder
from cxr_edge.data.patients import Grouping
from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.files import read_file, sha256
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.reporting import Advance


@dataclass(frozen=True, slots=True)
class _File:
    """A readable image file and its place in the data set."""

    path: str
    split: str
    label: str


SCHEMA = "cxr-edge.data/1"
"""Of the report as a JSON document."""


@dataclass(frozen=True, slots=True)
class DataReport:
    """Contents and faults of a data set."""

    schema: str = field(default=SCHEMA, kw_only=True)
    counts: dict[str, dict[str, int]]
    """Split → label → number of image files."""
    patients: dict[str, int]
    """Split → number of patients by the grouping rule."""
    unreadable: tuple[str, ...]
    """One message for each file that cannot be read."""
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of byte-identical files."""
    contradictions: tuple[tuple[str, ...], ...]
    """The duplicates whose files have different labels or lie in different splits."""
    shared_patients: dict[str, tuple[str, ...]]
    """``split/split`` → patients with images in both."""
    ignored: tuple[str, ...] = ()
    """Folders beside the classes that no person made, such as ``__MACOSX``."""
    knows_patients: bool = True
    """Whether a file's name says which patient it shows; False: each file counts as one."""

    @property
    def clean(self) -> bool:
        """Whether training and testing on the data set is sound; duplicates alone are harmless."""
        return not (self.unreadable or self.contradictions or any(self.shared_patients.values()))


def check_data(data: Path, group_of: Grouping, progress: Advance | None = None) -> DataReport:
    """Read every image of a data set.

    Args:
        data: a folder with ``train``, ``val`` or ``test`` (see :func:`find_split`), each with a
            folder for each class; or the class folders themselves.
        group_of: gives each file's patient.
        progress: called after each file.

    Raises:
        DataError: the folders are not laid out as expected.
    """
    roots = {name: root for name in SPLITS if (root := find_split(data, name))} or {"all": data}
    folders = {split: open_folder(root) for split, root in roots.items()}
    total = sum(len(folder.files) for folder in folders.values())
    by_hash: dict[str, list[_File]] = defaultdict(list)
    patients: dict[str, set[str]] = {split: set() for split in folders}
    unreadable = []
    done = 0
    for split, folder in folders.items():
        for path, index in zip(folder.files, folder.indices, strict=True):
            patients[split].add(group_of(path))
            try:
                by_hash[_decode_and_hash(path)].append(
                    _File(str(path), split, folder.labels[index])
                )
            except CxrEdgeError as err:
                unreadable.append(str(err))
            done += 1
            if progress:
                progress(done, total)
    duplicates = [files for files in by_hash.values() if len(files) > 1]
    contradictions = [
        files for files in duplicates if len({(file.split, file.label) for file in files}) > 1
    ]
    return DataReport(
        counts={split: folder.counts for split, folder in folders.items()},
        patients={split: len(keys) for split, keys in patients.items()},
        unreadable=tuple(unreadable),
        duplicates=_paths(duplicates),
        contradictions=_paths(contradictions),
        shared_patients=_shared_patients(patients),
        ignored=tuple(
            str(folder.root / name) for folder in folders.values() for name in folder.ignored
        ),
        knows_patients=any(
            group_of(path) != str(path) for folder in folders.values() for path in folder.files
        ),
    )


def _decode_and_hash(path: Path) -> str:
    data = read_file(path, max_bytes=ImageLimits().max_bytes, error=ImageError)
    read_image(data, name=str(path))
    return sha256(data)


def _paths(groups: list[list[_File]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(file.path for file in files) for files in groups)


def _shared_patients(patients: dict[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Patients in both of each pair of splits."""
    return {
        f"{first}/{second}": tuple(sorted(patients[first] & patients[second]))
        for first, second in itertools.combinations(patients, 2)
    }
