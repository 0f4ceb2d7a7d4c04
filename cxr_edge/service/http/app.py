"""The addresses of the service, and what each answers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http
import re
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cxr_edge.errors import NoHeatmap
from cxr_edge.service.health import Health
from cxr_edge.service.http.answers import (
    JsonResponse,
    Refusal,
    busy,
    health_document,
    results_document,
)
from cxr_edge.service.http.guard import Guard, has_token
from cxr_edge.service.http.pages import page_routes
from cxr_edge.service.http.settings import ServerSettings
from cxr_edge.service.http.uploads import Upload, UploadMemory, upload_name
from cxr_edge.service.metrics import CONTENT_TYPE, Metrics
from cxr_edge.service.recorder import Stopping
from cxr_edge.service.store.reader import StoreReader
from cxr_edge.service.store.rows import StoredResult, to_document
from cxr_edge.service.worker import Delivered, Paused, QueueFull, Worker

T = TypeVar("T")

_MAX_RESULTS = 500
_UPLOADS_AT_WORKER = 4
_MAX_ID = 2**63 - 1
"""Of SQLite."""


def build_app(
    worker: Worker, store: StoreReader, health: Health, metrics: Metrics, settings: ServerSettings
) -> Starlette:
    """The application; it starts and opens nothing."""
    api = _Api(worker, store, health, metrics, settings)
    app = Starlette(
        routes=[
            *page_routes(),
            Route("/v1/predictions", api.predictions, methods=["GET", "POST"]),
            Route("/v1/predictions/{id}", api.show_result),
            Route("/v1/predictions/{id}/heatmap", api.draw_heatmap),
            Route("/v1/health", api.show_health),
            Route("/healthz", api.check_health),
            Route("/metrics", api.show_metrics),
        ],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False  # would send clients to what their Host header says
    return app


async def _refuse(request: Request, err: Exception) -> Response:
    """The answer to an address or a method that does not exist."""
    if not isinstance(err, HTTPException):
        raise err
    error = http.HTTPStatus(err.status_code).phrase.title().replace(" ", "")
    known = "POST or GET /v1/predictions, GET /v1/health, /healthz, /metrics"
    problem = (
        f"this address takes no {request.method}" if err.status_code == 405 else "no such address"
    )
    return Refusal(err.status_code, error, f"{problem}; ask {known}", err.headers).response()


class _Api:
    """One method for each address. What may block runs in another thread."""

    def __init__(
        self,
        worker: Worker,
        store: StoreReader,
        health: Health,
        metrics: Metrics,
        settings: ServerSettings,
    ) -> None:
        self._worker, self._store, self._health = worker, store, health
        self._metrics, self._settings = metrics, settings
        self._memory = UploadMemory(settings.max_upload_memory_bytes)
        self._turns = asyncio.Semaphore(_UPLOADS_AT_WORKER)

    async def predictions(self, request: Request) -> Response:
        """Classify an image, or list results."""
        if request.method == "POST":
            return await self._classify(request)
        return await self._list_results(request)

    async def _classify(self, request: Request) -> Response:
        name = upload_name(request.query_params)
        with Upload(self._memory, self._settings) as upload:
            data = await upload.read(request.headers, request.receive)
            if name is None:
                name = await asyncio.to_thread(_name_by_content, data)
            async with self._turn():
                answer = asyncio.wrap_future(self._submit(name, data))
                # Beyond an answer that is given up, until the worker is done with it.
                release = upload.handed_over()
                answer.add_done_callback(lambda _: release())
                delivered = await self._wait(answer)
        result, status = delivered.result, 201 if delivered.is_new else 200
        if not result.document["ok"]:
            status = 422
        address = f"/v1/predictions/{result.id}"
        return JsonResponse(to_document(result), status, {"Location": address})

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait in line for the worker, whose own line is short and has no order.

        Raises:
            Refusal: it took too long.
        """
        try:
            async with asyncio.timeout(self._settings.queue_timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise _too_many() from None
        try:
            yield
        finally:
            self._turns.release()

    def _submit(self, name: str, data: bytes) -> Future[Delivered]:
        """Hand an upload to the worker.

        Raises:
            Refusal: the worker takes none now.
        """
        try:
            return self._worker.submit(name, data)
        except QueueFull as err:
            raise _too_many() from err
        except Paused as err:
            raise _paused(err) from err

    async def _wait(self, answer: asyncio.Future[T]) -> T:
        """The worker's answer.

        Raises:
            Refusal: there is none in time, or none any more.
        """
        answer.add_done_callback(_mark_as_read)
        # Unlike wait_for this leaves the work alone when the time is over.
        await asyncio.wait([answer], timeout=self._settings.answer_timeout_s)
        if not answer.done():
            raise Refusal(
                504,
                "Timeout",
                f"no result after {self._settings.answer_timeout_s:g} s; the work goes on, look "
                "at /v1/predictions later",
            )
        try:
            return answer.result()
        except (asyncio.CancelledError, Stopping) as err:
            raise busy("the service stops; send the request again", retry_after_s=5) from err
        except Paused as err:
            raise _paused(err) from err

    async def _list_results(self, request: Request) -> Response:
        limit = _number(request, "limit", _MAX_RESULTS) or 50
        before = _number(request, "before", _MAX_ID)
        # One more than asked for tells whether there are more.
        results = await asyncio.to_thread(self._store.newest, limit + 1, before=before)
        shown = results[:limit]
        following = shown[-1].id if len(results) > limit else None
        return JsonResponse(results_document(shown, following))

    async def show_result(self, request: Request) -> Response:
        """One result."""
        return JsonResponse(to_document(await self._find(request)))

    async def draw_heatmap(self, request: Request) -> Response:
        """A PNG of the image with what moved its score."""
        result = await self._find(request)
        if not result.document["ok"]:
            raise Refusal(404, "NoHeatmap", "the image could not be classified")
        try:
            png = await self._wait(asyncio.wrap_future(self._worker.heatmap(result)))
        except QueueFull as err:
            raise _too_many() from err
        except NoHeatmap as err:
            raise Refusal(404, "NoHeatmap", str(err)) from err
        return Response(png, media_type="image/png")

    async def _find(self, request: Request) -> StoredResult:
        """The result of the address.

        Raises:
            Refusal: there is none.
        """
        text = request.path_params["id"]
        number = int(text) if re.fullmatch("[0-9]{1,19}", text) else 0
        if 0 < number <= _MAX_ID:
            result = await asyncio.to_thread(self._store.find, number)
            if result is not None:
                return result
        raise Refusal(404, "NotFound", "there is no result of this number, or it was deleted")

    async def show_health(self, request: Request) -> Response:
        """The state, for the page: a browser reports every 503 as an error of the page."""
        report = await asyncio.to_thread(self._health.report)
        limit = self._settings.max_upload_bytes
        return JsonResponse(health_document(report, max_upload_bytes=limit))

    async def check_health(self, request: Request) -> Response:
        """The state, for monitors; without the token only whether all is well."""
        report = await asyncio.to_thread(self._health.report)
        document = health_document(report, max_upload_bytes=self._settings.max_upload_bytes)
        if not has_token(self._settings, request.headers):
            document = {key: document[key] for key in ("schema", "ok")}
        return JsonResponse(document, 200 if report.ok else 503)

    async def show_metrics(self, request: Request) -> Response:
        """Figures for Prometheus."""
        text = await asyncio.to_thread(self._metrics.text)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})


def _name_by_content(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _too_many() -> Refusal:
    return busy("too many images are waiting; send the request again later")


def _paused(err: Paused) -> Refusal:
    message = f"the service takes no work: {err}"
    return Refusal(503, "Paused", message, {"Retry-After": "30"})


def _mark_as_read(answer: asyncio.Future[T]) -> None:
    """Keep asyncio from reporting a failure that comes after the request was answered."""
    if not answer.cancelled():
        answer.exception()


def _number(request: Request, name: str, most: int) -> int | None:
    """A number of the query, 1..most; None: it is not there.

    Raises:
        Refusal: it is anything else.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    number = int(text) if re.fullmatch("[0-9]{1,19}", text) else 0
    if not 1 <= number <= most:
        raise Refusal(400, "BadRequest", f"{name} is no number from 1 to {most}")
    return number
