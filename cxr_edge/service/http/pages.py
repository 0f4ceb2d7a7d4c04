"""The one page: its files, read once."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cxr_edge.bundle.manifest import NOTICE
from cxr_edge.report import theme

_FOLDER = "static"


def page_routes() -> list[Route]:
    """The page and what it loads."""
    return [_route(path, body, kind) for path, body, kind in _files()]


def _files() -> Iterator[tuple[str, bytes, str]]:
    """Path, bytes and media type of each file."""
    html = _read("index.html").replace("{{ notice }}", NOTICE)
    yield "/", html.encode(), "text/html"
    yield "/page.js", _read("page.js").encode(), "text/javascript"
    yield "/page.css", (theme.css() + _read("page.css")).encode(), "text/css"
    yield "/icon.svg", _read("icon.svg").encode(), "image/svg+xml"


def _read(name: str) -> str:
    folder = resources.files("cxr_edge.service").joinpath(_FOLDER)
    return folder.joinpath(name).read_text(encoding="utf-8")


def _route(path: str, body: bytes, kind: str) -> Route:
    async def answer(request: Request) -> Response:
        return Response(body, media_type=kind)

    return Route(path, answer)
