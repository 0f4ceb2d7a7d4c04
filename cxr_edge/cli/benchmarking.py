"""``cxr-edge benchmark``: latency, start, memory and parity of every file on this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table
from cxr_edge.errors import UsageError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.benchmark.report import Report

SLOWER = 1
DEFAULT_OUT = Path("benchmark")


def benchmark(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[BUNDLE]",
            path_type=options.BundlePath,
            help="Folder of an export, or compact; by default the reference.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images, or a folder of them for each label, to compare answers and to time on.",
            show_default="the bundle's golden inputs and drawn files",
        ),
    ] = None,
    keras: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL.keras", help="The original model.", show_default="the bundle's own"
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Run Keras and stock conversions too, if TensorFlow is there.")
    ] = True,
    stock: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx",
            help="The stock float32 ONNX to compare with: read, or made and kept for a device.",
            show_default="made, not kept",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for report.json, report.md, report.html; older ones are replaced.",
        ),
    ] = DEFAULT_OUT,
    threads: Annotated[
        str, typer.Option("--threads", "-t", help="Threads for one inference, with commas.")
    ] = "1",
    rounds: Annotated[
        int, typer.Option(min=2, help="Timing rounds of each row, of 3 inferences; 100 for a p99.")
    ] = 100,
    decode: Annotated[
        Literal["fast", "exact"] | None,
        typer.Option(help="How files are decoded.", show_default="the bundle's"),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output of 'make bench', to show in the report."),
    ] = None,
    label: Annotated[
        str, typer.Option(help="What to call this run beside others.", show_default=False)
    ] = "",
    compare: Annotated[
        Path | None,
        typer.Option(metavar="OLD.json", help="Compare with an older report."),
    ] = None,
    max_slowdown: Annotated[
        float, typer.Option(min=1.0, help="With --compare: the largest ratio accepted.")
    ] = 1.1,
) -> None:
    """Measure every file on every engine here: time, start, memory, parity; write a report.

    All rows take turns in one process, so that drift cancels; starts and memory are measured in
    processes of their own. report.html needs the extra 'report'. With --compare: exits with 1 if a
    row became slower. 'cxr-edge report A.json B.json' shows two machines side by side.
    """
    from cxr_edge.benchmark.compare import compare_reports, comparison_text
    from cxr_edge.benchmark.report import read_report
    from cxr_edge.benchmark.stage import JSON_NAME, benchmark_bundle

    old = None
    if compare:  # refused before anything is measured
        if compare.resolve() == (out / JSON_NAME).resolve():
            raise UsageError(
                f"{printable(compare)}: the new report would replace it; use another folder (-o)"
            )
        old = read_report(compare)
    terminal = Terminal()
    result = benchmark_bundle(
        folder,
        out,
        images=images,
        keras=keras,
        baselines=baselines,
        threads=_numbers(threads),
        rounds=rounds,
        decode=decode,
        suite=suite,
        stock=stock,
        label=label,
        command=shlex.join(["cxr-edge", *sys.argv[1:]]),
        reporter=terminal,
    )
    report = result.report
    _print_rows(report)
    for row in report.rows:
        for problem in row.problems:
            terminal.say(f"note: {row.name}: {problem}")
    for warning in report.warnings:
        terminal.say(f"note: {warning}")
    terminal.say(f"the report is {printable(out / JSON_NAME)}")
    if result.page:
        terminal.say(f"the page is {printable(result.page)}")
    if old:
        comparison = compare_reports(old, report, max_slowdown)
        print(f"\n{comparison_text(comparison, max_slowdown)}")
        if comparison.slower:
            raise typer.Exit(SLOWER)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UsageError(f"--threads is {text!r}, expected whole numbers with commas, such as 1,2")
    return tuple(map(int, parts))


def _print_rows(report: Report) -> None:
    """The main columns of the page, and why a row was not measured."""
    from cxr_edge.report.benchmark.columns import FLIPS, KEY_COLUMNS

    columns = [
        Column(column.heading, align="right" if column.write else "left") for column in KEY_COLUMNS
    ]
    rows = []
    for row in report.rows:
        cells: list[Cell] = [column.cell(row) for column in KEY_COLUMNS]
        if row.parity:
            place = KEY_COLUMNS.index(FLIPS)
            cells[place] = Styled(FLIPS.cell(row), "bad" if row.parity.flips else "good")
        note = f"{row.outcome}: {row.reason}" if row.reason else ""
        rows.append([*cells, Styled(note, "warning")])
    print_table([*columns, Column("note")], rows)
