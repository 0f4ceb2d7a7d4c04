"""``cxr-edge data check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.failures import errors_as_documents
from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table
from cxr_edge.cli.tree import for_typer

if TYPE_CHECKING:
    from cxr_edge.data.check import DataReport

PROBLEMS_FOUND = 1
"""Exit code when the data set needs attention."""

data = typer.Typer(name="data", help="Inspect a data set.", no_args_is_help=True)


@data.callback()
def _keep_command_name() -> None:
    """Inspect a data set."""  # without a callback, typer drops the name of an only command


@data.command()
@for_typer
def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder that holds train/, val/ or test/, or one folder per class.",
        ),
    ],
    patient_pattern: options.Patient = None,
    format: Annotated[
        Literal["table", "json"], typer.Option("--format", "-f", help="Output format.")
    ] = "table",
) -> None:
    """Count images and patients; find unreadable files, duplicates and shared patients.

    Exits with 1 if a file is unreadable, if identical files have different
    labels or lie in different splits, or if a patient has images in two splits.
    """
    from cxr_edge import documents
    from cxr_edge.data.check import check_data
    from cxr_edge.data.patients import grouping

    with errors_as_documents(format), Terminal().bar("reading") as advance:
        report = check_data(folder, grouping(patient_pattern), advance)
    if format == "json":
        sys.stdout.write(documents.dump(report).decode())
    else:
        _print_report(report)
    if not report.clean:
        raise typer.Exit(PROBLEMS_FOUND)


def _print_report(report: DataReport) -> None:
    labels = list(dict.fromkeys(label for counts in report.counts.values() for label in counts))
    columns = [Column("split"), *(Column(label, align="right") for label in labels)]
    rows: list[list[Cell]] = [
        [split, *(f"{counts.get(label, 0):,}" for label in labels)]
        for split, counts in report.counts.items()
    ]
    if report.knows_patients:
        columns.append(Column("patients", align="right"))
        for row, patients in zip(rows, report.patients.values(), strict=True):
            row.append(f"{patients:,}")
    print_table(columns, rows)
    print()
    copies = sum(len(group) for group in report.duplicates)
    findings: list[list[Cell]] = [
        ["groups of identical files", f"{len(report.duplicates)}, {copies} files in all"],
        _count("of them with different labels or splits", len(report.contradictions)),
    ]
    findings += [["", ", ".join(group)] for group in report.contradictions]
    for splits, shared in report.shared_patients.items() if report.knows_patients else ():
        findings.append(_count(f"patients in both {splits}", len(shared)))
        if shared:
            findings.append(["", ", ".join(shared[:5]) + (", …" if len(shared) > 5 else "")])
    if not report.knows_patients and report.shared_patients:
        findings.append(
            [
                "patients in two splits",
                "not checked, file names do not name them (--patient-pattern)",
            ]
        )
    findings.append(_count("unreadable files", len(report.unreadable)))
    findings += [["", message] for message in report.unreadable]
    if report.ignored:
        findings.append(["ignored folders", ", ".join(report.ignored)])
    print_table([Column(), Column()], findings)


def _count(what: str, count: int) -> list[Cell]:
    return [what, Styled(str(count), "bad" if count else "good")]
