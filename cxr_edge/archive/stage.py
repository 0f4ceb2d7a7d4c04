"""``cxr-edge predict ARCHIVE --to DIR`` as a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cxr_edge.archive.formats import FormatName, part_format
from cxr_edge.archive.listing import refuse_no_images
from cxr_edge.archive.local import run_locally
from cxr_edge.archive.remote import is_address
from cxr_edge.archive.request import ArchiveRequest, ArchiveResult, load_model
from cxr_edge.archive.rows import Row
from cxr_edge.archive.worker import ModelChoice
from cxr_edge.device.machine import check_workers, usable_cpus
from cxr_edge.errors import UsageError
from cxr_edge.extras import require_installed
from cxr_edge.files import PathLike, is_folder, optional_path, printable
from cxr_edge.image import ImageLimits
from cxr_edge.reporting import Advance
from cxr_edge.spec import Decoding


def predict_archive(
    archive: PathLike,
    to: PathLike,
    *,
    bundle: PathLike | None = None,
    artifact: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    decode: Decoding | None = None,
    limits: ImageLimits | None = None,
    profile: PathLike | None = None,
    key: PathLike | None = None,
    workers: int | None = None,
    format: FormatName = "parquet",
    ids: bool = False,
    retry_failed: bool = False,
    ray: bool = False,
    ray_address: str | None = None,
    on_row: Callable[[Row], None] | None = None,
    on_progress: Advance | None = None,
) -> ArchiveResult:
    """Classify the images of an archive that its results do not have yet.

    Interrupted or killed, it goes on when it is called again; ``docs/archive.md`` describes the
    results. It starts processes, so a script calls it below ``if __name__ == "__main__":``.

    Args:
        archive: a folder; for Ray also an address such as ``s3://bucket/images``.
        to: folder of the results.
        bundle: see :meth:`Classifier.load`.
        artifact: the same.
        engine: the same.
        threads: for one inference; None: 1.
        decode: see :meth:`Classifier.load`.
        limits: the same.
        profile: the same.
        key: the same.
        workers: processes, or actors of Ray; None: one for each processor.
        format: of the parts; on Ray parquet only.
        ids: whether rows have the SOP Instance UID of DICOM files.
        retry_failed: whether images that failed in an earlier run are tried again.
        ray: whether to run on Ray Data, on a Ray of its own on this machine.
        ray_address: of a running cluster to run on; it makes ``ray`` true.
        on_row: called with every row of this run, before it is on disk; not on Ray.
        on_progress: called with the images done and all that this run has to do. On Ray it is not
            called, and lets Ray draw its own progress on stderr.

    Raises:
        UsageError: ``archive`` is no folder, another run writes to ``to``, it was begun with other
            settings, or ``workers`` is out of range.
        DataError: the archive cannot be listed.
        ImageError: it holds no images.
        OutputError: the results cannot be written, or read again.
        MissingExtraError: pyarrow or Ray is not installed.
        BundleError, ProfileError, EngineError: the model cannot be loaded, or its engine fails;
            the worker processes die whatever they are given.
    """
    archive, on_ray = os.fspath(archive), ray or ray_address is not None
    if workers is not None:
        # A cluster has more processors than this machine.
        check_workers(workers if ray_address is None else min(workers, 1))
    if not is_folder(archive) and not (on_ray and is_address(archive)):
        if not os.path.lexists(archive):
            raise UsageError(f"{printable(archive)}: no such folder; check the path")
        raise UsageError(f"{printable(archive)}: is no folder, --to needs one; name it")
    if on_ray:
        if ray_address is not None and ray_address.startswith("ray://"):
            raise UsageError(
                f"{printable(ray_address)}: Ray Data does not run through Ray Client; run this on "
                "a node of the cluster, with --ray-address auto"
            )
        if format != "parquet":
            raise UsageError("--ray writes parquet only; leave --format out")
        require_installed(["ray", "pyarrow"], "ray", user="--ray")
    part_format(format)  # its package is there
    choice = ModelChoice(
        bundle=optional_path(bundle),
        artifact=artifact,
        engine=engine,
        threads=1 if threads is None else threads,
        decode=decode,
        limits=limits or ImageLimits(),
        profile=optional_path(profile),
        key=optional_path(key),
    )
    model = load_model(choice)
    if is_folder(archive):
        refuse_no_images(Path(archive))
    request = ArchiveRequest(archive, os.fspath(to), ids, retry_failed)
    if on_ray:
        from cxr_edge.archive.on_ray import run_on_ray

        return run_on_ray(
            request,
            model,
            address=ray_address,
            workers=workers,
            show_progress=on_progress is not None,
        )
    return run_locally(
        request,
        model,
        workers=workers or max(1, usable_cpus() // (model.choice.threads or 1)),
        format=format,
        on_row=on_row or (lambda row: None),
        on_progress=on_progress or (lambda done, total: None),
    )
