"""From a Keras model to a bundle: the steps of ``cxr-edge export``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cxr_edge import documents
from cxr_edge.bundle.bundled import is_bundled
from cxr_edge.bundle.golden import dump_golden
from cxr_edge.bundle.manifest import (
    FORMAT,
    MAX_FILE_BYTES,
    NOTICE,
    ArtifactRecord,
    FileRecord,
    GoldenRecord,
    Manifest,
    Provenance,
)
from cxr_edge.bundle.proofs import DecodingRecord, EngineRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.signature import read_private_key
from cxr_edge.data.samples import dump_samples, read_samples
from cxr_edge.decision import decide, probabilities
from cxr_edge.domain import Domain, dump_domain, parse_domain
from cxr_edge.errors import ModelError
from cxr_edge.export.artifact_set import ArtifactSet
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.builder import ArtifactBuilder
from cxr_edge.export.commit import check_target, commit, record_file
from cxr_edge.export.decisions import auc
from cxr_edge.export.decoding import FastParity, prove_decoding
from cxr_edge.export.drafts import BuiltArtifact
from cxr_edge.export.images import ExportImages
from cxr_edge.export.machine import check_machine
from cxr_edge.export.report import ExportReport, make_report, report_path
from cxr_edge.export.request import CalibrationImages, ExportRequest, OriginalModel
from cxr_edge.export.speed import measure_speed
from cxr_edge.extras import package_version, require_installed, require_tensorflow
from cxr_edge.files import printable, read_file
from cxr_edge.metrics.usefulness import why_useless
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.opening import load_original
from cxr_edge.original.run_folder import Run, open_run
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

_TOOLS = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "openvino", "ncnn")


def find_original(
    source: Path | None, spec: Path | None, reporter: Reporter | None = None
) -> OriginalModel:
    """Read the model to export.

    Args:
        source: a run folder, a Keras model, or the name of a model that the package carries; None:
            the bundled reference.
        spec: the model's spec; None: ``spec.json`` beside it.
        reporter: told in one line of each change.

    Raises:
        ModelError: there is no model or spec, or the model does not fit its spec.
        MissingExtraError: TensorFlow is not installed.
    """
    if source is None or is_bundled(source):
        return original_of_bundle(Bundle.open(source))
    return original_of_run(open_run(source, spec), reporter)


def read_spec(source: Path | None, spec: Path | None) -> ModelSpec:
    """Read the spec of the model that :func:`find_original` reads, without TensorFlow.

    Raises:
        ModelError: there is no model or spec, or the spec is malformed.
    """
    if source is None or is_bundled(source):
        return Bundle.open(source).manifest.spec
    return open_run(source, spec).spec


def original_of_run(run: Run, reporter: Reporter | None = None) -> OriginalModel:
    """Read the model of a run folder, and the images that its training kept.

    Args:
        run: the model and its spec; the model is rebuilt where exporting needs it otherwise.
        reporter: told in one line of each change.

    Raises:
        ModelError: a file cannot be read, or the model does not fit its spec.
        MissingExtraError: TensorFlow is not installed.
    """
    require_tensorflow("export")
    original = load_original(run.model, run.spec, extra="export", reporter=reporter)
    spec = original.spec
    calibration, validation = (
        read_samples(path, spec) if path else None for path in (run.calibration, run.validation)
    )
    source = "training images that the training kept"
    return OriginalModel(
        original.data,
        spec,
        run.provenance,
        str(run.model),
        calibration=CalibrationImages(calibration, source) if calibration else None,
        validation=validation,
        domain=_read_domain(run.domain) if run.domain else None,
        model=original.model,
    )


def original_of_bundle(bundle: Bundle) -> OriginalModel:
    """Read the Keras model that a bundle carries, and its calibration images.

    Raises:
        BundleError: a file is missing or has changed.
    """
    manifest, samples = bundle.manifest, bundle.calibration()
    source = "the bundle's images, distilled from the network"
    return OriginalModel(
        bundle.read(manifest.keras),
        manifest.spec,
        manifest.provenance,
        manifest.keras.file,
        calibration=CalibrationImages(samples, source, in_bundle=True) if samples else None,
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
    """Convert a model, check the parity of each file, and write a bundle of those that pass.

    Args:
        original: the model.
        out: the bundle's folder; the report is written beside it.
        kinds: the files to write.
        request: images and limits.
        reporter: shows messages and progress.

    Returns:
        The manifest and the report that were written. ``report.failed`` holds each kind that is
        not in the bundle, and why.

    Raises:
        ParityError: every file differs too much from the original, or no recipe holds the budget;
            nothing was written.
        ExportError: no kind could be converted, or the network allows none.
        OutputError: the bundle could not be written.
        DataError: a folder of images does not exist, or an image is used for calibration and also
            to measure figures on.
        MissingExtraError: a converter, or every engine for a kind of file, is not installed.
    """
    check_target(out)
    request.check()
    key = read_private_key(request.sign) if request.sign else None
    if not key and any(out.glob("manifest.*.sig")):
        reporter.say(
            f"{printable(out)}: the bundle there is signed, this one will not be; devices that ask "
            "for a key will refuse it (--sign KEY)"
        )
    require_installed(("keras", "tensorflow", "tf2onnx", "onnx"), "export", user="cxr-edge export")
    check_machine(kinds)
    require_tensorflow("export")
    model = original.model
    if model is None:
        model = load_keras(original.data, original.spec, name=original.name, extra="export")
    images = ExportImages(model, original, request, reporter)
    builder = ArtifactBuilder(model, original, request, images, reporter)
    files = ArtifactSet(builder, request.named, reporter)
    files.build(kinds)
    artifacts, golden = files.artifacts, images.golden
    decoding, fast = None, FastParity()
    if images.fast_reading:
        decoding, fast = prove_decoding(
            images.fast_reading, artifacts, request.budget, original.spec
        )
    manifest, contents = _assemble(original, images, artifacts, decoding, fast)
    speeds = measure_speed(builder.stock_onnx, artifacts, golden.chosen, original.spec, reporter)
    searched = any(artifact.trials for artifact in artifacts)
    report = make_report(
        chosen_on=images.chosen_on() if searched else None,
        by_user=images.are_users,
        calibration=images.calibration_record() if searched else None,
        lowered=builder.lowering_summary,
        artifacts=[a.report(speed) for a, speed in zip(artifacts, speeds, strict=True)],
        failed=files.failed,
        golden=golden.source,
        useless=judge(images, original.spec),
        decoding=manifest.decoding,
    )
    # A report that cannot be written: no bundle.
    commit(*(out, manifest, contents), report=(report_path(out), documents.dump(report)), key=key)
    return manifest, report


def judge(images: ExportImages, spec: ModelSpec) -> str | None:
    """Why the original is of no use on the user's labelled images; None: it is, or has none."""
    labelled = images.labelled()
    if labelled is None:
        return None
    samples, scores, source = labelled
    assert samples.labels is not None  # noqa: S101 - they are labelled
    table = probabilities(scores, spec)
    area = auc(table, samples.labels, spec)
    reason = why_useless(samples.labels, decide(table, spec), area, names=spec.labels)
    return f"{reason}, on {len(scores)} {source}" if reason else None


