"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        "-b",
        help="Folder of an export.",
        readable=False,  # what cannot be read is said by what reads it
        show_default="the bundled reference",
    ),
]
Artifact = Annotated[
    str | None,
    typer.Option(
        "--artifact",
        "-a",
        help="Model file of the bundle, for example onnx-int8.",
        show_default="the first that runs here",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        "-e",
        help="onnxruntime, litert, openvino or ncnn.",
        show_default="the first installed one that the file was checked on",
    ),
]
Threads = Annotated[int, typer.Option("--threads", "-t", min=1, help="Threads for one inference.")]
TunedThreads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        "-t",
        min=1,
        help="Threads for one inference.",
        show_default="the profile's, else 1",
    ),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        help="File of 'cxr-edge tune', which names artifact, engine and threads.",
        readable=False,
        show_default="the one kept for this bundle on this machine, if any",
    ),
]
Patient = Annotated[
    str | None,
    typer.Option(
        "--patient-pattern",
        help="Regular expression searched in each file name; its (groups) name the patient, or "
        "whatever else several images show.",
        show_default="Kermany's file names; any other file is a patient of its own",
    ),
]
Format = Annotated[
    Literal["table", "json"],
    typer.Option("--format", "-f", help="Output on stdout; docs/json.md describes the JSON."),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="PUB", help="Refuse a bundle that is not signed for this public key (PEM)."
    ),
]

HeatmapFolder = Annotated[
    Path | None,
    typer.Option(
        "--heatmap",
        metavar="DIR",
        readable=False,
        help="Write a picture of each image to this folder, coloured where it moved the score.",
    ),
]

DicomFolder = Annotated[
    Path | None,
    typer.Option(
        "--dicom-out",
        metavar="DIR",
        readable=False,
        help="Write a DICOM structured report of each DICOM image to this folder, and with "
        "--heatmap its heat map as a DICOM image.",
    ),
]
