"""Folders of classes: listing, reading and refusals."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge.data import folders
from cxr_edge.data.folders import (
    SPLITS,
    find_images,
    find_split,
    open_folder,
    read_folder,
    training_folder,
)
from cxr_edge.errors import DataError
from cxr_edge.image import read_image
from cxr_edge.preprocess import Image, resize_to_input
from cxr_edge.reporting import Advance
from cxr_edge.spec import InputSpec

SMALL = InputSpec(height=12, width=16)


def write_image(path: Path, level: int = 90) -> Path:
    """Write a PNG (whatever the suffix) with a gradient that starts at ``level``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.add.outer(np.arange(30), np.arange(40)).astype(np.uint8) + np.uint8(level)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


class Recording:
    """A reporter that records messages and progress."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.advanced: list[tuple[int, int]] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        yield lambda done, total: self.advanced.append((done, total))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: cat with three images, dog with two."""
    for number, name in enumerate(
        ("cat/b.png", "cat/a.png", "cat/c.png", "dog/z.png", "dog/y.png")
    ):
        write_image(tmp_path / "set" / name, 20 * number)
    return tmp_path / "set"


def test_images_are_found_by_suffix_in_any_case_and_sorted(tmp_path: Path) -> None:
    names = ["B.JPG", "a.png", "c.dcm", "d.TiFF", "sub/e.webp"]
    for name in [*names, "notes.txt", "png", ".hidden.png", ".git/x.png", "a.png.part"]:
        write_image(tmp_path / name)
    images = [str(path.relative_to(tmp_path)) for path in find_images(tmp_path)]
    assert images == names


def test_links_to_folders_are_not_followed(folder: Path) -> None:
    (folder / "cat" / "loop").symlink_to(folder, target_is_directory=True)
    assert len(find_images(folder / "cat")) == 3


def test_a_folder_of_classes_is_listed_class_by_class(folder: Path) -> None:
    listed = open_folder(folder)
    assert listed.labels == ("cat", "dog")
    assert [path.name for path in listed.files] == ["a.png", "b.png", "c.png", "y.png", "z.png"]
    assert listed.indices == (0, 0, 0, 1, 1)
    assert listed.counts == {"cat": 3, "dog": 2}


def test_the_models_label_order_wins_over_the_alphabet(folder: Path) -> None:
    listed = open_folder(folder, ("dog", "cat"))
    assert listed.labels == ("dog", "cat")
    assert listed.indices == (0, 0, 1, 1, 1)
    assert [path.parent.name for path in listed.files] == ["dog"] * 2 + ["cat"] * 3


def test_hidden_folders_and_loose_files_are_no_classes(folder: Path) -> None:
    write_image(folder / ".ipynb_checkpoints" / "a.png")
    (folder / "README.txt").write_text("about")
    assert open_folder(folder).labels == ("cat", "dog")


def test_an_absent_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder; check the path"):
        open_folder(tmp_path / "nowhere")


def test_a_file_is_no_folder_of_classes(folder: Path) -> None:
    with pytest.raises(DataError, match="is no folder; name the one that holds it"):
        open_folder(folder / "cat" / "a.png")


def test_a_folder_that_cannot_be_opened_is_refused_in_one_line(tmp_path: Path) -> None:
    impossible = tmp_path / ("x" * 300)
    with pytest.raises(DataError, match="File name too long"):
        open_folder(impossible)
    with pytest.raises(DataError, match="File name too long"):
        find_split(impossible, "train")


def test_a_folder_of_loose_images_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"found nothing, expected a folder for each class"):
        open_folder(folder / "cat")


@pytest.mark.parametrize("labels", [("cat",), ("cat", "dog", "cow"), ("cat", "Dog")])
def test_other_classes_than_the_models_are_refused(folder: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(
        DataError, match=f"found cat, dog, expected the folders {', '.join(labels)}"
    ):
        open_folder(folder, labels)


def test_a_class_without_images_is_refused_by_name(folder: Path) -> None:
    (folder / "cow").mkdir()
    (folder / "cow" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError, match=r"cow: holds no images, expected .* suffixes \.bmp, "):
        open_folder(folder)


def test_a_message_about_a_folder_stays_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_folder(tmp_path / "two\nlines\x1b[31m")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("train", "train"), ("Train", "train"), ("training", "train")),
        *(("TEST", "test"), ("Testing", "test"), ("valid", "val"), ("Validation", "val")),
    ],
)
def test_parts_of_a_data_set_are_found_in_any_spelling(
    tmp_path: Path, name: str, split: str
) -> None:
    (tmp_path / name).mkdir()
    assert find_split(tmp_path, split) == tmp_path / name
    assert all(find_split(tmp_path, other) is None for other in {*SPLITS} - {split})
    assert find_split(tmp_path / "absent", split) is None


def test_a_part_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "validation").mkdir()
    with pytest.raises(DataError, match="has the folders val, validation; keep one"):
        find_split(tmp_path, "val")


def test_what_archivers_leave_is_no_class_and_is_named(folder: Path) -> None:
    expected = open_folder(folder)
    for name in ("__MACOSX", ".ipynb_checkpoints", ".DS_Store"):
        (folder / name).mkdir()
        (folder / name / "a.png").write_bytes(expected.files[0].read_bytes())
    (folder / "cat" / "__MACOSX").mkdir()
    (folder / "cat" / "__MACOSX" / "b.png").write_bytes(b"")
    listed = open_folder(folder)
    assert (listed.labels, listed.files) == (expected.labels, expected.files)
    assert listed.ignored == (".DS_Store", ".ipynb_checkpoints", "__MACOSX")
    reporter = Recording()
    read_folder(listed, SMALL, reporter)
    assert reporter.messages == [f"{folder}: ignored: .DS_Store, .ipynb_checkpoints, __MACOSX"]


