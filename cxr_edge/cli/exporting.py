"""``cxr-edge export``: from a Keras model to a bundle; needs TensorFlow."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_edge.cli import options
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table
from cxr_edge.errors import ExportError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import Manifest
    from cxr_edge.export.report import ExportReport
    from cxr_edge.export.stage import ExportResult

DEFAULT_OUT = Path("bundle")

_FEW_INPUTS, _MOST_NAMED = 4, 5


def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|MODEL.keras]",
            path_type=options.BundlePath,
            help="Run folder of a training, a Keras model, or compact; by default the reference.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The bundle's folder; a bundle in it is replaced.")
    ] = DEFAULT_OUT,
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
    keep_images: Annotated[
        bool,
        typer.Option(
            "--keep-images",
            help="Put up to 32 images of --data or --validation into the bundle as golden inputs, "
            "instead of drawn ones: only images that may be passed on.",
        ),
    ] = False,
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
            "--distill",
            help="Add calibration images to the bundle that are made from the network alone.",
        ),
    ] = False,
    patient_pattern: options.Patient = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign the bundle with this Ed25519 private key (PEM)."),
    ] = None,
) -> None:
    """Convert a Keras model to ONNX, TFLite and ncnn; write what makes the same decisions.

    Every file is compared with the Keras model on every installed engine. A file that differs too
    much is left out, with its figures; if it was named by --artifacts, or nothing is left, the exit
    code is 6. For quantized files, recipes are tried until one holds the budget (--max-flips,
    --max-delta-p, --max-auc-drop); OUT.export-report.json lists them.
    """
    from cxr_edge.export.stage import export_model

    terminal = Terminal()
    result = export_model(
        source,
        out,
        int8=int8,
        fp16=fp16,
        artifacts=[name.strip() for name in artifacts.split(",") if name.strip()],
        spec=spec,
        data=data,
        calibration=calibration,
        validation=validation,
        keep_images=keep_images,
        max_flips=max_flips,
        max_delta_p=max_delta_p,
        max_auc_drop=max_auc_drop,
        thorough=thorough,
        distill=distill,
        patient_pattern=patient_pattern,
        sign=sign,
        reporter=terminal,
    )
    _print_parity(result.manifest)
    _print_speeds(result.manifest, result.report)
    _explain(result, terminal)
    if missing := result.missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        written = ", ".join(artifact.name for artifact in result.report.artifacts)
        raise ExportError(f"{missing[0].name}{others} is missing, see above; written: {written}")


def _print_parity(manifest: Manifest) -> None:
    rows: list[list[Cell]] = []
    for artifact in manifest.artifacts:
        for record in artifact.engines:
            for name, parity in record.parities:
                if parity:
                    flips: Cell = Styled(str(parity.flips), "warning" if parity.flips else "plain")
                    rows.append(
                        [
                            artifact.file.file,
                            record.engine,
                            f"{parity.inputs} {name}",
                            f"{parity.max_abs_delta:.1e}",
                            f"{parity.mean_abs_delta:.1e}",
                            flips,
                        ]
                    )
    numbers = [Column(title, align="right") for title in ("inputs", "max |d|", "mean |d|", "flips")]
    print_table([Column("file"), Column("engine"), *numbers], rows)


def _print_speeds(manifest: Manifest, report: ExportReport) -> None:
    """Size and time of each file; a time that could not be measured is a dash with the reason."""
    records = {artifact.name: artifact for artifact in manifest.artifacts}
    rows: list[list[Cell]] = []
    for artifact in report.artifacts:
        speed = artifact.speed
        rows.append(
            [
                artifact.name,
                records[artifact.name].engines[0].engine,
                f"{artifact.bytes / 1e3:,.0f}",
                "-" if speed.p50_ms is None else f"{speed.p50_ms:.2f}",
                "-" if speed.of_stock is None else f"{speed.of_stock:.2f}",
                Styled(speed.why, "faint"),
            ]
        )
    titles = ("kB", "ms an image here", "of plain fp32")
    numbers = [Column(title, align="right") for title in titles]
    note = [Column("note")] if any(artifact.speed.why for artifact in report.artifacts) else []
    rows = rows if note else [row[:-1] for row in rows]
    print_table([Column("artifact"), Column("engine"), *numbers, *note], rows)


def _explain(result: ExportResult, terminal: Terminal) -> None:
    """Say what the figures mean, what to know about them, and what to run next."""
    manifest, report = result.manifest, result.report
    if any(artifact.speed.of_stock is not None for artifact in report.artifacts):
        terminal.say(
            "of plain fp32: this time over that of the network converted to float32 ONNX as it is; "
            "below 1 is faster"
        )
    for line in [*_heatmap_lines(report), *_changed_decisions(report)]:
        terminal.say(line)
    if lost := _lost_integers(manifest, report):
        terminal.warn(lost)
    for note in (_slow_integers(manifest, report), _thin_golden(manifest), emulated_note(manifest)):
        if note:
            terminal.say(note)
    if report.chosen_on:
        terminal.say(f"recipes were chosen by {report.chosen_on}")
    terminal.say(f"golden inputs: {report.golden}")
    terminal.say(f"proven: {report.proves}")
    if report.decoding:
        say = terminal.warn if report.decoding.reason else terminal.say
        say(report.decoding.summary)
    before = f", which replaced that of {result.replaced:%Y-%m-%d %H:%M}" if result.replaced else ""
    terminal.say(f"the bundle is {printable(result.bundle)}{before}")
    terminal.say(f"the report is {printable(result.report_file)}")
    if report.useless:
        terminal.warn(f"this model is of no use: {report.useless}; train it before you use it")
    path = shlex.quote(printable(result.bundle))
    steps = [f"cxr-edge verify {path}", f"cxr-edge predict -b {path} IMAGE"]
    if sum(len(artifact.engines) for artifact in manifest.artifacts) > 1:
        steps.insert(1, f"cxr-edge tune {path}")  # there is something to choose among
    terminal.say(f"next: {'; '.join(steps)}")


def emulated_note(manifest: Manifest) -> str | None:
    """That files were proven by emulation only."""
    names = [a.name for a in manifest.artifacts if any(record.emulated for record in a.engines)]
    return f"{', '.join(names)}: emulated; 'cxr-edge verify' on arm64 proves it" if names else None


def _lost_integers(manifest: Manifest, report: ExportReport) -> str | None:
    """That integer files were asked for and none is there."""
    lost = [missing for missing in report.failed if "int8" in missing.name]
    if not lost or any("int8" in artifact.precision for artifact in manifest.artifacts):
        return None
    names = ", ".join(missing.name for missing in lost)
    tried = any(missing.trials for missing in lost)  # nothing else fails for want of images
    advice = "; your own images may help: --calibration and --validation" if tried else ""
    return f"no int8 file is in the bundle ({names} failed, see above), float32 only{advice}"


def _heatmap_lines(report: ExportReport) -> Iterator[str]:
    for artifact in report.artifacts:
        for proof in artifact.proofs:
            if proof.heatmap_delta is not None:
                yield (
                    f"{artifact.name} on {proof.engine}: heat maps differ by "
                    f"{proof.heatmap_delta:.1e} from the original's gradient"
                )


def _changed_decisions(report: ExportReport) -> Iterator[str]:
    for artifact in report.artifacts:
        for proof in artifact.proofs:
            for parity in proof.decisions.values():
                for flip in parity.flips:
                    yield (
                        f"changed decision: {artifact.name} on {proof.engine}: "
                        f"{printable(flip.name)}: {flip.original:.3f} became {flip.exported:.3f}"
                    )


def _thin_golden(manifest: Manifest) -> str | None:
    """What golden inputs cannot show because some labels are rare among their decisions."""
    golden = manifest.golden
    if golden.only_decision:
        return (
            f"note: the original model decides {golden.only_decision} for all {golden.inputs} "
            "golden inputs: the proof on a device covers numbers, not every decision; give "
            "--calibration IMAGES, or --keep-images for images that may be passed on"
        )
    rare = {label: count for label, count in golden.decisions.items() if count < _FEW_INPUTS}
    if not rare:
        return None
    counts = [f"{count} are {label}" for label, count in list(rare.items())[:_MOST_NAMED]]
    more = (
        f", and {len(rare) - _MOST_NAMED} more labels are rare" if len(rare) > _MOST_NAMED else ""
    )
    return f"note: of {golden.inputs} golden inputs, only {', '.join(counts)}{more}"


def _slow_integers(manifest: Manifest, report: ExportReport) -> str | None:
    """Which integer files are slower here than the fastest float32 one."""
    integer = {
        artifact.name
        for artifact in manifest.artifacts
        if artifact.quantization and artifact.quantization.arithmetic != "weights"
    }
    times = {a.name: a.speed.p50_ms for a in report.artifacts if a.speed.p50_ms is not None}
    fastest = min((ms for name, ms in times.items() if name not in integer), default=None)
    slow = [name for name in times if name in integer and fastest and times[name] > fastest]
    if not slow:
        return None
    return (
        f"note: slower than float32 on this machine: {', '.join(slow)}; cxr-edge tune measures "
        "which file a device should run"
    )
