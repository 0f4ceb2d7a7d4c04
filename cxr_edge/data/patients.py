"""Which images show the same patient, and splits that keep each patient on one side."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from cxr_edge.errors import UsageError
from cxr_edge.files import printable

Grouping = Callable[[Path], str]
"""Maps a file to its patient key: the files of one patient have the same key."""

# In Kermany's chest X-rays each of `bacteria`, `virus` and the two series of normals has its own
# numbering: person12_bacteria and person12_virus are different children.
_PERSON = re.compile(r"person(\d+)_(bacteria|virus)_")
_NORMAL = re.compile(r"((?:NORMAL2-)?IM)-(\d+)")


def kermany_patient(file: Path) -> str:
    """Patient key of a file of Kermany's chest X-rays; any other file is its own patient."""
    if person := _PERSON.match(file.name):
        return f"{person[2]}-{int(person[1])}"
    if normal := _NORMAL.match(file.name):
        return f"{normal[1]}-{int(normal[2])}"
    return str(file)


def kermany_series(file: Path) -> str:
    """The numbering that a file of Kermany's chest X-rays belongs to: ``NORMAL2-IM``, ``virus``.

    Empty for any other file.
    """
    patient = kermany_patient(file)
    return "" if patient == str(file) else patient.rpartition("-")[0]


def series_grouping(pattern: str | None) -> Grouping:
    r"""The rule for which files belong to one series.

    Args:
        pattern: a regular expression searched in the file's name. Its groups together name the
            series; a file that does not match belongs to none. None: Kermany's file names.

    Returns:
        Maps a file to its series; empty: none.

    Raises:
        UsageError: the pattern is malformed or has no group.
    """
    if pattern is None:
        return kermany_series
    return _by_pattern(pattern, "series", otherwise=lambda _: "")


def refuse_no_series(series_of: Grouping, files: Sequence[Path]) -> None:
    """Refuse a user's rule that finds no series among some files.

    Raises:
        UsageError: no file belongs to one.
    """
    if not any(series_of(path) for path in files):
        raise UsageError(
            f"--series-pattern matches none of the {len(files):,} file names, such as "
            f"{printable(files[0].name)}; try it on that one"
        )


def grouping(pattern: str | None) -> Grouping:
    r"""The grouping rule for a data set.

    Args:
        pattern: a regular expression searched in the file's name. Its groups together are the
            patient key, as in ``r"^(\d+)_"``; a file that does not match is its own patient.
            None: Kermany's file names; any other file is its own patient.

    Raises:
        UsageError: the pattern is malformed or has no group.
    """
    if pattern is None:
        return kermany_patient
    return _by_pattern(pattern, "patient's number", otherwise=str)


def _by_pattern(pattern: str, what: str, otherwise: Grouping) -> Grouping:
    """The rule of a pattern whose groups name ``what``; ``otherwise``: of files without a match."""
    try:
        compiled = re.compile(pattern)
    except re.error as err:
        raise UsageError(
            f"the pattern {pattern!r} is malformed: {err}; expected a regular expression"
        ) from err
    if compiled.groups == 0:
        raise UsageError(
            f"the pattern {pattern!r} has no (group); put parentheses around the {what}"
        )

    def name(file: Path) -> str:
        match = compiled.search(file.name)
        return "-".join(group or "" for group in match.groups()) if match else otherwise(file)

    return name


def hold_out(
    patients: Sequence[str], labels: Sequence[int], fraction: float, seed: int
) -> list[bool]:
    """Choose whole patients for validation, stratified by label.

    Args:
        patients: patient key of each image.
        labels: label of each image.
        fraction: share of the images to hold out, 0..1.
        seed: of the choice.

    Returns:
        For each image, whether it is held out. A patient with images of several labels counts
        under the label of the first image and is held out with all of them.
    """
    images_of: dict[str, list[int]] = defaultdict(list)
    for index, patient in enumerate(patients):
        images_of[patient].append(index)
    held_out = [False] * len(patients)
    for label in sorted(set(labels)):
        candidates = sorted(
            patient for patient, images in images_of.items() if labels[images[0]] == label
        )
        random.Random(f"{seed}-{label}").shuffle(candidates)  # noqa: S311 - a split, not a secret
        target = round(fraction * sum(1 for image_label in labels if image_label == label))
        chosen = 0
        for patient in candidates:
            if chosen >= target:
                break
            chosen += len(images_of[patient])
            for index in images_of[patient]:
                held_out[index] = True
    return held_out


def hold_out_lowest(patients: Sequence[str], candidates: Sequence[int], images: int) -> list[int]:
    """Choose the whole patients whose keys come first when numbers count as numbers.

    Args:
        patients: patient key of each image.
        candidates: indices of the images to choose from.
        images: how many images to reach; the last patient's are all taken.

    Returns:
        Indices of the chosen images.
    """
    images_of: dict[str, list[int]] = defaultdict(list)
    for index in candidates:
        images_of[patients[index]].append(index)
    chosen: list[int] = []
    for patient in sorted(images_of, key=_natural):
        if len(chosen) >= images:
            break
        chosen += images_of[patient]
    return chosen


def _natural(key: str) -> list[tuple[int, str]]:
    """Sorts ``IM-9`` before ``IM-10``."""
    parts = re.split(r"(\d+)", key)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
