import errno
import os
import shutil
from pathlib import Path

import pytest

from cxr_edge.service.inbox.moving import (
    give_back,
    is_leftover,
    kept_name,
    move,
    signature_of,
    stored_path,
)


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


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("has_links", [False, True])
@pytest.mark.parametrize("is_taken", [False, True])
def test_replaced_in_the_instant_before_it_is_claimed(
    file, tmp_path, monkeypatch, is_taken, has_links, across
):
    seen = signature_of(file)
    rename = Path.rename

    def replace_and_rename(path, target):
        if path != file:
            if across and Path(target).parent.name == "processed":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            return rename(path, target)
        path.unlink()
        path.write_bytes(b"the next image")
        result = rename(path, target)
        if is_taken:
            path.write_bytes(b"the one after")
        return result

    monkeypatch.setattr(Path, "rename", replace_and_rename)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    assert not move(file, seen, tmp_path / "processed/a.png")
    contents = sorted(path.read_bytes() for path in file.parent.iterdir())
    assert contents == sorted([b"the next image"] + [b"the one after"] * is_taken)
    assert not (tmp_path / "processed/a.png").exists()


def test_replaced_while_it_is_copied_to_another_file_system(file, tmp_path, monkeypatch):
    rename, copy = Path.rename, shutil.copyfile

    def refuse(path, target):
        if Path(target).parent.name == "processed" and path.parent.name.startswith(
            ".cxr-edge-claimed-"
        ):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, target)

    def copy_while_another_arrives(source, target, **options):
        file.write_bytes(b"the next image")
        return copy(source, target, **options)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(shutil, "copyfile", copy_while_another_arrives)
    assert move(file, signature_of(file), tmp_path / "processed/a.png")
    assert (tmp_path / "processed/a.png").read_bytes() == b"image"
    assert file.read_bytes() == b"the next image"
    assert [path.name for path in (tmp_path / "processed").iterdir()] == ["a.png"]


def test_each_delivery_has_a_place_of_its_own():
    content, other = "0123456789abcdef", "123456789abcdef0"
    assert kept_name("sub/a.png", content) == "sub/a.0123456789ab.png"
    assert kept_name("study", content) == "study.0123456789ab"
    paths = ["x.png", "x.0123456789ab.png", "x", "x.0123456789ab", "x.png.heatmap.png"]
    names = {kept_name(path, hash) for path in paths for hash in (content, other)}
    assert len(names) == 2 * len(paths)
    assert not names & {f"{name}.heatmap.png" for name in names}


@pytest.mark.parametrize("name", ["é" * 125 + ".jpeg", "\\udcff" * 60 + ".png", "a." + "b" * 240])
def test_kept_names_are_not_too_long(name):
    kept = kept_name(name, "0123456789abcdef")
    assert len(os.fsencode(f"{kept}.heatmap.png")) <= 255


def test_what_is_cut_off_a_name_still_tells_it_from_others():
    long = "é" * 124
    names = {kept_name(f"{long}{end}.png", "0123456789abcdef") for end in "ab"}
    folders = {kept_name("\\udcff" * 50 + f"{end}/a.png", "0123456789abcdef") for end in "ab"}
    assert len(names) == len(folders) == 2
    parts = [part for name in names | folders for part in name.split("/")]
    assert all(len(os.fsencode(part)) <= 240 for part in parts)


def test_every_path_has_another_name_in_the_store():
    paths = ["a\nb", "a\\nb", "a\\\\nb", "\udcff", "\\udcff"]
    stored = [stored_path(path) for path in paths]
    assert len(set(stored)) == len(paths) and all(path.isprintable() for path in stored)


def test_a_second_link_to_a_kept_file_leaves_the_inbox(file, tmp_path):
    target = tmp_path / "processed/a.png"
    target.parent.mkdir()
    os.link(file, target)
    assert move(file, signature_of(file), target)
    assert not file.exists() and target.read_bytes() == b"image"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_claimed_file_is_given_back_and_replaces_nothing(file, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    folder = file.parent / ".cxr-edge-claimed-01234567-0"
    folder.mkdir()
    for name in ("a.png", "b.png", "é" * 125 + ".jpeg"):
        (folder / name).write_bytes(b"claimed " + name.encode())
        give_back(folder / name)
        assert not (folder / name).exists()
    (file.parent / ("é" * 125 + ".jpeg")).write_bytes(b"newer")
    (folder / ("é" * 125 + ".jpeg")).write_bytes(b"taken and long")
    give_back(folder / ("é" * 125 + ".jpeg"))
    contents = {path.read_bytes() for path in file.parent.iterdir() if path.is_file()}
    assert {b"image", b"claimed a.png", b"claimed b.png", b"newer", b"taken and long"} <= contents


def refuse_links(*_):
    raise PermissionError(errno.EPERM, "no links")


def test_killed_between_putting_back_and_forgetting_there_is_one_file(file):
    folder = file.parent / ".cxr-edge-claimed-01234567-0"
    folder.mkdir()
    os.link(file, folder / "a.png")
    give_back(folder / "a.png")
    assert [path.name for path in file.parent.rglob("*") if path.is_file()] == ["a.png"]


def test_a_link_among_claimed_folders_is_none(file, tmp_path):
    """A sender may write to the inbox, and must not reach what the service may."""
    folder, link = (file.parent / f".cxr-edge-claimed-01234567-{n}" for n in (0, 1))
    folder.mkdir()
    link.symlink_to(tmp_path)
    assert is_leftover(folder) and not is_leftover(link)


def test_links_and_folders_have_no_signature(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    assert signature_of(tmp_path / "link") is None
    assert signature_of(tmp_path / "pipe") is None
    assert signature_of(tmp_path) is None
    assert signature_of(tmp_path / "nothing") is None
