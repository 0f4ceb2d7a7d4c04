"""What a small computer measures of itself: temperature and throttling."""

from __future__ import annotations

from pathlib import Path

_TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi OS
_NOW = 0b1111  # the higher bits say what happened since the start


def temperature_c(file: Path = _TEMPERATURE) -> float | None:
    """Temperature of the CPU, degrees Celsius; None: not measured here."""
    try:
        return int(file.read_text()) / 1000
    except (OSError, ValueError):
        return None


def is_throttled(file: Path = _THROTTLED) -> bool | None:
    """Whether a Raspberry Pi runs slower now, as it is hot or short of voltage; None: unknown."""
    try:
        return bool(int(file.read_text(), 16) & _NOW)
    except (OSError, ValueError):
        return None
