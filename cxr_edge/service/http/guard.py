"""The outermost layer: who may ask, headers of every answer, and no error but a typed one.

A page of another site that is open in a browser on the device can send requests to 127.0.0.1, and
by DNS rebinding under a name of its own. The name (Host) and the sender (Origin, Sec-Fetch-Site)
of a request are checked therefore, also where a token is not needed.
"""

from __future__ import annotations

import asyncio
import hmac
import traceback
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_edge.errors import CxrEdgeError, MissingExtraError, OutputError, StoreError, first_line
from cxr_edge.reporting import notice
from cxr_edge.service.http.answers import Refusal
from cxr_edge.service.http.settings import ServerSettings

WITHOUT_TOKEN = frozenset({"/", "/page.js", "/page.css", "/icon.svg", "/healthz"})
"""The page asks for the token, and holds no data itself; monitors ask for the state."""

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_DISCARD_S = 2.0


class Guard:
    """Refuses what may not be asked, and answers what fails; see the module."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            self._check(scope["path"], scope["method"], exchange.headers)
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Refusal as err:
            await exchange.refuse(err)
        except Exception as err:
            await exchange.refuse(_refusal_of(err, scope["method"]))

    def _check(self, path: str, method: str, headers: Headers) -> None:
        """Refuse a request by its headers.

        Raises:
            Refusal: it may not be asked.
        """
        if self._settings.is_loopback and not self._is_own_name(headers.get("host", "")):
            raise Refusal(
                421,
                "Misdirected",
                "the Host header is not this computer's; ask localhost or 127.0.0.1",
            )
        is_open = method in ("GET", "HEAD") and path in WITHOUT_TOKEN  # also for links elsewhere
        if not is_open and _is_from_elsewhere(headers):
            raise Refusal(403, "Forbidden", "the request comes from a page of another site")
        if "transfer-encoding" in headers:
            # Chunks of a byte keep the one thread busy that answers everybody.
            raise Refusal(
                411,
                "LengthRequired",
                "the body comes in chunks; send it whole, with its Content-Length "
                "(curl --data-binary @FILE)",
            )
        if path not in WITHOUT_TOKEN and not has_token(self._settings, headers):
            raise Refusal(
                401,
                "Unauthorized",
                "the token is missing or wrong; send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": 'Bearer realm="cxr-edge"'},
            )

    def _is_own_name(self, host: str) -> bool:
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return name.lower() in ("localhost", "127.0.0.1", "[::1]", self._settings.host)


def has_token(settings: ServerSettings, headers: Headers) -> bool:
    """Whether a request carries the token, or needs none."""
    if settings.token is None:
        return True
    scheme, _, token = headers.get("authorization", "").partition(" ")
    # Headers are decoded as Latin-1.
    given, expected = token.strip().encode("latin-1"), settings.token.encode("latin-1")
    return hmac.compare_digest(given, expected) and scheme.lower() == "bearer"


def _is_from_elsewhere(headers: Headers) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True


def _refusal_of(err: Exception, method: str) -> Refusal:
    """The answer to an error, which the log names without names of files."""
    frame = traceback.extract_tb(err.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    notice(f"a {method} request failed: {type(err).__name__} at {place}")
    if isinstance(err, CxrEdgeError):
        # What cannot be written now, as on a full disk, can be later.
        headers = {"Retry-After": "30"} if isinstance(err, StoreError | OutputError) else {}
        status = 503 if headers else 501 if isinstance(err, MissingExtraError) else 500
        return Refusal(status, type(err).__name__, first_line(err), headers)
    return Refusal(500, "InternalError", "the service failed at this request; its log names where")


class _Exchange:
    """A request and its answer: how much of either has passed."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.headers = Headers(scope=scope)
        has_body = "transfer-encoding" in self.headers or (
            self.headers.get("content-length", "0") != "0"
        )
        self._is_unread = has_body
        self._has_begun = False

    async def receive(self) -> Message:
        """Pass a message of the client on."""
        message = await self._receive()
        if not message.get("more_body", False):
            self._is_unread = False
        return message

    async def send(self, message: Message) -> None:
        """Pass a message to the client on, the first with the headers of every answer."""
        if message["type"] == "http.response.start":
            self._has_begun = True
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _SECURITY_HEADERS.items():
                headers[name] = value
            if self._is_unread:  # what is left of the body is not the next request
                headers["Connection"] = "close"
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer instead of the app, unless it has begun to."""
        if self._has_begun:
            return
        # A slow body has been waited for long enough, and chunks are refused unread.
        if refusal.status not in (408, 411):
            await self._discard()
        await refusal.response()(self.scope, self.receive, self.send)

    async def _discard(self) -> None:
        """Take what the client is sending, for a while.

        A connection that is closed with unread bytes is reset, and many clients then report that
        instead of the answer.
        """
        if "expect" in self.headers:
            return  # it waits for the answer before it sends anything
        try:
            async with asyncio.timeout(_DISCARD_S):
                while self._is_unread:
                    await self.receive()
        except TimeoutError:
            return
