"""The scripts for a Raspberry Pi: what they refuse before they change anything, and the units.

``tests/system/test_deploy.py`` installs with them.
"""

from __future__ import annotations

import configparser
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cxr_edge.service.config import ServiceConfig, sample_config

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy/raspberry-pi"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Programs that are found before the system's; by default a 64-bit Raspberry Pi."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, says in {"getconf": "64", "uname": "aarch64"}.items():
        write_tool(folder, name, f"echo {says}")
    write_tool(folder, "python3", f'exec "{sys.executable}" "$@"')
    write_tool(folder, "df", "printf 'head\\n/dev/root 30000 1 20000 1%% /\\n'")
    return folder


def write_tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def call(tools: Path, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(DEPLOY / script), *map(str, arguments)],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fill(wheelhouse: Path, *names: str) -> Path:
    wheelhouse.mkdir()
    for name in names:
        (wheelhouse / name).touch()
    return wheelhouse


NUMPY = f"numpy-2.0-cp{VERSION.replace('.', '')}-cp3-manylinux_2_28_aarch64.whl"
WHEEL = "cxr_edge-0.1.0-py3-none-any.whl"

MAKE = f"make wheelhouse ARCHITECTURE=aarch64 DEVICE_PYTHON={re.escape(VERSION)}"

