"""``cxr-edge data check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal

FINDINGS = 1

data = typer.Typer(name="data", help="Look at a data set.", no_args_is_help=True)


@data.callback()
def _no_options() -> None:
    """Look at a data set."""


@data.command()
def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder with train/, val/ or test/, or with a folder for each class.",
        ),
    ],
    patient_pattern: options.Patient = None,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", "-f", help="Form of the report.")
    ] = "table",
) -> None:
    """Count images and patients; find unreadable files, duplicates and patients in two parts.

    Exits with 1 if a file is unreadable, the same image has two labels or lies in two parts, or a
    patient has images in two parts.
    """
    from cxr_edge import documents
    from cxr_edge.data.check import check_data
    from cxr_edge.data.patients import grouping

    with Terminal().bar("reading") as advance:
        report = check_data(folder, grouping(patient_pattern), advance)
    if format == "json":
        sys.stdout.write(documents.dump(report).decode())
    else:
        for part, by_label in report.counts.items():
            listing = ", ".join(f"{label} {count:,}" for label, count in by_label.items())
            print(f"{part}: {listing}; {report.patients[part]:,} patients")
        copies = sum(len(group) for group in report.duplicates)
        print(f"duplicates: {len(report.duplicates)} groups of identical files, {copies} files")
        for group in report.contradictions:
            print(f"  in two parts or with two labels: {', '.join(group)}")
        for pair, keys in report.shared_patients.items():
            print(f"patients in both {pair}: {len(keys)}{_some(keys)}")
        print(f"unreadable: {len(report.unreadable)}")
        for line in report.unreadable:
            print(f"  {line}")
    if not report.clean:
        raise typer.Exit(FINDINGS)


def _some(keys: tuple[str, ...]) -> str:
    return f" ({', '.join(keys[:5])}{', …' if len(keys) > 5 else ''})" if keys else ""
