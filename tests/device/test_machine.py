"""The machine is described by what makes it fast, and told from others by its key."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from cxr_edge.device import machine
from cxr_edge.device.machine import check_threads, check_workers, this_machine, usable_cpus
from cxr_edge.errors import UsageError

SERVER = """processor\t: 0
model name\t: Some Server CPU
cpu MHz\t\t: 2400.000
flags\t\t: fpu avx avx2 fma avx512_vnni

processor\t: 1
model name\t: Some Server CPU
cpu MHz\t\t: 1800.000
flags\t\t: fpu avx avx2 fma avx512_vnni
"""
PI = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Revision\t: d04170
Serial\t\t: 100000001234
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch):
    """Describe a machine by its /proc/cpuinfo, architecture and number of processors."""

    def describe(text: str, architecture: str = "x86_64", cpus: int = 4) -> machine.Machine:
        monkeypatch.setattr(machine.Path, "read_text", lambda path, **options: text)
        monkeypatch.setattr(machine.os, "uname", lambda: SimpleNamespace(machine=architecture))
        monkeypatch.setattr(machine, "usable_cpus", lambda: cpus)
        return this_machine()

    return describe


def test_a_server_and_a_raspberry_pi_are_described(on) -> None:
    server, pi = on(SERVER), on(PI, "aarch64")
    assert server.processor == "Some Server CPU"
    assert server.instructions == ("avx", "avx2", "fma", "avx512_vnni")
    assert pi.processor == "Raspberry Pi 5 Model B Rev 1.0"
    assert pi.instructions == ("asimd", "asimdhp", "asimddp")
    assert (pi.architecture, pi.cpus) == ("aarch64", 4)


def test_the_key_tells_machines_apart_but_not_moments_or_specimens(on) -> None:
    key = on(SERVER).key
    assert on(SERVER.replace("2400", "3100")).key == key
    assert on(PI).key == on(PI.replace("1234", "9999")).key
    others = [
        on(SERVER.replace(" avx512_vnni", "")),
        on(SERVER.replace("Some", "Other")),
        on(SERVER, cpus=2),
        on(SERVER, "aarch64"),
        on(PI),
    ]
    assert len({key, *(other.key for other in others)}) == 6


def test_a_platform_that_tells_nothing_is_described_too(on) -> None:
    nameless = on("")
    assert nameless.processor == "unnamed x86_64"
    assert nameless.instructions == ()


def test_this_machine_is_the_same_twice() -> None:
    assert this_machine() == this_machine()
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "9900000 100000"}, 8),
        (
            {
                "proc/self/cgroup": "0::/system.slice/a.service",
                "sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/system.slice/a.service/cpu.max": "max 100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/1",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
    ],
    ids=["none", "max", "1.5", "a half", "more", "of a slice", "version 1", "version 1, none"],
)
def test_the_quota_of_a_control_group_counts(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cpus: int
) -> None:
    monkeypatch.setattr(machine, "_read", lambda path: files.get(str(path)[1:], ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert usable_cpus() == cpus


def test_more_threads_or_workers_than_processors_allow_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "usable_cpus", lambda: 2)
    for fits in (1, 2):
        check_threads(fits)
        check_workers(4 * fits)
    for refuse, number, message in (
        (check_threads, 3, "threads is 3, expected at most 2: the processors that"),
        (check_threads, 0, "threads is 0, expected at least 1"),
        (check_threads, 1.5, "threads is 1.5, expected a whole number"),
        (check_threads, "2", "threads is '2', expected a whole number"),
        (check_workers, 9, "workers is 9, expected at most 8: 4 for each processor"),
        (check_workers, -1, "workers is -1, expected at least 1"),
    ):
        with pytest.raises(UsageError, match=message):
            refuse(number)


def test_an_arm64_machine_has_16_bit_arithmetic_if_its_kernel_says_so(on) -> None:
    on(PI, "aarch64")
    assert machine.is_arm64() and machine.has_float16_arithmetic()
    on(PI.replace(" asimdhp", ""), "aarch64")
    assert machine.is_arm64() and not machine.has_float16_arithmetic()
    on(PI, "x86_64")
    assert not machine.is_arm64() and not machine.has_float16_arithmetic()
    on("", "arm64")
    assert machine.is_arm64() and not machine.has_float16_arithmetic()