REFUSED = {
    "a 32-bit system on a 64-bit kernel": ("getconf", "echo 32", "this system is 32-bit"),
    "another processor": (
        "uname",
        "echo riscv64",
        r"the processor is riscv64, expected aarch64 .* or x86_64",
    ),
    "an old Python": ("python3", "echo 3.9", r"python3 is 3\.9, expected 3\.11 to 3\.13"),
    "no module to make environments": (
        "python3",
        f'[ "${{2#*ensurepip}}" = "$2" ] && echo {VERSION}',
        "apt install python3-venv",
    ),
    "a full card": (
        "df",
        "printf 'head\\n/dev/root 30000 1 599 99%% /\\n'",
        "599 MB free, 600 are needed",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_one_line_before_anything_is_changed(
    tools: Path, tmp_path: Path, case: str
) -> None:
    name, script, message = REFUSED[case]
    write_tool(tools, name, script)
    root = tmp_path / "root"
    root.mkdir()
    wheels = fill(tmp_path / "wheels", NUMPY, WHEEL)
    done = call(tools, "install.sh", "--root", root, "--wheelhouse", wheels)
    assert done.returncode == 1
    assert re.fullmatch(rf"install\.sh: .*{message}.*\n", done.stderr), done.stderr
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("wheels", "options", "message"),
    [
        ([WHEEL], [], rf"no wheels for Python {VERSION} on aarch64; run: {MAKE}"),
        ([NUMPY], [], "no such wheel"),
        ([NUMPY, WHEEL], ["--wheel", "/nowhere/x.whl"], "/nowhere/x.whl: no such wheel"),
        ([NUMPY, WHEEL], ["--bundle", "/nowhere"], "/nowhere: no bundle here"),
        ([NUMPY, WHEEL], ["--wheelhouse", "/nowhere"], "/nowhere: no such folder"),
        ([NUMPY, WHEEL], ["--wheelhouse"], "--wheelhouse needs a value"),
        ([NUMPY, WHEEL], ["--bogus"], "unknown option --bogus"),
    ],
)
def test_what_is_missing_is_named(
    tools: Path, tmp_path: Path, wheels: list[str], options: list[str], message: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    folder = fill(tmp_path / "wheels", *wheels)
    done = call(tools, "install.sh", "--root", root, "--wheelhouse", folder, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"install\.sh: .*{message}.*\n", done.stderr), done.stderr
    assert list(root.iterdir()) == []


def test_a_pc_is_called_one(tools: Path, tmp_path: Path) -> None:
    write_tool(tools, "uname", "echo x86_64")
    done = call(tools, "install.sh", "--root", tmp_path, "--wheelhouse", fill(tmp_path / "w"))
    assert done.stdout.startswith("install.sh: installing on an x86-64 PC;")
    assert "Raspberry" not in done.stdout + done.stderr
    assert re.search(f"on x86_64; run: {MAKE}".replace("aarch64", "x86_64"), done.stderr)


def test_below_a_folder_no_user_is_made(tools: Path, tmp_path: Path) -> None:
    write_tool(tools, "useradd", f"touch {tmp_path}/called")
    root = tmp_path / "root"
    root.mkdir()
    wheels = fill(tmp_path / "wheels", NUMPY, WHEEL)
    arguments = ("--root", root, "--wheelhouse", wheels, "--user", "nobody-of-this-name")
    done = call(tools, "install.sh", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "install.sh: there is no user nobody-of-this-name here, and --root makes none; make it, or "
        "give --user NAME\n"
    )
    assert list(root.iterdir()) == [] and not (tmp_path / "called").exists()


def test_the_kit_holds_what_the_script_installs() -> None:
    """Both name one extra, so that they cannot disagree."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras["device"] == ["cxr-edge[litert,serve,mqtt,dicom,sign]"]
    for script in (DEPLOY / "install.sh", ROOT / "deploy/wheelhouse.sh"):
        assert re.findall(r"\$\{wheel\}\[([\w,]+)\]", script.read_text()) == ["device"], script


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_they_need_root_unless_they_are_given_a_folder(tools: Path, script: str) -> None:
    write_tool(tools, "id", "echo 1000")
    done = call(tools, script)
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs root; run: sudo sh" in done.stderr


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
def test_a_system_without_systemd_is_refused(tools: Path) -> None:
    write_tool(tools, "id", "echo 0")
    done = call(tools, "install.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "systemd does not run here" in done.stderr


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_help_is_the_comment_at_the_top(tools: Path, script: str) -> None:
    done = call(tools, script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(("Installs", "Removes")) and "--root DIR" in done.stdout
    assert "set -eu" not in done.stdout and not re.search(r"^#", done.stdout, re.M)


def read_unit(name: str) -> configparser.RawConfigParser:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / name)
    return unit


def test_the_service_starts_again_for_ever_and_writes_to_one_folder() -> None:
    unit = read_unit("cxr-edge.service")
    service = dict(unit["Service"])
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == (
        "notify",
        "main",
        "always",
    )
    assert float(service["WatchdogSec"]) >= 30
    assert (service["ProtectSystem"], service["StateDirectory"]) == ("strict", "cxr-edge")
    assert not [key for key in service if key in ("ReadWritePaths", "CacheDirectory")]
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == ("any", "localhost")
    assert service["CapabilityBoundingSet"] == "" and service["NoNewPrivileges"] == "yes"
    assert service["ExecStart"].startswith("/opt/cxr-edge/bin/cxr-edge serve --config ")


def test_the_drop_ins_bound_the_log_and_start_the_watchdog_and_open_nothing() -> None:
    assert "SystemMaxUse" in read_unit("journald.conf")["Journal"]
    assert 0 < int(read_unit("watchdog.conf")["Manager"]["RuntimeWatchdogSec"]) <= 15
    lan = read_unit("lan.conf")
    assert dict(lan["Service"]) == {} and dict(lan["Unit"]) == {}
    offered = re.findall(r"^#(IPAddressAllow=\S+)$", (DEPLOY / "lan.conf").read_text(), re.M)
    assert len(offered) == 3  # a network, DICOM, and a broker


def test_the_page_says_what_the_unit_and_the_script_say() -> None:
    page = (ROOT / "docs/raspberry-pi.md").read_text()
    script = (DEPLOY / "install.sh").read_text()
    service = dict(read_unit("cxr-edge.service")["Service"])
    assert f"{service['TasksMax']} tasks, {service['MemoryMax'].removesuffix('M')} MB" in page
    assert service["WatchdogSec"] == "60" and "restarts the service after a minute" in page
    assert "restarts it after 15 s" in page
    (needed,) = re.findall(r"^needed_mb=(\d+)$", script, re.M)
    assert f"| free space that `install.sh` asks for | {needed} MB |" in page
    store = ServiceConfig().store
    assert f"| {store.keep_images_days:g} days after they were put there" in page
    assert f"| after {store.keep_days:g} days, and the oldest" in page
    assert f"the database takes more than {store.keep_mb / 1024:g} GB" in page
    assert f"below {store.min_free_mb:g} MB free" in page
    for option in set(re.findall(r"install\.sh` (--\w+)", page)) | {"--bundle"}:
        assert f"{option}" in script
    for version in ("3.11", "3.13"):
        assert version in page and version in script


def test_the_configuration_has_the_line_that_the_script_sets() -> None:
    (pattern,) = re.findall(r"sed -i 's\|(.+?)\|bundle = ", (DEPLOY / "install.sh").read_text())
    assert len(re.findall(pattern, sample_config(), re.M)) == 1


def test_scripts_are_posix_sh_without_errors_of_syntax() -> None:
    scripts = [*DEPLOY.glob("*.sh"), *DEPLOY.parent.glob("*.sh")]
    assert len(scripts) == 3
    for script in scripts:
        assert script.read_text().startswith("#!/bin/sh\n")
        done = subprocess.run(["sh", "-n", str(script)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), script


IMPORT = re.compile(r"from (cxr_edge[\w.]*) import (\w+(?:, \w+)*)")


def test_whatever_scripts_and_documents_import_exists() -> None:
    texts = [
        *ROOT.glob("deploy/**/*"),
        *ROOT.glob("examples/**/*.*"),
        *ROOT.glob("docs/*.md"),
        ROOT / "README.md",
        ROOT / "Dockerfile",
    ]
    imports = {
        (path.name, module, name)
        for path in texts
        if path.is_file() and path.suffix not in (".png", ".pyc")
        for module, names in IMPORT.findall(path.read_text())
        for name in names.split(", ")
    }
    assert ("install.sh", "cxr_edge.bundle.bundled", "REFERENCE") in imports
    missing = [
        (file, module, name)
        for file, module, name in sorted(imports)
        if not hasattr(importlib.import_module(module), name)
    ]
    assert not missing
