"""``cxr-edge predict``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, get_args

from cxr_edge.cli import interrupts, options
from cxr_edge.cli.options import Argument, Option
from cxr_edge.cli.output import dicom, streams
from cxr_edge.cli.output.console import Terminal
from cxr_edge.cli.output.failures import errors_as_documents
from cxr_edge.cli.output.formats import Format, Result, Tally, print_results
from cxr_edge.cli.predict.checks import check_archive_options, check_out
from cxr_edge.cli.predict.inputs import expand, identified
from cxr_edge.device.threads import one_thread
from cxr_edge.errors import LeftOut, UsageError
from cxr_edge.files import atomic_path, printable
from cxr_edge.reporting import Silent
from cxr_edge.results import Failure

SOME_FAILED = 1
"""Exit code when some of several images failed."""


@one_thread()
def predict(
    paths: Annotated[
        list[str],
        Argument(
            metavar="PATH...",
            help="Images, folders of images, DICOMDIR files, or - to read one image from stdin.",
        ),
    ],
    bundle: options.Bundle = None,
    artifact: options.Artifact = None,
    engine: options.Engine = None,
    threads: options.TunedThreads = None,
    profile: options.Profile = None,
    workers: Annotated[
        int | None,
        Option(
            "--workers",
            "-w",
            min=1,
            help="Images processed at the same time, at most 4 for each processor.",
            show_default="processors / threads",
        ),
    ] = None,
    decode: Annotated[
        Literal["fast", "exact"] | None,
        Option(
            help="fast averages a JPEG down by itself; exact calls OpenCV, as training does.",
            show_default="the bundle's, fast unless its export measured that this changes too much",
        ),
    ] = None,
    format: Annotated[
        Literal["table", "json", "jsonl", "csv", "parquet"] | None,
        Option(
            "--format",
            "-f",
            help="Output format; with --to, parquet or jsonl.",
            show_default="that of FILE's suffix, else table; with --to, parquet",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(
            "--out",
            "-o",
            metavar="FILE",
            readable=False,
            help="Write the results to this file, which is replaced when all are there.",
            show_default="stdout",
        ),
    ] = None,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="No progress and no summary on stderr.")
    ] = False,
    max_pixels: Annotated[int, Option(help="Refuse larger images; width x height.")] = 50_000_000,
    max_bytes: Annotated[int, Option(help="Refuse larger files.")] = 256 * 2**20,
    heatmap: options.HeatmapFolder = None,
    dicom_out: options.DicomFolder = None,
    radiographs: Annotated[
        Literal["frontal-chest", "any"],
        Option(
            help="DICOM files to read: chest radiographs from the front or behind, or any "
            "radiograph. The others are left out, each with the reason."
        ),
    ] = "frontal-chest",
    ids: Annotated[
        bool, Option("--ids", help="Add the SOP Instance UID of each DICOM file.")
    ] = False,
    key: options.Key = None,
    to: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            readable=False,
            help="For one folder of any size: write a row for each image to parts in DIR, and go "
            "on there after an interruption.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="With --to: try images that failed before again.")
    ] = False,
    ray: Annotated[
        bool, Option("--ray", help="With --to: run on Ray Data, in a Ray of its own here.")
    ] = False,
    ray_address: Annotated[
        str | None,
        Option(
            metavar="ADDRESS",
            help="With --to: run on this Ray cluster, such as auto or head:6379.",
        ),
    ] = None,
) -> int:
    """Classify images.

    An image that cannot be read is reported, and the others are still classified. The exit code
    is then 1, or 4 if it was the only image. A DICOM file of a folder that holds another body part,
    view or kind of object is left out, which is no failure. Of more than one image, a last line on
    stderr counts the results.
    """
    started = time.monotonic()
    terminal = Terminal()
    check_archive_options(
        to,
        format,
        only_with={"--retry-failed": retry_failed, "--ray": ray, "--ray-address": ray_address},
        never_with={"--out": out, "--heatmap": heatmap, "--dicom-out": dicom_out},
    )
    if to is not None:
        with terminal.if_slow("cxr-edge: loading …"):
            from cxr_edge.cli.predict.archive import one_archive, run
            from cxr_edge.image import ImageLimits

        return run(
            one_archive(paths),
            to,
            quiet=quiet,
            bundle=bundle,
            artifact=artifact,
            engine=engine,
            threads=threads,
            decode=decode,
            limits=ImageLimits(max_pixels, max_bytes, radiographs),
            profile=profile,
            key=key,
            workers=workers,
            format="jsonl" if format == "jsonl" else "parquet",
            ids=ids,
            retry_failed=retry_failed,
            ray=ray,
            ray_address=ray_address,
        )
    kind: Format = _format_of(out) if format is None or format == "parquet" else format
    with errors_as_documents(None if out else kind):
        check_out(paths, out)
        dicom.check(dicom_out)
        with terminal.if_slow("cxr-edge: loading the model …"):
            from cxr_edge.classifier import Classifier
            from cxr_edge.device.machine import check_workers, usable_cpus
            from cxr_edge.image import ImageLimits

        check_workers(workers or 1)
        inputs = expand(paths, max_bytes)
        sources, remarks = inputs.sources, inputs.remarks
        if len(sources) > 1 and workers is None and threads is None:
            threads = 1  # one image per processor is faster than one image on several
        with terminal.if_slow("cxr-edge: loading the model …"):
            classifier = Classifier.load(
                bundle,
                artifact=artifact,
                engine=engine,
                threads=threads,
                limits=ImageLimits(max_pixels, max_bytes, radiographs),
                heatmap=heatmap is not None,
                decode=decode,
                profile=profile,
                key=key,
            )
    dicom_files = dicom.open_files(dicom_out, classifier, max_bytes)
    results: Iterable[Result]
    if heatmap is None:
        workers = workers or max(1, usable_cpus() // classifier.threads)
        results = classifier.predict_many(sources, workers=max(1, min(workers, len(sources))))
    else:
        from cxr_edge.bundle.model_card import heatmap_meaning
        from cxr_edge.overlay import write_overlays

        remarks.insert(0, f"a heat map shows {heatmap_meaning(classifier.spec)}")
        results = write_overlays(classifier, sources, heatmap, on_explanation=dicom_files.keep)
    results = dicom_files.write(results, sources)
    if not quiet:
        for remark in remarks:
            streams.tell(f"cxr-edge: {remark}")
    tally = Tally(has_band=classifier.spec.uncertain_band is not None)
    results = inputs.settled(identified(results, sources) if ids else results)
    results = _report_failures(tally.count(results))
    total = len(sources) + len(inputs.failures)
    results = _with_progress(results, total, quiet)
    with _results_to(out), interrupts.explained(lambda: _state(out, tally)):
        print_results(results, classifier.spec, kind, ids)
    if not quiet:
        if heatmap and tally.predicted:
            streams.tell(f"cxr-edge: heat maps written to {printable(heatmap)}")
        for remark in dicom_files.remarks:
            streams.tell(f"cxr-edge: {remark}")
        if out:
            streams.tell(f"cxr-edge: results written to {printable(out)}")
    if total > 1 and not quiet:
        streams.tell(f"cxr-edge: {tally}, {time.monotonic() - started:.1f} s")
    return _exit_code(tally, total)


def _exit_code(tally: Tally, total: int) -> int:
    """The exit code of a command that read ``total`` images and files.

    Raises:
        LeftOut: all of them were left out.
    """
    if tally.first_failure:
        return tally.first_failure.exit_code if total == 1 else SOME_FAILED
    if tally.left_out and not tally.predicted:
        files = "the only file was" if total == 1 else f"all {total:,} files were"
        raise LeftOut(f"nothing was predicted: {files} left out; the results have the reasons")
    return 0


def _state(out: Path | None, tally: Tally) -> str:
    """What an interrupted command has done."""
    if out is not None:
        return f"{printable(out)} {'is as it was' if out.exists() else 'was not written'}"
    return (
        "1 image was predicted"
        if tally.predicted == 1
        else f"{tally.predicted:,} images were predicted"
    )


def _format_of(out: Path | None) -> Format:
    suffix = out.suffix.lower().removeprefix(".") if out else ""
    return next((name for name in get_args(Format) if name == suffix), "table")


@contextlib.contextmanager
def _results_to(out: Path | None) -> Iterator[None]:
    """Send stdout to a file, which replaces an older one if the block succeeds.

    Raises:
        UsageError: the older one is an image.
        OutputError: the file cannot be written; the old one is untouched.
    """
    if out is None:
        yield
        return
    from cxr_edge.image.listing import looks_like_image

    if looks_like_image(out):
        raise UsageError(f"{printable(out)}: is an image, the results would replace it")
    with (
        atomic_path(out) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
        contextlib.redirect_stdout(file),
    ):
        yield


def _report_failures(results: Iterable[Result]) -> Iterator[Result]:
    """Pass results on, and print those that are failures, not what was left out of a folder."""
    terminal = Terminal()
    for result in results:
        if isinstance(result, Failure) and result.exit_code:
            terminal.say(streams.shortened(f"cxr-edge: {result.message}"))
        yield result


def _with_progress(results: Iterable[Result], total: int, quiet: bool) -> Iterator[Result]:
    """Pass results on, counted by a bar on stderr unless stdout shares its terminal."""
    wanted = total > 1 and not quiet and sys.stderr.isatty() and not sys.stdout.isatty()
    bar = Terminal().bar("classifying", with_rate=True) if wanted else Silent().bar("")
    with bar as advance:
        for done, result in enumerate(results, 1):
            yield result
            advance(done, total)
