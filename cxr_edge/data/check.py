"""Looking at a data set before anyone trains on it: counts, damage, duplicates, shared patients."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.data.folders import SPLITS, LabelledFolder, find_split, open_folder
from cxr_edge.data.patients import Grouping
from cxr_edge.errors import CxrEdgeError, ImageError
from cxr_edge.files import read_file, sha256
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.reporting import Advance


@dataclass(frozen=True, slots=True)
class DataReport:
    """What is in a data set."""

    counts: dict[str, dict[str, int]]
    """Part → label → image files."""
    patients: dict[str, int]
    """Part → patients by the grouping rule."""
    unreadable: tuple[str, ...]
    """A line for each file that cannot be read."""
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of byte-identical files."""
    contradictions: tuple[tuple[str, ...], ...]
    """Those of the groups whose files have different labels or lie in different parts."""
    shared_patients: dict[str, tuple[str, ...]]
    """``part/part`` → patients with images in both."""

    @property
    def clean(self) -> bool:
        """Whether nothing was found that spoils a training or a test."""
        return not (self.unreadable or self.contradictions or any(self.shared_patients.values()))


def check_data(data: Path, group_of: Grouping, progress: Advance | None = None) -> DataReport:
    """Read every image of a data set.

    Args:
        data: holds ``train``, ``val`` or ``test`` with a folder for each class, or the classes.
        group_of: which files show the same patient.
        progress: told after each file.

    Raises:
        DataError: the folders are not laid out as expected.
    """
    roots = {name: root for name in SPLITS if (root := find_split(data, name))} or {"all": data}
    folders = {part: open_folder(root) for part, root in roots.items()}
    total = sum(len(folder.files) for folder in folders.values())
    by_hash: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    patients: dict[str, set[str]] = {part: set() for part in folders}
    unreadable = []
    done = 0
    for part, folder in folders.items():
        for path, index in zip(folder.files, folder.indices, strict=True):
            patients[part].add(group_of(path))
            try:
                by_hash[_read(path)].append((str(path), part, folder.labels[index]))
            except CxrEdgeError as err:
                unreadable.append(str(err))
            done += 1
            if progress:
                progress(done, total)
    groups = [group for group in by_hash.values() if len(group) > 1]
    return DataReport(
        counts={part: folder.counts for part, folder in folders.items()},
        patients={part: len(keys) for part, keys in patients.items()},
        unreadable=tuple(unreadable),
        duplicates=tuple(_names(group) for group in groups),
        contradictions=tuple(
            _names(group) for group in groups if len({entry[1:] for entry in group}) > 1
        ),
        shared_patients=_shared(patients, folders),
    )


def _read(path: Path) -> str:
    """Decode a file and return its hash."""
    data = read_file(path, max_bytes=ImageLimits().max_bytes, error=ImageError)
    read_image(data, name=str(path))
    return sha256(data)


def _names(group: list[tuple[str, str, str]]) -> tuple[str, ...]:
    return tuple(name for name, _, _ in group)


def _shared(
    patients: dict[str, set[str]], folders: dict[str, LabelledFolder]
) -> dict[str, tuple[str, ...]]:
    parts = list(folders)
    return {
        f"{first}/{second}": tuple(sorted(patients[first] & patients[second]))
        for position, first in enumerate(parts)
        for second in parts[position + 1 :]
    }
