"""``cxr-edge export``: from a Keras model to a bundle; needs TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.errors import UsageError

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import Manifest
    from cxr_edge.export.report import ExportReport

DEFAULT_OUT = Path("bundle")


def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|MODEL.keras]",
            help="Run folder of a training, or a Keras model; the bundled reference by default.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle's folder.")] = DEFAULT_OUT,
    int8: Annotated[
        bool, typer.Option("--int8", help="The best integer files for any machine, and float32.")
    ] = False,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="TFLite with 16-bit weights, and float32.")
    ] = False,
    artifacts: Annotated[
        str,
        typer.Option(
            help="Names of files to write, separated by commas.", show_default="the float32 ones"
        ),
    ] = "",
    spec: Annotated[
        Path | None, typer.Option(help="Spec of MODEL.keras; spec.json beside it by default.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of classes: check parity on its images too, not only on golden inputs."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Images to measure activation ranges on.",
            show_default="those of the run, else distilled from the network",
        ),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Images to choose a quantization recipe by.",
            show_default="those of the run, else drawn inputs",
        ),
    ] = None,
    max_flips: Annotated[
        int | None,
        typer.Option(
            help="Decisions that a quantized file may change.", show_default="1 in 200, at least 1"
        ),
    ] = None,
    max_delta_p: Annotated[
        float, typer.Option(help="Largest change of a score by quantization, 0..1.")
    ] = 0.05,
    max_auc_drop: Annotated[
        float, typer.Option(help="Largest loss of area under the ROC curve, 0..1.")
    ] = 0.005,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Try every recipe, even when one holds the budget.")
    ] = False,
    distill: Annotated[
        bool,
        typer.Option(
            "--distill", help="Add calibration images that show no patient to the bundle."
        ),
    ] = False,
    patient_pattern: options.Patient = None,
) -> None:
    """Convert a Keras model to ONNX and TFLite; write it only if it makes the same decisions.

    Every file is compared with the Keras model on every installed engine. If one differs too much,
    nothing is written (exit code 6). For quantized files, recipes are tried until one holds the
    budget (--max-flips, --max-delta-p, --max-auc-drop); OUT.export-report.json lists them.
    """
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.data.patients import grouping
    from cxr_edge.export.artifacts import FP16, INT8, QuantizedConversion, find_kinds
    from cxr_edge.export.pipeline import export as run_export
    from cxr_edge.export.pipeline import original_of_bundle, original_of_run
    from cxr_edge.export.quantize.budget import Budget
    from cxr_edge.export.request import ExportRequest
    from cxr_edge.original.run_folder import open_run

    names = [name.strip() for name in artifacts.split(",") if name.strip()]
    kinds = find_kinds((*names, *(INT8 if int8 else ()), *(FP16 if fp16 else ())))
    for_quantized = {
        "--calibration": calibration is not None,
        "--validation": validation is not None,
        "--thorough": thorough,
        "--max-flips": max_flips is not None,
    }
    if not any(isinstance(kind.conversion, QuantizedConversion) for kind in kinds):
        for option in (name for name, is_given in for_quantized.items() if is_given):
            raise UsageError(f"{option} is for quantized files, and none is asked for; add --int8")
    request = ExportRequest(
        calibration=calibration,
        validation=validation,
        data=data,
        budget=Budget(max_flips, max_delta_p, max_auc_drop),
        thorough=thorough,
        distill=distill,
        named=frozenset(names),
        group_of=grouping(patient_pattern),
    )
    terminal = Terminal()
    if source is None:
        original = original_of_bundle(Bundle.open())
    else:
        original = original_of_run(open_run(source, spec), terminal)
    manifest, report = run_export(original, out, kinds, request, terminal)
    _print_parity(manifest)
    _explain(manifest, report, out, terminal)


def _print_parity(manifest: Manifest) -> None:
    print(f"{'file':44}  {'engine':11}  {'inputs':>11}  max |d|  mean |d|  flips")
    for artifact in manifest.artifacts:
        for record in artifact.engines:
            for name, proof in (("golden", record.golden), ("images", record.data)):
                if proof:
                    print(
                        f"{artifact.file.file:44}  {record.engine:11}  {proof.inputs:4} {name:6}  "
                        f"{proof.max_abs_delta:7.1e}   {proof.mean_abs_delta:7.1e}  "
                        f"{proof.flips:5}"
                    )


def _explain(manifest: Manifest, report: ExportReport, out: Path, terminal: Terminal) -> None:
    """Say what the figures mean, what to know about them, and what to run next."""
    from cxr_edge.export.report import report_path

    _say_speeds(manifest, report, terminal)
    for artifact in report.artifacts:
        for proof in artifact.proofs:
            if proof.heatmap_delta is not None:
                terminal.say(
                    f"{artifact.name} on {proof.engine}: heat maps differ by "
                    f"{proof.heatmap_delta:.1e} from the original's gradient"
                )
    for artifact in report.artifacts:
        for proof in artifact.proofs:
            for parity in proof.decisions.values():
                for flip in parity.flips:
                    terminal.say(
                        f"changed decision: {artifact.name} on {proof.engine}: {flip.name}: "
                        f"{flip.original:.3f} became {flip.exported:.3f}"
                    )
    if 0 in manifest.golden.decisions.values():
        terminal.say(
            f"note: the original model's decisions on the golden inputs are "
            f"{manifest.golden.decisions}; they test numbers, not every decision"
        )
    if any(artifact.quantization for artifact in manifest.artifacts):
        terminal.say(f"recipes were chosen on {report.chosen_on}")
    terminal.say(f"proven: {report.proves}")
    terminal.say(f"the report is {report_path(out)}")
    print(f"next: cxr-edge verify {out}; cxr-edge predict -b {out} IMAGE", file=sys.stderr)


def _say_speeds(manifest: Manifest, report: ExportReport, terminal: Terminal) -> None:
    integer = {
        artifact.name
        for artifact in manifest.artifacts
        if artifact.quantization and artifact.quantization.arithmetic != "weights"
    }
    speeds = {artifact.name: artifact.speed for artifact in report.artifacts}
    for name, speed in speeds.items():
        terminal.say(
            f"{name}: {speed.p50_ms:.2f} ms an image here, "
            f"{speed.of_stock:.2f} of the unchanged network's float32 ONNX"
        )
    float_ms = min((s.p50_ms for name, s in speeds.items() if name not in integer), default=None)
    for name in speeds:
        if name in integer and float_ms is not None and speeds[name].p50_ms > float_ms:
            terminal.say(f"note: {name} is slower than float32 on this machine")
