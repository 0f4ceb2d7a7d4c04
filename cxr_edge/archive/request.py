"""What a run is asked for, and what is known once the model was loaded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from cxr_edge.archive.folder import Settings
from cxr_edge.archive.formats import FormatName
from cxr_edge.archive.rows import SCHEMA
from cxr_edge.archive.worker import ModelChoice


@dataclass(frozen=True, slots=True)
class ArchiveRequest:
    """An archive to classify."""

    archive: str
    """A folder; for Ray also an address of a file system that pyarrow knows, such as ``s3://…``."""
    to: str
    """Folder of the results."""
    ids: bool = False
    """Whether rows have the SOP Instance UID of DICOM files."""
    retry_failed: bool = False
    """Whether images that failed in an earlier run are tried again."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The model that every worker loads, with nothing left to choose."""

    choice: ModelChoice
    bundle_sha256: str
    """Of the bundle's manifest."""

    def settings(
        self, request: ArchiveRequest, made_by: Literal["local", "ray"], format: FormatName
    ) -> Settings:
        """What the folder of results records."""
        limits = self.choice.limits
        return Settings(
            schema=SCHEMA,
            made_by=made_by,
            format=format,
            decode=str(self.choice.decode),
            radiographs=limits.radiographs,
            max_pixels=limits.max_pixels,
            max_bytes=limits.max_bytes,
            ids=request.ids,
            artifacts={self.bundle_sha256: str(self.choice.artifact)},
        )


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What the results of an archive have after a run."""

    images: int
    """Images that they have rows of, of this bundle."""
    failures: int
    """Those whose last attempt failed."""
    settled: int | None
    """Images of the archive that they had before this run; None: on Ray, nobody counts them."""
    touched: int | None
    """Images that this run read again without adding a row, since only the time of the file had
    changed; None: on Ray."""


def load_model(choice: ModelChoice) -> LoadedModel:
    """Load a model once, to find out whether that works and what it chooses on this machine.

    Raises:
        BundleError, UsageError, ProfileError, MissingExtraError, EngineError: see
            :meth:`cxr_edge.Classifier.load`.
    """
    classifier = choice.load()
    if classifier.bundle_sha256 is None:
        raise ValueError("the classifier is of no bundle")
    resolved = dataclasses.replace(
        choice,
        artifact=classifier.artifact,
        engine=classifier.engine,
        threads=classifier.threads,
        decode=classifier.decode,
        profile=None,
    )
    return LoadedModel(resolved, classifier.bundle_sha256)
