"""``cxr-edge predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.cli.formats import Format, Result, print_results
from cxr_edge.errors import ImageError, UsageError
from cxr_edge.files import printable
from cxr_edge.reporting import Silent
from cxr_edge.results import Failure

SOME_FAILED = 1
"""Exit code when some of several images failed."""


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, folders of images, or - to read one image from stdin.",
        ),
    ],
    bundle: options.Bundle = None,
    artifact: options.Artifact = None,
    engine: options.Engine = None,
    threads: options.TunedThreads = None,
    profile: options.Profile = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            help="Images processed at the same time.",
            show_default="processors / threads",
        ),
    ] = None,
    decode: Annotated[
        Literal["fast", "exact"],
        typer.Option(
            help="fast decodes a JPEG at reduced size where the model allows it; exact decodes "
            "every pixel."
        ),
    ] = "fast",
    format: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = "table",
    max_pixels: Annotated[
        int, typer.Option(help="Refuse larger images; width x height.")
    ] = 50_000_000,
    max_bytes: Annotated[int, typer.Option(help="Refuse larger files.")] = 256 * 2**20,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            "--heatmap",
            metavar="DIR",
            help="Write a picture of each image to this folder, coloured where it moved the score.",
        ),
    ] = None,
) -> None:
    """Classify images.

    An image that cannot be read is reported, and the others are still classified. The exit code
    is then 1, or 4 if it was the only image.
    """
    import cv2

    from cxr_edge.classifier import Classifier
    from cxr_edge.device.machine import usable_cpus
    from cxr_edge.image import ImageLimits

    cv2.setNumThreads(1)  # workers share the processors already; decoding has one thread anyway
    sources = _expand(paths, max_bytes)
    if len(sources) > 1 and workers is None and threads is None:
        threads = 1  # one image per processor is faster than one image on several
    classifier = Classifier.load(
        bundle,
        artifact=artifact,
        engine=engine,
        threads=threads,
        limits=ImageLimits(max_pixels=max_pixels, max_bytes=max_bytes),
        heatmap=heatmap is not None,
        decode=decode,
        profile=profile,
    )
    results: Iterable[Result]
    if heatmap is None:
        workers = workers or max(1, usable_cpus() // classifier.threads)
        results = classifier.predict_many(sources, workers=min(workers, len(sources)))
    else:
        from cxr_edge.overlay import CAUTION, write_overlays

        print(f"cxr-edge: {CAUTION}", file=sys.stderr)
        results = write_overlays(classifier, sources, heatmap)
    failures: list[Failure] = []
    results = _with_progress(_report_failures(results, failures), len(sources))
    print_results(results, classifier.spec, format)
    if failures and len(sources) == 1:
        raise typer.Exit(failures[0].exit_code)
    if failures:
        print(f"cxr-edge: {len(failures)} of {len(sources)} images failed", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)


def _expand(paths: list[str], max_bytes: int) -> list[str | bytes]:
    """Replace folders by the images in them, and ``-`` by the bytes on stdin."""
    sources: list[str | bytes] = []
    for path in paths:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("stdin is closed; give the image to it, or name a file")
            # One byte over the limit is enough to be refused for it.
            sources.append(sys.stdin.buffer.read(max_bytes + 1))
        elif Path(path).is_dir():
            from cxr_edge.data.folders import find_images

            images = find_images(Path(path))
            if not images:
                raise ImageError(f"{printable(path)}: holds no images")
            sources += [str(image) for image in images]
        else:
            sources.append(path)
    return sources


def _report_failures(results: Iterable[Result], failures: list[Failure]) -> Iterator[Result]:
    """Pass results on; print and collect those that are failures."""
    terminal = Terminal()
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            terminal.say(f"cxr-edge: {result.message}")
        yield result


def _with_progress(results: Iterable[Result], total: int) -> Iterator[Result]:
    """Pass results on, counted by a bar on stderr unless stdout shares its terminal."""
    wanted = total > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    bar = Terminal().bar("classifying", with_rate=True) if wanted else Silent().bar("")
    with bar as advance:
        for done, result in enumerate(results, 1):
            yield result
            advance(done, total)
