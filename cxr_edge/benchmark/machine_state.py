"""Load, clock and temperature of the machine, and what they say about a measurement."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cxr_edge.benchmark.report import MachineState, Platform
from cxr_edge.device.machine import BUSY_LOAD, Machine
from cxr_edge.device.sensors import is_throttled, temperature_c, throttled_now

_CPU0 = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_HOT_C = 80.0


def read_platform() -> Platform:
    """The kernel, the distribution and the interpreter that run here."""
    release = re.match(r"[\d.]*\d", platform.release())  # without the name of a build
    system = f"{platform.system()} {release[0] if release else ''}".rstrip()
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:  # not a Linux distribution
        distribution = None
    return Platform(
        ", ".join(filter(None, (system, distribution))),
        f"{platform.python_implementation()} {platform.python_version()}",
    )


def read_machine_state() -> MachineState:
    """Read the state of the machine now; a value is None where the platform does not report it."""
    frequency_khz, throttled = _read_number(_CPU0 / "scaling_cur_freq"), is_throttled()
    return MachineState(
        load_average=_load_average(),
        frequency_mhz=None if frequency_khz is None else frequency_khz / 1e3,
        governor=_read_text(_CPU0 / "scaling_governor"),
        temperature_c=temperature_c(),
        throttled=_ask_firmware() if throttled is None else throttled,
    )


def state_warnings(machine: Machine, before: MachineState, after: MachineState) -> Iterator[str]:
    """Explain what in the state of the machine makes the figures less trustworthy.

    Args:
        machine: the machine.
        before: its state before the timing.
        after: its state after the timing.
    """
    if before.load_average is not None and before.load_average > BUSY_LOAD:
        yield (
            f"the machine was busy before the timing (load average {before.load_average:.2f}, "
            f"{machine.cpus} CPUs): times are too long, ratios are more reliable"
        )
    if before.throttled or after.throttled:
        yield "the CPU was throttled, because of heat or low voltage: times are too long"
    hottest = max(before.temperature_c or 0, after.temperature_c or 0)
    if hottest >= _HOT_C:
        yield f"the machine reached {hottest:.0f} degrees Celsius: it may have been throttled"
    if before.governor == "powersave":
        yield "the CPU governor is powersave: times are longer than with performance"


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # not on this platform, or not readable
        return None


def _ask_firmware() -> bool | None:
    """Whether a Raspberry Pi is throttled, where the kernel does not say it."""
    command = shutil.which("vcgencmd")
    if command is None:
        return None
    try:
        completed = subprocess.run(  # noqa: S603 - found on PATH, no input from outside
            [command, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        )
        return throttled_now(completed.stdout.strip().removeprefix("throttled="))
    except (OSError, subprocess.SubprocessError, ValueError):  # not a Raspberry Pi after all
        return None


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:  # not on this platform, or not readable by this user
        return None


def _read_number(path: Path) -> float | None:
    text = _read_text(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
