"""Classifies a delivery, stores its result, and moves its file out of the inbox, in this order."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cxr_edge.bundle.manifest import MAX_FILE_BYTES
from cxr_edge.errors import CxrEdgeError, EngineError, ImageError, MissingExtraError, StoreError
from cxr_edge.files import printable, read_file, sha256, write_file
from cxr_edge.results import Failure, to_document
from cxr_edge.service.clock import stamp
from cxr_edge.service.config import ServiceConfig
from cxr_edge.service.health import Health
from cxr_edge.service.heatmaps import draw_heatmap, heatmap_name, stored_heatmap
from cxr_edge.service.inbox.mover import without_path
from cxr_edge.service.inbox.moving import kept_name
from cxr_edge.service.model import ServedModel
from cxr_edge.service.store.rows import Delivery, NewResult, StoredResult
from cxr_edge.service.store.writer import Store

UPLOADS = "uploads"
"""Folder of kept uploads, within those of processed and failed files."""

_RETRY_S = 1.0


class Stopping(Exception):  # noqa: N818 - nothing failed
    """The service stops while a result waits to be stored."""


class Recorder:
    """What the worker's thread does with a delivery."""

    def __init__(
        self,
        config: ServiceConfig,
        model: ServedModel,
        store: Store,
        health: Health,
        observe: Callable[[StoredResult], None],
    ) -> None:
        """Use a loaded model and an open store.

        Args:
            config: folders, limits, attempts.
            model: classifies.
            store: takes the results.
            health: is told what does not work.
            observe: called with every new result.
        """
        self._config, self._store, self._health = config, store, health
        self.model = model
        self._observe = observe
        self._stop = threading.Event()
        self._unkept: tuple[StoredResult, bytes] | None = None

    def stop(self) -> None:
        """Give up waiting for the store."""
        self._stop.set()

    def check_health(self) -> None:
        """Check the model, and that results can be stored."""
        self._health.check_model()
        self.check_store()

    def check_store(self) -> None:
        """Check that results can be stored."""
        try:
            self._store.beat(stamp(), ok=True)
        except CxrEdgeError as err:
            self._health.set("store", str(err))
        else:
            self._health.set("store", "")

    def upload(self, name: str, data: bytes) -> tuple[StoredResult, bool]:
        """Classify and store an upload.

        Returns:
            Its result, and whether it is new.

        Raises:
            StoreError: nothing can be stored now.
            MissingExtraError: reading such files needs a package that is not installed.
            Stopping: the service stops.
        """
        received = stamp()
        delivery = Delivery("http", name, sha256(data))
        try:
            stored = self._store.find_delivery(delivery)
            if stored:
                kept = self.kept_file(stored)
                if kept and not kept.exists():  # the process ended before it was written
                    self._unkept = stored, data
                return stored, False
            result = self.classify(delivery, data, received, f"{UPLOADS}/{name}")
        except StoreError as err:
            self._health.set("store", str(err))
            raise
        self._unkept = result, data
        return result, True

    def keep_upload(self) -> None:
        """Keep the file of the last upload, after it was answered."""
        if self._unkept is None:
            return
        (result, data), self._unkept = self._unkept, None
        path = self.kept_file(result)
        if path is None:
            return
        try:
            write_file(path, data)
        except CxrEdgeError as err:
            reason = without_path(err)
            self._health.set("keeping", f"an uploaded image cannot be kept: {reason}")
            return
        self._health.set("keeping", "")
        self.draw(result, path)

    def kept_file(self, result: StoredResult) -> Path | None:
        """Where the file of a result is kept; None: it is not."""
        inbox = self._config.inbox
        folder = inbox.processed if result.document["ok"] else inbox.failed
        return Path(folder, result.kept) if folder and result.kept else None

    def heatmap(self, result: StoredResult) -> bytes:
        """The heat map of a stored result as PNG.

        Raises:
            NoHeatmap: it has none.
        """
        return stored_heatmap(result, self.kept_file(result), self.model, self._config)

    def draw(self, result: StoredResult, kept: Path) -> None:
        """Draw the heat map of a new result beside its file, where the settings want that."""
        name = result.document.get("heatmap")
        if not isinstance(name, str):
            return
        try:
            data = read_file(kept, max_bytes=MAX_FILE_BYTES, error=ImageError)
            png = draw_heatmap(data, result.path, self.model, self._config)
            write_file(kept.with_name(os.path.basename(name)), png)  # noqa: PTH119 - a name
        except CxrEdgeError as err:
            reason = without_path(err)
            self._health.set("keeping", f"a heat map cannot be drawn: {reason}")
        else:
            self._health.set("keeping", "")

    def classify(
        self, delivery: Delivery, data: bytes | ImageError, received: str, path: str
    ) -> StoredResult:
        """Classify and store a delivery that has no result.

        Args:
            delivery: what it is.
            data: its bytes, or why they cannot be read.
            received: when it was taken up.
            path: where it would be kept, relative to the folder.

        Raises:
            StoreError: the attempt cannot be counted.
            MissingExtraError: reading such files needs a package that is not installed.
            Stopping: the service stops while the store cannot be written.
        """
        attempts = self._store.begin(delivery)
        started = time.perf_counter()
        model = self.model
        if attempts > self._config.worker.attempts:
            message = (
                f"{delivery.path}: the process ended {attempts - 1} times while this file was "
                "classified; it was set aside"
            )
            document = to_document(Failure(delivery.path, "EngineError", message))
        else:
            document = self._document(delivery, data, model)
        latency_ms = 1e3 * (time.perf_counter() - started)
        inbox = self._config.inbox
        folder = inbox.processed if document["ok"] else inbox.failed
        kept = kept_name(path, delivery.content) if folder else None
        if document["ok"] and kept and self._config.worker.heatmaps == "always":
            document["heatmap"] = heatmap_name(kept)
        classifier = model.classifier
        new = NewResult(
            delivery,
            received,
            stamp(),
            model.sha256,
            classifier.artifact,
            classifier.engine,
            round(latency_ms, 3),
            kept,
            document,
        )
        result = self._record(new)
        self._observe(result)
        return result

    def _document(
        self, delivery: Delivery, data: bytes | ImageError, model: ServedModel
    ) -> dict[str, object]:
        try:
            if isinstance(data, ImageError):
                raise data
            return to_document(model.predict(data, delivery.path))
        except MissingExtraError:
            self._store.give_up(delivery)
            raise
        except CxrEdgeError as err:
            message = printable(str(err))
            failure = Failure(delivery.path, type(err).__name__, message, err.exit_code)
            if isinstance(err, EngineError):
                self._health.doubt_model()
            return to_document(failure)

    def _record(self, new: NewResult) -> StoredResult:
        """Store a result; wait while that is not possible.

        Raises:
            Stopping: the service stops meanwhile.
        """
        while True:
            try:
                result = self._store.record(new)
            except StoreError as err:
                self._health.set("store", str(err))
                self._health.beat()
                if self._stop.wait(_RETRY_S):
                    raise Stopping from err  # what it counted as an attempt, the next start forgets
                continue
            self._health.set("store", "")
            return result
