"""Paths that are not images: each gives a typed error in less than a second."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_edge.errors import ImageError, UsageError
from cxr_edge.image import SUFFIXES, read_image
from cxr_edge.image.listing import stem_of
from cxr_edge.preprocess import Image

Encode = Callable[..., bytes]


@pytest.fixture
def picture(xray: Image, encode: Encode) -> bytes:
    return encode(xray, "PNG")


def refusal(path: str | os.PathLike[str]) -> str:
    started = time.perf_counter()
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert time.perf_counter() - started < 5
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path)


def test_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refusal(tmp_path / "fifo")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_device(device: str) -> None:
    assert device in refusal(device)


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "cannot be opened" in refusal("socket")


def test_symbolic_links(tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "picture.png").write_bytes(picture)
    (tmp_path / "good").symlink_to("picture.png")
    assert "symbolic links" in refusal(tmp_path / "loop")
    assert "No such file" in refusal(tmp_path / "dangling")
    assert read_image(tmp_path / "good").ndim == 2


def test_no_permission(picture: bytes) -> None:
    """As a user that may not read it; root may, so the process becomes nobody first."""
    program = (
        "import os, sys\n"
        "from cxr_edge.image import read_image\n"
        "from cxr_edge.errors import ImageError\n"
        "os.geteuid() or os.setuid(65534)\n"
        "assert read_image(sys.argv[1]).ndim == 2\n"
        "try:\n"
        "    read_image(sys.argv[2])\n"
        "except ImageError as err:\n"
        "    print(err)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        paths = [Path(folder) / "open.png", Path(folder) / "closed.png"]
        for path, mode in zip(paths, (0o644, 0), strict=True):
            path.write_bytes(picture)
            path.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, paths)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    assert "closed.png: cannot be opened: Permission denied" in done.stdout, done.stderr


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "empty" in refusal(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"^<bytes>: the file is empty"):
        read_image(b"")


@pytest.mark.parametrize(
    "name",
    ["new\nline.png", "\N{LUNGS} x.png", "a" * 251 + ".png", "\udcff.png", "\x1b[2J.png", "-"],
)
def test_odd_names(name: str, tmp_path: Path, picture: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(picture)
    assert read_image(path).ndim == 2
    path.write_bytes(b"nothing that is a picture")
    assert "known format" in refusal(path)


@pytest.mark.parametrize("name", ["a\x00b.png", "a" * 256, "x/" * 3000 + "y", ""])
def test_impossible_names(name: str) -> None:
    refusal(name)


def test_a_file_that_shrinks_while_read(
    tmp_path: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shrinking.png"
    path.write_bytes(picture)
    read = os.read

    def shrink_then_read(descriptor: int, size: int) -> bytes:
        os.truncate(path, 100)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", shrink_then_read)
    assert "changed while it was read" in refusal(path)


def test_names_in_messages() -> None:
    with pytest.raises(ImageError, match=r"^<stdin>: not an image"):
        read_image(b"text", name="<stdin>")
    with pytest.raises(ImageError, match=r"^a\\nb: not an image"):
        read_image(b"text", name="a\nb")


def test_channels() -> None:
    with pytest.raises(UsageError, match="expected 1 or 3"):
        read_image(b"", channels=2)  # type: ignore[arg-type]


def test_suffixes() -> None:
    assert {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".dcm"} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in SUFFIXES)


@pytest.mark.parametrize(
    ("source", "stem"),
    [("a/x.png", "x"), ("1.2.840.7", "1.2.840.7"), ("CHEST.IMA", "CHEST"), ("IM 1", "IM 1")],
)
def test_a_number_is_no_suffix(source: str, stem: str) -> None:
    """Of files named by UIDs, each has a report and a heat map of its own name."""
    assert stem_of(source) == stem
