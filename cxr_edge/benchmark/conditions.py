"""The state of the machine while it is measured: what makes figures less trustworthy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cxr_edge.benchmark.report import MachineState
from cxr_edge.device.machine import Machine

_CPU0 = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_HOT_C = 80.0
_BUSY = 0.5
# The bits of `vcgencmd get_throttled` that tell of now: voltage, frequency cap, throttling, heat.
_NOW = 0xF


def look() -> MachineState:
    """The state of the machine now; null where the platform does not tell."""
    frequency = _number(_CPU0 / "scaling_cur_freq")
    temperatures = [_number(p) for p in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    known = [each for each in temperatures if each is not None]
    return MachineState(
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        frequency_mhz=None if frequency is None else frequency / 1e3,
        governor=_text(_CPU0 / "scaling_governor"),
        temperature_c=max(known) / 1e3 if known else None,
        throttled=_throttled(),
    )


def concerns(machine: Machine, before: MachineState, after: MachineState) -> Iterator[str]:
    """What the state of the machine says against the figures."""
    if before.load_average is not None and before.load_average > _BUSY:
        yield (
            f"the machine was busy before the timing: {before.load_average:.2f} processes wanted "
            f"to run, on {machine.cpus} processors; times are too long, ratios hold better"
        )
    if before.throttled or after.throttled:
        yield "the processor was throttled, for heat or for want of power; times are too long"
    hottest = max(before.temperature_c or 0, after.temperature_c or 0)
    if hottest >= _HOT_C:
        yield f"the machine was at {hottest:.0f} degrees Celsius; it may have slowed itself down"
    if before.governor == "powersave":
        yield "the governor is powersave; times are longer than with performance"


def _throttled() -> bool | None:
    """What a Raspberry Pi says of itself."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - found on PATH, no input from outside
            [command, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        )
        return bool(int(done.stdout.strip().removeprefix("throttled="), 16) & _NOW)
    except (OSError, subprocess.SubprocessError, ValueError):  # no such board after all
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:  # not on this platform, or not for this user
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
