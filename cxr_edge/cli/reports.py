"""``cxr-edge report``: the page of a benchmark or an evaluation, from its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli.output.console import Terminal
from cxr_edge.errors import UsageError
from cxr_edge.files import check_parent, printable, why_no_file


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
