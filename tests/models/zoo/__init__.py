"""Strangers' models: one small network of every kind that an export has to cope with.

A module here is a kind of difficulty; its ``CASES`` are networks that have it. ``make test``
exports each of them that is not ``large``; ``make test-models`` exports all, ``keras.applications``
included, and writes the table in docs/models.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One network, and what an export must make of it."""

    name: str
    """For people: ``BatchNormalization plus a constant``. Unique."""
    build: Callable[[], Any]
    """Makes the ``keras.Model``, its weights drawn from Keras's global seed. Its last layer, before
    the sigmoid or softmax, is a Dense called ``out``, so that scores can be spread."""
    refusal: str | None = None
    """A regular expression that the one-line refusal matches; None: it is exported."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the spec that differ from what is inferred: ``{"input": {"scale": 1.0}}``."""
    large: bool = False
    """Whether only ``make test-models`` exports it: it takes more than a second, or is one of many
    of its kind."""
    tflite: bool = False
    """Whether ``make test`` also exports it to TensorFlow Lite, which takes half a second."""


def kinds() -> dict[str, tuple[Case, ...]]:
    """The cases of every module, by the module's name."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    return {module.__name__.rpartition(".")[2]: module.CASES for module in modules}
