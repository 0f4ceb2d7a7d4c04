"""``cxr-edge train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.cli.tables import print_sections
from cxr_edge.files import printable


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
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the training images.", show_default="the recipe's own number"
        ),
    ] = None,
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
    from cxr_edge.cli.preflight import check_keras, check_writable
    from cxr_edge.data.patients import grouping
    from cxr_edge.extras import require_installed
    from cxr_edge.report.evaluation.text import report_sections
    from cxr_edge.train.recipe import find_recipe, with_epochs
    from cxr_edge.train.request import check_request

    chosen = find_recipe(recipe)
    if epochs is not None:
        chosen = with_epochs(chosen, epochs)
    group_of = grouping(patient_pattern)
    check_request(data, out, chosen, positive=positive, use_val_folder=use_val_folder)
    check_writable(out)
    require_installed(["sklearn"], "train", user="cxr-edge train")
    terminal = Terminal()
    try:
        check_keras(user="cxr-edge train", extra="train")
        from cxr_edge.train.pipeline import train as run_training

        evaluations = run_training(
            data,
            out,
            chosen,
            seed=seed,
            group_of=group_of,
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
        print(split)
        print_sections(report_sections(evaluation))
        print()
    useless = {split: e.why_useless for split, e in evaluations.items() if e.why_useless}
    for split, reason in useless.items():
        terminal.warn(f"{split}: {reason}")
    if useless:
        terminal.say(
            "this model is not worth exporting: check the labels of the images "
            f"(cxr-edge data check {shlex.quote(printable(data))}), add images, or train longer"
        )
    else:
        terminal.say(f"next: cxr-edge export {shlex.quote(printable(out))}")
