"""``cxr-edge serve`` and ``cxr-edge results``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_edge.cli.output import streams
from cxr_edge.errors import UsageError
from cxr_edge.extras import require_installed


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="TOML", readable=False, help="Settings of the service."
        ),
    ] = None,
    sample_config: Annotated[
        bool, typer.Option("--sample-config", help="Print all settings with their defaults.")
    ] = False,
) -> None:
    """Classify what arrives in a folder and over HTTP, for as long as the device runs.

    Every result goes into one database, which `cxr-edge results` reads. SIGHUP reads the settings
    again, SIGTERM finishes the image in hand and stops.
    """
    if sample_config:
        from cxr_edge.service.config import sample_config as sample

        print(sample(), end="")
        return
    if config is None:
        raise UsageError(
            "no --config; write one with: cxr-edge serve --sample-config > cxr-edge.toml"
        )
    modules = ["prometheus_client", "starlette", "uvicorn", "watchfiles"]
    require_installed(modules, "serve", user="cxr-edge serve")
    import logging

    import cv2

    from cxr_edge.service.process import serve as run

    logging.basicConfig(format="cxr-edge: %(message)s")
    cv2.setNumThreads(1)  # images are classified one at a time
    run(config, lambda line: streams.tell(f"cxr-edge: {line}"))
