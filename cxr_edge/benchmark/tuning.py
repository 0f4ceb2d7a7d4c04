"""Tuning as one call, for Python and for ``cxr-edge tune``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_edge.benchmark.machine_state import read_machine_state, state_warnings
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import check_threads, this_machine
from cxr_edge.device.profile import (
    FORMAT,
    Profile,
    check_is_profile,
    engine_version,
    profile_path,
    write_profile,
)
from cxr_edge.device.tune import Candidate, fastest, tune
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.files import PathLike, check_writable, optional_path
from cxr_edge.reporting import Reporter, Silent


@dataclass(frozen=True, slots=True)
class TuningResult:
    """What was measured on this machine, and what is used from now on."""

    candidates: tuple[Candidate, ...]
    """Every artifact, engine and number of threads; those that passed the parity check are
    timed."""
    chosen: Candidate | None
    """The fastest; None: none passed, and nothing was stored."""
    profile: Profile | None
    """The stored choice; None: there is none."""
    profile_file: Path
    """Where the choice is stored, or would be."""
    warnings: tuple[str, ...]
    """What may have disturbed the times, such as a busy machine."""


def tune_bundle(
    bundle: PathLike | None = None,
    *,
    threads: int | None = None,
    rounds: int = 40,
    profile: PathLike | None = None,
    key: PathLike | None = None,
    reporter: Reporter | None = None,
) -> TuningResult:
    """Find the fastest artifact, engine and number of threads on this machine, and store it.

    Only artifacts that pass the parity check on this machine are timed, in turn.
    :meth:`cxr_edge.Classifier.load` takes the stored file as ``profile``.

    Args:
        bundle: folder of an export; None: the bundled reference.
        threads: most threads for one inference; None: as many as this process may use, which is
            also the largest number accepted.
        rounds: timing rounds of each candidate, at least 1.
        profile: file to store the choice in; None: this user's folder for settings, where
            ``cxr-edge predict`` looks.
        key: file of the public key that the bundle must be signed for; None: it need not be
            signed.
        reporter: shows progress; None: nothing is shown.

    Raises:
        UsageError: ``threads`` or ``rounds`` is out of range.
        BundleError: the bundle is damaged, or not signed for ``key``.
        MissingExtraError: there is a key, and ``cryptography`` is not installed.
        OutputError: the profile cannot be written, or this user has no folder for settings.
    """
    for option, number in (("threads", threads), ("rounds", rounds)):
        if number is not None and number < 1:
            raise UsageError(f"--{option} is {number}, expected at least 1")
    check_threads(threads or 1)
    opened, machine = Bundle.open(bundle, key=key), this_machine()
    path = find_profile(opened, profile)
    check_writable(path.parent, path)
    before = read_machine_state()
    candidates = tune(opened, max_threads=threads, rounds=rounds, reporter=reporter or Silent())
    warnings = tuple(state_warnings(machine, before, read_machine_state()))
    chosen = fastest(candidates)
    stored = None
    if chosen and chosen.p50_ms is not None:
        stored = Profile(
            format=FORMAT,
            bundle=opened.manifest.sha256,
            machine=machine.key,
            processor=machine.processor,
            artifact=chosen.artifact,
            engine=chosen.engine,
            engine_version=engine_version(chosen.engine),
            threads=chosen.threads,
            p50_ms=round(chosen.p50_ms, 4),
            load_average=before.load_average,
        )
        write_profile(stored, path)
    return TuningResult(candidates, chosen, stored, path, warnings)


def find_profile(bundle: Bundle, profile: PathLike | None) -> Path:
    """The file of a bundle's profile on this machine.

    Args:
        bundle: the bundle.
        profile: the file, where a user named one.

    Raises:
        OutputError: none was named, and this user has no folder for settings.
        ProfileError: the one that was named is another file, which must not be replaced.
    """
    if named := optional_path(profile):
        check_is_profile(named)
        return named
    path = profile_path(bundle.manifest, this_machine())
    if path is None:
        raise OutputError("this user has no folder for settings; name a file with --profile")
    return path
