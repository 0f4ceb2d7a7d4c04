"""``cxr-edge predict``, ``verify`` and ``info``: what runs on the device."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from cxr_edge import errors
from cxr_edge.cli import options
from cxr_edge.cli.console import Terminal
from cxr_edge.cli.formats import Format, render
from cxr_edge.files import printable
from cxr_edge.reporting import Advance, Silent
from cxr_edge.results import Failure, Prediction

SOME_FAILED = 1


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Images, folders of images, or - for an image on stdin."
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
            help="Images worked on at the same time.",
            show_default="as many as processors allow",
        ),
    ] = None,
    decode: Annotated[
        Literal["fast", "exact"],
        typer.Option(help="fast: JPEGs only as large as the network needs. exact: every pixel."),
    ] = "fast",
    format: Annotated[
        Format, typer.Option("--format", "-f", help="Form of the results.")
    ] = "table",
    max_pixels: Annotated[int, typer.Option(help="Largest image accepted.")] = 50_000_000,
    max_bytes: Annotated[int, typer.Option(help="Largest file accepted.")] = 256 * 2**20,
    heatmap: Annotated[
        Path | None,
        typer.Option("--heatmap", metavar="DIR", help="Draw there what moved each score."),
    ] = None,
) -> None:
    """Classify images; a bad one never stops the rest.

    Exits with 1 if some of several images failed, with 4 if the only one did.
    """
    import cv2

    from cxr_edge.classifier import Classifier
    from cxr_edge.device.machine import usable_cpus
    from cxr_edge.image import ImageLimits

    cv2.setNumThreads(1)  # of several images each has its own thread; one is decoded by one anyway
    limits = ImageLimits(max_pixels=max_pixels, max_bytes=max_bytes)
    sources = _sources(paths, max_bytes)
    if len(sources) > 1 and workers is None and threads is None:
        threads = 1  # one image on each processor is faster than one image on several
    classifier = Classifier.load(
        bundle,
        artifact=artifact,
        engine=engine,
        threads=threads,
        limits=limits,
        heatmap=heatmap is not None,
        decode=decode,
        profile=profile,
    )
    workers = workers or max(1, usable_cpus() // classifier.threads)
    failures: list[Failure] = []
    terminal = Terminal()

    def answers() -> Iterator[Prediction | Failure]:
        if heatmap is None:
            return classifier.predict_many(sources, workers=min(workers, len(sources)))
        from cxr_edge.overlay import CAUTION, write_overlays

        print(f"cxr-edge: {CAUTION}", file=sys.stderr)
        return write_overlays(classifier, sources, heatmap)

    def results() -> Iterator[Prediction | Failure]:
        for result in answers():
            if isinstance(result, Failure):
                failures.append(result)
                terminal.say(f"cxr-edge: {result.message}")
            yield result

    # A bar and a table on the same terminal would overwrite each other.
    shown = len(sources) > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    bar = terminal.bar("classifying", with_rate=True) if shown else Silent().bar("")
    with bar as advance:
        for text in render(_counted(results(), len(sources), advance), classifier.spec, format):
            sys.stdout.write(text)
            sys.stdout.flush()
    if failures and len(sources) == 1:
        raise typer.Exit(getattr(errors, failures[0].error).exit_code)
    if failures:
        print(f"cxr-edge: {len(failures)} of {len(sources)} images failed", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)


def _counted(
    results: Iterable[Prediction | Failure], total: int, advance: Advance
) -> Iterator[Prediction | Failure]:
    for done, result in enumerate(results, 1):
        yield result
        advance(done, total)


def _sources(paths: list[str], max_bytes: int) -> list[str | bytes]:
    """Replace folders by the images in them and ``-`` by the bytes on stdin."""
    sources: list[str | bytes] = []
    for path in paths:
        if path == "-":
            # One byte more than accepted, so that too much is noticed without reading all of it.
            sources.append(sys.stdin.buffer.read(max_bytes + 1))
        elif Path(path).is_dir():
            from cxr_edge.data.folders import find_images

            found = find_images(Path(path))
            if not found:
                raise errors.ImageError(f"{printable(path)}: holds no images")
            sources += [str(image) for image in found]
        else:
            sources.append(path)
    return sources


def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Folder of an export; by default the reference."),
    ] = None,
) -> None:
    """Prove on this device, without TensorFlow, that every exported file still answers alike.

    Hashes every file, then replays the golden inputs on every artifact and installed engine.
    """
    from cxr_edge.bundle.reader import Bundle
    from cxr_edge.bundle.verify import Verdict
    from cxr_edge.bundle.verify import verify as verdicts

    bundle = Bundle.open(folder)
    found: list[Verdict] = []
    for verdict in verdicts(bundle):
        if not found:
            print(f"{'artifact':21}  {'engine':11}  outcome        max |d|  allowed  flips")
        found.append(verdict)
        line = f"{verdict.artifact:21}  {verdict.engine:11}  {verdict.outcome:13}"
        if verdict.parity:
            line += f"  {verdict.parity.max_abs_delta:7.1e}  {verdict.tolerance:7.0e}"
            line += f"  {verdict.parity.flips} of {verdict.parity.inputs}"
        print(line, flush=True)
    if not bundle.card_is_current():
        print("cxr-edge: MODEL_CARD.md is not what the manifest says", file=sys.stderr)
    for name in bundle.unlisted():
        print(f"cxr-edge: {printable(name)}: is not listed by the manifest", file=sys.stderr)
    if failed := [v for v in found if v.outcome == "failed"]:
        reasons = "; ".join(f"{v.artifact} on {v.engine}: {v.reason}" for v in failed)
        raise errors.ParityError(reasons)
    if not any(v.outcome == "proven" for v in found):
        raise errors.MissingExtraError("nothing was proven: no engine for these files is installed")


def info(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[BUNDLE]", help="Folder of an export; by default the reference."),
    ] = None,
) -> None:
    """Say what a bundle is: its use, contract, files, origin and figures."""
    from cxr_edge.bundle.model_card import figures_text
    from cxr_edge.bundle.reader import Bundle

    bundle = Bundle.open(folder)
    manifest = bundle.manifest
    spec, provenance = manifest.spec, manifest.provenance
    shape = " x ".join(str(side) for side in spec.input_shape)
    rows = [
        ("notice", manifest.notice),
        ("model", spec.name),
        ("input", f"{shape}, {spec.input.geometry}, {spec.input.interpolation}"),
        ("labels", ", ".join(spec.labels)),
    ]
    if spec.positive_label:
        rows.append(("decision", f"P({spec.positive_label}) >= {spec.threshold:g}"))
        rows.append(("threshold", spec.threshold_choice))
    seed = "" if provenance.seed is None else f", random seed {provenance.seed}"
    rows.append(("recipe", f"{provenance.recipe}{seed}"))
    trained = ", ".join(f"{label} {count:,}" for label, count in provenance.train_images.items())
    rows.append(("trained on", trained or "unknown"))
    for part in ("validation", "test"):
        figures = getattr(provenance, part)
        rows.append((part, figures_text(figures, spec) or "no figures"))
    for name, text in rows:
        print(f"{name:10}  {text}")
    print()
    print(f"{'artifact':21}  {'bytes':>10}  proven on (max |d| from Keras, flips)")
    for artifact in manifest.artifacts:
        proofs = ", ".join(
            f"{r.engine} ({p.max_abs_delta:.1e}, {p.flips} of {p.inputs} {kind})"
            for r in artifact.engines
            for kind, p in (("golden", r.golden), ("images", r.data))
            if p is not None
        )
        note = "; heat maps" if artifact.has_heatmap else ""
        print(f"{artifact.name:21}  {artifact.file.bytes:10,}  {proofs}{note}")
