"""What is installed: the wheel's names, its size, the sdist, and a base install that predicts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_edge import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
MAX_WHEEL_BYTES = 16_500_000
BUILD_ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
"""`make wheel` takes the date of the last commit."""


@pytest.fixture(scope="module")
def dist(build_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The wheel built from the sdist, as an installer without the repository would.

    Once for all processes: two builds in one repository disturb each other.
    """

    def build(out: Path) -> None:
        command = [sys.executable, "-m", "build", "--outdir", out, ROOT]
        subprocess.run(command, check=True, capture_output=True, env=BUILD_ENVIRONMENT)

    return build_once("dist", build)


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def test_the_wheel_holds_the_whole_tree_under_one_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    tops = {name.split("/")[0] for name in names}
    assert tops == {"cxr_edge", f"cxr_edge-{__version__}.dist-info"}
    tree = {
        prefix + path.relative_to(ROOT).as_posix()
        for prefix, folder in (("", "cxr_edge"), ("cxr_edge/", "export"), ("cxr_edge/", "train"))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if name.startswith("cxr_edge/")} == tree


def test_two_builds_give_the_same_bytes(dist, wheel, tmp_path):
    """The second from files of other dates and permissions, in another folder."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)
    (tree,) = tmp_path.iterdir()
    for path in tree.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
        path.chmod(path.stat().st_mode | 0o020)
    command = [sys.executable, "-m", "build", "--outdir", tmp_path / "again", tree]
    subprocess.run(command, check=True, capture_output=True, env=BUILD_ENVIRONMENT)
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


def test_every_dependency_is_in_the_table_of_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    devices = [*project["dependencies"]]
    for name, packages in extras.items():
        if name not in ("test", "all", "soak"):
            devices += packages
    wanted = {re.match(r"[\w-]+", package)[0] for package in devices} - {"cxr-edge"}
    table = (ROOT / "docs/dependencies.md").read_text()
    assert {*re.findall(r"^\| ([\w-]+) \| ", table, re.MULTILINE)} - {"package"} == wanted


def test_the_wheel_carries_the_packages_bundles_and_stays_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("cxr_edge/reference", "cxr_edge/compact"):
        carried = {name for name in names if name.startswith(f"{folder}/")}
        assert carried == {f"{folder}/{path.name}" for path in (ROOT / folder).iterdir()}
        assert f"{folder}/manifest.json" in carried
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


def test_the_sdist_holds_what_builds_and_tests_need(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "LICENSE",
        "README.md",
        "train/fitting/fit.py",
        "export/commit.py",
        "setup.py",
        "constraints.txt",
        "tests/bundle/data/2.0/manifest.json",
    } <= names


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in citation
    assert "\ncff-version: 1.2.0\n" in f"\n{citation}"
    for key in ("message", "title", "authors", "license"):
        assert f"\n{key}: " in citation or f"\n{key}:\n" in citation, key


def test_a_package_index_shows_who_made_it_and_what_it_is_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = f"cxr_edge-{__version__}.dist-info/METADATA"
        metadata = archive.read(name).decode()
    for field in ("Author", "Keywords", "Project-URL", "License-Expression", "Summary"):
        assert f"\n{field}: " in metadata, field