def test_a_test_folder_without_a_training_folder_is_no_class(folder: Path) -> None:
    assert training_folder(folder) == folder
    (folder / "Test").mkdir()
    with pytest.raises(DataError, match="has the folder Test but no train"):
        training_folder(folder)
    (folder / "TRAIN").mkdir()
    assert training_folder(folder) == folder / "TRAIN"


def test_images_are_read_in_order_at_the_networks_size(folder: Path) -> None:
    listed = open_folder(folder)
    images = read_folder(listed, SMALL)
    assert images.pixels.shape == (5, 12, 16, 1)
    assert images.pixels.dtype == np.uint8
    for pixels, path in zip(images.pixels, listed.files, strict=True):
        np.testing.assert_array_equal(pixels, resize_to_input(read_image(path), SMALL)[0])
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.files == listed.files
    assert images.unreadable == ()


def test_a_model_of_three_channels_is_given_colour(folder: Path) -> None:
    spec = InputSpec(height=12, width=16, channels=3)
    assert read_folder(open_folder(folder), spec).pixels.shape == (5, 12, 16, 3)


def test_unreadable_files_are_left_out_and_named_with_the_reason(folder: Path) -> None:
    whole = (folder / "cat" / "b.png").read_bytes()
    (folder / "cat" / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "dog" / "y.png").write_bytes(b"")
    images = read_folder(open_folder(folder), SMALL)
    assert [path.name for path in images.files] == ["a.png", "c.png", "z.png"]
    assert images.labels.tolist() == [0, 0, 1]
    assert [path.name for path, _ in images.unreadable] == ["b.png", "y.png"]
    for path, reason in images.unreadable:
        assert str(path) in reason
        assert len(reason) > len(str(path)) + 10


def test_a_class_with_only_damaged_images_is_refused(folder: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"not an image")
    with pytest.raises(DataError, match="dog: none of its images can be read"):
        read_folder(open_folder(folder), SMALL)


def test_progress_counts_every_file(folder: Path) -> None:
    (folder / "cat" / "a.png").write_bytes(b"not an image")
    reporter = Recording()
    read_folder(open_folder(folder), SMALL, reporter)
    assert reporter.advanced == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    (message,) = reporter.messages
    assert message.startswith("left out: ")
    assert "a.png" in message


def test_several_threads_give_what_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        write_image(tmp_path / "cat" / f"{number:02}.png", 3 * number)
    for name in ("cat/03.png", "cat/17.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not an image")
    write_image(tmp_path / "dog" / "a.png")
    threads: set[int] = set()

    def read_and_note(path: Path, **options: Any) -> Image:
        threads.add(threading.get_ident())
        time.sleep(0.001)  # lets another thread begin
        return read_image(path, **options)

    monkeypatch.setattr(folders, "read_image", read_and_note)
    results = []
    for count in (1, 3):
        threads.clear()
        monkeypatch.setattr(folders, "usable_cpus", lambda count=count: count)
        reporter = Recording()
        results.append((read_folder(open_folder(tmp_path), SMALL, reporter), reporter))
        assert len(threads) == count
    (alone, said_alone), (together, said_together) = results
    np.testing.assert_array_equal(together.pixels, alone.pixels)
    assert together.files == alone.files and len(alone.files) == 59
    assert together.labels.tolist() == alone.labels.tolist()
    assert together.unreadable == alone.unreadable and len(alone.unreadable) == 3
    assert said_together.messages == said_alone.messages
    assert said_together.advanced == said_alone.advanced


def test_few_files_are_read_ahead_of_those_that_were_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(250):
        (tmp_path / "cat" / f"{number}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{number}.png").touch()
    write_image(tmp_path / "dog" / "a.png")
    begun: list[Path] = []
    ahead: list[int] = []

    def read_and_note(path: Path, **options: Any) -> Image:
        begun.append(path)
        return np.zeros((30, 40), np.uint8)

    class Slow(Recording):
        @contextlib.contextmanager
        def bar(self, label: str) -> Iterator[Advance]:
            def advance(done: int, total: int) -> None:
                if done == 1:
                    time.sleep(0.2)  # all that may be read ahead is
                ahead.append(len(begun) - done)

            yield advance

    monkeypatch.setattr(folders, "read_image", read_and_note)
    monkeypatch.setattr(folders, "usable_cpus", lambda: 2)
    read_folder(open_folder(tmp_path), SMALL, Slow())
    assert len(begun) == len(ahead) == 251
    assert 0 < ahead[0] <= max(ahead) < 100


@pytest.mark.parametrize(
    "name",
    [
        "a\nb",
        "c\x1b[31m",
        "tab\t",
        "end\u2028",
        "\udc80",
        "ill\u200b",
        "\u202egnp",
        "a ",
        "a\u00a0",
        "x" * 201,
    ],
)
def test_a_class_whose_name_is_no_text_is_refused(folder: Path, name: str) -> None:
    """It would reach terminals, charts and the spec."""
    (folder / name).mkdir()
    (folder / "cat/b.png").rename(folder / name / "x.png")
    with pytest.raises(DataError, match=r"a label is expected to be 1\.\.200") as caught:
        open_folder(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["Lungenentz\u00fcndung", "no\u00a0break", "\u0645\u06cc\u200c\u0634\u0648\u062f"]
)
def test_a_class_may_have_a_name_in_any_language(folder: Path, name: str) -> None:
    (folder / "cat").rename(folder / name)
    assert set(open_folder(folder).labels) == {name, "dog"}
