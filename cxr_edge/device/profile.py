"""What ``cxr-edge tune`` found fastest for a bundle on a machine, remembered in a small file."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge import documents
from cxr_edge.bundle.manifest import Manifest
from cxr_edge.device.machine import Machine, this_machine
from cxr_edge.engines import ENGINES
from cxr_edge.errors import ProfileError
from cxr_edge.extras import package_version
from cxr_edge.files import printable, read_file, write_file
from cxr_edge.reporting import notice

FORMAT = "1.0"
"""Version of the document, ``major.minor``; 1.0 is written as 1."""

_MAX_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Profile:
    """The fastest way to run one bundle on one machine."""

    format: Literal[1]
    """Version of this document, :data:`FORMAT`."""
    bundle: str
    """SHA-256 of the bundle's manifest."""
    machine: str
    """Key of the machine, :class:`cxr_edge.device.machine.Machine`."""
    processor: str
    """What its processor is called, for people."""
    artifact: str
    """The file to run."""
    engine: str
    """The engine to run it on."""
    engine_version: str | None
    """The version of the engine that was measured; null: its package does not say."""
    threads: int
    """Threads for one inference, at least 1."""
    p50_ms: float
    """Median time of one inference when it was measured, milliseconds."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ProfileError(f"threads is {self.threads}, expected at least 1")


@dataclass(frozen=True, slots=True)
class Kept:
    """A profile, and where it is."""

    profile: Profile
    """What it says."""
    path: Path
    """Its file."""


def profile_folder() -> Path | None:
    """Where this platform keeps settings of cxr-edge; None where the user has no home."""
    root = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not root.is_absolute():
        try:
            home = Path.home()
        except RuntimeError:  # no HOME, and the system does not know the user
            return None
        root = home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
    return root / "cxr-edge" / "profiles"


def profile_path(manifest: Manifest, machine: Machine) -> Path | None:
    """Where the profile of a bundle on a machine is kept; None: nowhere on this platform."""
    folder = profile_folder()
    return folder / f"{manifest.sha256[:16]}-{machine.key}.json" if folder else None


def find_profile(manifest: Manifest, path: Path | None = None) -> Kept | None:
    """The profile to honour.

    One that is not for this bundle, machine or version of the engine is ignored with one line in
    the log ``cxr_edge``; so is a kept one that cannot be read, since it only makes things faster.

    Args:
        manifest: the bundle.
        path: a profile's file; None: the one that is kept for this bundle and machine, if any.

    Raises:
        ProfileError: the file at ``path`` cannot be read or is malformed.
    """
    folder = profile_folder()
    if path is None and not (folder and folder.is_dir()):
        return None  # nothing was ever tuned here: spare the look at the machine
    machine = this_machine()
    where = path or profile_path(manifest, machine)
    if where is None or (path is None and not where.exists()):
        return None
    try:
        data = read_file(where, max_bytes=_MAX_BYTES, error=ProfileError)
        profile = parse_profile(data, printable(where))
    except ProfileError as err:
        if path:
            raise
        notice(f"the profile is ignored: {err}; run 'cxr-edge tune' again")
        return None
    if reason := _misfit(profile, manifest, machine):
        notice(f"{printable(where)} is ignored: {reason}; run 'cxr-edge tune' again")
        return None
    return Kept(profile, where)


def parse_profile(data: bytes, name: str) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: it is malformed, or of a newer format.
    """
    renew = "run 'cxr-edge tune' again"
    version = documents.read_version(data, FORMAT, name=name, error=ProfileError, renew=renew)
    if version is None:
        raise ProfileError(f"{name}: no profile of cxr-edge tune; expected its format first")
    return documents.parse(data, Profile, name=name, error=ProfileError, version=version)


def write_profile(profile: Profile, path: Path) -> None:
    """Remember a profile.

    Raises:
        OutputError: it could not be written.
    """
    write_file(path, documents.dump(profile))


def engine_version(engine: str) -> str | None:
    """The version of an engine's package; None where it is not installed."""
    return package_version(ENGINES[engine].distribution)


def _misfit(profile: Profile, manifest: Manifest, machine: Machine) -> str:
    """Why a profile does not fit; empty: it does."""
    if profile.bundle != manifest.sha256:
        return "it is for another bundle"
    if profile.machine != machine.key:
        return f"it is for another machine ({profile.processor})"
    proven = {(a.name, record.engine) for a in manifest.artifacts for record in a.engines}
    if (profile.artifact, profile.engine) not in proven:
        return f"{profile.artifact} was not proven on {profile.engine}"
    found = engine_version(profile.engine)
    if found != profile.engine_version:
        return f"{profile.engine} is {found or 'not installed'}, it was {profile.engine_version}"
    return ""
