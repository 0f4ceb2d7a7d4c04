"""What this installation has, and what would make it faster."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import Machine, this_machine
from cxr_edge.device.profile import Kept, engine_version, find_profile
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.extras import is_installed

# A module that only this extra brings.
_EXTRAS = {"dicom": "pydicom", "evaluate": "sklearn", "train": "keras", "export": "tf2onnx"}


@dataclass(frozen=True, slots=True)
class Health:
    """What was found."""

    machine: Machine
    """The processor."""
    sums_are_exact: bool | None
    """Whether onnxruntime's sums of 8-bit products are right here; None: it is not installed."""
    engines: dict[str, str | None]
    """Version of each engine by name; None: not installed."""
    extras: dict[str, bool]
    """Whether each extra's packages are there."""
    kept: Kept | None
    """What ``cxr-edge tune`` found for the bundle on this machine."""
    advice: tuple[str, ...]
    """What would be faster or more reliable, most useful first; empty: nothing known."""


def examine(bundle: Bundle) -> Health:
    """Look at this installation, for one bundle.

    Raises:
        BundleError: the bundle is damaged.
    """
    machine = this_machine()
    kept = find_profile(bundle.manifest)
    engines = {name: engine_version(name) for name in ENGINES}
    extras = {name: is_installed(module) for name, module in _EXTRAS.items()}
    exact = None
    if "onnxruntime" in installed_engines():
        from cxr_edge.engines.onnxruntime import sums_are_exact

        exact = sums_are_exact()
    return Health(machine, exact, engines, extras, kept, tuple(_advice(bundle, kept)))


def _advice(bundle: Bundle, kept: Kept | None) -> Iterator[str]:
    installed = installed_engines()
    runnable = {r.engine for a in bundle.manifest.artifacts for r in a.engines}
    if not runnable & set(installed):
        yield f"no engine runs this bundle; {ENGINES[min(runnable)].install} brings one"
    if kept is None:
        yield "'cxr-edge tune' has not measured this bundle here; the first file that runs is used"
    for name in ENGINES:
        if name in runnable and name not in installed:
            yield (
                f"{name} is not installed; {ENGINES[name].install} brings it, "
                "and 'cxr-edge tune' tells whether it is faster"
            )
    if uncompiled := [name for name in ("numpy", "cv2", "cxr_edge") if not _is_compiled(name)]:
        names = ", ".join(uncompiled)
        yield f"{names}: not byte-compiled, each start compiles anew; python -m compileall mends it"
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield "PYTHONDONTWRITEBYTECODE is set: code that is not compiled yet never will be"


def _is_compiled(package: str) -> bool:
    """Whether a package's own code is stored compiled for this Python."""
    spec = importlib.util.find_spec(package)
    cached = spec.cached if spec else None
    return cached is None or Path(cached).exists()
