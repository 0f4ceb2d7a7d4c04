import errno
import os
import time
from pathlib import Path

import pytest

from cxr_edge.service.inbox import sweep as module
from cxr_edge.service.inbox.sweep import Inbox


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inbox(tmp_path, clock):
    (tmp_path / "inbox").mkdir()
    return Inbox(tmp_path / "inbox", 2.0, clock=clock)


def put(inbox, name, data=b"image", *, age_s=0.0):
    """Write a file whose last change is some seconds ago, and which was renamed now."""
    path = inbox.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    changed = time.time() - age_s
    os.utime(path, (changed, changed))
    return path


def taken(inbox):
    inbox.sweep()
    paths = []
    while item := inbox.take():
        paths.append(item.path)
    return paths


def test_a_file_is_complete_after_the_settle_time(inbox, clock):
    put(inbox, "a.png")
    assert taken(inbox) == []
    assert (inbox.waiting, inbox.growing) == (1, 1)
    clock.now += 1.9
    assert taken(inbox) == []
    clock.now += 0.2
    assert taken(inbox) == ["a.png"]


def test_a_file_that_grows_is_waited_for(inbox, clock):
    for length in range(5):
        put(inbox, "a.png", b"x" * length)
        assert taken(inbox) == []
        clock.now += 1.5
    clock.now += 1
    assert taken(inbox) == ["a.png"]


def test_a_file_renamed_in_is_complete_at_once(inbox):
    put(inbox, "sub/a.png", age_s=3)
    put(inbox, "b.png", age_s=0.5)
    assert taken(inbox) == ["sub/a.png"]


def test_the_clock_of_a_share_does_not_matter(inbox, clock, monkeypatch):
    """An hour behind: both times of a growing file are old, and say nothing alone."""
    put(inbox, "a.png")

    class Status:
        def __init__(self, status):
            self.st_ino, self.st_size, self.st_mode = status.st_ino, status.st_size, status.st_mode
            self.st_mtime_ns = self.st_ctime_ns = status.st_mtime_ns - 3600 * 10**9

    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: Status(lstat(path)))
    assert taken(inbox) == []
    clock.now += 2.1
    assert taken(inbox) == ["a.png"]


def test_what_is_no_delivery_is_left_alone(inbox, clock):
    for name in (".hidden.png", "a.png.part", "b.tmp", "c.filepart", "d.png~", ".cache/e.png"):
        put(inbox, name, age_s=9)
    put(inbox, "__MACOSX/f.png", age_s=9)
    os.mkfifo(inbox.folder / "pipe")
    (inbox.folder / "link.png").symlink_to("/etc/hostname")
    (inbox.folder / "empty").mkdir()
    put(inbox, "no image.txt", age_s=9)
    assert taken(inbox) == ["no image.txt"]  # it becomes a failure, and leaves the inbox


def test_a_taken_file_is_not_offered_again_before_it_is_done(inbox, clock):
    put(inbox, "a.png", age_s=9)
    inbox.sweep()
    item = inbox.take()
    assert taken(inbox) == []
    inbox.done(item)
    assert taken(inbox) == ["a.png"]


def test_a_file_that_cannot_be_moved_is_offered_again_after_a_minute_or_a_change(inbox, clock):
    put(inbox, "a.png", age_s=9)
    inbox.sweep()
    inbox.done(inbox.take(), leave_alone=True)
    clock.now += 30
    assert taken(inbox) == []
    assert inbox.waiting == 0
    clock.now += 31
    inbox.sweep()
    item = inbox.take()
    assert item.path == "a.png"
    inbox.done(item, leave_alone=True)
    put(inbox, "a.png", b"another", age_s=9)
    assert taken(inbox) == ["a.png"]


def test_a_file_left_alone_during_a_sweep_stays_so(inbox, clock, monkeypatch):
    put(inbox, "a.png", age_s=9)
    inbox.sweep()
    item, listed = inbox.take(), inbox._files

    def while_listing():
        yield from listed()
        inbox.done(item, leave_alone=True)

    monkeypatch.setattr(inbox, "_files", while_listing)
    inbox.sweep()
    monkeypatch.undo()
    assert inbox.left_alone == 1
    assert taken(inbox) == []
    clock.now += 61
    assert taken(inbox) == ["a.png"]


def test_a_backlog_waits_in_the_folder(inbox, monkeypatch):
    monkeypatch.setattr(module, "_READY", 10)
    for number in range(35):
        put(inbox, f"{number:02}.png", age_s=9)
    inbox.sweep()
    assert (inbox.ready, inbox.waiting) == (10, 35)
    order = []
    while len(order) < 35:
        for item in iter(inbox.take, None):
            (inbox.folder / item.path).unlink()
            inbox.done(item)
            order.append(item.path)
        inbox.sweep()
    assert order == sorted(order)


def test_an_inbox_that_is_away_is_a_problem_and_comes_back(inbox, tmp_path):
    put(inbox, "a.png", age_s=9)
    inbox.folder.rename(tmp_path / "away")
    assert taken(inbox) == []
    assert (
        inbox.problem
        == f"{inbox.folder}: cannot be read: No such file or directory; check the path"
    )
    (tmp_path / "away").rename(inbox.folder)
    assert taken(inbox) == ["a.png"]
    assert inbox.problem == ""


def test_an_inbox_that_may_not_be_read_is_a_problem(inbox, monkeypatch):
    put(inbox, "a.png", age_s=9)

    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read every folder
    assert taken(inbox) == []
    assert inbox.problem == f"{inbox.folder}: cannot be read: Permission denied; allow it"


def test_names_that_are_no_utf8(inbox):
    path = os.fsencode(inbox.folder) + b"/\xff.png"
    Path(os.fsdecode(path)).touch()
    os.utime(path, (1, 1))
    assert taken(inbox) == ["\udcff.png"]
