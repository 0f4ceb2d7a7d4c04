"""``cxr-edge tune`` and ``cxr-edge doctor``."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.failures import errors_as_documents
from cxr_edge.cli.output.schemas import (
    DOCTOR,
    TUNE,
    DoctorDocument,
    TimedCandidate,
    TunedChoice,
    TuneDocument,
    bundle_name,
    print_document,
)
from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table
from cxr_edge.errors import OutputError, ParityError
from cxr_edge.files import printable, why

if TYPE_CHECKING:
    from cxr_edge.device.doctor import Diagnosis
    from cxr_edge.device.profile import Profile
    from cxr_edge.device.startup import Startup
    from cxr_edge.device.tune import Candidate

_SUMS = {
    True: "exact",
    False: "saturate: 7-bit weights are needed",
    None: "unknown: onnxruntime could not measure it here",
}


def tune(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BUNDLE]",
            path_type=options.BundlePath,
            help="Folder of an export, or compact; by default the reference.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", "-t", min=1, help="Most threads to try.", show_default="all processors"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timing rounds of each candidate.")] = 40,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="File to store the choice in.",
            show_default="this platform's folder for settings, where predict looks",
        ),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete the stored choice instead of measuring.")
    ] = False,
    format: options.Format = "table",
    key: options.Key = None,
) -> None:
    """Find the fastest artifact, engine and number of threads on this machine.

    Only artifacts that pass the parity check on this machine are timed, in turn; predict then uses
    the fastest.
    """
    from cxr_edge.benchmark.tuning import find_profile, tune_bundle
    from cxr_edge.bundle.reader import Bundle

    terminal = Terminal()
    if forget:
        with errors_as_documents(format):
            _forget(find_profile(Bundle.open(folder, key=key), profile), terminal)
        if format == "json":
            print_document(TuneDocument(TUNE, bundle_name(folder), None, (), ()))
        return
    with errors_as_documents(format):
        result = tune_bundle(
            folder, threads=threads, rounds=rounds, profile=profile, key=key, reporter=terminal
        )
    choice = _choice(result.profile, result.profile_file) if result.profile else None
    if format == "json":
        timed = tuple(map(_timed_candidate, result.candidates))
        print_document(TuneDocument(TUNE, bundle_name(folder), choice, timed, result.warnings))
    else:
        _print_candidates(result.candidates, result.chosen)
    for warning in result.warnings:
        terminal.say(f"note: {warning}")
    if choice is None:
        raise ParityError("no artifact passes the parity check here; see 'cxr-edge verify'")
    plural = "" if choice.threads == 1 else "s"
    terminal.say(
        f"predict now uses {choice.artifact} on {choice.engine}, {choice.threads} thread{plural}; "
        f"stored in {choice.profile}"
    )


def _choice(profile: Profile, path: Path) -> TunedChoice:
    return TunedChoice(
        artifact=profile.artifact,
        engine=profile.engine,
        threads=profile.threads,
        p50_ms=profile.p50_ms,
        load_average=profile.load_average,
        profile=printable(path),
    )


def _timed_candidate(candidate: Candidate) -> TimedCandidate:
    verdict, parity = candidate.verdict, candidate.verdict.parity
    return TimedCandidate(
        artifact=candidate.artifact,
        engine=candidate.engine,
        threads=candidate.threads,
        outcome=verdict.outcome,
        reason=verdict.reason,
        bytes=candidate.bytes,
        p50_ms=candidate.p50_ms,
        p90_ms=candidate.p90_ms,
        max_abs_delta=parity.max_abs_delta if parity else None,
        mean_abs_delta=parity.mean_abs_delta if parity else None,
    )


def _forget(path: Path, terminal: Terminal) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        terminal.say(f"{printable(path)}: no such profile")
    except OSError as err:
        raise OutputError(f"{printable(path)}: cannot be deleted: {why(err)}") from err
    else:
        terminal.say(f"{printable(path)}: deleted")


def _print_candidates(candidates: tuple[Candidate, ...], chosen: Candidate | None) -> None:
    columns = [
        Column(),
        Column("artifact"),
        Column("engine"),
        *(
            Column(title, align="right")
            for title in ("threads", "p50 ms", "p90 ms", "max |d|", "mean |d|", "kB")
        ),
        Column("note"),
    ]
    print_table(columns, [_candidate_cells(one, chosen) for one in candidates])


def _candidate_cells(candidate: Candidate, chosen: Candidate | None) -> list[Cell]:
    parity, verdict = candidate.verdict.parity, candidate.verdict
    times = (candidate.p50_ms, candidate.p90_ms)
    deltas = (parity.max_abs_delta, parity.mean_abs_delta) if parity else ()
    cells: list[Cell] = [
        Styled("*", "good") if candidate is chosen else "",
        candidate.artifact,
        candidate.engine,
        str(candidate.threads),
        *("" if ms is None else f"{ms:.3f}" for ms in times),
        *([f"{delta:.1e}" for delta in deltas] or ["", ""]),
        f"{candidate.bytes / 1e3:.0f}",
    ]
    note = verdict.reason and f"{verdict.outcome}: {verdict.reason}"
    return [*cells, Styled(note, "bad" if verdict.outcome == "failed" else "faint")]


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BUNDLE]",
            path_type=options.BundlePath,
            help="Folder of an export, or compact; by default the reference.",
        ),
    ] = None,
    startup: Annotated[
        bool, typer.Option("--startup", help="Break down the start-up time.")
    ] = False,
    starts: Annotated[int, typer.Option(min=1, help="Starts of each process.")] = 9,
    engine: options.Engine = None,
    format: options.Format = "table",
) -> None:
    """Show this machine and installation, and what would make them faster."""
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.device.doctor import diagnose
    from cxr_edge.device.startup import measure_startup

    measured = None
    with errors_as_documents(format):
        diagnosis = diagnose(Bundle.open(folder))
        if startup and format == "json":
            measured = measure_startup(folder, engine, starts, Terminal())
    if format == "json":
        print_document(_doctor_document(folder, diagnosis, measured))
        return
    _print_diagnosis(folder, diagnosis)
    if startup:  # the table above comes at once
        _print_startup(measure_startup(folder, engine, starts, Terminal()), starts)


def _doctor_document(
    folder: Path | None, diagnosis: Diagnosis, measured: Startup | None
) -> DoctorDocument:
    machine, tuned = diagnosis.machine, diagnosis.tuned
    return DoctorDocument(
        schema=DOCTOR,
        bundle=bundle_name(folder),
        processor=machine.processor,
        architecture=machine.architecture,
        instructions=machine.instructions,
        cpus=machine.cpus,
        sums_8bit={True: "exact", False: "saturate", None: None}[diagnosis.sums_are_exact],
        python=platform.python_version(),
        engines=diagnosis.engines,
        extras=diagnosis.extras,
        tuned=_choice(tuned.profile, tuned.path) if tuned else None,
        advice=diagnosis.advice,
        startup=measured.processes if measured else None,
        startup_parts=measured.parts if measured else None,
    )


def _print_diagnosis(folder: Path | None, diagnosis: Diagnosis) -> None:
    machine, tuned = diagnosis.machine, diagnosis.tuned
    rows = [
        ("processor", f"{machine.processor}, {machine.architecture}, {machine.cpus} usable"),
        ("instructions", ", ".join(machine.instructions) or "unknown"),
        ("8-bit sums", _SUMS[diagnosis.sums_are_exact]),
        ("python", platform.python_version()),
    ]
    rows += [(name, version or "not installed") for name, version in diagnosis.engines.items()]
    extras = [name for name, present in diagnosis.extras.items() if present]
    rows.append(("extras", ", ".join(extras) or "none"))
    choice = "not yet"
    if tuned:
        profile = tuned.profile
        choice = (
            f"{profile.artifact} on {profile.engine}, threads {profile.threads} "
            f"({printable(tuned.path)})"
        )
    rows += [("bundle", bundle_name(folder)), ("tuned", choice)]
    rows += [("advice", line) for line in diagnosis.advice]
    print_table(
        [Column(), Column()],
        [(name, Styled(text, "warning") if name == "advice" else text) for name, text in rows],
    )


def _print_startup(measured: Startup, starts: int) -> None:
    from cxr_edge.device.startup import FLOOR

    floor_ms = next(process.ms for process in measured.processes if process.command == FLOOR)
    columns = [Column(title, align="right") for title in ("ms", "of floor", "peak MB")]
    times = "once" if starts == 1 else f"{starts} times"
    for title, rows in (
        (
            f"process, started {times}",
            [(one.ms, one.peak_mb, one.command) for one in measured.processes],
        ),
        (
            "part of a prediction",
            [(one.ms, one.peak_mb, one.part) for one in measured.parts],
        ),
    ):
        print()
        print_table(
            [*columns, Column(title)],
            [(f"{ms:.0f}", f"{ms / floor_ms:.2f}", f"{peak:.0f}", name) for ms, peak, name in rows],
        )
