"""A prediction as a structured report: Comprehensive SR, template TID 1500 (Measurement Report).

highdicom builds the content from an image without a patient, who is filled in afterwards: of a name
that it thinks unlikely it would warn, and quote it.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from cxr_edge.dicom import codes
from cxr_edge.dicom.algorithm import Algorithm
from cxr_edge.dicom.identity import derived_uid
from cxr_edge.dicom.source import PATIENT_AND_STUDY, Source, read_source
from cxr_edge.dicom.writing import DISCLAIMER, MANUFACTURER, Made, clean, encode, fill_in
from cxr_edge.errors import UsageError
from cxr_edge.results import Prediction
from cxr_edge.spec import ModelSpec

MAX_SCORES = 100
"""Labels whose probability a report lists; those with the largest."""

_SERIES_NUMBER = 9001
_LONGEST_LABEL = 64  # characters


def structured_report(
    source: bytes,
    prediction: Prediction,
    spec: ModelSpec,
    algorithm: Algorithm,
    *,
    when: datetime.datetime | None = None,
) -> bytes:
    """Write a prediction as a DICOM structured report in the study of its image.

    The same image and algorithm always give the same UIDs.

    Args:
        source: the DICOM file that was classified.
        prediction: its result.
        spec: of the model.
        algorithm: what classified it.
        when: date and time of the report; None: now.

    Returns:
        A DICOM file (PS3.10): Comprehensive SR, complete, preliminary and unverified, in UTF-8.

    Raises:
        ImageError: the source is damaged, or has no valid UIDs to refer to.
        UsageError: a score of the prediction is NaN or infinite.
        MissingExtraError: pydicom or highdicom is not installed.
        TypeError: the source is not bytes, or the prediction is none.
    """
    if not isinstance(prediction, Prediction):
        raise TypeError(f"the result is {type(prediction).__name__}, expected a Prediction")
    if not all(map(math.isfinite, (prediction.score, *prediction.scores.values()))):
        raise UsageError("the prediction has a score that is NaN or infinite")
    image = read_source(source)
    made = Made("report", _SERIES_NUMBER, f"cxr-edge: {DISCLAIMER}", when)
    evidence = _evidence(image)
    report = _ReportWithoutPatient(
        evidence=[evidence],
        content=_content(image, evidence, prediction, spec, algorithm),
        series_instance_uid=derived_uid("report", image.series_uid, algorithm, "series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid("report", image.instance_uid, algorithm),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    report.CodingSchemeIdentificationSequence = [_coding_scheme()]
    report.pop("ContributingEquipmentSequence", None)  # names highdicom, and the time of now
    fill_in(report, made, image, algorithm)
    return encode(report, algorithm)


class _ReportWithoutPatient(hd.sr.ComprehensiveSR):
    """A report whose patient and study are not highdicom's business."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """No-op: highdicom cannot copy from an image of a class that it does not know."""


def _evidence(image: Source) -> Dataset:
    """The image as highdicom refers to it, without its patient."""
    evidence = Dataset()
    for keyword in PATIENT_AND_STUDY:
        setattr(evidence, keyword, None)
    evidence.SOPClassUID, evidence.SOPInstanceUID = image.class_uid, image.instance_uid
    evidence.StudyInstanceUID = image.values["StudyInstanceUID"]
    evidence.SeriesInstanceUID = image.series_uid
    return evidence


def _coding_scheme() -> Dataset:
    scheme = Dataset()
    scheme.CodingSchemeDesignator = codes.SCHEME
    scheme.CodingSchemeName = scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme


