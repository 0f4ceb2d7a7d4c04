"""An archive on Ray Data: the rows of a local run, from actors on one machine or many.

Ray reads a listing, hands it to actors that hold the model, and writes the rows. The driver does no
work on images. Going on is the engine's own: its checkpoint has the ids of the rows that are
written, and is committed in two phases together with them.

::

    results/
      _archive.json
      rows/…parquet          written by Ray
      .checkpoint/           Ray's record of what is written
      .listing/              the images of the run in progress
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

from cxr_edge.archive.folder import open_results
from cxr_edge.archive.ray_tasks import (
    CHECKPOINT,
    LISTING,
    ROWS,
    Actor,
    Job,
    Listed,
    count_failures,
    listing_source,
    write_listing,
)
from cxr_edge.archive.request import ArchiveRequest, ArchiveResult, settings_of
from cxr_edge.archive.worker import LoadedModel
from cxr_edge.device import temporary
from cxr_edge.device.machine import usable_cpus
from cxr_edge.errors import CxrEdgeError, EngineError, UsageError, first_line
from cxr_edge.extras import require
from cxr_edge.files import printable

_BATCH = 32
_FOR_RAY = 2
"""Processors that stay free of actors: for the checkpoint's filter, and to read and write. With
fewer, Ray waits for ever."""

_RETRIES = 4
"""Of a task whose process died: a node may be lost, an image that kills processes does not end."""

_OBJECT_STORE_BYTES = 256 * 2**20


def run_on_ray(
    request: ArchiveRequest,
    model: LoadedModel,
    *,
    address: str | None,
    workers: int | None,
    show_progress: bool,
) -> ArchiveResult:
    """Classify the images of an archive that its results do not have yet.

    Args:
        request: what to classify; every node must see the folder of the results, and a bundle that
            is not the package's.
        model: every actor loads it.
        address: of a running cluster; None: start one on this machine for this run.
        workers: actors; None: one for each processor that Ray has.
        show_progress: whether Ray may draw its progress on stderr.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: there is no cluster at ``address``, another run writes to the results, or they
            were begun otherwise.
        DataError: the archive cannot be listed.
        ImageError: it holds no images.
        OutputError: the results cannot be written.
        EngineError: Ray gave up.
    """
    threads = model.choice.threads or 1
    settings = settings_of(request, model, "ray", "parquet")
    job = Job(request, model)
    with _running(address, workers, threads) as ray, open_results(job.folder, settings):
        count = _actors(int(ray.cluster_resources().get("CPU", 0)), workers, threads)
        try:
            listed: Listed = _get(ray, ray.remote(write_listing).remote(job, count))
            failed = listed.failed
            if listed.pending:
                _classify(ray, job, count, show_progress=show_progress)
                failed = _get(ray, ray.remote(count_failures).remote(job))
        finally:
            shutil.rmtree(job.folder / LISTING, ignore_errors=True)
        images = listed.pending + listed.settled
        return ArchiveResult(images, listed.ignored, listed.settled, failed, touched=0)


def _actors(processors: int, workers: int | None, threads: int) -> int:
    """How many actors run, on so many processors.

    Raises:
        UsageError: that many have no place.
    """
    places = (processors - _FOR_RAY) // threads
    if places < (workers or 1):
        raise UsageError(
            f"Ray has {processors} processors, {workers or 1} workers of {threads} threads and Ray "
            f"itself need {(workers or 1) * threads + _FOR_RAY}; start more nodes, or give fewer"
        )
    return workers or places


def _classify(ray: Any, job: Job, workers: int, *, show_progress: bool) -> None:
    data = require("ray.data", "ray")
    checkpoints = require("ray.data.checkpoint", "ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = show_progress
    context.print_on_execution_start = False
    checkpoint = checkpoints.CheckpointConfig(
        id_column="id",
        checkpoint_path=str(job.folder / CHECKPOINT),
        delete_checkpoint_on_success=False,
    )
    # Passing what is done takes little; more actors for it would wait for processors in vain.
    checkpoint.checkpoint_actor_pool_max_size = 1
    context.checkpoint_config = checkpoint
    with _errors_of(ray), warnings.catch_warnings():
        # The retries have no other way in yet.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        parts = sorted((job.folder / LISTING).glob("*.parquet"))
        listing = data.read_datasource(listing_source(parts), override_num_blocks=len(parts))
        rows = listing.map_batches(
            Actor,
            fn_constructor_args=[job],
            batch_size=_BATCH,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=job.model.choice.threads,
            max_restarts=-1,
            max_task_retries=_RETRIES,
        )
        rows.write_parquet(str(job.folder / ROWS))


@contextlib.contextmanager
def _running(address: str | None, workers: int | None, threads: int) -> Iterator[Any]:
    """Ray, started on this machine or connected to; it reports nothing to anyone.

    Raises:
        MissingExtraError: it is not installed.
        UsageError: there is no cluster at the address.
    """
    variables = {"RAY_USAGE_STATS_ENABLED": "0"}  # read when it is imported
    if address is None:
        # Others on this machine must not get in. Without a token given, Ray keeps one in HOME.
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": os.urandom(16).hex()}
        # Ray replaces the loopback address by the network's, where clusters are enabled.
        variables |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    processors = (workers or usable_cpus()) * threads + _FOR_RAY
    with _environment(variables):
        yield from _connected(address, processors)


def _connected(address: str | None, processors: int) -> Iterator[Any]:
    ray: Any = require("ray", "ray")
    require("ray.data", "ray")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised too
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    own = {
        "num_cpus": processors,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(temporary.process_folder()),
    }
    try:
        if address is None:
            _leave_out_dashboard()
        ray.init(address or "local", **quiet, **({} if address else own))
    except Exception as err:  # Ray raises a plain one where it does not start in time
        reason = printable(first_line(err))
        if address is None:
            raise UsageError(
                f"Ray does not start on this machine: {reason}; try again, or leave --ray out"
            ) from err
        raise UsageError(
            f"Ray cannot be reached at {printable(address)}: {reason}; check the address, or leave "
            "--ray-address out"
        ) from err
    try:
        yield ray
    finally:
        ray.shutdown()


def _leave_out_dashboard() -> None:
    """Start no dashboard in this process's Ray, for good.

    ``include_dashboard=False`` starts it all the same, and it asks the metadata servers of three
    clouds where it runs.
    """
    node = require("ray._private.node", "ray")

    def start_nothing(self: Any, **settings: object) -> None:
        self._webui_url = ""

    node.Node.start_api_server = start_nothing


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _errors_of(ray: Any) -> Iterator[None]:
    """Raise an error of ours where a task or an actor raised it, and EngineError for others."""
    data_errors = require("ray.data.exceptions", "ray")
    try:
        yield
    except (ray.exceptions.RayError, data_errors.SystemException) as err:
        causes: list[BaseException] = [err]
        while (cause := _cause_of(causes[-1])) is not None and cause not in causes:
            causes.append(cause)
        for one in causes:
            if isinstance(one, CxrEdgeError):
                raise type(one)(str(one)) from err
        errors = ray.exceptions
        lost = (errors.ActorDiedError, errors.ActorUnavailableError, errors.WorkerCrashedError)
        if any(isinstance(one, lost) for one in causes):
            raise EngineError(
                f"worker processes died {_RETRIES + 1} times at the same images; a run without "
                "Ray names the one that kills them"
            ) from err
        raise EngineError(f"Ray gave up: {printable(first_line(causes[-1]))}") from err


def _cause_of(err: BaseException) -> BaseException | None:
    """What an error of Ray was raised for, wherever it keeps that."""
    return getattr(err, "cause", None) or err.__cause__ or err.__context__


def _get(ray: Any, reference: Any) -> Any:
    """Wait for the result of a task."""
    with _errors_of(ray):
        return ray.get(reference)
