"""What the tests of the export share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cxr_edge.extras import require_tensorflow


@pytest.fixture(scope="session", autouse=True)
def quick_drawing(pictures_drawn_once: None) -> None:
    """For every export in this folder."""


@pytest.fixture(scope="class")  # of a function in no class: once a test, which hypothesis accepts
def double_precision() -> Iterator[None]:
    """New layers and inputs are float64: what remains of a difference is rounding."""
    keras, _ = require_tensorflow("export")
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
