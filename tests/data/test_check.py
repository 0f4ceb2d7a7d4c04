"""The data check finds every fault of a data set, and calls a sound one clean."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.data.check import check_data
from cxr_edge.data.patients import grouping
from cxr_edge.errors import DataError

KERMANY = grouping(None)


def write_image(path: Path, seed: int) -> Path:
    """Write a small PNG that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (9, 11), np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A clean data set: train with three patients and five images, test with two."""
    names = (
        "train/NORMAL/IM-0001-0001.png",
        "train/NORMAL/IM-0001-0002.png",
        "train/PNEUMONIA/person1_virus_1.png",
        "train/PNEUMONIA/person1_virus_2.png",
        "train/PNEUMONIA/person1_bacteria_3.png",
        "test/NORMAL/IM-0002-0001.png",
        "test/PNEUMONIA/person2_virus_4.png",
    )
    for seed, name in enumerate(names):
        write_image(tmp_path / "data" / name, seed)
    return tmp_path / "data"


def test_a_clean_data_set_is_counted_and_called_clean(data: Path) -> None:
    report = check_data(data, KERMANY)
    assert report.counts == {
        "train": {"NORMAL": 2, "PNEUMONIA": 3},
        "test": {"NORMAL": 1, "PNEUMONIA": 1},
    }
    assert report.patients == {"train": 3, "test": 2}
    assert report.unreadable == report.duplicates == report.contradictions == ()
    assert report.shared_patients == {"train/test": ()}
    assert report.clean


def test_a_folder_without_parts_is_one_part(data: Path) -> None:
    report = check_data(data / "train", KERMANY)
    assert report.counts == {"all": {"NORMAL": 2, "PNEUMONIA": 3}}
    assert report.shared_patients == {}


def test_what_archivers_leave_is_named_and_not_counted(data: Path) -> None:
    (data / "train").rename(data / "Train")
    expected = check_data(data, KERMANY)
    (data / "Train" / "__MACOSX").mkdir()
    report = check_data(data, KERMANY)
    assert report.counts == expected.counts and set(report.counts) == {"train", "test"}
    assert report.ignored == (str(data / "Train" / "__MACOSX"),) and report.clean


def test_a_damaged_file_is_named_and_spoils_the_data_set(data: Path) -> None:
    damaged = data / "train" / "NORMAL" / "IM-0001-0002.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    report = check_data(data, KERMANY)
    assert len(report.unreadable) == 1
    assert str(damaged) in report.unreadable[0]
    assert report.counts["train"]["NORMAL"] == 2
    assert not report.clean


def test_a_copy_within_a_class_is_reported_but_harmless(data: Path) -> None:
    original = data / "train" / "NORMAL" / "IM-0001-0001.png"
    copy = Path(shutil.copy(original, original.with_name("IM-0001-0003.png")))
    report = check_data(data, KERMANY)
    assert report.duplicates == ((str(original), str(copy)),)
    assert report.contradictions == ()
    assert report.clean


@pytest.mark.parametrize(
    "place", ["train/PNEUMONIA/person9_virus_1.png", "test/NORMAL/IM-0009-0001.png"]
)
def test_the_same_image_with_two_labels_or_in_two_parts_is_a_contradiction(
    data: Path, place: str
) -> None:
    original = data / "train" / "NORMAL" / "IM-0001-0001.png"
    copy = Path(shutil.copy(original, data / place))
    report = check_data(data, KERMANY)
    assert report.contradictions == report.duplicates == ((str(original), str(copy)),)
    assert not report.clean


def test_two_unreadable_files_are_no_duplicates(data: Path) -> None:
    for name in ("IM-0001-0001.png", "IM-0001-0002.png"):
        (data / "train" / "NORMAL" / name).write_bytes(b"the same damage")
    report = check_data(data, KERMANY)
    assert len(report.unreadable) == 2
    assert report.duplicates == ()


def test_a_patient_in_two_parts_is_found_by_the_grouping_rule(data: Path) -> None:
    write_image(data / "test" / "PNEUMONIA" / "person1_virus_77.png", 99)
    report = check_data(data, KERMANY)
    assert report.shared_patients == {"train/test": ("virus-1",)}
    assert not report.clean
    assert check_data(data, grouping("(.*)")).clean


def test_every_pair_of_parts_is_compared(data: Path) -> None:
    write_image(data / "val" / "NORMAL" / "IM-0002-0009.png", 50)
    write_image(data / "val" / "PNEUMONIA" / "person1_bacteria_9.png", 51)
    assert check_data(data, KERMANY).shared_patients == {
        "train/val": ("bacteria-1",),
        "train/test": (),
        "val/test": ("IM-2",),
    }


def test_progress_covers_all_parts(data: Path) -> None:
    seen: list[tuple[int, int]] = []
    check_data(data, KERMANY, lambda done, total: seen.append((done, total)))
    assert seen == [(number, 7) for number in range(1, 8)]


def test_a_data_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        check_data(tmp_path / "nowhere", KERMANY)


def test_the_real_data_sets_copies_are_found_and_nothing_worse(data_root: Path) -> None:
    report = check_data(data_root / "chest_xray", KERMANY)
    assert report.counts["train"] == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert sum(report.counts["test"].values()) == 304
    files = sorted((data_root / "chest_xray").glob("*/*/*.jpeg"))
    hashes = Counter(hashlib.sha256(path.read_bytes()).digest() for path in files)
    copies = sorted(number for number in hashes.values() if number > 1)
    assert copies
    assert sorted(map(len, report.duplicates)) == copies
    assert report.clean
