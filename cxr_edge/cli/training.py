"""``cxr-edge train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal


def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder that holds train/ and perhaps test/, or one folder per class.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder to write.")] = Path("run"),
    recipe: Annotated[str, typer.Option(help="Training recipe: robust or seed.")] = "robust",
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Random seed of weights, image order, augmentation and validation split."
        ),
    ] = 1,
    patient_pattern: options.Patient = None,
    use_val_folder: Annotated[
        bool,
        typer.Option("--use-val-folder", help="Validate on DATA/val instead of held-out patients."),
    ] = False,
    positive: Annotated[
        str | None,
        typer.Option(
            help="Label whose probability is the score.",
            show_default="PNEUMONIA if there is one, else the last label by name",
        ),
    ] = None,
    about_data: Annotated[
        str,
        typer.Option(help="For the model card: what the images are, their licence, attribution."),
    ] = "",
    about_limits: Annotated[
        str, typer.Option(help="For the model card: whom the model is not for, and how it fails.")
    ] = "",
) -> None:
    """Train the reference network and write a run folder.

    After an interruption the same command resumes from the last finished epoch.
    """
    from cxr_edge.data.patients import grouping
    from cxr_edge.report.evaluation.text import report_text
    from cxr_edge.train.pipeline import train as run_training
    from cxr_edge.train.recipe import find_recipe

    terminal = Terminal()
    try:
        evaluations = run_training(
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
            command=shlex.join(["cxr-edge", *sys.argv[1:]]),
        )
    except KeyboardInterrupt:
        terminal.say("interrupted; run the same command to resume after the last finished epoch")
        raise
    for split, evaluation in evaluations.items():
        print(f"{split}\n{report_text(evaluation)}\n")
    terminal.say(f"next: cxr-edge export {out}")
