"""Which files of an archive are images, and how they are named; by path and by address."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.archive.listing import ImageFile, list_archive, portable_name, storable_time
from cxr_edge.archive.remote import RemoteFiles, is_address
from cxr_edge.errors import DataError, ImageError
from cxr_edge.image import list_images

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
DICOM = bytes(128) + b"DICM" + bytes(100)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = {
        "b/2.png": PNG,
        "b/1.JPG": b"",
        "a/IM000001": PNG,
        "a/scan.IMA": DICOM,
        "a/text.IMA": b"text",
        "a/notes.txt": b"text",
        "a/1.2.840.7": DICOM,
        "a/DICOMDIR": DICOM,
        "a/x.heatmap.png": PNG,
        ".hidden/c.png": PNG,
        "__MACOSX/d.png": PNG,
        "#recycle/d.png": PNG,
        "lost+found/d.png": PNG,
        "e.png": PNG,
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_looked_into_is_listed_so_that_reading_it_says_why(
    archive: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (archive / "a/broken link").symlink_to(archive / "nowhere")
    (archive / "a/loop").symlink_to(archive / "a/loop")
    before, opened = set(list_images(archive).images), os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name in ("IM000001", "notes.txt"):
            raise OSError(number, os.strerror(number), os.fspath(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    listing = list_images(archive)
    assert set(listing.images) == before | {archive / "a/notes.txt"}
    assert archive / "a/IM000001" in listing.images
    names = [image.name for image in list_archive(archive) if image]
    assert "a/notes.txt" in names and "a/IM000001" in names


EXPECTED = ["e.png", "a/1.2.840.7", "a/IM000001", "a/scan.IMA", "b/1.JPG", "b/2.png"]


def test_an_archive_has_the_images_of_a_folder(archive: Path) -> None:
    files = list(list_archive(archive))
    images = [image for image in files if image]
    assert files.count(None) == 2
    assert [image.name for image in images] == EXPECTED
    listing = list_images(archive)
    assert [Path(image.path) for image in images] == list(listing.images)
    assert listing.ignored == 2
    status = (archive / "b/2.png").stat()
    assert images[-1] == ImageFile(
        "b/2.png", str(archive / "b/2.png"), status.st_size, status.st_mtime_ns
    )


def test_an_address_lists_and_reads_the_same(archive: Path) -> None:
    remote = RemoteFiles(f"file://{archive}")
    files = list(remote.list())
    images = [image for image in files if image]
    assert files.count(None) == 2
    assert sorted(images, key=_name) == sorted(filter(None, list_archive(archive)), key=_name)
    assert remote.read(images[-1], 1000) == Path(images[-1].path).read_bytes()
    by_name = {image.name: image for image in images}
    with pytest.raises(ImageError, match=r"b/2\.png: 208 bytes, the limit is 100"):
        remote.read(by_name["b/2.png"], 100)
    with pytest.raises(ImageError, match=r"b/1\.JPG: the file is empty"):
        remote.read(by_name["b/1.JPG"], 100)
    with pytest.raises(ImageError, match="changed while it was read"):
        remote.read(dataclasses.replace(by_name["b/2.png"], bytes=100), 1000)
    (archive / "b/2.png").unlink()
    with pytest.raises(ImageError, match=r"b/2\.png: cannot be read: "):
        remote.read(by_name["b/2.png"], 1000)


def test_what_is_no_address_and_what_leads_nowhere(tmp_path: Path) -> None:
    assert is_address("s3://bucket/x")
    assert not any(map(is_address, ["s3:/x", "/x", "C://", "x", "://x"]))
    with pytest.raises(DataError, match="nonsense://x"):
        RemoteFiles("nonsense://x")
    with pytest.raises(DataError, match="cannot be listed"):
        list(RemoteFiles(f"file://{tmp_path}/absent").list())


def test_different_files_never_have_one_name() -> None:
    paths = ["a\\x80", os.fsdecode(b"a\x80"), "a\\\\x80", "aü", "a\\"]
    names = [portable_name(path) for path in paths]
    assert names == ["a\\\\x80", "a\\x80", "a\\\\\\\\x80", "aü", "a\\\\"]
    for name in names:
        name.encode("utf-8")


def test_a_folder_that_cannot_be_listed_is_named(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path) == archive / "b":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read every folder
    with pytest.raises(DataError, match=r"/b: cannot be listed: Permission denied; allow it"):
        list(list_archive(archive))


def test_a_time_that_64_bits_do_not_hold_is_none() -> None:
    assert storable_time(7_000_000_000 * 10**9) == 7_000_000_000 * 10**9
    assert storable_time(10_000_000_000 * 10**9) is None
    assert storable_time(None) is None


def test_a_file_that_cannot_be_examined_is_listed(archive: Path) -> None:
    (archive / "f.png").symlink_to("absent")
    (image,) = [image for image in list_archive(archive) if image and image.name == "f.png"]
    assert (image.bytes, image.modified_ns) == (None, None)


def _name(image: ImageFile) -> str:
    return image.name