def _content(
    image: Source,
    evidence: Dataset,
    prediction: Prediction,
    spec: ModelSpec,
    algorithm: Algorithm,
) -> Dataset:
    """The root of the report's tree."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", "", algorithm),
        name=clean(algorithm.name),
        manufacturer_name=MANUFACTURER,
        model_name=MANUFACTURER,
        serial_number=algorithm.bundle[:16],
    )
    observer = hd.sr.ObserverContext(codes.DEVICE, device)
    root = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_procedure(image, spec),
        imaging_measurements=[_group(image, evidence, prediction, spec, algorithm)],
    )[0]
    texts = [
        hd.sr.TextContentItem(name, text, hd.sr.RelationshipTypeValues.CONTAINS)
        for name, text in _texts(prediction, spec, algorithm)
    ]
    before = len(root.ContentSequence) - 1  # the measurements
    for place, text in enumerate(texts):
        root.ContentSequence.insert(before + place, text)
    return root


def _procedure(image: Source, spec: ModelSpec) -> Code:
    part = image.values.get("BodyPartExamined", "CHEST" if "chest" in spec.name.lower() else "")
    return codes.PLAIN_CHEST_RADIOGRAPHY if "CHEST" in part else codes.PLAIN_RADIOGRAPHY


def _texts(
    prediction: Prediction, spec: ModelSpec, algorithm: Algorithm
) -> Iterator[tuple[Code, str]]:
    """What a person reads, warnings first."""
    yield codes.COMMENT, f"{DISCLAIMER} Computed by software; no physician has verified it."
    if prediction.out_of_domain:
        yield (
            codes.COMMENT,
            "OUT OF DOMAIN: the image is unlike the images that the model was trained on. No "
            "finding is stated; do not rely on the decision and the probabilities below.",
        )
    if prediction.uncertain:
        band = ""
        if spec.uncertain_band:
            low, high = spec.uncertain_band
            band = f", which is from {low:g} to below {high:g}"
        yield codes.COMMENT, f"UNCERTAIN: the score lies in the model's uncertainty band{band}."
    label = clean(prediction.label, _LONGEST_LABEL)
    score = clean(spec.positive_label or prediction.label, _LONGEST_LABEL)
    text = f"Decision of the model: {label}. P({score}) = {prediction.score:.4f}"
    if prediction.threshold is not None:
        text += f", threshold {prediction.threshold:g}"
    if prediction.out_of_domain is None:
        text += ". The model cannot tell whether the image is like those it was trained on"
    if len(spec.labels) > MAX_SCORES:
        text += f". Listed are the {MAX_SCORES} most probable of {len(spec.labels):,} labels"
    yield codes.SUMMARY, f"{text}. Model: {clean(algorithm.name)}."


def _group(
    image: Source,
    evidence: Dataset,
    prediction: Prediction,
    spec: ModelSpec,
    algorithm: Algorithm,
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """The result about the image, TID 1501."""
    decision = codes.label_code(prediction.label)
    finding = codes.NO_FINDING_STATED if prediction.out_of_domain else decision
    evaluations = [
        (codes.DECISION, decision),
        (codes.UNCERTAIN, codes.yes_or_no(prediction.uncertain)),
        (codes.OUT_OF_DOMAIN, codes.yes_or_no(prediction.out_of_domain)),
    ]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            derived_uid("tracking", image.instance_uid, algorithm), "cxr-edge classification"
        ),
        finding_type=finding,
        algorithm_id=hd.sr.AlgorithmIdentification(
            name=clean(algorithm.name),
            version=clean(algorithm.version),
            manufacturer=MANUFACTURER,
            parameters=_parameters(prediction, algorithm),
        ),
        measurements=list(_measurements(prediction, spec)),
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(name, value) for name, value in evaluations
        ],
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.class_uid, image.instance_uid)],
    )


def _parameters(prediction: Prediction, algorithm: Algorithm) -> list[str]:
    parameters = [
        f"bundle sha256 = {algorithm.bundle}",
        f"artifact = {clean(algorithm.artifact)}",
        f"engine = {clean(algorithm.engine)}",
    ]
    if prediction.threshold is not None:
        parameters.append(f"threshold = {prediction.threshold!r}")
    return parameters


def _measurements(prediction: Prediction, spec: ModelSpec) -> Iterator[hd.sr.Measurement]:
    """Of two labels the positive one's probability and the threshold, of more every label's."""
    if spec.positive_label is not None:
        yield _probability(spec.positive_label, prediction.score)
    else:
        ranked = sorted(prediction.scores.items(), key=lambda item: -item[1])
        for label, score in ranked[:MAX_SCORES]:
            yield _probability(label, score)
    if prediction.threshold is not None:
        yield hd.sr.Measurement(codes.THRESHOLD, float(prediction.threshold), codes.NO_UNITS)


def _probability(label: str, score: float) -> hd.sr.Measurement:
    measurement = hd.sr.Measurement(codes.PROBABILITY, float(score), codes.NO_UNITS)
    of_what = hd.sr.CodeContentItem(
        codes.ASSOCIATED_FINDING,
        codes.label_code(label),
        hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    measurement[0].ContentSequence = hd.sr.ContentSequence([of_what])
    return measurement
