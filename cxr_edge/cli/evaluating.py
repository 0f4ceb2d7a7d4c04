"""``cxr-edge evaluate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.errors import UsageError

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
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for page, JSON, charts, gallery and scores."),
    ] = None,
) -> None:
    """Score labelled images with Keras or an exported file; report how often it is right.

    Exits with 1 if some images could not be read and were left out.
    """
    from cxr_edge.data.patients import grouping
    from cxr_edge.files import printable
    from cxr_edge.report.evaluation.text import report_text
    from cxr_edge.train.evaluation.evaluate import evaluate_models
    from cxr_edge.train.evaluation.inputs import EvaluationOptions
    from cxr_edge.train.evaluation.scorers import exported_model, keras_model
    from cxr_edge.train.evaluation.seeds import spread_text

    if model and (bundle or artifact or engine):
        raise UsageError("--model is run by Keras: leave out --bundle, --artifact and --engine")
    group_of = grouping(patient_pattern)
    terminal = Terminal()
    if model:
        models = [keras_model(path, spec, terminal) for path in model]
    else:
        models = [exported_model(bundle, artifact, engine, threads)]
    request = EvaluationOptions(
        data,
        group_of,
        out=out,
        baseline=baseline,
        shifts=shifts,
        copies=copies,
        command=shlex.join(["cxr-edge", *sys.argv[1:]]),
    )
    results = evaluate_models(models, request, terminal)
    for name, evaluation in results.evaluations.items():
        heading = f"{name}\n" if results.spread else ""
        print(f"{heading}{report_text(evaluation)}" + ("\n" if results.spread else ""))
    if results.spread:
        print(f"{len(models)} models\n{spread_text(results.spread)}")
    if results.page:
        terminal.say(f"the page is {printable(results.page)}")
    evaluations = results.evaluations.values()
    if any(e.data.unreadable or (e.copies and e.copies.unreadable) for e in evaluations):
        raise typer.Exit(SOME_FAILED)
