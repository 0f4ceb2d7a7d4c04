"""``docs/reliability.md``: each promise, how it was tested, and whether it held.

``python page.py tests`` runs the tests of every row and writes the page, ``python page.py page``
writes it from their last reports. ``python page.py soak [EXPRESSION]`` runs the long ones (at most
an hour; ``CXR_EDGE_SOAK_MINUTES``), or those that pytest's ``-k`` selects, and keeps their figures
in docs/soak.json.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rows import GROUPS, ROWS, Row

from cxr_edge.device.machine import this_machine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reliability.md"
SOAK = ROOT / "docs/soak.json"
BUILD = ROOT / "build/reliability"
_SYSTEM = "system/"

_HEAD = """# Reliability

Each promise, how many tests hold it, and what was measured. Written by `make reliability`, which
ran the tests on {date}, on {machine}. Long runs are of `make soak`: {soak}.
A test covers every kind that its row names. Other work ran on the machine meanwhile.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test."""

    name: str
    """File and function, as ``image/test_png.py::test_alpha``."""
    passed: bool
    skipped: bool
    figures: tuple[str, ...] = ()
    """What it recorded."""


@dataclass(frozen=True, slots=True)
class LongRuns:
    """The file of a soak."""

    date: str
    machine: str
    minutes: float
    """How long it took."""
    outcomes: tuple[Outcome, ...]


def run_tests(selection: Sequence[str], report: Path) -> tuple[Outcome, ...]:
    """Run tests and read what came of them.

    Args:
        selection: arguments of pytest.
        report: where its JUnit report goes.
    """
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-o", "junit_family=xunit1"]
    command += [f"--junitxml={report}", *selection]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"pytest ended with {done.returncode}")
    return read_report(report)


def read_report(report: Path) -> tuple[Outcome, ...]:
    """Read a JUnit report."""
    outcomes = []
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.get("classname", "").removeprefix("tests.").replace(".", "/")
        function = case.get("name", "").split("[")[0]
        bad = case.find("failure") is not None or case.find("error") is not None
        figures = [p.get("value", "") for p in case.iter("property") if p.get("name") == "figure"]
        outcomes.append(
            Outcome(
                f"{file}.py::{function}", not bad, case.find("skipped") is not None, tuple(figures)
            )
        )
    return tuple(outcomes)


def belongs(outcome: Outcome, pattern: str) -> bool:
    """Whether a test is the one that a row names, or in the file or folder that it names."""
    return outcome.name == pattern or outcome.name.startswith((f"{pattern}::", f"{pattern}/"))


def _verdict(outcomes: Sequence[Outcome]) -> str:
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if failed:
        return f"**no**: {', '.join(dict.fromkeys(failed))}"
    if not outcomes or all(outcome.skipped for outcome in outcomes):
        return "not run"
    return "yes"


def row_line(row: Row, tests: Sequence[Outcome], long_runs: Sequence[Outcome]) -> str:
    """A row of the page's table."""
    if row.waits_for:
        return f"| {row.id} | {row.what} | {row.promise} | | waits for {row.waits_for} |"
    short = [o for o in tests if any(belongs(o, pattern) for pattern in row.tests)]
    soak = [o for o in long_runs if o.name.split("::")[1] in row.soak]
    figures = [figure for outcome in (*short, *soak) for figure in outcome.figures]
    skipped = sum(outcome.skipped for outcome in short)
    count = len(short) - skipped
    counted = f"{count} test{'s' if count != 1 else ''}" + (
        f", {skipped} skipped" if skipped else ""
    )
    told = "; ".join([counted] if short else []) + ("; " if short and figures else "")
    verdict = _verdict([*short, *soak])
    if row.soak and not soak and verdict == "yes":
        verdict = "yes, by its short tests; the long run was not made"
    return f"| {row.id} | {row.what} | {row.promise} | {told}{'; '.join(figures)} | {verdict} |"


def page(tests: Sequence[Outcome], soak: LongRuns | None, date: str, machine: str) -> str:
    """The page, in Markdown."""
    long = f"{soak.date}, on {soak.machine}, {soak.minutes:.0f} minutes" if soak else "no day yet"
    lines = [_HEAD.format(date=date, machine=machine, soak=long)]
    for group, rows in GROUPS.items():
        lines += [
            f"\n## {group}\n",
            "| id | what | must hold | measured | holds |",
            "|---|---|---|---|---|",
        ]
        lines += [row_line(row, tests, soak.outcomes if soak else ()) for row in rows]
    return "\n".join(lines) + "\n"


def read_soak() -> LongRuns | None:
    """The figures of the last long runs; None: there are none."""
    if not SOAK.exists():
        return None
    values = json.loads(SOAK.read_bytes())
    outcomes = [Outcome(**o | {"figures": tuple(o["figures"])}) for o in values.pop("outcomes")]
    return LongRuns(**values, outcomes=tuple(outcomes))


def machine_name() -> str:
    """The machine that the figures are of."""
    machine = this_machine()
    vnni = any("vnni" in name for name in machine.instructions)
    return f"{machine.cpus} cores of {machine.processor}, {'with' if vnni else 'without'} VNNI"


def run_soak(only: str) -> None:
    """Run the long tests, or some of them, and keep their outcomes."""
    start = datetime.datetime.now(datetime.UTC)
    arguments = ["-n", "2", "-m", "soak", "tests/reliability", *(["-k", only] if only else [])]
    outcomes = run_tests(arguments, BUILD / "soak.xml")
    minutes = (datetime.datetime.now(datetime.UTC) - start).total_seconds() / 60
    kept: tuple[Outcome, ...] = ()
    if only and (before := read_soak()):
        names = {outcome.name for outcome in outcomes}
        kept = tuple(outcome for outcome in before.outcomes if outcome.name not in names)
        minutes += before.minutes
    runs = LongRuns(start.date().isoformat(), machine_name(), round(minutes, 1), kept + outcomes)
    SOAK.write_text(json.dumps(dataclasses.asdict(runs), indent=1) + "\n")


def run_short() -> None:
    """Run the tests of every row."""
    patterns = sorted({pattern for row in ROWS for pattern in row.tests})
    selection = [f"tests/{p}" for p in patterns if not p.startswith(_SYSTEM)]
    workers = os.environ.get("CXR_EDGE_TEST_PROCESSES", "2")
    parallel = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    marks = ["-m", "not system and not models and not thorough and not soak"]
    run_tests([*parallel, *marks, *selection], BUILD / "tests.xml")
    system = [f"tests/{p}" for p in patterns if p.startswith(_SYSTEM)]
    run_tests(["-m", "system", *system], BUILD / "system.xml")


def main(what: str, only: str = "") -> None:
    """Run the short or the long tests, or write the page."""
    if what == "soak":
        run_soak(only)
        return
    if what == "tests":
        run_short()
    tests = read_report(BUILD / "tests.xml") + read_report(BUILD / "system.xml")
    day = datetime.datetime.fromtimestamp((BUILD / "tests.xml").stat().st_mtime, datetime.UTC)
    PAGE.write_text(page(tests, read_soak(), day.date().isoformat(), machine_name()))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("tests", "soak", "page"):
        sys.exit("usage: page.py tests | page | soak [EXPRESSION]")
    main(*sys.argv[1:3])
