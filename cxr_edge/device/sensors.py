"""What a small computer measures of itself: temperature and throttling."""

from __future__ import annotations

from pathlib import Path

_ZONES = Path("/sys/class/thermal")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi OS
_NOW = 0b1111  # low voltage, capped, throttled, soft limit; higher bits: since the start


def temperature_c(zones: Path = _ZONES) -> float | None:
    """Temperature of the hottest part of the machine, degrees Celsius; None: not measured here."""
    millidegrees = []
    for file in zones.glob("thermal_zone*/temp"):
        try:
            millidegrees.append(int(file.read_text()))
        except (OSError, ValueError):  # a zone that is off cannot be read
            continue
    return max(millidegrees) / 1000 if millidegrees else None


def is_throttled(file: Path = _THROTTLED) -> bool | None:
    """Whether a Raspberry Pi runs slower now, as it is hot or short of voltage; None: unknown."""
    try:
        return throttled_now(file.read_text())
    except (OSError, ValueError):
        return None


def throttled_now(flags: str) -> bool:
    """Whether a Raspberry Pi runs slower now, by what its firmware says.

    Args:
        flags: a hexadecimal number.

    Raises:
        ValueError: it is none.
    """
    return bool(int(flags, 16) & _NOW)
