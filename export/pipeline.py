"""From a Keras model to a bundle: everything that ``cxr-edge export`` does."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_edge import documents
from cxr_edge.bundle.golden import GoldenSet, dump_golden
from cxr_edge.bundle.manifest import (
    FORMAT,
    MAX_FILE_BYTES,
    NOTICE,
    ArtifactRecord,
    EngineRecord,
    FileRecord,
    GoldenRecord,
    Manifest,
    Provenance,
)
from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.samples import dump_samples, read_samples
from cxr_edge.decision import decide, probabilities
from cxr_edge.device.timing import time_in_turn
from cxr_edge.domain import Domain, dump_domain, parse_domain
from cxr_edge.engines import Engine, open_engine
from cxr_edge.errors import ModelError
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.builder import ArtifactBuilder, Made
from cxr_edge.export.commit import check_target, commit, record_file
from cxr_edge.export.gate import check_machine
from cxr_edge.export.golden import SOURCE
from cxr_edge.export.images import Images
from cxr_edge.export.report import ExportReport, Speed, make_report, report_path
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.extras import require_tensorflow
from cxr_edge.files import atomic_path, printable, read_file
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.run_folder import Run
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

_TOOLS = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "openvino")
_SPEED_ROUNDS, _SPEED_REPEATS = 30, 2


def original_of_run(run: Run) -> OriginalModel:
    """Read the model of a run folder, and the images that its training kept.

    Raises:
        ModelError: something cannot be read.
    """
    data = read_file(run.model, max_bytes=MAX_FILE_BYTES, error=ModelError)
    calibration, validation = (
        read_samples(path, run.spec) if path else None for path in (run.calibration, run.validation)
    )
    return OriginalModel(
        data,
        run.spec,
        run.provenance,
        str(run.model),
        calibration=calibration,
        calibration_source="training images that the training kept",
        validation=validation,
        domain=_read_domain(run.domain) if run.domain else None,
    )


def original_of_bundle(bundle: Bundle) -> OriginalModel:
    """Read the Keras model that a bundle carries, and its calibration images.

    Raises:
        BundleError: a file is absent or changed.
    """
    manifest = bundle.manifest
    return OriginalModel(
        bundle.read(manifest.keras),
        manifest.spec,
        manifest.provenance,
        manifest.keras.file,
        calibration=bundle.calibration(),
        calibration_source="the bundle's images, distilled from the network",
        carries_calibration=True,
        domain=bundle.domain(),
    )


def _read_domain(path: Path) -> Domain:
    data = read_file(path, max_bytes=MAX_FILE_BYTES, error=ModelError)
    return parse_domain(data, printable(path), ModelError)


def export(
    original: OriginalModel,
    out: Path,
    kinds: tuple[ArtifactKind, ...],
    request: ExportRequest,
    reporter: Reporter,
) -> tuple[Manifest, ExportReport]:
    """Convert a model, prove each file, and write the bundle only if all of them hold.

    Args:
        original: the model.
        out: the bundle's folder; the report goes beside it.
        kinds: the files to write.
        request: images and limits.
        reporter: shows messages and progress.

    Returns:
        The manifest and the report that were written.

    Raises:
        ParityError: a file does not answer like the original, or no recipe holds the budget;
            nothing was written.
        ExportError: a converter failed, or the network does not allow a file asked for by name.
        OutputError: the bundle could not be written.
        DataError: an image is used for calibration and for scoring.
        MissingExtraError: a converter, or every engine for a kind of file, is not installed.
    """
    check_target(out)
    require_tensorflow("export")
    for kind in kinds:
        check_machine(kind)
    model = load_keras(original.data, original.spec, name=original.name, extra="export")
    images = Images(model, original, request, reporter)
    builder = ArtifactBuilder(model, original, request, images, reporter)
    made = [builder.make(kind) for kind in builder.possible(kinds)]
    spec, golden = original.spec, images.golden

    contents: dict[str, bytes] = {}

    def keep(stem: str, suffix: str, data: bytes) -> FileRecord:
        record = record_file(stem, suffix, data)
        contents[record.file] = data
        return record

    carried = images.carried(calibrated=any(m.trials for m in made))
    manifest = Manifest(
        format=FORMAT,
        sha256="",
        notice=NOTICE,
        spec=spec,
        keras=keep("model", "keras", original.data),
        calibration=keep("calibration", "npz", dump_samples(carried)) if carried else None,
        domain=keep("domain", "npz", dump_domain(original.domain)) if original.domain else None,
        artifacts=tuple(_record(m, keep(m.kind.name, m.kind.format, m.data)) for m in made),
        golden=_golden_record(
            keep("golden", "npz", dump_golden(golden)),
            golden,
            images.margin,
            spec,
        ),
        provenance=_with_tools(original.provenance),
    )
    speeds = measure_speed(
        open_engine("onnxruntime", builder.stock_onnx(), spec),
        [open_engine(m.proofs[0].engine, m.data, spec, outputs=m.kind.outputs) for m in made],
        normalize(golden.pixels[:1], spec.input),
        reporter,
    )
    searched = [m for m in made if m.trials]
    report = make_report(
        chosen_on=images.choice.source if searched else "nothing was chosen",
        calibration=images.calibration_record() if searched else None,
        preprocessing=images.preprocessing,
        lowered=builder.lowered_says,
        artifacts=tuple(m.report(speed) for m, speed in zip(made, speeds, strict=True)),
    )
    with atomic_path(report_path(out)) as temporary:  # a report that cannot be written: no bundle
        temporary.write_bytes(documents.dump(report))
        commit(out, manifest, contents)
    return manifest, report


def _record(made: Made, file: FileRecord) -> ArtifactRecord:
    kind = made.kind
    return ArtifactRecord(
        name=kind.name,
        format=kind.format,
        precision=kind.precision,
        target=kind.target,
        dynamic_batch=kind.dynamic_batch,
        outputs=kind.outputs,
        file=file,
        engines=tuple(
            EngineRecord(
                proof.engine,
                made.budget.max_delta_p,
                proof.found["golden"].parity,
                proof.found["data"].parity if "data" in proof.found else None,
            )
            for proof in made.proofs
        ),
        quantization=made.quantization,
    )


def _golden_record(
    file: FileRecord, golden: GoldenSet, margin: float, spec: ModelSpec
) -> GoldenRecord:
    found = Counter(decide(probabilities(golden.scores, spec), spec).tolist())
    decisions = {name: found[index] for index, name in enumerate(spec.labels)}
    return GoldenRecord(file, len(golden.pixels), decisions, margin, SOURCE)


def _with_tools(provenance: Provenance) -> Provenance:
    """Add the versions of the converters and engines at hand."""
    versions = dict(provenance.tools)
    for tool in _TOOLS:
        try:
            versions[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue  # an engine that is not installed proved nothing
    return dataclasses.replace(provenance, tools=versions)


def measure_speed(
    stock: Engine, files: Sequence[Engine], batch: Batch, reporter: Reporter
) -> list[Speed]:
    """Time every file, all in turn so that drift cancels.

    Args:
        stock: the original network as a converter leaves it.
        files: each exported file on its preferred engine, one thread.
        batch: (1, height, width, channels) float32.
        reporter: shows progress.

    Returns:
        One figure a file, in the same order.
    """
    steps = [functools.partial(engine.run, batch) for engine in (stock, *files)]
    first, *times = time_in_turn(
        steps, rounds=_SPEED_ROUNDS, repeats=_SPEED_REPEATS, reporter=reporter
    )
    return [Speed(float(np.median(each)), float(np.median(each / first))) for each in times]
