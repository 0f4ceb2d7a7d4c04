"""Options and arguments of commands: one definition, for typer and for reading a plain call.

typer takes 30 to 40 ms to import and to build a command, a fifth of a prediction's start. Help,
messages about mistakes and completion need it. A call without mistakes does not: :func:`read_call`
reads it from the same function, and leaves everything else to typer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cxr_edge.bundle.bundled import is_bundled


class BundlePath:
    """The type of a path that may be a name: ``compact`` is one, ``./compact`` a folder.

    ``Path`` forgets the difference.
    """

    def __new__(cls, text: str) -> Path:  # type: ignore[misc]
        """A path; absolute where it would be taken for a name."""
        path = Path(text)
        return path.absolute() if is_bundled(path) and not is_bundled(text) else path


_NUMBER = re.compile(r"[0-9]{1,18}")


class Option:
    """An option, for ``Annotated``; takes what ``typer.Option`` takes there."""

    typer_name = "Option"

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings


class Argument(Option):
    """An argument, for ``Annotated``; takes what ``typer.Argument`` takes there."""

    typer_name = "Argument"


class _NotPlain(Exception):  # noqa: N818 - no error: typer reads the call
    """The call is not one that :func:`read_call` reads."""


def read_call(command: FunctionType, arguments: list[str]) -> dict[str, object] | None:
    """Read the arguments of a call as typer would.

    Args:
        command: a function whose parameters are annotated with :class:`Option` and
            :class:`Argument`.
        arguments: those behind the command's name.

    Returns:
        The values by parameter, without those that are not given. None: the call asks for help,
        has a mistake, or is written in a way that only typer reads, such as ``-qf csv`` or ``--``.
    """
    hints = get_type_hints(command, include_extras=True)
    try:
        return _read(_parameters(hints), arguments)
    except _NotPlain:
        return None


def _parameters(hints: dict[str, Any]) -> dict[str, tuple[str, Any, Option]]:
    """Parameters by the words that stand for them; the list of arguments by an empty one."""
    parameters: dict[str, tuple[str, Any, Option]] = {}
    for name, hint in hints.items():
        if name == "return":
            continue
        kind, parameter = (*get_args(hint), None)[:2] if hasattr(hint, "__metadata__") else (0, 0)
        if not isinstance(parameter, Option):
            raise _NotPlain
        words = parameter.names or ("--" + name.replace("_", "-"),)
        if isinstance(parameter, Argument):
            words = ("",)
        parameters |= dict.fromkeys(words, (name, kind, parameter))
    return parameters


def _read(
    parameters: dict[str, tuple[str, Any, Option]], arguments: list[str]
) -> dict[str, object]:
    values: dict[str, object] = {}
    free: list[str] = []
    words: Iterator[str] = iter(arguments)
    for word in words:
        if word == "-" or not word.startswith("-"):
            free.append(word)
            continue
        option, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
        if option not in parameters:
            raise _NotPlain
        name, kind, parameter = parameters[option]
        if kind is bool:
            if equals:
                raise _NotPlain
            values[name] = True
            continue
        if not equals:
            text = next(words, "")
        values[name] = _value(text, kind, parameter.settings)
    name, kind, _ = parameters.get("", ("", None, None))
    if kind != list[str] or not free:
        raise _NotPlain
    return {name: free, **values}


def _value(text: str, kind: Any, settings: dict[str, Any]) -> object:
    """The value of an option.

    Raises:
        _NotPlain: it is wrong, or may be.
    """
    if not text or text.startswith("-"):
        raise _NotPlain
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not NoneType]
        kind = kinds[0] if len(kinds) == 1 else None
    if get_origin(kind) is Literal and text in get_args(kind):
        return text
    if kind is str:
        return text
    if kind is int and _NUMBER.fullmatch(text) and int(text) >= settings.get("min", 0):
        return int(text)
    if kind is Path and (not settings.get("readable", True) or os.access(text, os.R_OK)):
        path: Path = settings.get("path_type", Path)(text)
        return path
    raise _NotPlain


# What several commands share.

Bundle = Annotated[
    Path | None,
    Option(
        "--bundle",
        "-b",
        help="Folder of an export, or compact for the package's smaller model.",
        path_type=BundlePath,
        readable=False,  # what cannot be read is said by what reads it
        show_default="the bundled reference",
    ),
]
Artifact = Annotated[
    str | None,
    Option(
        "--artifact",
        "-a",
        help="Model file of the bundle, for example onnx-int8.",
        show_default="the first that runs here",
    ),
]
Engine = Annotated[
    str | None,
    Option(
        "--engine",
        "-e",
        help="onnxruntime, litert, openvino or ncnn.",
        show_default="the first installed one that the file was checked on",
    ),
]
Threads = Annotated[int, Option("--threads", "-t", min=1, help="Threads for one inference.")]
TunedThreads = Annotated[
    int | None,
    Option(
        "--threads",
        "-t",
        min=1,
        help="Threads for one inference.",
        show_default="the profile's, else 1",
    ),
]
Profile = Annotated[
    Path | None,
    Option(
        help="File of 'cxr-edge tune', which names artifact, engine and threads.",
        readable=False,
        show_default="the one kept for this bundle on this machine, if any",
    ),
]
Patient = Annotated[
    str | None,
    Option(
        "--patient-pattern",
        help="Regular expression searched in each file name; its (groups) name the patient, or "
        "whatever else several images show.",
        show_default="Kermany's file names; any other file is a patient of its own",
    ),
]
Series = Annotated[
    str | None,
    Option(
        "--series-pattern",
        help="Regular expression searched in each file name; its (groups) name the series, such as "
        "a hospital or machine, whose accuracy is reported apart.",
        show_default="the numberings of Kermany's file names",
    ),
]
Format = Annotated[
    Literal["table", "json"],
    Option("--format", "-f", help="Output on stdout; docs/json.md describes the JSON."),
]
Key = Annotated[
    Path | None,
    Option(
        "--key", metavar="PUB", help="Refuse a bundle that is not signed for this public key (PEM)."
    ),
]

HeatmapFolder = Annotated[
    Path | None,
    Option(
        "--heatmap",
        metavar="DIR",
        readable=False,
        help="Write a picture of each image to this folder, coloured where it moved the score.",
    ),
]

DicomFolder = Annotated[
    Path | None,
    Option(
        "--dicom-out",
        metavar="DIR",
        readable=False,
        help="Write a DICOM structured report of each DICOM image to this folder, and with "
        "--heatmap its heat map as a DICOM image.",
    ),
]
