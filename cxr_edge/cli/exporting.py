"""``cxr-edge export``: what needs TensorFlow and runs on a workstation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli.console import Terminal

DEFAULT_OUT = Path("bundle")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(export)


def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|MODEL.keras]",
            help="Run folder of a training, or a Keras model; the bundled reference by default.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's folder.")] = DEFAULT_OUT,
    artifacts: Annotated[
        str, typer.Option(help="Names of the files to write, with commas.", show_default="all")
    ] = "",
    spec: Annotated[
        Path | None, typer.Option(help="What MODEL.keras expects; spec.json beside it by default.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of classes: prove parity on its images too, not only on golden."),
    ] = None,
) -> None:
    """Convert a Keras model to ONNX and TFLite; write only what answers like the original.

    Every file is compared with the Keras model on every installed engine. If one output differs
    by more than its tolerance, or one decision changes, nothing is written (exit code 6).
    """
    from cxr_edge.bundle import Bundle
    from cxr_edge.dataset import open_folder
    from cxr_edge.export.artifacts import find_kinds
    from cxr_edge.export.pipeline import export as run_export
    from cxr_edge.export.pipeline import original_of_bundle, original_of_run
    from cxr_edge.run import open_run

    kinds = find_kinds(tuple(name.strip() for name in artifacts.split(",") if name.strip()))
    if source is None:
        original = original_of_bundle(Bundle.open())
    else:
        original = original_of_run(open_run(source, spec))
    folder = open_folder(data, original.spec.labels) if data else None
    terminal = Terminal()
    manifest = run_export(original, out, kinds, data=folder, reporter=terminal)

    print(f"{'file':40}  {'engine':11}  {'inputs':>6}  max |d|  mean |d|  flips")
    for artifact in manifest.artifacts:
        for record in artifact.engines:
            for proof in filter(None, (record.golden, record.data)):
                print(
                    f"{artifact.file.file:40}  {record.engine:11}  {proof.inputs:6}  "
                    f"{proof.max_abs_delta:7.1e}   {proof.mean_abs_delta:7.1e}  {proof.flips:5}"
                )
    if 0 in manifest.golden.decisions.values():
        terminal.say(
            f"note: the original model's decisions on the golden inputs are "
            f"{manifest.golden.decisions}; they prove numbers, not every decision"
        )
    if data is None:
        terminal.say("note: proven on drawn images only; --data FOLDER proves it on yours")
    print(f"next: cxr-edge verify {out}; cxr-edge predict -b {out} IMAGE", file=sys.stderr)
