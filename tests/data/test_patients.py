"""Patient keys from file names, and splits that keep each patient whole."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_edge.data.patients import (
    grouping,
    hold_out,
    hold_out_lowest,
    kermany_patient,
    kermany_series,
    series_grouping,
)
from cxr_edge.errors import UsageError

SAME_PATIENT = [
    ("person12_bacteria_46.jpeg", "person12_bacteria_47.jpeg"),
    ("person7_virus_1.jpeg", "person007_virus_22.png"),
    ("IM-0115-0001.jpeg", "IM-0115-0002.jpeg"),
    ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001-0003.jpeg"),
]
OTHER_PATIENT = [
    ("person12_bacteria_46.jpeg", "person12_virus_46.jpeg"),
    ("person1_bacteria_2.jpeg", "person12_bacteria_2.jpeg"),
    ("IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg"),
    ("IM-0115-0001.jpeg", "IM-0116-0001.jpeg"),
    ("scan-1.png", "scan-2.png"),
    ("person12.png", "person12_other_1.png"),
]


@pytest.mark.parametrize(("one", "two"), SAME_PATIENT)
def test_kermanys_names_of_one_patient_share_a_key(one: str, two: str) -> None:
    assert kermany_patient(Path(one)) == kermany_patient(Path(two))


@pytest.mark.parametrize(("one", "two"), OTHER_PATIENT)
def test_names_of_different_patients_have_different_keys(one: str, two: str) -> None:
    assert kermany_patient(Path(one)) != kermany_patient(Path(two))


def test_the_real_splits_hold_the_known_patients_and_share_none(data_root: Path) -> None:
    parts = {
        part: {kermany_patient(p) for p in (data_root / "chest_xray" / part).glob("*/*.jpeg")}
        for part in ("train", "test")
    }
    series = Counter(key.rpartition("-")[0] for key in parts["train"])
    assert series == {"bacteria": 1353, "virus": 1090, "IM": 518, "NORMAL2-IM": 693}
    assert not parts["train"] & parts["test"]


def test_without_a_pattern_kermanys_rule_applies() -> None:
    assert grouping(None)(Path("IM-0115-0001.jpeg")) == kermany_patient(Path("IM-0115-0002.jpeg"))


def test_a_pattern_groups_by_all_its_groups() -> None:
    group_of = grouping(r"^(\d+)_\w+_(left|right)?")
    assert group_of(Path("12_a_left.png")) == group_of(Path("12_b_left.png"))
    assert group_of(Path("12_a_left.png")) != group_of(Path("12_a_right.png"))
    assert group_of(Path("12_a_left.png")) != group_of(Path("13_a_left.png"))
    assert group_of(Path("12_a_.png")) == group_of(Path("12_b_.png"))


def test_a_file_that_the_pattern_does_not_match_is_a_group_of_its_own() -> None:
    group_of = grouping(r"^(\d+)_")
    assert group_of(Path("a.png")) != group_of(Path("b.png"))
    assert group_of(Path("train/1.png")) != group_of(Path("test/1.png"))
    assert kermany_patient(Path("train/1.png")) != kermany_patient(Path("test/1.png"))


@pytest.mark.parametrize("pattern", ["(", r"^\d+_", "[a", ""])
def test_a_pattern_that_names_no_patient_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"pattern .* (malformed|has no \(group\))"):
        grouping(pattern)


@given(
    owners=st.lists(st.integers(0, 11), max_size=60),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_a_held_out_share_is_whole_patients_and_little_more_than_asked(
    owners: list[int], fraction: float, seed: int
) -> None:
    labels = [owner % 2 for owner in owners]
    held = hold_out([f"p{owner}" for owner in owners], labels, fraction, seed)
    assert len(held) == len(owners)
    sides = set(zip(owners, held, strict=True))
    assert len(sides) == len(set(owners))
    for label in (0, 1):
        taken = sum(h for h, other in zip(held, labels, strict=True) if other == label)
        wanted = round(fraction * labels.count(label))
        largest = max((owners.count(o) for o in owners if o % 2 == label), default=0)
        assert wanted <= taken < wanted + max(largest, 1)


def test_a_patient_with_two_labels_moves_whole() -> None:
    groups = ["both", "both", *(f"n{i}" for i in range(9)), *(f"p{i}" for i in range(9))]
    labels = [0, 1, *[0] * 9, *[1] * 9]
    moved = {tuple(hold_out(groups, labels, 0.3, seed)[:2]) for seed in range(40)}
    assert moved == {(True, True), (False, False)}


def test_the_same_seed_holds_out_the_same_patients_in_any_order() -> None:
    groups = [f"p{i // 2}" for i in range(40)]
    labels = [i // 20 for i in range(40)]
    first = {g for g, held in zip(groups, hold_out(groups, labels, 0.2, 5), strict=True) if held}
    order = random.Random(1).sample(range(40), 40)
    shuffled = [groups[i] for i in order]
    held = hold_out(shuffled, [labels[i] for i in order], 0.2, 5)
    assert {g for g, h in zip(shuffled, held, strict=True) if h} == first
    assert any(
        hold_out(groups, labels, 0.2, seed) != hold_out(groups, labels, 0.2, 5) for seed in range(5)
    )


def test_series_are_kermanys_numberings_or_a_patterns_groups() -> None:
    names = ("person12_virus_4.jpeg", "NORMAL2-IM-0383-0001.jpeg", "IM-0115-0001.jpeg", "a.png")
    assert [kermany_series(Path(n)) for n in names] == ["virus", "NORMAL2-IM", "IM", ""]
    series_of = series_grouping(r"^([a-z]+)-")
    assert [series_of(Path(n)) for n in ("ward-3.png", "Ward-3.png")] == ["ward", ""]
    with pytest.raises(UsageError, match=r"has no \(group\); .*series"):
        series_grouping("ward")


def test_the_lowest_numbers_come_first_as_numbers_and_patients_stay_whole() -> None:
    patients = ["p10", "p9", "p9", "p101", "p2", "p10"]
    assert hold_out_lowest(patients, range(6), 2) == [4, 1, 2]
    assert hold_out_lowest(patients, [0, 3, 5], 1) == [0, 5]
    assert hold_out_lowest(patients, range(6), 0) == []
