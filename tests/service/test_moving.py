import errno
import os
import shutil
from pathlib import Path

import pytest

from cxr_edge.service.inbox.moving import kept_name, move, recover, signature_of, stored_path


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

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no links")

    monkeypatch.setattr(Path, "rename", replace_and_rename)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
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
    assert len(os.fsencode(kept)) <= 255 and "0123456789ab" in kept


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


def test_what_a_process_that_died_had_claimed_is_put_back(file):
    claimed = file.parent / ".cxr-edge-claimed-01234567"
    claimed.mkdir()
    (claimed / "b.png").write_bytes(b"claimed")
    (claimed / "a.png").write_bytes(b"claimed too")
    recover(file.parent)
    assert not claimed.exists()
    assert (file.parent / "b.png").read_bytes() == b"claimed"
    contents = sorted(path.read_bytes() for path in file.parent.iterdir())
    assert contents == [b"claimed", b"claimed too", b"image"]


def test_a_link_among_what_was_claimed_leads_nowhere(file, tmp_path):
    """A sender may write to the inbox, and must not reach what the service may."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/results.db").touch()
    (file.parent / ".cxr-edge-claimed-01234567").symlink_to(tmp_path / "state")
    recover(file.parent)
    assert move(file, signature_of(file), tmp_path / "processed/a.png")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["results.db"]


def test_links_and_folders_have_no_signature(tmp_path, file):
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    assert signature_of(tmp_path / "link") is None
    assert signature_of(tmp_path / "pipe") is None
    assert signature_of(tmp_path) is None
    assert signature_of(tmp_path / "nothing") is None
