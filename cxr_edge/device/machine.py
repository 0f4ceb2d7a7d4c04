"""The CPU this runs on, and how much of it this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

from cxr_edge.errors import UsageError
from cxr_edge.files import sha256
from cxr_edge.records import dataclass

BUSY_LOAD = 0.5
"""A load average above this before a timing makes its times too long."""

WORKERS_PER_CPU = 4
"""Images at a time for each usable CPU, at most: each holds a decoded image in memory."""

# Keys of /proc/cpuinfo that identify a CPU model on x86 and arm64; other values change over time or
# differ between cores.
_IDENTITY = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "Features",
    "Hardware",
    "Model",
)
# Instruction sets that inference uses, by their names in Linux: vectors, dot and matrix products.
_RELEVANT = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The properties of a machine that decide how fast a model file runs."""

    processor: str
    """Name of the CPU, or of the board where the CPU has none."""
    architecture: str
    """For example ``x86_64`` or ``aarch64``."""
    instructions: tuple[str, ...]
    """Instruction sets useful for inference that it has; empty where unknown."""
    cpus: int
    """CPUs that this process may use."""
    key: str
    """Identifies the CPU model, all its instruction sets and ``cpus``: 16 hexadecimal digits."""


def is_x86(architecture: str) -> bool:
    """Whether a machine's architecture is that of Intel's and AMD's CPUs."""
    return architecture.lower() in ("x86_64", "amd64", "i686")


def is_arm64() -> bool:
    """Whether this is a 64-bit Arm machine, by either of its names."""
    return os.uname().machine in ("aarch64", "arm64")


def has_float16_arithmetic() -> bool:
    """Whether this CPU is known to compute with 16-bit floats (ARMv8.2, the Cortex-A76)."""
    return is_arm64() and "asimdhp" in this_machine().instructions


def usable_cpus() -> int:
    """CPUs that this process may use, at least 1.

    Its affinity, or the quota of its control group as containers have one, may allow fewer than
    the machine has.
    """
    cpus = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(cpus, _quota())))


def check_threads(threads: int) -> None:
    """Refuse more threads for one inference than CPUs: they would wait for one another.

    Raises:
        UsageError: ``threads`` is no whole number, below 1 or above :func:`usable_cpus`.
    """
    if not isinstance(threads, int):
        raise UsageError(f"threads is {threads!r:.60}, expected a whole number")
    if threads < 1:
        raise UsageError(f"threads is {threads}, expected at least 1")
    if threads > 1 and threads > (cpus := usable_cpus()):
        raise UsageError(
            f"threads is {threads}, expected at most {cpus}: the processors that this process may "
            "use"
        )


def check_workers(workers: int) -> None:
    """Refuse more images at a time than help, even where workers mostly wait for files.

    Raises:
        UsageError: ``workers`` is below 1 or above :data:`WORKERS_PER_CPU` for each usable CPU.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, expected at least 1")
    if workers > 1 and workers > (most := WORKERS_PER_CPU * usable_cpus()):
        raise UsageError(
            f"workers is {workers}, expected at most {most}: {WORKERS_PER_CPU} for each processor "
            "that this process may use"
        )


def _quota() -> float:
    """CPUs that the control groups of this process grant it; infinity where there is no limit."""
    quotas = [math.inf]
    for line in _read("/proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = Path("/sys/fs/cgroup/cpu" if controllers else "/sys/fs/cgroup")
        group = root / path.strip("/")
        # A group is limited by those around it; inside a container, its own path is the root.
        for folder in {root, group, *group.parents}:
            if folder == root or root in folder.parents:
                quotas.append(_quota_of(folder))
    return min(quotas)


def _quota_of(group: Path) -> float:
    """CPUs that one control group grants, of version 2 or 1."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    try:
        granted = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return math.inf
    return granted if granted > 0 else math.inf  # -1: no limit


def _read(path: str | Path) -> str:
    """A file of the kernel; empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def this_machine() -> Machine:
    """Describe this machine."""
    facts = _cpu_facts()
    architecture, cpus = os.uname().machine, usable_cpus()
    # On a Raspberry Pi only the board has a name.
    processor = facts.get("model name") or facts.get("Model") or f"unnamed {architecture}"
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    identifying = [f"{name}: {facts[name]}" for name in _IDENTITY if name in facts]
    identity = "\n".join([architecture, processor, str(cpus), *identifying])
    return Machine(
        processor,
        architecture,
        tuple(name for name in _RELEVANT if name in flags),
        cpus,
        sha256(identity.encode())[:16],
    )


def _cpu_facts() -> dict[str, str]:
    """/proc/cpuinfo of the first CPU, and of the board, which follows the last; empty elsewhere."""
    text = _read("/proc/cpuinfo")
    facts: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            facts.setdefault(name.strip(), value.strip())
    return facts
