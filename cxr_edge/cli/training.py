"""``cxr-edge train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli import interrupts, options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.tables import print_sections
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
    recipe: Annotated[
        str, typer.Option(help="Training recipe: robust, compact or seed.")
    ] = "robust",
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN|MODEL.keras|BUNDLE",
            path_type=options.BundlePath,
            help="Learn this model's scores instead of the labels; input and labels are its own. "
            "MODEL.keras needs its spec.json beside it (cxr-edge spec). Given several times: their "
            "mean.",
            show_default="for the recipe compact the bundled reference",
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(
            help="Filters of each convolution, as a share of the reference's, in multiples of 8.",
            show_default="compact: 0.25, others: 1",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the training images.", show_default="the recipe's own number"
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Random seed of weights, image order and augmentation; for the recipe seed, of "
            "the validation split too.",
        ),
    ] = 1,
    patient_pattern: options.Patient = None,
    series_pattern: options.Series = None,
    use_val_folder: Annotated[
        bool,
        typer.Option("--use-val-folder", help="Validate on DATA/val instead of held-out patients."),
    ] = False,
    no_block: Annotated[
        bool,
        typer.Option(
            "--no-block",
            help="Train on the lowest-numbered patients too, which are held out beside validation "
            "otherwise: for a last training, once every choice is made.",
        ),
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
    """Train the reference network, or a narrower one taught by it, and write a run folder.

    After an interruption the same command resumes from the last finished epoch.
    """
    from cxr_edge.report.evaluation.text import report_sections
    from cxr_edge.train.stage import train_model

    terminal = Terminal()
    with interrupts.explained(_how_to_resume):
        result = train_model(
            data,
            out,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            positive=positive,
            use_val_folder=use_val_folder,
            patient_pattern=patient_pattern,
            series_pattern=series_pattern,
            teacher=teacher,
            width=width,
            no_block=no_block,
            about_data=about_data,
            about_limits=about_limits,
            command=shlex.join(["cxr-edge", *sys.argv[1:]]),
            reporter=terminal,
        )
    for split, evaluation in result.evaluations.items():
        print(split)
        print_sections(report_sections(evaluation))
        print()
    for split, reason in result.why_useless.items():
        terminal.warn(f"{split}: {reason}")
    if result.why_useless:
        terminal.say(
            "this model is not worth exporting: check the labels of the images "
            f"(cxr-edge data check {shlex.quote(printable(data))}), add images, or train longer"
        )
    else:
        terminal.say(f"next: cxr-edge export {shlex.quote(printable(out))}")


def _how_to_resume() -> str:
    return "run the same command to resume after the last finished epoch"
