"""Temperature and throttling, by the files that Linux and a Raspberry Pi have."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_edge.device.sensors import is_throttled, temperature_c


def test_the_hottest_zone_counts_and_one_that_is_off_does_not(tmp_path: Path) -> None:
    assert temperature_c(tmp_path) is None
    for number, text in enumerate(("41000\n", "63500\n", "")):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    assert temperature_c(tmp_path) == 63.5


@pytest.mark.parametrize(("text", "expected"), [("0\n", False), ("50000", False), ("50005", True)])
def test_the_kernel_of_a_raspberry_pi_says_whether_it_is_throttled(
    tmp_path: Path, text: str, expected: bool
) -> None:
    (tmp_path / "flags").write_text(text)
    assert is_throttled(tmp_path / "flags") is expected
    assert is_throttled(tmp_path / "absent") is None
