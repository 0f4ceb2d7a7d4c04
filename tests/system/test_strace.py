"""What the kernel saw: no network connection, no file written. Needs Debian's strace."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_edge.data.phantom import write_phantom

pytestmark = pytest.mark.system


def trace(arguments: list[str], folder: Path, calls: str) -> str:
    """Run ``cxr-edge`` under strace with a fresh HOME and return the lines it wrote."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: apt-get install strace")
    for name in ("home", "cwd"):
        (folder / name).mkdir(exist_ok=True)
    log = folder / "trace"
    subprocess.run(
        [
            strace,
            "-f",
            "-o",
            log,
            "-e",
            f"trace={calls}",
            sys.executable,
            "-m",
            "cxr_edge",
            *arguments,
        ],
        cwd=folder / "cwd",
        env={**os.environ, "HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        capture_output=True,
    )
    return log.read_text()


@pytest.fixture
def image(tmp_path: Path) -> str:
    write_phantom(tmp_path / "image.png")
    return str(tmp_path / "image.png")


@pytest.mark.parametrize("engine", ["onnxruntime", "litert", "openvino", "ncnn"])
def test_predict_connects_nowhere_and_writes_nothing(tmp_path, image, engine, exported_bundle):
    named = ["-b", exported_bundle] if engine == "ncnn" else []  # the reference has no file of it
    command = ["predict", image, "-e", engine, *named]
    log = trace(command, tmp_path, "network,openat,mkdir,unlink,rename")
    sockets = [line for line in log.splitlines() if re.search(r"\b(socket|connect|sendto)\(", line)]
    writes = [
        line
        for line in log.splitlines()
        if re.search(r"O_WRONLY|O_RDWR|O_CREAT|\b(mkdir|rename)\(", line) and "/dev/" not in line
    ]
    assert sockets == []
    assert writes == []
    assert [*(tmp_path / "home").rglob("*"), *(tmp_path / "cwd").rglob("*")] == []


@pytest.mark.parametrize("command", [["verify"], ["info"]], ids=["verify", "info"])
def test_the_device_s_other_commands_connect_nowhere(tmp_path, command):
    log = trace(command, tmp_path, "network")
    assert not re.search(r"connect\(.*sa_family=AF_INET", log)
    assert [*(tmp_path / "home").rglob("*")] == []


@pytest.mark.parametrize(
    "command",
    [
        ["tune", "--rounds", "1", "-t", "1", "--profile", "profile.json"],
        ["doctor", "--startup", "--starts", "1"],
        ["benchmark", "--rounds", "2", "-o", "out"],
    ],
    ids=lambda command: command[0],
)
def test_what_measures_connects_nowhere_and_writes_only_what_was_asked_for(tmp_path, command):
    log = trace(command, tmp_path, "network")
    assert not re.search(r"connect\(.*sa_family=AF_INET", log)
    assert [*(tmp_path / "home").rglob("*")] == []
    written = {path.name for path in (tmp_path / "cwd").iterdir()}
    assert written == {"tune": {"profile.json"}, "benchmark": {"out"}}.get(command[0], set())


def inet_addresses(log: str, call: str) -> set[str]:
    """The addresses of IPv4 and IPv6 that a traced process connected to, or listened on."""
    lines = [line for line in log.splitlines() if re.search(rf"\b{call}\(.*AF_INET", line)]
    found = [
        re.search(r'(?:inet_addr|inet_pton)\((?:AF_INET6, )?"([^"]+)"', line) for line in lines
    ]
    return {match[1] if match else "unknown" for match in found}


def test_an_archive_connects_nowhere_and_writes_its_results_only(tmp_path, image):
    (tmp_path / "archive").mkdir()
    shutil.copy(image, tmp_path / "archive")
    command = ["predict", str(tmp_path / "archive"), "--to", "results"]
    log = trace(command, tmp_path, "network,openat,mkdir,rename")
    assert inet_addresses(log, "connect") == inet_addresses(log, "bind") == set()
    assert [*(tmp_path / "home").rglob("*")] == []
    written = {path.name for path in (tmp_path / "cwd").rglob("*")}
    assert written == {"results", "_archive.json", "part-000001.parquet"}


def test_a_ray_of_its_own_talks_on_loopback_only(tmp_path, image):
    (tmp_path / "archive").mkdir()
    shutil.copy(image, tmp_path / "archive")
    command = ["predict", str(tmp_path / "archive"), "--to", "results", "--ray", "-w", "1"]
    log = trace(command, tmp_path, "network")
    assert inet_addresses(log, "connect") <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert [*(tmp_path / "home").rglob("*")] == []
    assert {path.name for path in (tmp_path / "cwd").iterdir()} == {"results"}


def test_export_connects_nowhere_and_leaves_home_alone(tmp_path):
    out = tmp_path / "out"
    log = trace(["export", "-o", str(out), "--artifacts", "onnx-fp32"], tmp_path, "network")
    assert not re.search(r"connect\(.*sa_family=AF_INET", log)
    assert [*(tmp_path / "home").rglob("*")] == []
    assert (out / "manifest.json").exists()


def test_the_service_talks_on_loopback_only_and_writes_only_its_folder(tmp_path, image):
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: apt-get install strace")
    state = tmp_path / "state"
    (state / "inbox").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    config = tmp_path / "cxr-edge.toml"
    config.write_text(
        '[http]\nport = 0\n[inbox]\nfolder = "state/inbox"\nprocessed = "state/processed"\n'
        'failed = "state/failed"\nsettle_s = 0.2\n[store]\nfile = "state/results.db"\n'
    )
    log, messages = tmp_path / "trace", tmp_path / "messages"
    command = [sys.executable, "-m", "cxr_edge", "serve", "--config", config]
    calls = "trace=network,openat,mkdir,rename,unlink"
    with messages.open("wb") as stderr:
        process = subprocess.Popen(
            [strace, "-f", "-o", log, "-e", calls, *command],
            stderr=stderr,
            env={**os.environ, "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    address = _wait_for(lambda: re.search(r"http://(\S+)/", messages.read_text()))[1]
    shutil.copy(image, state / "inbox")
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/v1/predictions?name=a.png", Path(image).read_bytes())
    assert connection.getresponse().status == 201
    connection.close()
    _wait_for(lambda: list((state / "processed").glob("image.*.png")))
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(pid), signal.SIGTERM)
    assert process.wait(60) == 0, messages.read_text()
    lines = log.read_text().splitlines()
    connects = [line for line in lines if re.search(r"connect\(.*AF_INET", line)]
    assert connects == []
    bound = [line for line in lines if re.search(r"\bbind\(.*AF_INET", line)]
    assert len(bound) == 1 and "127.0.0.1" in bound[0]
    opened = [line for line in lines if re.search(r"O_WRONLY|O_RDWR|O_CREAT", line)]
    elsewhere = [line for line in opened if str(state) not in line and '"/dev/' not in line]
    assert elsewhere == []
    assert [*(tmp_path / "home").rglob("*")] == []


def _wait_for(look, timeout_s=120):
    end = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)
    return seen
