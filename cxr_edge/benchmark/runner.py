"""One benchmark from start to end."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.benchmark.answers import collect_answers, collect_truth
from cxr_edge.benchmark.candidates import KerasBaseline, exported_candidates
from cxr_edge.benchmark.conditions import concerns, look
from cxr_edge.benchmark.end_to_end import measure_end_to_end
from cxr_edge.benchmark.images import Inputs, find_files, read_inputs
from cxr_edge.benchmark.layers import slowest_operations
from cxr_edge.benchmark.limits import measure_limits
from cxr_edge.benchmark.lines import (
    REPEATS,
    Line,
    answer_all,
    finish,
    headline_of,
    start_all,
    time_all,
)
from cxr_edge.benchmark.report import Layer, Report, Settings, SuiteRow
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier, Decoding
from cxr_edge.device.machine import this_machine
from cxr_edge.device.profile import engine_version
from cxr_edge.engines import ENGINES, Engine
from cxr_edge.errors import CxrEdgeError, MissingExtraError
from cxr_edge.extras import package_version
from cxr_edge.image import ImageLimits
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

_PACKAGES = ("numpy", "opencv-python-headless", "tensorflow", "keras", "tf2onnx", "onnx")


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """What to measure."""

    keras: Path | None = None
    """The original model; None: the bundle's."""
    with_baselines: bool = True
    """Whether Keras and stock conversions run too, where TensorFlow is installed."""
    images: Path | None = None
    """Images, or a folder of them for each label; None: golden inputs and drawn files."""
    threads: tuple[int, ...] = (1,)
    """Threads for one inference, 1 among them."""
    rounds: int = 40
    """Turns of each row."""
    decode: Decoding = "fast"
    """How files are decoded."""
    suite: tuple[SuiteRow, ...] = ()
    """What ``make bench`` measured, for the report."""
    command: str = ""
    """How to make the report again."""


def run_benchmark(bundle: Bundle, request: BenchmarkRequest, reporter: Reporter) -> Report:
    """Measure everything that can run here; what fails becomes a row that says why.

    Raises:
        BundleError: the bundle is damaged.
        DataError: the folder of images holds none that can be read.
        ModelError: the Keras model that was given does not fit the bundle.
        MissingExtraError: a Keras model was given and TensorFlow is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-edge-") as drawn:
        files = find_files(request.images, Path(drawn))
        return _measure(bundle, request, files, reporter)


def _measure(
    bundle: Bundle, request: BenchmarkRequest, files: Sequence[Path], reporter: Reporter
) -> Report:
    cv2.setNumThreads(1)
    spec, machine, before = bundle.manifest.spec, this_machine(), look()
    warnings: list[str] = []
    original = _original(bundle, request, warnings)
    inputs = read_inputs(bundle, request.images, original.scores if original else None, reporter)
    if request.images and original is None:
        warnings.append(
            "the original model did not run here, so parity is that of the golden inputs, whose "
            "original answers were recorded at export: it proves numbers, not decisions"
        )
    limits = measure_limits(original.multiply_adds() if original else None)
    lines = [Line(each) for each in exported_candidates(bundle, request.threads)]
    lines += [Line(each) for each in (original.candidates() if original else ())]
    start_all(lines, bundle, reporter)
    answer_all(lines, inputs, spec, reporter)
    time_all(lines, inputs, spec, request.rounds, reporter)
    _end_to_end(lines, bundle, files, request.decode, warnings, reporter)
    layers = _layers(lines, bundle, inputs, warnings)
    after = look()
    warnings += concerns(machine, before, after)
    headline = headline_of(lines)
    return Report(
        schema="cxr-edge.benchmark/2",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=request.command,
        model=spec.name,
        bundle_sha256=bundle.manifest.sha256,
        files_sha256={a.name: a.file.sha256 for a in bundle.manifest.artifacts},
        threshold=spec.threshold,
        positive_label=spec.positive_label,
        revision=_revision(),
        versions=_versions(),
        machine=machine,
        before=before,
        after=after,
        warnings=tuple(warnings),
        settings=_settings(request, inputs, spec.labels),
        limits=limits,
        headline=headline.candidate.name if headline else None,
        rows=tuple(finish(line, headline, limits) for line in lines),
        layers=layers,
        answers=collect_answers(lines, inputs, spec),
        suite=request.suite,
        truth=collect_truth(inputs, spec),
    )


def _original(
    bundle: Bundle, request: BenchmarkRequest, warnings: list[str]
) -> KerasBaseline | None:
    if not request.with_baselines:
        warnings.append("no baselines were asked for")
        return None
    try:
        original = KerasBaseline(bundle, request.keras)
    except MissingExtraError as err:
        if request.keras:
            raise
        warnings.append(f"no baselines: {err}")
        return None
    if not original.has_one_thread:
        warnings.append("TensorFlow was already running: Keras may have used several threads")
    return original


def _end_to_end(
    lines: Sequence[Line],
    bundle: Bundle,
    files: Sequence[Path],
    decode: Decoding,
    warnings: list[str],
    reporter: Reporter,
) -> None:
    domain, spec = bundle.domain(), bundle.manifest.spec
    ours = {
        line.candidate.name: line
        for line in lines
        if line.candidate.threads == 1 and isinstance(line.opened, Engine)
    }
    classifiers = {
        name: Classifier(spec, record, engine, ImageLimits(), domain, decode=decode)
        for name, line in ours.items()
        if (record := line.candidate.artifact) and isinstance(engine := line.opened, Engine)
    }
    for name, found in measure_end_to_end(classifiers, files, reporter).items():
        if isinstance(found, CxrEdgeError):
            warnings.append(f"{name}: no figures from file to prediction: {found}")
        else:
            ours[name].end_to_end = found


def _layers(
    lines: Sequence[Line], bundle: Bundle, inputs: Inputs, warnings: list[str]
) -> dict[str, tuple[Layer, ...]]:
    """Of our files that onnxruntime ran."""
    batch = normalize(inputs.pixels[:1], bundle.manifest.spec.input)
    found = {}
    for line in lines:
        name, artifact = line.candidate.name, line.candidate.artifact
        ran = (line.candidate.engine, line.candidate.threads) == ("onnxruntime", 1)
        if artifact and line.times is not None and ran:
            try:
                found[name] = slowest_operations(bundle.read(artifact.file), batch)
            except CxrEdgeError as err:
                warnings.append(f"{name}: its operations were not timed: {err}")
    return found


def _settings(request: BenchmarkRequest, inputs: Inputs, names: tuple[str, ...]) -> Settings:
    labels = None
    if inputs.labels is not None:
        labels = {n: int(np.count_nonzero(inputs.labels == i)) for i, n in enumerate(names)}
    return Settings(
        threads=request.threads,
        rounds=request.rounds,
        repeats=REPEATS,
        images=inputs.source,
        image_count=len(inputs.pixels),
        labels=labels,
        decode=request.decode,
    )


def _versions() -> dict[str, str]:
    found = {name: engine_version(name) for name in ENGINES}
    found |= {name: package_version(name) for name in _PACKAGES}
    return {name: version for name, version in found.items() if version}


def _revision() -> str | None:
    """The checkout's commit, with a mark where files differ from it."""
    git = shutil.which("git")
    here = Path(__file__).parents[2]
    if git is None or not (here / ".git").exists():
        return None
    described = [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(  # noqa: S603 - found on PATH, no input from outside
        described, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
