import errno
import os
from pathlib import Path

import pytest

from cxr_edge.service.inbox.moving import kept_name, move, signature_of


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "inbox" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"image")
    return path


def test_a_file_is_moved_and_folders_are_made(file, tmp_path):
    assert move(file, signature_of(file), tmp_path / "processed/sub/a.png")
    assert (tmp_path / "processed/sub/a.png").read_bytes() == b"image"
    assert not file.exists()


def test_a_file_that_changed_meanwhile_is_left(file, tmp_path):
    seen = signature_of(file)
    file.write_bytes(b"another image")
    assert not move(file, seen, tmp_path / "processed/a.png")
    assert file.read_bytes() == b"another image"
    assert not (tmp_path / "processed").exists()


def test_a_file_that_is_gone_is_out_of_the_inbox(file, tmp_path):
    seen = signature_of(file)
    file.unlink()
    assert move(file, seen, tmp_path / "processed/a.png")


@pytest.mark.parametrize("is_taken", [False, True])
def test_replaced_in_the_instant_before_it_is_moved(file, tmp_path, monkeypatch, is_taken):
    seen = signature_of(file)
    rename = Path.rename

    def replace_and_rename(path, target):
        path.unlink()
        path.write_bytes(b"the next image")
        result = rename(path, target)
        if is_taken:
            path.write_bytes(b"the one after")
        return result

    monkeypatch.setattr(Path, "rename", replace_and_rename)
    assert not move(file, seen, tmp_path / "processed/a.png")
    contents = sorted(path.read_bytes() for path in file.parent.iterdir())
    assert contents == sorted([b"the next image"] + [b"the one after"] * is_taken)
    assert not (tmp_path / "processed/a.png").exists()


def test_to_another_file_system(file, tmp_path, monkeypatch):
    rename = Path.rename

    def refuse(path, target):
        if path == file:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    seen = signature_of(file)
    target = tmp_path / "processed/a.png"
    assert move(file, seen, target)
    assert target.read_bytes() == b"image" and not file.exists()
    file.write_bytes(b"changed")
    assert not move(file, seen, tmp_path / "processed/b.png")
    assert [path.name for path in target.parent.iterdir()] == ["a.png"]


def test_names_that_are_kept(tmp_path):
    assert kept_name(tmp_path, "sub/a.png", "0123456789abcdef") == "sub/a.png"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.png").touch()
    assert kept_name(tmp_path, "sub/a.png", "0123456789abcdef") == "sub/a.0123456789ab.png"
    long = "é" * 125 + ".jpeg"
    (tmp_path / long).touch()
    name = kept_name(tmp_path, long, "0123456789abcdef")
    assert len(os.fsencode(name)) <= 255 and name.endswith(".0123456789ab.jpeg")
    (tmp_path / name).touch()
    escaped = "\\udcff" * 60 + ".png"  # as a name that is no text is shown, and stored
    assert len(os.fsencode(kept_name(tmp_path, escaped, "0123456789abcdef"))) <= 255


def test_links_and_folders_have_no_signature(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    assert signature_of(tmp_path / "link") is None
    assert signature_of(tmp_path / "pipe") is None
    assert signature_of(tmp_path) is None
    assert signature_of(tmp_path / "nothing") is None
