"""The machine that this runs on: its processor, and how much of it this process may use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.files import sha256

# Lines of /proc/cpuinfo that tell one kind of processor from another, on x86 and on arm64; the
# others change while it runs, or from core to core.
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
# What speeds up this work, as Linux calls it: vectors, integer dot products, matrix products.
_RELEVANT = (
    *("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What makes the same file faster on one machine than on another."""

    processor: str
    """What the processor is called."""
    architecture: str
    """For example ``x86_64`` or ``aarch64``."""
    instructions: tuple[str, ...]
    """Of the instruction sets that matter here, those that it has; empty where unknown."""
    cpus: int
    """Processors that this process may use."""
    key: str
    """Hash of all that, and of every other instruction set: 16 hexadecimal digits."""


def usable_cpus() -> int:
    """Processors that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def this_machine() -> Machine:
    """Describe this machine."""
    found = _cpu_facts()
    architecture, cpus = os.uname().machine, usable_cpus()
    # A Raspberry Pi's processor has no name of its own there; the board does.
    processor = found.get("model name") or found.get("Model") or f"unnamed {architecture}"
    flags = (found.get("flags") or found.get("Features") or "").split()
    facts = [f"{name}: {found[name]}" for name in _IDENTITY if name in found]
    identity = "\n".join([architecture, processor, str(cpus), *facts])
    return Machine(
        processor,
        architecture,
        tuple(name for name in _RELEVANT if name in flags),
        cpus,
        sha256(identity.encode())[:16],
    )


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor, and of the board below the last."""
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