def _assemble(
    original: OriginalModel,
    images: ExportImages,
    artifacts: Sequence[BuiltArtifact],
    decoding: DecodingRecord | None,
    fast: FastParity,
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a bundle, and the content of its files by name."""
    contents: dict[str, bytes] = {}

    def add(stem: str, suffix: str, data: bytes) -> FileRecord:
        record = record_file(stem, suffix, data)
        contents[record.file] = data
        return record

    calibration = images.in_bundle(calibrated=any(a.trials for a in artifacts))
    domain = original.domain
    manifest = Manifest(
        format=FORMAT,
        sha256="",
        notice=NOTICE,
        spec=original.spec,
        keras=add("model", "keras", original.data),
        calibration=add("calibration", "npz", dump_samples(calibration)) if calibration else None,
        domain=add("domain", "npz", dump_domain(domain)) if domain else None,
        artifacts=tuple(
            _artifact_record(a, add(a.kind.name, a.kind.format, a.data), fast) for a in artifacts
        ),
        golden=_golden_record(
            add("golden", "npz", dump_golden(images.golden.whole)), images, original.spec
        ),
        provenance=_with_tool_versions(original.provenance),
        decoding=decoding,
    )
    return manifest, contents


def _artifact_record(artifact: BuiltArtifact, file: FileRecord, fast: FastParity) -> ArtifactRecord:
    kind = artifact.kind
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
                artifact.tolerance,
                proof.decisions["golden"].parity,
                proof.decisions["data"].parity if "data" in proof.decisions else None,
                fast.get((kind.name, proof.engine)),
                proof.emulated,
            )
            for proof in artifact.proofs
        ),
        quantization=artifact.quantization,
    )


def _golden_record(file: FileRecord, images: ExportImages, spec: ModelSpec) -> GoldenRecord:
    golden = images.golden.chosen
    counts = Counter(decide(probabilities(golden.scores, spec), spec).tolist())
    decisions = {label: counts[index] for index, label in enumerate(spec.labels)}
    return GoldenRecord(
        file, len(golden.pixels), decisions, images.golden.margin, images.golden.source
    )


def _with_tool_versions(provenance: Provenance) -> Provenance:
    """Add the versions of the converters and engines that are installed."""
    installed = {tool: version for tool in _TOOLS if (version := package_version(tool))}
    return dataclasses.replace(provenance, tools=provenance.tools | installed)
