"""``cxr-edge train`` and ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(train)
    app.command()(evaluate)


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with train/ (and test/), or with a folder for each class."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("run"),
    recipe: Annotated[str, typer.Option(help="How to train: seed.")] = "seed",
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, augmentation, split.")] = 1,
    patient_pattern: options.Patient = None,
    use_val_folder: Annotated[
        bool,
        typer.Option("--use-val-folder", help="Validate on DATA/val instead of held-out patients."),
    ] = False,
    about_data: Annotated[
        str, typer.Option(help="What the images are, licence, attribution: for the model card.")
    ] = "",
) -> None:
    """Train the reference network and write a run folder; run it again to go on after a stop."""
    from cxr_edge.patients import grouping
    from cxr_edge.train.evaluation import report_text
    from cxr_edge.train.pipeline import train as run_training
    from cxr_edge.train.recipe import find_recipe

    terminal = Terminal()
    results = run_training(
        data,
        out,
        find_recipe(recipe),
        seed=seed,
        group_of=grouping(patient_pattern),
        use_val_folder=use_val_folder,
        reporter=terminal,
        about_data=about_data,
    )
    for part, evaluation in results.items():
        print(f"{part}\n{report_text(evaluation)}\n")
    terminal.say(f"next: cxr-edge export {out}")


def evaluate(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with a folder for each class.")
    ],
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="A run folder or .keras file, run by Keras."),
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="What a .keras file expects.")] = None,
    bundle: options.Bundle = None,
    artifact: options.Artifact = None,
    engine: options.Engine = None,
    threads: options.Threads = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for JSON, plots, gallery, scores.")
    ] = None,
) -> None:
    """Score labelled images with Keras or an exported file; report how often it is right."""
    from cxr_edge.dataset import open_folder, read_folder
    from cxr_edge.train.assess import assess, bundle_scorer, keras_scorer, write_evaluations
    from cxr_edge.train.evaluation import report_text

    if model and (bundle or artifact or engine):
        raise UsageError(
            "--model is run by Keras; --bundle, --artifact and --engine are not for it"
        )
    if model:
        contract, scorer = keras_scorer(model, spec)
    else:
        contract, scorer = bundle_scorer(bundle, artifact, engine, threads)
    folder = open_folder(data, contract.labels)
    images = read_folder(folder, contract.input, Terminal())
    part = folder.root.resolve().name
    evaluation = assess(images, scorer, contract, out, part)
    if out:
        write_evaluations(out, {part: evaluation})
    print(report_text(evaluation))
