"""Stores which artifact, engine and threads ``cxr-edge tune`` chose for a bundle on a machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from cxr_edge import documents
from cxr_edge.bundle.manifest import Manifest
from cxr_edge.device.machine import BUSY_LOAD, Machine, this_machine
from cxr_edge.engines import ENGINES
from cxr_edge.errors import ProfileError
from cxr_edge.extras import package_version
from cxr_edge.files import printable, read_file, why, write_file
from cxr_edge.records import dataclass
from cxr_edge.reporting import notice

FORMAT: Literal["1.1"] = "1.1"
"""Version of the document, ``major.minor``; 1.0 was written as 1."""

_MAX_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Profile:
    """The fastest proven way to run one bundle on one machine."""

    format: Literal[1, "1.1"]
    """Version of this document, :data:`FORMAT` or an older one."""
    bundle: str
    """SHA-256 of the bundle's manifest."""
    machine: str
    """Key of the machine, :class:`cxr_edge.device.machine.Machine`."""
    processor: str
    """Name of its CPU, for messages only."""
    artifact: str
    """Name of the artifact to run."""
    engine: str
    """Name of the engine to run it on."""
    engine_version: str | None
    """Version of the engine that was measured; null: its package has none."""
    threads: int
    """Threads for one inference, at least 1."""
    p50_ms: float
    """Median time of one inference, milliseconds."""
    load_average: float | None = documents.since("1.1", None)
    """Of the machine before the timing, over a minute; null: unknown."""

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ProfileError(f"threads is {self.threads}, expected at least 1")

    @property
    def of_busy_machine(self) -> bool:
        """Whether other programs ran beside the timing, so that another choice may be faster."""
        return self.load_average is not None and self.load_average > BUSY_LOAD


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile and the file it was read from."""

    profile: Profile
    path: Path


def profile_folder() -> Path | None:
    """This platform's folder for profiles; None where the user has no home folder."""
    root = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if not root.is_absolute():
        try:
            home = Path.home()
        except RuntimeError:  # no HOME, and the system does not know the user
            return None
        root = home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
    return root / "cxr-edge" / "profiles"


def profile_path(manifest: Manifest, machine: Machine) -> Path | None:
    """Default path of the profile of a bundle on a machine; None: see :func:`profile_folder`."""
    folder = profile_folder()
    return folder / f"{manifest.sha256[:16]}-{machine.key}.json" if folder else None


def find_profile(manifest: Manifest, path: Path | None = None) -> StoredProfile | None:
    """Find the profile for a bundle on this machine.

    A profile for another bundle, machine or engine version is ignored with a warning in the log
    ``cxr_edge``. So is one in the default path that is malformed, cannot be read, or belongs to
    another user than this one and root, since it only affects speed.

    Args:
        manifest: the manifest of the bundle.
        path: the profile's file; None: the default path.

    Returns:
        The profile; None: there is none, or it is ignored.

    Raises:
        ProfileError: the file at ``path`` cannot be read or is malformed.
    """
    folder = profile_folder()
    if path is None and not (folder and _is_there(folder)):
        return None  # nothing was tuned here: skip reading /proc/cpuinfo
    machine = this_machine()
    file = path or profile_path(manifest, machine)
    if file is None or (path is None and not _is_there(file)):
        return None
    try:
        if path is None:
            _check_owner(file)
        data = read_file(file, max_bytes=_MAX_BYTES, error=ProfileError)
        profile = parse_profile(data, printable(file))
    except ProfileError as err:
        if path:
            raise
        notice(f"the profile is ignored: {err}; run 'cxr-edge tune' again")
        return None
    if reason := _mismatch(profile, manifest, machine):
        notice(f"{printable(file)} is ignored: {reason}; run 'cxr-edge tune' again")
        return None
    return StoredProfile(profile, file)


def _check_owner(file: Path) -> None:
    """Refuse a profile that another user may have put here.

    Raises:
        ProfileError: it belongs neither to this user nor to root.
    """
    try:
        owner = file.stat().st_uid
    except OSError as err:
        raise ProfileError(f"{printable(file)}: cannot be opened: {why(err)}") from err
    if owner not in (os.geteuid(), 0):
        raise ProfileError(f"{printable(file)}: belongs to user {owner}, expected your own")


def _is_there(path: Path) -> bool:
    """Whether a path exists; not where this user may not look, such as a service account."""
    try:
        return path.exists()
    except OSError:
        return False


def parse_profile(data: bytes, name: str) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: it is malformed, or of a newer format.
    """
    renew = "run 'cxr-edge tune' again"
    version = documents.read_version(data, FORMAT, name=name, error=ProfileError, renew=renew)
    if version is None:
        raise ProfileError(f"{name}: is no profile of cxr-edge tune, which begins with its format")
    return documents.parse(data, Profile, name=name, error=ProfileError, version=version)


def check_is_profile(path: Path) -> None:
    """Check before a file is replaced or deleted that it is a profile, or not there.

    Raises:
        ProfileError: it is something else.
    """
    if not os.path.lexists(path):
        return
    try:
        parse_profile(read_file(path, max_bytes=_MAX_BYTES, error=ProfileError), printable(path))
    except ProfileError as err:
        raise ProfileError(
            f"{printable(path)}: is there already and no profile of cxr-edge tune that can be read;"
            " name another file, or delete it yourself"
        ) from err


def write_profile(profile: Profile, path: Path) -> None:
    """Write a profile.

    Raises:
        OutputError: the file cannot be written.
    """
    write_file(path, documents.dump(profile))


def engine_version(engine: str) -> str | None:
    """Version of an engine's package; None: not installed."""
    return package_version(ENGINES[engine].distribution)


def _mismatch(profile: Profile, manifest: Manifest, machine: Machine) -> str:
    """Why a profile does not apply here; empty: it does."""
    if profile.bundle != manifest.sha256:
        return "it is for another bundle"
    if profile.machine != machine.key:
        return f"it is for another machine ({printable(profile.processor):.100})"
    if profile.threads > machine.cpus:
        return f"it uses {profile.threads} threads, this process may use {machine.cpus} processors"
    proven = {(a.name, record.engine) for a in manifest.artifacts for record in a.engines}
    if (profile.artifact, profile.engine) not in proven:
        artifact, engine = printable(profile.artifact), printable(profile.engine)
        return f"{artifact:.100} was not proven on {engine:.100}"
    version = engine_version(profile.engine)
    if version != profile.engine_version:
        was = printable(profile.engine_version or "of no version")
        return f"{profile.engine} is {version or 'not installed'}, it was {was:.100}"
    return ""
