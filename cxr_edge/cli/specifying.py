"""``cxr-edge spec``: the spec of a Keras model, as far as the model tells; needs TensorFlow."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.cli.output import streams
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.original.infer import Explanation, InferredSpec

Preset = Literal["unit", "caffe", "torch", "tf", "none"]
Geometry = Literal["squash", "letterbox", "center-crop"]
Interpolation = Literal["area", "linear"]


def spec(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A Keras model: .keras or .h5.")],
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels in output order, separated by commas.",
            show_default="those of --data, else placeholders",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the training images: its class folders, sorted, are labels."),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="How the training scaled pixels: unit 0..1, tf -1..1, none 0..255, caffe and "
            "torch as in keras.applications.",
            show_default="what the model shows, else unit",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Rows and columns, for a model that takes any size."),
    ] = None,
    geometry: Annotated[
        Geometry | None,
        typer.Option(help="How the training fitted the aspect ratio.", show_default="squash"),
    ] = None,
    interpolation: Annotated[
        Interpolation | None,
        typer.Option(help="How the training resized.", show_default="linear, as Keras does"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Score from which the positive label is reported.",
            show_default="0.5",
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(help="Of two labels, the positive one.", show_default="the second"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A new file for the spec.", show_default="stdout"),
    ] = None,
) -> None:
    """Write the spec of a Keras classifier: input, labels and decision rule, as export needs them.

    Prints JSON on stdout, and on stderr where each value comes from. Check what is guessed or
    assumed: a file of weights does not say how the training scaled and resized its images.
    """
    from cxr_edge import documents
    from cxr_edge.original.specify import infer_spec

    inferred = infer_spec(
        model,
        labels=_split_labels(labels),
        data=data,
        preset=preset,
        size=_parse_size(size),
        geometry=geometry,
        interpolation=interpolation,
        threshold=threshold,
        positive=positive,
        out=out,
    )
    if out is None:
        text = documents.dump(inferred.spec)
        _print_text(text)
    _explain(inferred, model, out)


def _print_text(text: bytes) -> None:
    """Write UTF-8 to stdout, whatever its encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.buffer.write(text)
    else:  # replaced by a program that calls the command
        sys.stdout.write(text.decode())
    sys.stdout.flush()


def _split_labels(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(label.strip() for label in text.split(","))


def _parse_size(text: str | None) -> tuple[int, int] | None:
    from cxr_edge.original.specify import wrong_size

    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())  # noqa: RUF001 - people type it
    if not match:
        raise wrong_size(text)
    return int(match[1]), int(match[2])


def _explain(inferred: InferredSpec, model: Path, out: Path | None) -> None:
    """Say on stderr where each value comes from, what to check, and what to run next."""
    from cxr_edge.cli.output.tables import Cell, Column, Styled, print_table

    rows: list[list[Cell]] = [
        [
            line.field,
            line.value,
            Styled(line.origin, "warning" if line.is_doubtful else "good"),
            line.note,
        ]
        for line in inferred.explanations
    ]
    columns = [Column("field"), Column("value"), Column("origin"), Column("note")]
    with contextlib.redirect_stdout(sys.stderr):  # stdout holds the spec alone
        print_table(columns, rows)
    for warning in _warnings(inferred.explanations):
        streams.tell(f"CHECK: {warning}")
    if out:
        streams.tell(f"the spec is {printable(out)}")
    path, first = (printable(out), "") if out else ("spec.json", "save it as spec.json, then ")
    print(f"next: {first}cxr-edge export {printable(model)} --spec {path}", file=sys.stderr)


def _warnings(explanations: tuple[Explanation, ...]) -> list[str]:
    """What would make every prediction wrong without a word."""
    warnings = []
    for line in explanations:
        if line.field == "preset" and line.is_doubtful:
            verb = "said" if line.origin == "given" else line.origin
            warnings.append(
                f"pixels are {verb} to be scaled as {line.value} ({line.note}); a wrong "
                "scaling makes wrong scores: compare with your training code, and accuracy after "
                "the export ('cxr-edge evaluate') with that of the training"
            )
        if line.field == "labels" and line.is_doubtful:
            warnings.append(f"the labels {line.value} are {line.note}")
    return warnings
