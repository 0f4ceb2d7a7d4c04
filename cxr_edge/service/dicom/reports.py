"""A stored result to reports in the outbox.

It is made before the image is moved away, from the row and with its time. A process that dies in
between finds the image again, and its row, and makes the same report again: an archive that has it
already keeps one.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any, cast

from cxr_edge import __version__
from cxr_edge.errors import BundleError, CxrEdgeError, OutputError
from cxr_edge.image.dicom.recognition import is_dicom
from cxr_edge.results import Prediction
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.dicom.outbox import Outbox, ReportKind, report_name
from cxr_edge.service.health import Health
from cxr_edge.service.model import ServedModel
from cxr_edge.service.store.rows import StoredResult


class Reporter:
    """Used by the worker's thread."""

    def __init__(
        self,
        config: ServiceConfig,
        outbox: Outbox,
        health: Health,
        *,
        model: Callable[[], ServedModel],
        on_report: Callable[[], None],
    ) -> None:
        """Make reports as the settings say.

        Args:
            config: which reports, and limits.
            outbox: takes them.
            health: is told which cannot be made.
            model: the one that runs now.
            on_report: called after a report was put into the outbox.
        """
        self._config, self._outbox, self._health = config, outbox, health
        self._model, self._on_report = model, on_report
        self._unreported = 0
        """Images since the start of which a report is missing for good."""

    def make(self, result: StoredResult, data: bytes) -> None:
        """Put the reports of a prediction into the outbox; a failure has none.

        Args:
            result: a row of the store.
            data: the file that was classified; no report is made of what is not DICOM.

        Raises:
            OutputError: the outbox cannot be written; the image must wait.
        """
        if not (result.document["ok"] and is_dicom(data)):
            return
        reason = ""
        for kind, make in self._wanted(result, data).items():
            name = report_name(result.content, result.bundle, kind)
            if self._outbox.has(name):
                continue
            try:
                report = make()
            except OutputError:
                raise
            except Exception as err:  # ours, for what the image lacks, and highdicom's
                reason = _reason_of(err)
                continue
            self._outbox.put(name, report)
            self._on_report()
        self._health.set("reports", "")
        if reason:
            self._unreported += 1
            images = "an image has" if self._unreported == 1 else f"{self._unreported} images have"
            self._health.set("unreported", f"{images} no report: {reason}")

    def _wanted(self, result: StoredResult, data: bytes) -> dict[ReportKind, Callable[[], bytes]]:
        """The reports that the settings ask for, and what makes each."""
        from cxr_edge.dicom import Algorithm, heatmap_image, structured_report

        model = self._model()
        spec = model.classifier.spec
        algorithm = Algorithm(
            name=spec.name,
            version=__version__,
            bundle=result.bundle,
            artifact=result.artifact,
            engine=result.engine,
        )

        def when() -> datetime.datetime:
            finished = datetime.datetime.fromisoformat(result.finished)
            return finished.astimezone()  # local, as DICOM has it

        def write() -> bytes:
            prediction = prediction_of(result)
            if tuple(prediction.scores) != spec.labels:
                raise BundleError("it was classified by another bundle than runs now")
            return structured_report(data, prediction, spec, algorithm, when=when())

        def draw() -> bytes:
            if result.bundle != model.sha256:
                raise BundleError("it was classified by another bundle than runs now")
            explanation = model.explain(data, result.path, self._config)
            return heatmap_image(data, explanation, algorithm, when=when())

        wanted: dict[ReportKind, Callable[[], bytes]] = {"sr": write}
        if self._config.dicom.report == "sr+heatmap":
            wanted["heatmap"] = draw
        return wanted


def _reason_of(err: Exception) -> str:
    """Why there is no report; another library's message may quote the image, ours does not."""
    return str(err) if isinstance(err, CxrEdgeError) else type(err).__name__


def prediction_of(result: StoredResult) -> Prediction:
    """The prediction of a row, as it was when it was stored.

    Raises:
        TypeError: the row is of a version whose results lack what this one's have.
    """
    names = {field.name for field in dataclasses.fields(Prediction)}
    values = {name: value for name, value in result.document.items() if name in names}
    return Prediction(**cast(dict[str, Any], values))
