"""Which images show the same patient: what splits must not tear apart."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from cxr_edge.errors import UsageError

Grouping = Callable[[Path], str]
"""From a file to a key that its patient's files share."""

# In Kermany's chest X-rays the numbers of `bacteria`, `virus` and the two series of normals are
# counted apart: person12_bacteria and person12_virus are different children.
_PERSON = re.compile(r"person(\d+)_(bacteria|virus)_")
_NORMAL = re.compile(r"((?:NORMAL2-)?IM)-(\d+)")


def kermany_patient(file: Path) -> str:
    """Patient key of a file of Kermany's chest X-rays; any other file is a group of its own."""
    if person := _PERSON.match(file.name):
        return f"{person[2]}-{int(person[1])}"
    if normal := _NORMAL.match(file.name):
        return f"{normal[1]}-{int(normal[2])}"
    return str(file)


def grouping(pattern: str | None) -> Grouping:
    r"""The grouping rule for a data set.

    Args:
        pattern: a regular expression searched in the file's name; its groups together are the
            patient, as in ``r"^(\d+)_"``. A file that it does not match is a group of its own.
            None: Kermany's names where they occur, one group a file elsewhere.

    Raises:
        UsageError: the pattern is malformed or has no group.
    """
    if pattern is None:
        return kermany_patient
    try:
        compiled = re.compile(pattern)
    except re.error as err:
        raise UsageError(f"the pattern {pattern!r} is malformed: {err}") from err
    if compiled.groups == 0:
        raise UsageError(f"the pattern {pattern!r} has no (group) to take the patient from")

    def by_pattern(file: Path) -> str:
        found = compiled.search(file.name)
        return "-".join(part or "" for part in found.groups()) if found else str(file)

    return by_pattern


def hold_out(
    groups: Sequence[str], labels: Sequence[int], fraction: float, seed: int
) -> list[bool]:
    """Choose whole patients for validation, label by label so that both keep their share.

    Args:
        groups: patient key of each image.
        labels: label of each image.
        fraction: share of the images to hold out, 0..1.
        seed: of the choice.

    Returns:
        For each image whether it is held out. A patient with images of several labels is counted
        with the first of them and moves whole.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    held = [False] * len(groups)
    for label in sorted(set(labels)):
        keys = sorted(key for key, indices in members.items() if labels[indices[0]] == label)
        random.Random(f"{seed}-{label}").shuffle(keys)  # noqa: S311 - a split, not a secret
        wanted = round(fraction * sum(1 for each in labels if each == label))
        taken = 0
        for key in keys:
            if taken >= wanted:
                break
            taken += len(members[key])
            for index in members[key]:
                held[index] = True
    return held
