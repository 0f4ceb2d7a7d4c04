"""``--dicom-out``: nothing of DICOM is imported without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cxr_edge.classifier import Classifier
    from cxr_edge.results import Explanation, Failure, Prediction


class DicomOutput(Protocol):
    """What ``predict`` hands its results to."""

    def keep(self, explanation: Explanation) -> None:
        """Remember the explanation of the prediction that comes next."""

    def write(
        self, results: Iterable[Prediction | Failure], sources: Sequence[str | bytes]
    ) -> Iterable[Prediction | Failure]:
        """Pass results on, each after its files are written."""

    @property
    def remarks(self) -> Sequence[str]:
        """What was written, a line each."""


class _NoFiles:
    """Without ``--dicom-out``."""

    remarks: Sequence[str] = ()

    def keep(self, explanation: Explanation) -> None:
        """No-op: no heat map is written as DICOM."""

    def write(
        self, results: Iterable[Prediction | Failure], sources: Sequence[str | bytes]
    ) -> Iterable[Prediction | Failure]:
        """Pass results on."""
        return results


def check(folder: Path | None) -> None:
    """Refuse a folder that could not be written later, before anything is loaded.

    Raises:
        MissingExtraError: the extra is not installed.
        OutputError: the folder cannot be written or made.
    """
    if folder is not None:
        from cxr_edge.dicom.output import check_output

        check_output(folder)


def open_files(folder: Path | None, classifier: Classifier, max_bytes: int) -> DicomOutput:
    """What writes the DICOM files to a folder; None: nothing is written."""
    if folder is None:
        return _NoFiles()
    from cxr_edge.dicom.output import DicomFiles

    return DicomFiles(folder, classifier, max_bytes)
