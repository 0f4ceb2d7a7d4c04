"""One benchmark from start to end."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.benchmark import passes
from cxr_edge.benchmark.baselines import (
    KerasBaseline,
    baseline_cases,
    keep_stock_file,
    refuse_other_models,
)
from cxr_edge.benchmark.cases import exported_cases
from cxr_edge.benchmark.images import Inputs, draw_files, golden_inputs, pick_files, score_folder
from cxr_edge.benchmark.machine_state import read_machine_state, read_platform, state_warnings
from cxr_edge.benchmark.report import Report, Roofline, Settings, SuiteRow
from cxr_edge.benchmark.roofline import measure_roofline
from cxr_edge.bundle.reader import Bundle
from cxr_edge.device.machine import this_machine
from cxr_edge.device.profile import engine_version
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.engines import ENGINES
from cxr_edge.errors import CxrEdgeError, EngineError, first_line
from cxr_edge.extras import package_version
from cxr_edge.reporting import Reporter
from cxr_edge.spec import Decoding

_PACKAGES = ("numpy", "opencv-python-headless", "tensorflow", "keras", "tf2onnx", "onnx")


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """The options of a benchmark."""

    keras: Path | None = None
    """The original model; None: the bundle's."""
    with_baselines: bool = True
    """Whether to run Keras and stock conversions too, where TensorFlow is installed."""
    stock: Path | None = None
    """File of the stock float32 ONNX: read if it is there, else made and kept."""
    images: Path | None = None
    """Images, or a folder of them for each label; None: golden inputs and drawn files."""
    threads: tuple[int, ...] = (1,)
    """Thread counts to try for one inference, 1 among them."""
    rounds: int = 100
    """Timing rounds; every row gets one turn in each."""
    repeats: int = 3
    """Timed inferences in a turn."""
    processes: int = 3
    """Fresh processes per artifact and engine, for the first answer."""
    memory_s: float = 0.5
    """Seconds of inferences over which the memory of each of them is averaged."""
    file_rounds: int = 5
    """Predictions per file and row, for the end-to-end times."""
    drawn_files: int = 12
    """Image files to draw where ``images`` is None."""
    decode: Decoding | None = None
    """JPEG decoding in the end-to-end times; None: the bundle's default."""
    suite: tuple[SuiteRow, ...] = ()
    """Results of ``make bench`` to include in the report."""
    label: str = ""
    """What to call this run in the report."""
    command: str = ""
    """The command to name in the report."""


def run_benchmark(bundle: Bundle, request: BenchmarkRequest, reporter: Reporter) -> Report:
    """Measure every artifact, engine and baseline that runs on this machine.

    A row that fails says why, and so does a figure that cannot be measured; neither ends the
    benchmark.

    Raises:
        BundleError: the bundle is damaged.
        DataError: the folder of images holds none that can be read.
        ModelError: ``request.keras`` cannot be loaded, or does not fit the bundle.
        MissingExtraError: ``request.keras`` is given and TensorFlow is not installed.
    """
    with temporary_folder() as folder:
        if request.images:
            files = pick_files(request.images)
        else:
            files = draw_files(folder, count=request.drawn_files)
        return _measure(bundle, request, files, reporter)


