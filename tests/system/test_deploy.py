"""The scripts for a Raspberry Pi, run here below a folder, and the units, read by systemd.

What runs for real: the wheelhouse of this machine's architecture, the environment without a
network, the bundle, ``verify`` and ``tune``, a second installation, the removal; as root also
making the user and working as that user. What does not: ``systemctl``, since no systemd runs in the
containers that tests run in.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_edge.bundle.reader import Bundle

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy/raspberry-pi"
UNIT = DEPLOY / "cxr-edge.service"
SYSTEM_PYTHON = "/usr/bin/python3"
OF_A_RASPBERRY_PI = (
    ()
    if platform.machine() == "x86_64"
    else (
        "etc/systemd/journald.conf.d/cxr-edge.conf",
        "etc/systemd/system.conf.d/cxr-edge-watchdog.conf",
    )
)
MOST_EXPOSURE = 14
"""Of ``systemd-analyze security``, in tenths: 1.4 of 10."""


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def require(program: str, package: str) -> str:
    path = shutil.which(program)
    if not path:
        pytest.fail(f"{program} is missing: apt install {package}")
    return path


def test_the_scripts_pass_shellcheck() -> None:
    shellcheck = require("shellcheck", "shellcheck")
    done = run(shellcheck, "-s", "sh", *DEPLOY.glob("*.sh"), *DEPLOY.parent.glob("*.sh"))
    assert done.returncode == 0, done.stdout


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    path = tmp_path / UNIT.name
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M)
    path.write_text(text)
    return path


def test_systemd_reads_the_unit_without_a_word(unit: Path) -> None:
    done = run(require("systemd-analyze", "systemd"), "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_reads_what_the_drop_ins_offer(unit: Path) -> None:
    """lan.conf with every '#' of a setting removed, and the page's lines for a share."""
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    lan = re.sub(r"^#(\w+=)", r"\1", (DEPLOY / "lan.conf").read_text(), flags=re.M)
    assert lan.count("\nIPAddressAllow=") == 3
    (folder / "lan.conf").write_text(lan)
    page = (ROOT / "docs/raspberry-pi.md").read_text()
    (share,) = re.findall(r"^```\n(\[Service\]\n.*?)^```", page, re.M | re.S)
    (folder / "override.conf").write_text(share)
    analyze = require("systemd-analyze", "systemd")
    done = run(analyze, "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (folder / "lan.conf").write_text(lan.replace("192.168.1.5", "broker"))
    assert "broker" in run(analyze, "verify", "--man=no", unit).stderr


def test_the_service_is_exposed_to_little(
    unit: Path, record_property: pytest.RecordProperty
) -> None:
    analyze = require("systemd-analyze", "systemd")
    limit = f"--threshold={MOST_EXPOSURE}"
    done = run(analyze, "security", "--no-pager", "--offline=true", limit, unit)
    assert done.returncode == 0, done.stdout
    (exposure,) = re.findall(r"exposure level for \S+: ([\d.]+)", done.stdout)
    record_property("figure", f"exposure {exposure} of 10")


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make wheelhouse`` makes, for this machine: this Python and the system's."""
    folder = tmp_path_factory.mktemp("kit") / "raspberry-pi"
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    pythons = [python for python in (sys.executable, SYSTEM_PYTHON) if Path(python).exists()]
    versions = {run(python, "-c", ask).stdout.strip() for python in pythons}
    script = ROOT / "deploy/wheelhouse.sh"
    done = run("sh", script, sys.executable, folder, platform.machine(), *sorted(versions))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root that the kit was installed below, without any index."""
    root = tmp_path_factory.mktemp("root")
    done = install(kit, root)
    assert done.returncode == 0, done.stderr
    return root


def install(kit: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the kit's script with the Python that this environment was made with, and no index."""
    environment = {
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_EXTRA_INDEX_URL": "",
    }
    user = getpass.getuser()
    return run("sh", kit / "install.sh", "--root", root, "--user", user, **environment)


def files_below(root: Path) -> set[str]:
    """Everything below the root that is no part of an environment or a bundle."""
    return {
        path.relative_to(root).as_posix()
        for folder in ("etc", "usr", "var")
        for path in (root / folder).rglob("*")
        if path.is_file() or path.is_symlink()
        if not re.search(r"/[0-9a-f]{16}/", path.as_posix())
    }


def test_it_installs_without_a_network_and_serves_the_reference(installed: Path) -> None:
    state = installed / "var/lib/cxr-edge"
    assert Bundle.open(state / "bundles/current").manifest.sha256 == Bundle.open().manifest.sha256
    program = installed / "opt/cxr-edge/bin/cxr-edge"
    assert run(program, "--version").stdout.startswith("cxr-edge ")
    imports = "import cryptography, openjpeg, paho.mqtt, pydicom, uvicorn, ai_edge_litert"
    assert run(program.with_name("python"), "-c", imports).returncode == 0
    assert run(program, "verify", state / "bundles/current").returncode == 0
    (profile,) = (state / ".config/cxr-edge/profiles").iterdir()
    names = files_below(installed) - {profile.relative_to(installed).as_posix()}
    assert names == {
        "etc/cxr-edge/cxr-edge.toml",
        "etc/cxr-edge/cxr-edge.toml.sample",
        "etc/systemd/system/cxr-edge.service",
        "etc/systemd/system/cxr-edge.service.d/lan.conf",
        "usr/local/bin/cxr-edge",
        "var/lib/cxr-edge/bundles/current",
        *OF_A_RASPBERRY_PI,
    }
    config = (installed / "etc/cxr-edge/cxr-edge.toml").read_text()
    assert '\nbundle = "/var/lib/cxr-edge/bundles/current"\n' in config
    inbox = (state / "inbox").stat()
    assert inbox.st_mode & 0o7777 == 0o2770


AS_ROOT = r"""
set -eu
work=$1 kit=$2
mount -t tmpfs tmpfs "$work"
for folder in etc opt var/lib usr/local; do
  layer=$work/$(echo $folder | tr / _)
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$layer/upper,workdir=$layer/work" /$folder
done
# A lock of this system's own programs says nothing about the overlay.
rm -f /etc/passwd.lock /etc/shadow.lock /etc/group.lock /etc/gshadow.lock
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$work/bin"
printf '#!/bin/sh\necho "$@" >> %s\n' "$work/calls" > "$work/bin/systemctl"
chmod +x "$work/bin/systemctl"
export PATH="$work/bin:/usr/sbin:/usr/bin:/sbin:/bin"
cd "$kit"
sh ./install.sh > /dev/null
cat "$work/calls"
echo owners: $(find /var/lib/cxr-edge -printf '%u:%g\n' | sort -u)
echo profiles: $(ls /var/lib/cxr-edge/.config/cxr-edge/profiles | wc -l)
stat -c 'config: %a %U:%G' /etc/cxr-edge/cxr-edge.toml
stat -c 'state: %a' /var/lib/cxr-edge
runuser -u cxr-edge -- /usr/local/bin/cxr-edge bundle list > /dev/null && echo listed
: > "$work/calls"
printf '#!/bin/sh\n[ "$1" != restart ]\n' > "$work/bin/systemctl"
sh ./install.sh > /dev/null 2> "$work/errors" && exit 1
tail -n 1 "$work/errors"
echo releases: $(ls /opt/cxr-edge-releases)
sh ./uninstall.sh --purge
id cxr-edge 2> /dev/null && exit 1
ls -d /var/lib/cxr-edge /etc/cxr-edge /opt/cxr-edge 2> /dev/null || echo gone
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users and mount")
def test_as_root_it_makes_the_user_and_starts_the_service(kit: Path, tmp_path: Path) -> None:
    """In a mount namespace over this system's folders, with ``systemctl`` as the only stand-in.

    A second installation, whose service does not start, puts the first one back.
    """
    require("unshare", "util-linux")
    if run(SYSTEM_PYTHON, "-c", "import ensurepip, venv").returncode:
        pytest.fail(f"{SYSTEM_PYTHON} cannot make environments: apt install python3-venv")
    work = tmp_path / "work"
    work.mkdir()
    done = run("unshare", "-m", "sh", "-c", AS_ROOT, "sh", work, kit)
    if "mount:" in done.stderr:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "daemon-reload",
        *(["try-restart systemd-journald"] if OF_A_RASPBERRY_PI else []),
        "enable --quiet cxr-edge",
        "restart cxr-edge",
        "owners: cxr-edge:cxr-edge",
        "profiles: 1",
        "config: 640 root:cxr-edge",
        "state: 750",
        "listed",
        "install.sh: the new version did not start, cxr-edge-releases/1 is in place again; see: "
        "journalctl -u cxr-edge",
        "releases: 1",
        "uninstall.sh: removed, with all data",
        "gone",
    ]


def test_it_installs_over_itself_and_keeps_what_a_person_changed(
    installed: Path, kit: Path
) -> None:
    config = installed / "etc/cxr-edge/cxr-edge.toml"
    config.write_text("# mine\n")
    lan = installed / "etc/systemd/system/cxr-edge.service.d/lan.conf"
    lan.write_text("[Service]\nIPAddressAllow=10.0.0.0/8\n")
    before = files_below(installed)
    done = install(kit, installed)
    assert done.returncode == 0, done.stderr
    assert files_below(installed) == before
    assert config.read_text() == "# mine\n" and "10.0.0.0/8" in lan.read_text()
    link = installed / "opt/cxr-edge"
    assert str(link.readlink()) == "cxr-edge-releases/2"
    assert {p.name for p in (installed / "opt/cxr-edge-releases").iterdir()} == {"1", "2"}


def test_an_installation_that_fails_leaves_the_old_one(
    installed: Path, kit: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(kit, tmp_path / "kit", symlinks=True))
    (wheel,) = (broken / "wheels").glob("onnxruntime-*.whl")
    wheel.write_bytes(b"no wheel")
    before = str((installed / "opt/cxr-edge").readlink())
    releases = sorted((installed / "opt/cxr-edge-releases").iterdir())
    done = install(broken, installed)
    assert done.returncode != 0
    assert str((installed / "opt/cxr-edge").readlink()) == before
    assert sorted((installed / "opt/cxr-edge-releases").iterdir()) == releases
    assert run(installed / "opt/cxr-edge/bin/cxr-edge", "verify").returncode == 0


def allowed_calls() -> set[str]:
    """System calls that the unit's filter lets through."""
    analyze = require("systemd-analyze", "systemd")

    def members(group: str) -> set[str]:
        lines = run(analyze, "syscall-filter", "--no-pager", group).stdout.splitlines()[1:]
        names = {line.strip() for line in lines if not line.strip().startswith("#")} - {""}
        groups = {name for name in names if name.startswith("@")}
        return (names - groups).union(*map(members, groups))

    return members("@system-service") - members("@privileged") | members("@default")


def test_what_it_runs_stays_within_the_unit_s_filter(installed: Path, tmp_path: Path) -> None:
    """Its system calls are those of ``@system-service``, and no memory is made executable.

    The filter answers others with EPERM, and MemoryDenyWriteExecute lets no memory be writable and
    executable, nor become executable: engines that compile while they run would fail.
    """
    strace = require("strace", "strace")
    log = tmp_path / "log"
    program = installed / "opt/cxr-edge/bin/cxr-edge"
    bundle = installed / "var/lib/cxr-edge/bundles/current"
    done = run(strace, "-f", "-o", log, program, "verify", bundle)
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    calls = set(re.findall(r"^\d+ +(\w+)\(", "\n".join(lines), re.M))
    assert {"mmap", "openat"} <= calls
    assert calls <= allowed_calls(), calls - allowed_calls()
    assert [line for line in lines if "PROT_EXEC" in line]  # libraries are loaded
    made_executable = [
        line
        for line in lines
        if "PROT_EXEC" in line and ("mprotect(" in line or "PROT_WRITE" in line)
    ]
    assert made_executable == []


def test_it_is_removed_and_data_stay_unless_they_are_to_go(installed: Path, kit: Path) -> None:
    """Last: it takes the installation away."""
    script = kit / "uninstall.sh"
    done = run("sh", script, "--root", installed)
    assert done.returncode == 0, done.stderr
    assert list((installed / "opt").iterdir()) == []
    kept = files_below(installed)
    assert {"etc/cxr-edge/cxr-edge.toml", "var/lib/cxr-edge/bundles/current"} <= kept
    assert not [name for name in kept if name.endswith(".service")]
    assert run("sh", script, "--root", installed, "--purge").returncode == 0
    assert files_below(installed) == set()
