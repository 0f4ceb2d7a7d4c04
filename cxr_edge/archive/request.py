"""What a run is asked for, and what is known once the model was loaded."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Literal

from cxr_edge.archive.folder import Settings
from cxr_edge.archive.formats import FormatName
from cxr_edge.archive.listing import portable_name
from cxr_edge.archive.remote import is_address
from cxr_edge.archive.rows import SCHEMA
from cxr_edge.archive.worker import LoadedModel, ModelChoice


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
class ArchiveResult:
    """What the results have of an archive after a run."""

    images: int
    """Images of the archive."""
    ignored: int
    """Other files in it."""
    settled: int
    """Images that the results had before this run."""
    failures: int
    """Images whose last attempt failed, in this run or before."""
    touched: int
    """Images that this run read again without adding a row, since only the time of the file had
    changed; on Ray, which adds a row, 0."""


def settings_of(
    request: ArchiveRequest,
    model: LoadedModel,
    made_by: Literal["local", "ray"],
    format: FormatName,
) -> Settings:
    """What the folder of results records."""
    limits = model.choice.limits
    return Settings(
        schema=SCHEMA,
        archive=archive_name(request.archive),
        made_by=made_by,
        format=format,
        decode=str(model.choice.decode),
        radiographs=limits.radiographs,
        max_pixels=limits.max_pixels,
        max_bytes=limits.max_bytes,
        ids=request.ids,
        artifacts={model.bundle_sha256: str(model.choice.artifact)},
    )


def archive_name(archive: str) -> str:
    """An archive as its results record it: an address, or a whole path without loss."""
    return archive if is_address(archive) else portable_name(os.path.abspath(archive))  # noqa: PTH100


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
