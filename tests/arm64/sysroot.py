"""An arm64 Debian with Python and this project's wheel, to run under an emulator.

Everything is downloaded once, by apt and pip, into a cache that no other program uses; nothing is
installed on this machine. A step that was interrupted is done again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from machines import RaspberryPi

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("CXR_EDGE_ARM64_CACHE", ROOT / ".cache" / "arm64"))
QEMU = "qemu-aarch64-static"
EXTRAS = "device,ncnn"
# Of Debian 12, which Raspberry Pi OS follows.
PYTHON = "python3.11"
_PACKAGES = (PYTHON, "libstdc++6")
_MANYLINUX = ("2014", "_2_17", "_2_27", "_2_28", "_2_31", "_2_34", "_2_36")


@dataclass(frozen=True)
class Emulated:
    """One Raspberry Pi with the project installed."""

    pi: RaspberryPi
    root: Path
    """Where the emulator looks for absolute paths first."""
    site: Path
    """What pip installed."""

    def command(self, *arguments: str | Path) -> list[str]:
        """How to call this machine's Python."""
        python = self.root / "usr" / "bin" / PYTHON
        return ["nice", QEMU, "-cpu", self.pi.cpu, "-L", str(self.root), str(python)] + [
            str(argument) for argument in arguments
        ]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(CACHE), "PYTHONPATH": str(self.site)}

    def python(self, *arguments: str | Path, timeout_s: int) -> str:
        """Run Python and return its standard output."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
        return done.stdout

    def cxr_edge(self, *arguments: str | Path, timeout_s: int) -> str:
        return self.python("-m", "cxr_edge", *arguments, timeout_s=timeout_s)


def install(pi: RaspberryPi) -> Emulated:
    """Build what is missing, and give a machine its own kernel files over the shared tree."""
    _require("apt-get", "apt")
    _require("dpkg", "dpkg")
    _require(QEMU, "qemu-user-static")
    tree, site = once("sysroot", _unpack_debian), _install_wheels()
    root = CACHE / pi.cpu
    root.mkdir(exist_ok=True)
    for name in ("usr", "lib", "etc"):
        if not (root / name).is_symlink():
            (root / name).symlink_to(tree / name)
    pi.write(root)
    return Emulated(pi, root, site)


def _require(program: str, package: str) -> None:
    if not shutil.which(program):
        pytest.fail(f"{program} is missing: apt install {package}")


def once(name: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built beside its place so that it is whole where it is there."""
    folder, part = CACHE / name, CACHE / f"{name}.part"
    if not folder.exists():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        build(part)
        part.rename(folder)
    return folder


def _unpack_debian(tree: Path) -> None:
    """Unpack Python with all it depends on, without running anything of it."""
    apt = CACHE / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()  # nothing is installed: apt finds every dependency
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
        "Debug::NoLocking": "1",
    }
    apt_get = ["apt-get", *(f"-o{key}={value}" for key, value in options.items())]
    advice = f"arm64 packages of Debian 12 ({PYTHON}) are needed: check apt's sources"
    _run([*apt_get, "update"], advice)
    names = ["install", "--download-only", "--yes", "--no-install-recommends", *_PACKAGES]
    _run([*apt_get, *names], advice)
    for package in sorted((apt / "archives").glob("*.deb")):
        _run(["dpkg", "-x", package, tree], "remove the cache and try again")


def _install_wheels() -> Path:
    """Build the project's wheel, and install it with its dependencies as pip does on arm64."""
    dist = CACHE / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    build = [sys.executable, "-m", "build", "--outdir", dist, ROOT]
    _run(build, "the wheel cannot be built", environment)
    (wheel,) = dist.glob("*.whl")
    requirement = f"{wheel}[{EXTRAS}]"
    platform = [
        *("--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:"),
        *(f"--platform=manylinux{version}_aarch64" for version in _MANYLINUX),
    ]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

    def download(folder: Path) -> None:
        command = [*pip, "download", *platform, "--dest", folder, requirement]
        _run(command, "arm64 wheels are needed: check pip's package index")
        (folder / wheel.name).unlink()  # the next one may differ

    def unpack(folder: Path) -> None:
        offline = ["--no-index", "--find-links", wheels, "--target", folder]
        _run([*pip, "install", *platform, *offline, requirement], "remove the cache and try again")

    wheels = once(f"wheels-{digest(_requirements(wheel))}", download)
    site = once(f"site-{digest(wheel.read_bytes(), wheels.name.encode())}", unpack)
    for old in CACHE.glob("site-*"):
        if old != site:
            shutil.rmtree(old)
    return site


def _requirements(wheel: Path) -> bytes:
    """What the wheel's metadata asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).splitlines()
    return b"\n".join(line for line in lines if line.startswith(b"Requires-Dist:"))


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _run(
    command: Sequence[str | Path], advice: str, environment: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env=environment
    )
    if done.returncode:
        pytest.fail(f"{advice}; {command[0]} said: {done.stderr[-1000:]}")
