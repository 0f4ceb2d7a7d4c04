"""What a run on Ray Data does in the processes of the cluster: list, classify, count."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_edge.archive.formats import Parquet, Standing, to_table
from cxr_edge.archive.listing import ImageFile, list_archive
from cxr_edge.archive.remote import RemoteFiles, is_address
from cxr_edge.archive.request import ArchiveRequest
from cxr_edge.archive.rows import row_id
from cxr_edge.archive.settled import Settled
from cxr_edge.archive.worker import LoadedModel, RowMaker, Task
from cxr_edge.extras import require
from cxr_edge.image.listing import no_images

ROWS, CHECKPOINT, LISTING = "rows", ".checkpoint", ".listing"
"""Folders of the results."""

_MOST_ROWS_A_TASK = 1000
"""Of the listing: what a task classifies, writes and commits, so what a lost one has to repeat."""

_TASKS_A_WORKER = 8
_PENDING = ".pending.parquet"
_LISTED = {
    "id": "string",
    "path": "string",
    "file": "binary",
    "bytes": "int64",
    "modified_ns": "int64",
    "attempt": "int32",
}
"""Columns of the listing, with their types in pyarrow."""


@dataclass(frozen=True, slots=True)
class Job:
    """What tasks and actors are told."""

    request: ArchiveRequest
    model: LoadedModel

    @property
    def folder(self) -> Path:
        """Of the results."""
        return Path(self.request.to).absolute()


class Actor:
    """Turns batches of the listing into batches of rows; Ray keeps one of it in each process."""

    def __init__(self, job: Job) -> None:
        read = None
        if is_address(job.request.archive):
            read = RemoteFiles(job.request.archive).read
        self._maker = RowMaker(job.model, with_ids=job.request.ids, read=read)

    def __call__(self, batch: Any) -> Any:
        """Classify the files of a batch; both are tables of pyarrow."""
        files = batch.to_pylist()
        tasks = [
            Task(
                ImageFile(f["path"], os.fsdecode(f["file"]), f["bytes"], f["modified_ns"]),
                f["attempt"],
            )
            for f in files
        ]
        return to_table([self._maker.row(task) for task in tasks])


def listing_source(parts: Sequence[Path]) -> Any:
    """A source of Ray that makes each part of the listing a task, as Ray itself does not."""
    data, block = require("ray.data", "ray"), require("ray.data.block", "ray")

    base: Any = data.Datasource

    class Listing(base):
        def estimate_inmemory_data_size(self) -> int:
            return sum(part.stat().st_size for part in parts)

        def get_read_tasks(self, parallelism: int, *limits: Any, **more: Any) -> list[Any]:
            metadata = block.BlockMetadata(None, None, None, None)
            return [data.ReadTask(functools.partial(_read_part, part), metadata) for part in parts]

    return Listing()


def _read_part(part: Path) -> list[Any]:
    return [require("pyarrow.parquet", "ray").read_table(part)]


@dataclass(frozen=True, slots=True)
class Listed:
    """What an archive holds."""

    pending: int
    """Images without a row."""
    settled: int
    failed: int
    """Of the settled."""
    ignored: int
    """Files that are no images."""


def write_listing(job: Job, workers: int) -> Listed:
    """List the images to do into parts, one for each task, in a process of the cluster.

    Raises:
        DataError: the archive cannot be listed.
        ImageError: it holds no images.
    """
    arrow, parquet = require("pyarrow", "ray"), require("pyarrow.parquet", "ray")
    folder = job.folder / LISTING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in _LISTED.items()])
    counts = dict.fromkeys(("pending", "settled", "failed", "ignored"), 0)
    for number, part in enumerate(_parts(_entries(job, counts), workers)):
        file = folder / f"{number:06}.parquet"
        parquet.write_table(arrow.Table.from_pylist(part, schema=schema), file)
    listed = Listed(**counts)
    if not listed.pending + listed.settled:
        raise no_images(job.request.archive, listed.ignored)
    return listed


def count_failures(job: Job) -> int:
    """Count the images whose last attempt failed, in a process of the cluster."""
    counts = dict.fromkeys(("pending", "settled", "failed", "ignored"), 0)
    request = dataclasses.replace(job.request, retry_failed=False)
    for _ in _entries(dataclasses.replace(job, request=request), counts):
        pass
    return counts["failed"]


def _entries(job: Job, counts: dict[str, int]) -> Iterator[dict[str, object]]:
    """The images to do, a row of the listing each; all files are counted."""
    settled = Settled(
        _committed(job), job.model.bundle_sha256, retry_failed=job.request.retry_failed
    )
    archive = job.request.archive
    files = RemoteFiles(archive).list() if is_address(archive) else list_archive(Path(archive))
    for image in files:
        if image is None:
            counts["ignored"] += 1
            continue
        attempt = settled.next_attempt(image)
        if not attempt:
            counts["settled"] += 1
            counts["failed"] += settled.has_failed(image)
            continue
        counts["pending"] += 1
        yield {
            "id": row_id(image, job.model.bundle_sha256, attempt),
            "path": image.name,
            "file": os.fsencode(image.path),
            "bytes": image.bytes,
            "modified_ns": image.modified_ns,
            "attempt": attempt,
        }


def _parts(entries: Iterator[dict[str, object]], workers: int) -> Iterator[list[dict[str, object]]]:
    """Split a listing into tasks: not too large, and enough of them for all workers."""
    tasks = _TASKS_A_WORKER * workers
    first = list(itertools.islice(entries, tasks * _MOST_ROWS_A_TASK))
    size = max(1, math.ceil(len(first) / tasks))
    entries = itertools.chain(first, entries)
    while part := list(itertools.islice(entries, size)):
        yield part


def _committed(job: Job) -> Iterator[Standing]:
    """What the rows say that no killed run has left half-written: Ray deletes those."""
    marks = [mark.name for mark in (job.folder / CHECKPOINT).glob(f"*{_PENDING}")]
    unfinished = tuple(mark.removesuffix(_PENDING) for mark in marks)
    for part in sorted((job.folder / ROWS).glob("*.parquet")):
        if not (unfinished and part.name.startswith(unfinished)):
            yield from Parquet().standings(part)
