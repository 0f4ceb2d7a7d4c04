"""What requests are answered with: JSON documents, and refusals with a type and one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from cxr_edge.results import SCHEMA
from cxr_edge.service.health import HealthReport
from cxr_edge.service.store.rows import StoredResult, with_stored

HEALTH_SCHEMA = "cxr-edge.health/1"


class JsonResponse(JSONResponse):
    """JSON in ASCII: names of files need not be valid Unicode."""

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the service
    """A request that is answered with a status of 4xx or 5xx."""

    def __init__(
        self, status: int, error: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        """Name of the kind, for programs."""
        self.message = message
        """One line for people."""
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer."""
        body = {"error": self.error, "message": self.message}
        return JsonResponse(body, self.status, self.headers)


def busy(message: str, *, retry_after_s: int = 1) -> Refusal:
    """The refusal of work that can be sent again soon."""
    return Refusal(503, "Busy", message, {"Retry-After": str(retry_after_s)})


def results_document(results: list[StoredResult], following: int | None) -> dict[str, Any]:
    """Several results; ``following`` is the value of ``before`` for those after them."""
    return {
        "schema": SCHEMA,
        "results": [with_stored(result) for result in results],
        "next": following,
    }


def health_document(report: HealthReport, *, max_upload_bytes: int) -> dict[str, Any]:
    """The state of the service."""
    return {
        "schema": HEALTH_SCHEMA,
        **dataclasses.asdict(report),
        "max_upload_bytes": max_upload_bytes,
    }
