"""From a Keras model to a bundle: everything that ``cxr-edge export`` does."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cxr_edge.bundle import Bundle, Golden, dump_golden
from cxr_edge.dataset import LabelledFolder, read_folder
from cxr_edge.decision import Scores, decide, probabilities
from cxr_edge.errors import ModelError
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.commit import check_target, commit, record_file
from cxr_edge.export.golden import SOURCE, draw_golden
from cxr_edge.export.proof import prove
from cxr_edge.extras import require_tensorflow
from cxr_edge.files import read_file
from cxr_edge.keras_model import keras_scores, load_keras
from cxr_edge.manifest import (
    FORMAT,
    MAX_FILE_BYTES,
    NOTICE,
    ArtifactRecord,
    EngineRecord,
    GoldenRecord,
    Manifest,
    Provenance,
)
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.run import Run
from cxr_edge.spec import ModelSpec

_TOOLS = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "openvino")


@dataclass(frozen=True, slots=True)
class Original:
    """The model that every exported file must answer like."""

    data: bytes
    """The ``.keras`` file."""
    spec: ModelSpec
    """Its contract."""
    provenance: Provenance
    """Where it comes from."""
    name: str
    """What messages call it."""


def original_of_run(run: Run) -> Original:
    """Read the model of a run folder.

    Raises:
        ModelError: it cannot be read.
    """
    data = read_file(run.model, max_bytes=MAX_FILE_BYTES, error=ModelError)
    return Original(data, run.spec, run.provenance, str(run.model))


def original_of_bundle(bundle: Bundle) -> Original:
    """Read the Keras model that a bundle carries.

    Raises:
        BundleError: it is absent or changed.
    """
    manifest = bundle.manifest
    data = bundle.read(manifest.keras)
    return Original(data, manifest.spec, manifest.provenance, manifest.keras.file)


def export(
    original: Original,
    out: Path,
    kinds: tuple[ArtifactKind, ...],
    *,
    data: LabelledFolder | None,
    reporter: Reporter,
) -> Manifest:
    """Convert a model, prove each file, and write the bundle only if all of them hold.

    Args:
        original: the model.
        out: the bundle's folder.
        kinds: the files to write.
        data: images to prove parity on besides the golden inputs; None: only those.
        reporter: shows messages and progress.

    Returns:
        The manifest that was written.

    Raises:
        ParityError: a file does not answer like the original; nothing was written.
        ExportError: a converter failed or the bundle could not be written.
        MissingExtraError: a converter, or every engine for a kind of file, is not installed.
    """
    check_target(out)
    require_tensorflow("export")
    spec = original.spec
    model = load_keras(original.data, spec, name=original.name, extra="export")

    def answer(pixels: Pixels) -> Scores:
        return keras_scores(model, pixels, spec)

    with reporter.bar("drawing golden inputs") as advance:
        golden = draw_golden(answer, spec, advance)
    proofs = {"golden": golden}
    if data is not None:
        images = read_folder(data, spec.input, reporter)
        reporter.say(f"scoring {len(images.files)} images with the original model")
        proofs["data"] = Golden(images.pixels, answer(images.pixels))

    keras_file = record_file("model", "keras", original.data)
    golden_data = dump_golden(golden)
    golden_file = record_file("golden", "npz", golden_data)
    contents = {keras_file.file: original.data, golden_file.file: golden_data}
    artifacts = []
    for kind in kinds:
        reporter.say(f"converting to {kind.name}")
        converted = kind.convert(model, spec)
        artifacts.append(_record(kind, converted, prove(converted, kind, proofs, spec)))
        contents[artifacts[-1].file.file] = converted
    manifest = Manifest(
        format=FORMAT,
        sha256="",
        notice=NOTICE,
        spec=spec,
        keras=keras_file,
        artifacts=tuple(artifacts),
        golden=GoldenRecord(golden_file, len(golden.pixels), _decisions(golden, spec), SOURCE),
        provenance=_with_tools(original.provenance),
    )
    commit(out, manifest, contents)
    return manifest


def _record(kind: ArtifactKind, data: bytes, engines: tuple[EngineRecord, ...]) -> ArtifactRecord:
    return ArtifactRecord(
        name=kind.name,
        format=kind.format,
        precision=kind.precision,
        target="any",
        dynamic_batch=kind.dynamic_batch,
        file=record_file(kind.name, kind.format, data),
        engines=engines,
    )


def _decisions(golden: Golden, spec: ModelSpec) -> dict[str, int]:
    found = Counter(decide(probabilities(golden.scores, spec), spec).tolist())
    return {name: found[index] for index, name in enumerate(spec.labels)}


def _with_tools(provenance: Provenance) -> Provenance:
    """Add the versions of the converters and engines at hand."""
    versions = dict(provenance.tools)
    for tool in _TOOLS:
        try:
            versions[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue  # an engine that is not installed proved nothing
    return dataclasses.replace(provenance, tools=versions)
