"""One file → one row, in a process or actor that has loaded the model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.archive.listing import ImageFile
from cxr_edge.archive.rows import Row, make_row
from cxr_edge.errors import (
    BundleError,
    CxrEdgeError,
    ImageError,
    MissingExtraError,
    first_line,
)
from cxr_edge.files import printable, read_file, sha256
from cxr_edge.image import ImageLimits
from cxr_edge.results import Failure, Prediction
from cxr_edge.spec import Decoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from cxr_edge.classifier import Classifier


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What :meth:`cxr_edge.Classifier.load` is told, in every worker alike."""

    bundle: Path | None = None
    artifact: str | None = None
    engine: str | None = None
    threads: int | None = 1
    decode: Decoding | None = None
    limits: ImageLimits = dataclasses.field(default_factory=ImageLimits)
    profile: Path | None = None
    key: Path | None = None

    def load(self) -> Classifier:
        """Load the model; raises what :meth:`cxr_edge.Classifier.load` does."""
        from cxr_edge.classifier import Classifier

        return Classifier.load(
            self.bundle,
            artifact=self.artifact,
            engine=self.engine,
            threads=self.threads,
            limits=self.limits,
            decode=self.decode,
            profile=self.profile,
            key=self.key,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """An image to classify."""

    image: ImageFile
    attempt: int


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The model that every worker loads, with nothing left to choose."""

    choice: ModelChoice
    bundle_sha256: str
    """Of the bundle's manifest."""


class RowMaker:
    """Loads the model and classifies files.

    Args:
        model: the model.
        with_ids: whether rows have the SOP Instance UID of DICOM files.
        read: gives the bytes of a file, at most so many, or raises ImageError.

    Raises:
        BundleError: the bundle was replaced since the run began, or cannot be loaded.
        CxrEdgeError: see :meth:`ModelChoice.load`.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        with_ids: bool,
        read: Callable[[ImageFile, int], bytes] | None = None,
    ) -> None:
        self._classifier = model.choice.load()
        if self._classifier.bundle_sha256 != model.bundle_sha256:
            where = printable(model.choice.bundle or "the package's bundle")
            raise BundleError(f"{where}: was replaced during the run; start again with the new one")
        self._max_bytes = model.choice.limits.max_bytes
        self._with_ids, self._read = with_ids, read or read_local
        self._bundle = model.bundle_sha256

    def row(self, task: Task) -> Row:
        """Classify a file.

        What goes wrong with one image, of whatever type, is its row: it must not end a run of a
        million. What is wrong with the model is raised.

        Raises:
            EngineError: the engine failed, or its output is no probability.
        """
        digest = uid = None
        result: Prediction | Failure
        try:
            data = self._read(task.image, self._max_bytes)
            digest = sha256(data)
            if self._with_ids:
                from cxr_edge.image.dicom.identity import sop_instance_uid

                uid = sop_instance_uid(data)
            result = self._classifier.predict(data)
        except (ImageError, MissingExtraError) as err:
            message = _below_archive(str(err), task.image)
            result = Failure(None, type(err).__name__, message, err.exit_code)
        except CxrEdgeError:
            raise
        except Exception as err:
            kind, reason = type(err).__name__, printable(first_line(err))
            message = f"{printable(task.image.name)}: {kind}: {reason}; look at the file"
            result = Failure(None, kind, message)
        return make_row(
            task.image,
            result,
            bundle_sha256=self._bundle,
            attempt=task.attempt,
            sha256=digest,
            sop_instance_uid=uid,
        )


def read_local(image: ImageFile, max_bytes: int) -> bytes:
    """Read a file of this machine.

    Raises:
        ImageError: see :func:`cxr_edge.files.read_file`.
    """
    return read_file(image.path, max_bytes=max_bytes, error=ImageError)


def _below_archive(message: str, image: ImageFile) -> str:
    """A message that names the file as its row does, wherever the archive lies."""
    for opening in ("<bytes>", printable(image.path)):
        if message.startswith(f"{opening}: "):
            return f"{printable(image.name)}{message.removeprefix(opening)}"
    return f"{printable(image.name)}: {message}"