def _measure(
    bundle: Bundle, request: BenchmarkRequest, files: Sequence[Path], reporter: Reporter
) -> Report:
    cv2.setNumThreads(1)
    spec, machine, before = bundle.manifest.spec, this_machine(), read_machine_state()
    warnings: list[str] = []
    original = _load_original(bundle, request, warnings)
    inputs = _read_inputs(bundle, request, original, warnings, reporter)
    roofline = _measure_roofline(original, warnings)
    cases = list(exported_cases(bundle, request.threads))
    cases += baseline_cases(original, request.stock, spec)
    passes.measure_first_answers(
        cases,
        bundle,
        processes=request.processes,
        memory_s=request.memory_s,
        reporter=reporter,
    )
    passes.compare_scores(cases, inputs, spec, reporter)
    refuse_other_models(cases)
    passes.time_inference(
        cases, inputs, spec, rounds=request.rounds, repeats=request.repeats, reporter=reporter
    )
    decode = request.decode or bundle.manifest.default_decoding
    passes.measure_files(
        cases, bundle, files, decode=decode, rounds=request.file_rounds, reporter=reporter
    )
    layers = passes.profile_layers(cases, bundle, inputs)
    baseline = passes.compare_latencies(cases, roofline)
    after = read_machine_state()
    if request.stock and baseline:
        keep_stock_file(cases, request.stock)
    warnings += state_warnings(machine, before, after)
    return Report(
        schema="cxr-edge.benchmark/3",
        label=request.label,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=request.command,
        model=spec.name,
        bundle_sha256=bundle.manifest.sha256,
        files_sha256={a.name: a.file.sha256 for a in bundle.manifest.artifacts},
        threshold=spec.threshold,
        positive_label=spec.positive_label,
        revision=_git_revision(),
        versions=_versions(),
        machine=machine,
        platform=read_platform(),
        before=before,
        after=after,
        warnings=tuple(warnings),
        settings=_settings(request, inputs, spec.labels, decode),
        limits=roofline,
        baseline=baseline,
        rows=tuple(case.row for case in cases),
        layers=layers,
        answers=tuple(case.answers for case in cases if case.answers),
        suite=request.suite,
        truth=inputs.truth(spec),
    )


def _load_original(
    bundle: Bundle, request: BenchmarkRequest, warnings: list[str]
) -> KerasBaseline | None:
    """The original model; None, with a warning, where it cannot run here."""
    if not request.with_baselines:
        warnings.append("no baselines were asked for")
        return None
    try:
        original = KerasBaseline(bundle, request.keras)
    except (CxrEdgeError, ImportError) as err:  # not installed, or broken
        if request.keras:
            raise
        warnings.append(f"no baselines: {first_line(err)}")
        return None
    if not original.has_one_thread:
        warnings.append("TensorFlow was already running: Keras may have used several threads")
    return original


def _read_inputs(
    bundle: Bundle,
    request: BenchmarkRequest,
    original: KerasBaseline | None,
    warnings: list[str],
    reporter: Reporter,
) -> Inputs:
    """The images scored by the original model; where it cannot run, the golden inputs."""
    if request.images is None:
        return golden_inputs(bundle)
    reason = "the original model did not run here"
    if original:
        try:
            return score_folder(request.images, bundle.manifest.spec, original.scores, reporter)
        except EngineError as err:
            reason = f"the original model failed on the images ({err})"
    warnings.append(
        f"{reason}, so parity was measured on the golden inputs, whose original scores were "
        "recorded at export: it says nothing about decisions on these images"
    )
    return golden_inputs(bundle)


def _measure_roofline(original: KerasBaseline | None, warnings: list[str]) -> Roofline | None:
    multiply_adds = original.multiply_adds() if original else None
    if original and multiply_adds is None:
        warnings.append("the network's multiply-adds could not be counted: no roofline times")
    try:
        return measure_roofline(multiply_adds)
    except EngineError as err:
        warnings.append(f"no roofline: {err}")
        return None


def _settings(
    request: BenchmarkRequest, inputs: Inputs, labels: tuple[str, ...], decode: Decoding
) -> Settings:
    counts = None
    if inputs.labels is not None:
        counts = {
            label: int(np.count_nonzero(inputs.labels == index))
            for index, label in enumerate(labels)
        }
    return Settings(
        threads=request.threads,
        rounds=request.rounds,
        repeats=request.repeats,
        images=inputs.source,
        image_count=len(inputs.pixels),
        labels=counts,
        decode=decode,
    )


def _versions() -> dict[str, str]:
    versions = {name: engine_version(name) for name in ENGINES}
    versions |= {name: package_version(name) for name in _PACKAGES}
    return {name: version for name, version in versions.items() if version}


def _git_revision() -> str | None:
    """The commit of the checkout, ending in ``-dirty`` if files differ from it."""
    git = shutil.which("git")
    root = Path(__file__).parents[2]
    if git is None or not (root / ".git").exists():
        return None
    describe = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    completed = subprocess.run(  # noqa: S603 - found on PATH, no input from outside
        describe, capture_output=True, text=True, check=False
    )
    return completed.stdout.strip() or None
