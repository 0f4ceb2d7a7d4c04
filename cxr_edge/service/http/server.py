"""The thread that listens."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette

from cxr_edge.errors import UsageError, first_line
from cxr_edge.reporting import notice
from cxr_edge.service.http.connections import limited_protocol
from cxr_edge.service.http.settings import ServerSettings

_MAX_HEADER_BYTES = 16 * 1024
_STOP_S = 5
"""How long requests in progress may take after :meth:`HttpServer.stop`."""


class HttpServer:
    """An application on an address, served by a thread of its own."""

    def __init__(self, app: Starlette, settings: ServerSettings) -> None:
        self._settings = settings
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=limited_protocol(settings),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=_STOP_S,
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        )
        self._server = _Server(config)
        self._thread: threading.Thread | None = None
        self.port = settings.port
        """The port; after :meth:`start` never 0."""

    @property
    def address(self) -> str:
        """Of the page; after :meth:`start`."""
        host = self._settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def is_running(self) -> bool:
        """Whether its thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen; returns when requests are answered.

        Raises:
            UsageError: the address cannot be listened on.
        """
        listener = _listen(self._settings)
        self.port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=[listener], name="http", daemon=True)
        self._thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        """Close the port, and wait for requests in progress, a few seconds."""
        if self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(_STOP_S + 5)

    def _run(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        finally:
            self._server.ready.set()
            listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_report)
        await super().startup(sockets)
        self.ready.set()


def _report(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what happens outside of requests as one line; asyncio would print a traceback."""
    error = context.get("exception")
    if not isinstance(error, ConnectionError | TimeoutError):
        notice(f"HTTP: {context['message']}: {type(error).__name__}")


def _listen(settings: ServerSettings) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: there is none for this address.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        # asyncio sends without delay only where the protocol is named: 40 ms for each answer.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(settings.max_connections)
        except OSError:
            listener.close()
            raise
        return listener
    except (OSError, UnicodeError) as err:  # UnicodeError: a host that no name can be
        reason = getattr(err, "strerror", None) or first_line(err)
        raise UsageError(
            f"cannot listen on {host} port {port}: {reason}; stop what uses it, or set another"
        ) from err
