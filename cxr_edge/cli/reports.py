"""``cxr-edge report``: pages from the JSON of benchmarks and evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.tables import Cell, Column, Style, Styled, print_table
from cxr_edge.errors import UsageError
from cxr_edge.files import check_parent, printable, why_no_file

if TYPE_CHECKING:
    from cxr_edge.report.machines.merge import SideBySide
    from cxr_edge.report.tables import Cell as TableCell


SIDE_BY_SIDE = "machines.html"


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
            help="The page, replaced if it exists; of several evaluations a folder.",
            show_default="beside the file, with .html; of several benchmarks machines.html",
        ),
    ] = None,
) -> None:
    """Draw the page of a benchmark or an evaluation, perhaps measured on another machine.

    Several benchmarks share one page, side by side: machines, or runs of one. They are printed as
    tables too, and written as Markdown beside the page (-o PAGE.md: Markdown only, which needs no
    extra). A page is one HTML file that fetches nothing. Needs the extra 'report', no model and no
    engine.
    """
    from cxr_edge.files import write_file
    from cxr_edge.report.documents import draw_page, share_a_page

    for file in files:
        if why := why_no_file(file):
            raise UsageError(f"{printable(file)}: {why}; expected a JSON document")
    terminal = Terminal()
    if share_a_page(files):
        _show_side_by_side(files, out, terminal)
        return
    pages = _pages(files, out)
    for file, page in pages.items():
        write_file(page, draw_page(file))
        terminal.say(f"the page is {printable(page)}")


def _show_side_by_side(files: list[Path], out: Path | None, terminal: Terminal) -> None:
    """Print several benchmarks, and write them as Markdown and as a page."""
    from cxr_edge.files import write_file
    from cxr_edge.report.charts import require_report
    from cxr_edge.report.machines.markdown import machines_markdown
    from cxr_edge.report.machines.merge import read_reports

    page = out or files[0].with_name(SIDE_BY_SIDE)
    if page.is_dir():
        page /= SIDE_BY_SIDE
    check_parent(page)
    text = page.with_suffix(".md")
    for file in files:
        for written in (page, text):
            if written.resolve() == file.resolve():
                raise UsageError(f"{printable(file)}: the page would replace it; use -o PAGE.html")
    has_page = page != text
    if has_page:
        require_report()
    merged = read_reports(files)
    _print_side_by_side(merged)
    write_file(text, machines_markdown(merged).encode(errors="replace"))
    terminal.say(f"the Markdown is {printable(text)}")
    if has_page:
        from cxr_edge.report.machines.page import machines_page

        write_file(page, machines_page(merged))
        terminal.say(f"the page is {printable(page)}")


def _print_side_by_side(merged: SideBySide) -> None:
    from cxr_edge.report.machines import summary, tables

    sentences = summary.title(merged), *summary.differences(merged), *summary.verdict(merged)
    for sentence in sentences:
        print(printable(sentence))
    for table in (tables.speed_table, tables.resources_table, tables.machines_table):
        drawn = table(merged)
        print(f"\n{drawn.caption}")
        print_table(
            [
                Column(heading.text, align="right" if heading.numeric else "left")
                for heading in drawn.headings
            ],
            [[_terminal_cell(cell) for cell in row.cells] for row in drawn.rows],
        )


def _terminal_cell(cell: TableCell) -> Cell:
    style = _STYLES.get(cell.tone)
    return Styled(cell.text, style) if style else cell.text


_STYLES: dict[str, Style] = {"good": "good", "warning": "bad", "absent": "faint"}


def _pages(files: list[Path], out: Path | None) -> dict[Path, Path]:
    """Where the page of each file goes.

    Raises:
        OutputError: the page's folder is not there.
        UsageError: two pages, or a page and its document, would be one file.
    """
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
