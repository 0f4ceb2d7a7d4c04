"""``cxr-edge benchmark`` and ``report``: measure every file on this machine, and draw the page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.cli.console import Terminal
from cxr_edge.cli.tables import Cell, Column, Styled, print_table
from cxr_edge.errors import UsageError
from cxr_edge.files import check_parent, printable, why_no_file

if TYPE_CHECKING:
    from cxr_edge.benchmark.report import Report

SLOWER = 1
DEFAULT_OUT = Path("benchmark")


def benchmark(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Folder of an export; by default the reference."),
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
    rounds: Annotated[int, typer.Option(min=2, help="Timing rounds of each row.")] = 40,
    decode: Annotated[
        Literal["fast", "exact"] | None,
        typer.Option(help="How files are decoded.", show_default="the bundle's"),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Output of 'make bench', to show in the report."),
    ] = None,
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
    fresh processes. report.html needs the extra 'report'. With --compare: exits with 1 if a row
    became slower.
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


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.json...", help="What 'cxr-edge benchmark' or 'evaluate' wrote."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PAGE.html",
            help="The page, replaced if it exists; of several files a folder.",
            show_default="beside each file, with .html",
        ),
    ] = None,
) -> None:
    """Draw the page of a benchmark or an evaluation, perhaps measured on another machine.

    The page is one HTML file that fetches nothing. Needs the extra 'report', no model and no
    engine.
    """
    from cxr_edge.files import write_file
    from cxr_edge.report.documents import draw_page

    pages = _pages(files, out)
    terminal = Terminal()
    for file, page in pages.items():
        write_file(page, draw_page(file))
        terminal.say(f"the page is {printable(page)}")


def _pages(files: list[Path], out: Path | None) -> dict[Path, Path]:
    """Where the page of each file goes.

    Raises:
        OutputError: the page's folder is not there.
        UsageError: a file is none, or two pages, or a page and its document, would be one file.
    """
    for file in files:
        if why := why_no_file(file):
            raise UsageError(f"{printable(file)}: {why}; expected a JSON document")
    if out is None:
        pages = {file: file.with_suffix(".html") for file in files}
    elif len(files) == 1:
        page = out / f"{files[0].stem}.html" if out.is_dir() else out
        check_parent(page)
        pages = {files[0]: page}
    elif out.suffix:
        raise UsageError(f"{printable(out)}: the pages of {len(files)} files need a folder")
    else:
        pages = {file: out / f"{file.stem}.html" for file in files}
    if len(set(pages.values())) < len(pages):
        raise UsageError("two files would share a page; rename one, or draw them one by one")
    for file, page in pages.items():
        if page.resolve() == file.resolve():
            raise UsageError(f"{printable(file)}: the page would replace it; use -o PAGE.html")
    return pages
