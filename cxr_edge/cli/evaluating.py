"""``cxr-edge evaluate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.failures import errors_as_documents
from cxr_edge.cli.output.schemas import (
    EVALUATE,
    EvaluatedModel,
    EvaluateDocument,
    print_document,
)
from cxr_edge.cli.output.tables import print_sections

if TYPE_CHECKING:
    from cxr_edge.train.evaluation.evaluate import EvaluationResults

SOME_FAILED = 1


def evaluate(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with a folder for each class.")
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="A run folder or .keras file, run by Keras; repeat it to compare seeds.",
        ),
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="The spec.json of a .keras file.")] = None,
    bundle: options.Bundle = None,
    artifact: options.Artifact = None,
    engine: options.Engine = None,
    threads: options.Threads = 1,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="TRAIN",
            help="Folder of classes to fit the brightness and sharpness baseline on.",
        ),
    ] = None,
    shifts: Annotated[
        bool, typer.Option(help="Score blurred, darker, noisier … versions of the images too.")
    ] = True,
    copies: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The same images, under the same names, at another resolution."
        ),
    ] = None,
    patient_pattern: options.Patient = None,
    series_pattern: options.Series = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for page, JSON, charts, gallery and scores."),
    ] = None,
    format: options.Format = "table",
) -> None:
    """Score labelled images with Keras or an exported file; report how often it is right.

    Exits with 1 if some images could not be read and were left out.
    """
    from cxr_edge.files import printable
    from cxr_edge.train.evaluation.stage import evaluate_model

    terminal = Terminal()
    with errors_as_documents(format):
        results = evaluate_model(
            data,
            model,
            spec=spec,
            bundle=bundle,
            artifact=artifact,
            engine=engine,
            threads=threads,
            baseline=baseline,
            shifts=shifts,
            copies=copies,
            patient_pattern=patient_pattern,
            series_pattern=series_pattern,
            out=out,
            command=shlex.join(["cxr-edge", *sys.argv[1:]]),
            reporter=terminal,
        )
    if format == "json":
        print_document(_document(results))
    else:
        _print_results(results)
    for name, evaluation in results.evaluations.items():
        if reason := evaluation.why_useless:
            terminal.warn(f"{name} is of no use: {reason}")
    if results.page:
        terminal.say(f"the page is {printable(results.page)}")
    elif out:
        terminal.say(f"the evaluation is in {printable(out)}")
    evaluations = results.evaluations.values()
    if any(e.data.unreadable or (e.copies and e.copies.unreadable) for e in evaluations):
        raise typer.Exit(SOME_FAILED)


def _document(results: EvaluationResults) -> EvaluateDocument:
    from cxr_edge.metrics.evaluation_sources import have_one_recipe

    evaluations = results.evaluations
    sources = [evaluation.model for evaluation in evaluations.values()]
    return EvaluateDocument(
        schema=EVALUATE,
        models={name: EvaluatedModel(e.why_useless, e) for name, e in evaluations.items()},
        one_recipe=have_one_recipe(sources) if results.spread else None,
        spread=results.spread,
    )


def _print_results(results: EvaluationResults) -> None:
    """Every evaluation as tables; several with their names, and their spread."""
    from cxr_edge.report.evaluation.text import report_sections, spread_section

    for name, evaluation in results.evaluations.items():
        if results.spread:
            print(name)
        print_sections(report_sections(evaluation))
        if results.spread:
            print()
    if results.spread:
        sources = [evaluation.model for evaluation in results.evaluations.values()]
        print_sections([spread_section(sources, results.spread)])
