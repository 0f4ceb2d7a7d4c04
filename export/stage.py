"""The export as one call, for Python and for ``cxr-edge export``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.errors import UsageError
from cxr_edge.files import PathLike, optional_path, printable
from cxr_edge.reporting import Reporter, Silent

if TYPE_CHECKING:
    from cxr_edge.bundle.manifest import Manifest
    from cxr_edge.export.artifacts import ArtifactKind
    from cxr_edge.export.report import ExportReport, FailedArtifact


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A bundle that was written, and what was measured."""

    bundle: Path
    """Its folder."""
    manifest: Manifest
    """What it holds, as in ``manifest.json``."""
    report: ExportReport
    """What was tried, chosen and measured, as in the report beside the bundle."""
    report_file: Path
    """That report, JSON."""
    replaced: datetime | None = None
    """When the bundle that it replaced was written, local time; None: there was none."""

    @property
    def failed(self) -> tuple[FailedArtifact, ...]:
        """Files that were asked for and are not in the bundle, with the reasons."""
        return self.report.failed

    @property
    def missing(self) -> tuple[FailedArtifact, ...]:
        """Those that were asked for by name; for these, ``cxr-edge export`` exits with 6."""
        return tuple(artifact for artifact in self.failed if artifact.named)


def export_model(
    source: PathLike | None = None,
    out: PathLike = "bundle",
    *,
    int8: bool = False,
    fp16: bool = False,
    artifacts: Sequence[str] = (),
    spec: PathLike | None = None,
    data: PathLike | None = None,
    calibration: PathLike | None = None,
    validation: PathLike | None = None,
    keep_images: bool = False,
    max_flips: int | None = None,
    max_delta_p: float = 0.05,
    max_auc_drop: float = 0.005,
    thorough: bool = False,
    distill: bool = False,
    patient_pattern: str | None = None,
    sign: PathLike | None = None,
    reporter: Reporter | None = None,
) -> ExportResult:
    """Convert a Keras model to ONNX and TFLite; write a bundle of what makes the same decisions.

    Every file is compared with the Keras model on every installed engine, and left out if it
    differs too much. A file that is left out is in the result's ``failed``; an error is raised
    only where no bundle is written.

    Args:
        source: run folder of a training, or a Keras model; None: the bundled reference.
        out: the bundle's folder, replaced if it holds a bundle. The report is written beside it.
        int8: the best integer files for any machine, and float32.
        fp16: TFLite with 16-bit weights, and float32.
        artifacts: names of files to write; none of them, nor ``int8`` or ``fp16``: float32.
        spec: spec of a Keras model; None: ``spec.json`` beside it.
        data: folder of classes, to check parity on its images too, not only on golden inputs.
        calibration: images to measure activation ranges on; None: those of the run, else images
            distilled from the network.
        validation: images to choose a quantization recipe by; None: those of the run, else drawn
            inputs.
        keep_images: put up to 32 images of ``data`` or ``validation`` into the bundle as golden
            inputs, instead of drawn ones: only images that may be passed on.
        max_flips: decisions that a quantized file may change; None: 1 in 200, at least 1.
        max_delta_p: largest change of a score by quantization, 0..1.
        max_auc_drop: largest loss of area under the ROC curve, 0..1.
        thorough: try every recipe, even when one holds the budget.
        distill: add calibration images to the bundle that are made from the network alone.
        patient_pattern: regular expression searched in each file name; its groups identify the
            patient. None: Kermany's file names; any other file is a patient of its own.
        sign: file of the Ed25519 private key that signs the bundle; None: it is not signed.
        reporter: shows messages and progress; None: nothing is shown.

    Raises:
        UsageError: an argument is wrong, or a folder of images does not exist or is laid out
            otherwise (:class:`DataError`).
        ModelError: the model or its spec is absent, malformed or of an unsupported kind.
        MissingExtraError: TensorFlow or a converter is not installed (extra ``export``).
        ParityError: every file differs too much from the Keras model; nothing was written.
        ExportError: nothing could be converted, or ``out`` cannot be written
            (:class:`OutputError`).
    """
    from cxr_edge.data.patients import grouping
    from cxr_edge.export import pipeline
    from cxr_edge.export.artifacts import FP16, INT8, find_kinds
    from cxr_edge.export.commit import check_target, written_at
    from cxr_edge.export.quantize.budget import Budget
    from cxr_edge.export.report import report_path
    from cxr_edge.export.request import ExportRequest

    if isinstance(artifacts, str):
        raise UsageError(f"artifacts is {artifacts!r:.80}, expected a list of names")
    kinds = find_kinds((*artifacts, *(INT8 if int8 else ()), *(FP16 if fp16 else ())))
    for_quantized = {
        "--calibration": calibration is not None,
        "--validation": validation is not None and not keep_images,
        "--thorough": thorough,
        # Half precision and fast decoding have the budget too, on --data.
        "--max-flips": max_flips is not None and data is None,
    }
    _refuse_unused(kinds, [option for option, is_given in for_quantized.items() if is_given])
    request = ExportRequest(
        calibration=optional_path(calibration),
        validation=optional_path(validation),
        data=optional_path(data),
        budget=Budget(max_flips, max_delta_p, max_auc_drop),
        thorough=thorough,
        distill=distill,
        keep_images=keep_images,
        sign=optional_path(sign),
        named=frozenset(artifacts),
        group_of=grouping(patient_pattern),
    )
    request.check()
    folder, reporter = Path(out), reporter or Silent()
    check_target(folder)
    replaced = written_at(folder)
    if replaced:
        reporter.say(
            f"{printable(folder)}: holds a bundle of {replaced:%Y-%m-%d %H:%M}, which this export "
            "replaces when it succeeds"
        )
    request.check_folders(pipeline.read_spec(optional_path(source), optional_path(spec)))
    reporter.say("reading the model …")
    original = pipeline.find_original(optional_path(source), optional_path(spec), reporter)
    manifest, report = pipeline.export(original, folder, kinds, request, reporter)
    return ExportResult(folder, manifest, report, report_path(folder), replaced)


def _refuse_unused(kinds: Sequence[ArtifactKind], options: Sequence[str]) -> None:
    """Refuse options for quantized files where none is asked for."""
    from cxr_edge.export.artifacts import QuantizedConversion

    if options and not any(isinstance(kind.conversion, QuantizedConversion) for kind in kinds):
        raise UsageError(f"{options[0]} is for quantized files, and none is asked for; add --int8")
