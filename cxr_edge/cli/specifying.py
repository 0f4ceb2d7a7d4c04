"""``cxr-edge spec``: the spec of a Keras model, as far as the model tells; needs TensorFlow."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cxr_edge.errors import UsageError
from cxr_edge.files import printable

if TYPE_CHECKING:
    from cxr_edge.original.infer import Explanation, InferredSpec

Preset = Literal["unit", "caffe", "torch", "tf", "none"]
Geometry = Literal["squash", "letterbox", "center-crop"]
Interpolation = Literal["area", "linear"]

_ORIGINS = {
    "model": "read from the model",
    "option": "given",
    "data folder": "from --data",
    "guessed": "guessed",
    "assumed": "ASSUMED",
}


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
    given_labels = _split_labels(labels)
    given_size = _parse_size(size)
    if out is not None and _exists(out):
        raise UsageError(f"{printable(out)}: exists; remove it or name another file")
    data_labels = None if data is None else _folder_labels(data)
    for label in (*(given_labels or ()), *(data_labels or ())):
        if not label.isprintable():
            raise UsageError(f"the label {label!r:.80} cannot be printed; rename it")

    from cxr_edge import documents
    from cxr_edge.files import write_file
    from cxr_edge.original.infer import Given, infer_spec
    from cxr_edge.original.keras_model import open_keras

    network = open_keras(model, extra="export")
    given = Given(
        name=printable(model.stem),
        labels=given_labels,
        data_labels=data_labels,
        preset=preset,
        size=given_size,
        geometry=geometry,
        interpolation=interpolation,
        threshold=threshold,
        positive=positive,
    )
    inferred = infer_spec(network, given, printable(model))
    text = documents.dump(inferred.spec)
    if out is None:
        sys.stdout.buffer.write(text)  # UTF-8, whatever the terminal's encoding
        sys.stdout.flush()
    else:
        write_file(out, text)
    _explain(inferred, model, out)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have: writing it says why
        return False


def _split_labels(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    labels = tuple(label.strip() for label in text.split(","))
    if "" in labels or len(set(labels)) != len(labels) or len(labels) < 2:
        raise UsageError(f"--labels is {text!r:.80}, expected at least two different names: a,b")
    return labels


def _parse_size(text: str | None) -> tuple[int, int] | None:
    from cxr_edge.spec import MAX_SIDE

    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text.strip())  # noqa: RUF001 - people type it
    if not match or not all(1 <= int(side) <= MAX_SIDE for side in match.groups()):
        raise UsageError(f"--size is {text!r:.40}, expected HxW in pixels, for example 224x224")
    return int(match[1]), int(match[2])


def _folder_labels(data: Path) -> tuple[str, ...]:
    """The classes of a data set, or of its ``train`` folder."""
    from cxr_edge.data.folders import find_split, open_folder

    return open_folder(find_split(data, "train") or data).labels


def _explain(inferred: InferredSpec, model: Path, out: Path | None) -> None:
    """Say on stderr where each value comes from, what to check, and what to run next."""
    from cxr_edge.cli.tables import Cell, Column, Styled, print_table

    rows: list[list[Cell]] = [
        [
            line.field,
            line.value,
            Styled(_ORIGINS[line.origin], "warning" if line.is_doubtful else "good"),
            line.note,
        ]
        for line in inferred.explanations
    ]
    columns = [Column("field"), Column("value"), Column("origin"), Column("note")]
    with contextlib.redirect_stdout(sys.stderr):  # stdout holds the spec alone
        print_table(columns, rows)
    for warning in _warnings(inferred.explanations):
        print(f"CHECK: {warning}", file=sys.stderr)
    path = printable(out) if out else "spec.json"
    print(f"next: cxr-edge export {printable(model)} --spec {path}", file=sys.stderr)


def _warnings(explanations: tuple[Explanation, ...]) -> list[str]:
    """What would make every prediction wrong without a word."""
    warnings = []
    for line in explanations:
        if line.field == "preset" and line.is_doubtful:
            verb = "said" if line.origin == "option" else line.origin
            warnings.append(
                f"pixels are {verb} to be scaled as {line.value} ({line.note}); a wrong "
                "scaling makes wrong scores: compare with your training code, and accuracy after "
                "the export ('cxr-edge evaluate') with that of the training"
            )
        if line.field == "labels" and line.is_doubtful:
            warnings.append(f"the labels {line.value} are {line.note}")
    return warnings
