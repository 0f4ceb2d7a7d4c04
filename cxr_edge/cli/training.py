"""``cxr-edge train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with train/ (and test/), or with a folder for each class."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("run"),
    recipe: Annotated[str, typer.Option(help="How to train: robust or seed.")] = "robust",
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, augmentation, split.")] = 1,
    patient_pattern: options.Patient = None,
    use_val_folder: Annotated[
        bool,
        typer.Option("--use-val-folder", help="Validate on DATA/val instead of held-out patients."),
    ] = False,
    positive: Annotated[
        str | None,
        typer.Option(help="Label that scores speak for; PNEUMONIA, or the last by name."),
    ] = None,
    about_data: Annotated[
        str, typer.Option(help="What the images are, licence, attribution: for the model card.")
    ] = "",
    about_limits: Annotated[
        str, typer.Option(help="Whom it is not for, how it fails: for the model card.")
    ] = "",
) -> None:
    """Train the reference network and write a run folder; run it again to go on after a stop."""
    from cxr_edge.data.patients import grouping
    from cxr_edge.train.evaluation.report import report_text
    from cxr_edge.train.pipeline import train as run_training
    from cxr_edge.train.recipe import find_recipe

    terminal = Terminal()
    try:
        results = run_training(
            data,
            out,
            find_recipe(recipe),
            seed=seed,
            group_of=grouping(patient_pattern),
            use_val_folder=use_val_folder,
            reporter=terminal,
            about_data=about_data,
            about_limits=about_limits,
            positive=positive,
        )
    except KeyboardInterrupt:
        terminal.say("interrupted; the same command goes on after the last epoch that was finished")
        raise
    for part, evaluation in results.items():
        print(f"{part}\n{report_text(evaluation)}\n")
    terminal.say(f"next: cxr-edge export {out}")
