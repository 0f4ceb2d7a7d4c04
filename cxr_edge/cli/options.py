"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle", "-b", help="Folder of an export.", show_default="the bundled reference"
    ),
]
Artifact = Annotated[
    str | None,
    typer.Option(
        "--artifact", "-a", help="File of the bundle.", show_default="its first that runs"
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", "-e", help="onnxruntime, litert or openvino.", show_default="first"),
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
        help="What 'cxr-edge tune' wrote: artifact, engine and threads.",
        show_default="what it keeps for this bundle on this machine, if anything",
    ),
]
Patient = Annotated[
    str | None,
    typer.Option(
        "--patient-pattern",
        help="Regular expression whose (groups), searched in a file's name, are its patient.",
        show_default="Kermany's names; other files are a patient each",
    ),
]
