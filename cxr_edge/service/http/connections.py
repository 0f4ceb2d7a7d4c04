"""Connections: how many there may be, and how slow.

uvicorn waits for headers, and for clients that do not read, as long as they like, and answers what
it cannot parse in plain text. This adds limits and typed answers.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cxr_edge.service.http.settings import ServerSettings


def limited_protocol(settings: ServerSettings) -> type[LimitedProtocol]:
    """The protocol class of a server with these settings."""
    return type("_LimitedProtocol", (LimitedProtocol,), {"settings": settings})


class LimitedProtocol(H11Protocol):
    """One connection."""

    settings: ClassVar[ServerSettings]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.max_connections:
            self._close_with(503, "Busy", "too many connections; connect again later")
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waiting."""
        self._stop_header_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on; the end of the headers ends the wait for them."""
        try:
            super().data_received(data)
        except h11.ProtocolError:  # malformed while an answer is under way
            self.transport.abort()
            return
        if self.conn.their_state is not h11.IDLE:
            self._stop_header_timer()
        elif self._header_timer is None and self.timeout_keep_alive_task is None:
            self._await_headers()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._close_with(
            400, "BadRequest", "the request is no valid HTTP, or its headers are too long"
        )

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(
            self.settings.write_timeout_s, self.transport.abort
        )

    def resume_writing(self) -> None:
        """The client reads."""
        self._stop_write_timer()
        super().resume_writing()

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.settings.header_timeout_s, self._time_out)

    def _time_out(self) -> None:
        self._header_timer = None
        if self.conn.their_state is h11.IDLE:
            limit = self.settings.header_timeout_s
            self._close_with(408, "Timeout", f"the headers took more than {limit:g} s")

    def _close_with(self, status: int, error: str, message: str) -> None:
        body = json.dumps({"error": error, "message": message}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        headers.append(("Connection", "close"))
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events = (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what still works on it is not to answer as well
            self.cycle.message_event.set()
        self.transport.close()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
