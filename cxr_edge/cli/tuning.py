"""``cxr-edge tune`` and ``doctor``: what is fastest on this machine, and what the machine has."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.errors import OutputError, ParityError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.device.tune import Row


def tune(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Folder of an export; by default the reference."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", "-t", min=1, help="Most threads to try.", show_default="all processors"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that each candidate gets.")] = 40,
    profile: Annotated[
        Path | None,
        typer.Option(
            help="Where to remember the choice.",
            show_default="this platform's folder for settings, where predict looks",
        ),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget the choice instead, and measure nothing.")
    ] = False,
) -> None:
    """Find the fastest file, engine and number of threads here, and remember them.

    Each file first has to prove on each installed engine that it decides like the original; what
    does not is never taken. Those that do are timed in turn.
    """
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.device.machine import this_machine
    from cxr_edge.device.profile import Profile, engine_version, profile_path, write_profile
    from cxr_edge.device.tune import fastest
    from cxr_edge.device.tune import tune as measure

    bundle, machine, terminal = Bundle.open(folder), this_machine(), Terminal()
    path = profile or profile_path(bundle.manifest, machine)
    if path is None:
        raise OutputError("this platform has no folder for settings; say where with --profile")
    if forget:
        _forget(path, terminal)
        return
    rows = measure(bundle, max_threads=threads, rounds=rounds, reporter=terminal)
    chosen = fastest(rows)
    _print_rows(rows, chosen)
    if chosen is None or chosen.p50_ms is None:
        raise ParityError("no file of the bundle was proven here; see 'cxr-edge verify'")
    found = Profile(
        format=1,
        bundle=bundle.manifest.sha256,
        machine=machine.key,
        processor=machine.processor,
        artifact=chosen.artifact,
        engine=chosen.engine,
        engine_version=engine_version(chosen.engine),
        threads=chosen.threads,
        p50_ms=round(chosen.p50_ms, 4),
    )
    write_profile(found, path)
    plural = "" if chosen.threads == 1 else "s"
    terminal.say(
        f"{chosen.artifact} on {chosen.engine}, {chosen.threads} thread{plural}, "
        f"is what runs from now on; remembered in {printable(path)}"
    )


def _forget(path: Path, terminal: Terminal) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        terminal.say(f"{printable(path)}: nothing to forget")
    except OSError as err:
        raise OutputError(f"{printable(path)}: cannot be deleted: {err.strerror}") from err
    else:
        terminal.say(f"{printable(path)}: forgotten")


def _print_rows(rows: tuple[Row, ...], chosen: Row | None) -> None:
    print(
        f"  {'artifact':21}  {'engine':11}  threads  {'p50 ms':>7}  {'p90 ms':>7}  max |d|  "
        f"mean |d|  {'kB':>6}  note"
    )
    for row in rows:
        parity = row.verdict.parity
        times = "".join(
            f"  {'' if ms is None else f'{ms:.3f}':>7}" for ms in (row.p50_ms, row.p90_ms)
        )
        deltas = f"  {'':7}  {'':8}"
        if parity:
            deltas = f"  {parity.max_abs_delta:7.1e}  {parity.mean_abs_delta:8.1e}"
        note = row.verdict.reason and f"{row.verdict.outcome}: {row.verdict.reason}"
        print(
            f"{'*' if row is chosen else ' '} {row.artifact:21}  {row.engine:11}  {row.threads:7}"
            f"{times}{deltas}  {row.bytes / 1e3:6.0f}  {note}".rstrip()
        )


def doctor(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Folder of an export; by default the reference."),
    ] = None,
    startup: Annotated[
        bool, typer.Option("--startup", help="Measure where the time of a start goes.")
    ] = False,
    starts: Annotated[int, typer.Option(min=1, help="How often each process is started.")] = 9,
    engine: options.Engine = None,
) -> None:
    """Say what this machine and installation have, and what would be faster."""
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.device.doctor import examine
    from cxr_edge.device.startup import FLOOR, measure_starts

    health = examine(Bundle.open(folder))
    machine, kept = health.machine, health.kept
    rows = [
        ("processor", f"{machine.processor}, {machine.architecture}, {machine.cpus} usable"),
        ("instructions", ", ".join(machine.instructions) or "unknown"),
        ("8-bit sums", "exact" if health.sums_are_exact else "saturate: 7-bit weights are needed"),
        ("python", platform.python_version()),
    ]
    rows += [(name, version or "not installed") for name, version in health.engines.items()]
    extras = [name for name, present in health.extras.items() if present]
    rows.append(("extras", ", ".join(extras) or "none"))
    tuned = "not yet"
    if kept:
        what = kept.profile
        tuned = f"{what.artifact} on {what.engine}, threads {what.threads} ({printable(kept.path)})"
    rows.append(("tuned", tuned))
    for name, text in rows:
        print(f"{name:12}  {text}")
    for line in health.advice:
        print(f"advice        {line}")
    if startup:
        asked = ["-e", engine] if engine else []
        found = measure_starts(folder, asked, starts, Terminal())
        floor = next(each.ms for each in found if each.command == FLOOR)
        print(f"\n{'ms':>6}  {'of floor':>8}  {'peak MB':>7}  process, started {starts} times")
        for each in found:
            print(f"{each.ms:6.0f}  {each.ms / floor:8.2f}  {each.peak_mb:7.0f}  {each.command}")
