"""The CPU this runs on, and how much of it this process may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.files import sha256

BUSY_LOAD = 0.5
"""A load average above this before a timing makes its times too long."""

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


def usable_cpus() -> int:
    """CPUs that this process may use; its affinity may allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return {}
    facts: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            facts.setdefault(name.strip(), value.strip())
    return facts
