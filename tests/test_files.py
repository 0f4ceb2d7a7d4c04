"""Files: bounded reading of regular files, and writing that is whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from cxr_edge.device.temporary import FILE_PREFIX
from cxr_edge.errors import BundleError, ImageError, OutputError
from cxr_edge.files import (
    atomic_path,
    check_writable,
    printable,
    read_file,
    sha256,
    why,
    why_no_file,
    write_file,
)


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def refused(path: Path | str, **options: object) -> str:
    """The message of the refusal: at once, one line, and no descriptor left open."""
    before, start = open_descriptors(), time.perf_counter()
    with pytest.raises(ImageError) as caught:
        read_file(path, **{"max_bytes": 1000, "error": ImageError, **options})  # type: ignore[arg-type]
    assert time.perf_counter() - start < 5
    assert open_descriptors() == before
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_file(path, max_bytes=2**30, error=ImageError) == data
    assert read_file(str(path), max_bytes=2**30, error=ImageError) == data


def test_a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert len(read_file(path, max_bytes=1000, error=ImageError)) == 1000
    path.write_bytes(b"x" * 1001)
    assert "1,001 bytes, the limit is 1,000" in refused(path)


def test_a_sparse_file_of_a_terabyte_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 2**40)
    assert "the limit is" in refused(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "not a regular file" in refused(tmp_path)


def test_a_fifo_that_nobody_writes_to_is_refused_instead_of_waiting(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert "not a regular file" in refused(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    assert "not a regular file" in refused(device)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        refused("socket")


def test_an_absent_file_is_refused_by_name(tmp_path: Path) -> None:
    assert f"{tmp_path}/absent: cannot be opened: No such file" in refused(tmp_path / "absent")


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert "No such file" in refused(tmp_path / "link")


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "cannot be opened" in refused(tmp_path / "a")


def test_a_link_is_followed_unless_that_is_forbidden(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", max_bytes=10, error=ImageError) == b"content"
    assert "cannot be opened" in refused(tmp_path / "link", follow_symlinks=False)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "empty" in refused(tmp_path / "file")


def test_a_name_with_a_nul_is_refused_and_printed_escaped(tmp_path: Path) -> None:
    assert r"a\x00b" in refused(f"{tmp_path}/a\0b")


def test_a_name_too_long_or_not_encodable_is_refused(tmp_path: Path) -> None:
    assert "too long" in refused(tmp_path / ("x" * 300))
    refused(f"{tmp_path}/\ud800")


def test_a_name_with_newlines_and_colours_is_printed_on_one_plain_line(tmp_path: Path) -> None:
    message = refused(tmp_path / "a\nb\x1b[31m\udcffé")
    assert r"a\nb\x1b[31m\udcffé" in message


@pytest.mark.parametrize("size", [999, 1001])
def test_a_file_that_changes_its_size_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    read = os.read

    def resize_then_read(descriptor: int, count: int) -> bytes:
        os.truncate(path, size)
        return read(descriptor, count)

    monkeypatch.setattr(os, "read", resize_then_read)
    assert "changed while it was read" in refused(path)


def test_the_error_is_of_the_type_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        read_file(tmp_path, max_bytes=1, error=BundleError)


def test_printable_leaves_letters_of_every_script_alone() -> None:
    assert printable(Path("größe/写真 1.png")) == "größe/写真 1.png"


def test_sha256_is_the_published_value_for_abc() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_writing_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file.json"
    write_file(path, b"a long first content")
    write_file(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_that_opened_the_old_file_still_reads_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old" * 1000)
    with path.open("rb") as reader:
        write_file(path, b"new")
        assert reader.read() == b"old" * 1000


def test_a_link_is_replaced_and_its_target_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "link").symlink_to("target")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"target"
    assert not (tmp_path / "link").is_symlink()


def test_a_folder_in_place_of_the_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "inner").mkdir(parents=True)
    with pytest.raises(OutputError, match="out: is a folder; name a file to write"):
        write_file(folder, b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (folder / "inner").is_dir()


def test_a_file_in_place_of_the_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OutputError):
        write_file(tmp_path / "file" / "inner", b"data")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_name_too_long_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"):
        write_file(tmp_path / ("x" * 300), b"data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("owner", "call"), [(os, "fsync"), (Path, "replace"), (Path, "write_bytes"), (Path, "touch")]
)
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, call: str
) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, call, disk_full)
    with pytest.raises(OutputError, match="file: cannot be written: No space left"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_once_the_file_is_replaced_nothing_claims_that_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    fsync, calls = os.fsync, []

    def second_call_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:  # the folder's, after the renaming
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", second_call_fails)
    write_file(path, b"new")
    assert len(calls) == 2
    assert path.read_bytes() == b"new"


def test_the_temporary_keeps_the_suffix_and_goes_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_path(tmp_path / "model.keras") as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.name.startswith(FILE_PREFIX)
        temporary.write_bytes(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    for path in (fifo, link):
        with pytest.raises(OutputError, match="is no regular file; name a file to write"):
            write_file(path, b"data")
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert link.is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fifo", "link"]


def test_a_name_that_no_file_can_have_is_refused_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        write_file(tmp_path / "a\0b\nc", b"data")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_size_than_recorded_is_said_to_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 900)
    assert read_file(path, max_bytes=1000, error=ImageError, expected_bytes=900) == b"x" * 900
    for recorded in (899, 901):
        message = refused(path, expected_bytes=recorded)
        assert f"900 bytes, {recorded} were recorded; the file changed" in message


def test_an_empty_name_is_refused_as_such() -> None:
    assert refused("") == "an empty path, expected the name of a file"


def test_a_folder_that_takes_no_file_is_found_beforehand(tmp_path: Path) -> None:
    check_writable(tmp_path / "new/folder")
    assert not list(tmp_path.iterdir())
    if Path("/proc/self").exists():
        with pytest.raises(OutputError, match=r"^/proc/new: cannot be written"):
            check_writable(Path("/proc/new"))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    file, fifo, loop, cut = (tmp_path / name for name in ("file", "fifo", "loop", "cut"))
    file.touch()
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    cut.symlink_to(tmp_path / "absent")
    assert why_no_file(file) == ""
    assert why_no_file(file / "below") == "no such file"
    assert why_no_file(fifo) == "a FIFO, no file"
    assert why_no_file(tmp_path) == "a folder"
    assert "device" in why_no_file(Path(os.devnull))
    assert "symbolic links" in why_no_file(loop)
    assert "not there" in why_no_file(cut)
    assert "name too long" in why_no_file(tmp_path / ("a" * 300))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, "No such file or directory; check the path"),
        (errno.EACCES, "Permission denied; allow it"),
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_says_comes_with_what_to_do(number: int, expected: str) -> None:
    assert why(OSError(number, os.strerror(number))) == expected
    assert why(OSError("of a library")) == "of a library"
