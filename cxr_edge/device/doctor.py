"""What this installation has, and what would make it faster or more reliable."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle.preference import in_order_of_preference
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import Machine, is_arm64, is_x86, this_machine
from cxr_edge.device.profile import StoredProfile, engine_version, find_profile
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.errors import EngineError, MissingExtraError
from cxr_edge.extras import is_installed

_EXTRAS = {
    "dicom": "pydicom",
    "report": "altair",
    "evaluate": "sklearn",
    "train": "keras",
    "export": "tf2onnx",
    "sign": "cryptography",
    "serve": "uvicorn",
    "mqtt": "paho",
    "archive": "pyarrow",
    "ray": "ray",
}
"""A module by which to tell that an extra is installed; engines' extras are told by engine."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The state of an installation, for one bundle."""

    machine: Machine
    sums_are_exact: bool | None
    """Whether onnxruntime adds 8-bit products without saturating here; None: unknown."""
    engines: dict[str, str | None]
    """Version of each engine; None: not installed."""
    extras: dict[str, bool]
    """Whether each extra is installed."""
    tuned: StoredProfile | None
    """The result of ``cxr-edge tune`` for the bundle on this machine."""
    advice: tuple[str, ...]
    """Improvements, the most useful first."""


def diagnose(bundle: Bundle) -> Diagnosis:
    """Examine this installation.

    Raises:
        BundleError: the bundle is damaged.
    """
    machine = this_machine()
    tuned = find_profile(bundle.manifest)
    engines = {name: engine_version(name) for name in ENGINES}
    extras = {name: is_installed(module) for name, module in _EXTRAS.items()}
    exact = _sums_are_exact(machine)
    return Diagnosis(machine, exact, engines, extras, tuned, tuple(_advice(bundle, tuned)))


def _sums_are_exact(machine: Machine) -> bool | None:
    """Whether 8-bit sums are exact here; None where that cannot be measured or explained."""
    if "onnxruntime" not in installed_engines():
        return None
    try:
        from cxr_edge.engines.onnxruntime import sums_are_exact

        exact = sums_are_exact()
    except (ImportError, EngineError):  # installed, but it cannot run here
        return None
    # Only x86 CPUs are known to saturate: elsewhere a wrong sum has another cause.
    return exact or (False if is_x86(machine.architecture) else None)


def _advice(bundle: Bundle, tuned: StoredProfile | None) -> Iterator[str]:
    installed = installed_engines()
    runnable = {r.engine for a in bundle.manifest.artifacts for r in a.engines}
    if not runnable & set(installed):
        yield f"no installed engine runs this bundle: {ENGINES[min(runnable)].install}"
    if tuned is None:
        yield (
            f"'cxr-edge tune' has not measured this bundle here: predict uses {_default(bundle)}, "
            "which may not be the fastest"
        )
    elif tuned.profile.of_busy_machine:
        yield (
            f"'cxr-edge tune' ran on a busy machine (load average "
            f"{tuned.profile.load_average:.1f}): run it again when nothing else runs"
        )
    preferred, preferred_engine = in_order_of_preference(bundle.manifest.artifacts)[0]
    for name in ENGINES:
        if name in runnable and name not in installed:
            gain = "may be faster"
            if is_arm64() and name == preferred_engine:
                gain = f"runs {preferred.name}, by published times the fastest on arm64"
            install = f"{ENGINES[name].install}, then 'cxr-edge tune'"
            yield f"{name} is not installed and {gain}: {install}"
    if uncompiled := dict(_uncompiled("numpy", "cv2", "cxr_edge")):
        command = shlex.join([sys.executable, "-m", "compileall", "-q", *uncompiled.values()])
        yield (
            f"{', '.join(uncompiled)}: not byte-compiled, so every start compiles again: "
            f"run {command}"
        )
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield "PYTHONDONTWRITEBYTECODE is set, so compiled code is never stored: unset it"


def _default(bundle: Bundle) -> str:
    """What predict runs without a profile."""
    try:
        artifact, engine = bundle.choose(None, None)
    except (MissingExtraError, EngineError):  # no engine, or none for this CPU: said elsewhere
        return "the first artifact that runs"
    return f"{artifact.name} on {engine}"


def _uncompiled(*packages: str) -> Iterator[tuple[str, str]]:
    """Packages, with their folders, whose ``__init__`` has no byte code stored for this Python."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and spec.cached and not Path(spec.cached).exists():
            yield package, str(Path(spec.origin).parent)
