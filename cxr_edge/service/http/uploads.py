"""The bytes of an uploaded image, read within limits of size, time and memory."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from types import TracebackType

from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from cxr_edge.service.http.answers import Refusal, busy
from cxr_edge.service.http.settings import ServerSettings

_MAX_NAME_BYTES = 255


class UploadMemory:
    """Counts the bytes of all uploads in hand; used by one thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_use = 0
        """Bytes."""

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises:
            Refusal: there would be too many.
        """
        if self.in_use + count > self._limit:
            raise busy("too many uploads at the same time; send this one again later")
        self.in_use += count

    def give_back(self, count: int) -> None:
        """Count bytes out."""
        self.in_use -= count


class Upload:
    """One upload's share of the memory, given back when the block ends or by :meth:`handed_over`.

    ::

        with Upload(memory, settings) as upload:
            data = await upload.read(headers, receive)
    """

    def __init__(self, memory: UploadMemory, settings: ServerSettings) -> None:
        self._memory, self._settings = memory, settings
        self._taken, self._is_handed_over = 0, False

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_handed_over:
            self._release()

    def handed_over(self) -> Callable[[], None]:
        """Keep the share beyond the block: the function that is returned gives it back."""
        self._is_handed_over = True
        return self._release

    def _release(self) -> None:
        self._memory.give_back(self._taken)
        self._taken = 0

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """Read the whole body.

        Raises:
            Refusal: it is empty, too large, too slow or of a type that is no image's.
            ClientDisconnect: the connection ended before the body did.
        """
        check_headers(headers, self._settings.max_upload_bytes)
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                data = await self._read(receive)
        except TimeoutError:
            raise Refusal(
                408,
                "Timeout",
                f"the body took more than {self._settings.body_timeout_s:g} s; send it again",
            ) from None
        if not data:
            raise Refusal(
                400, "BadRequest", "the body is empty, expected the bytes of an image file"
            )
        return data

    async def _read(self, receive: Receive) -> bytes:
        # getvalue() hands the buffer out without a copy; closed, it is free while an error is
        # still being answered.
        with io.BytesIO() as received:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk = message.get("body", b"")
                if self._taken + len(chunk) > self._settings.max_upload_bytes:
                    raise _too_large(self._settings.max_upload_bytes)
                self._memory.take(len(chunk))
                self._taken += len(chunk)
                received.write(chunk)
                if not message.get("more_body", False):
                    return received.getvalue()


def check_headers(headers: Headers, max_bytes: int) -> None:
    """Refuse by its headers what is too large or is no image's bytes.

    Raises:
        Refusal: it is.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise Refusal(
            415,
            "UnsupportedMediaType",
            "the body is a form; send the image file's bytes as the body "
            "(curl --data-binary @FILE), and its name as ?name=",
        )
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Refusal(
            415,
            "UnsupportedMediaType",
            "the body has a Content-Encoding; send the image file's bytes as they are",
        )
    length = headers.get("content-length", "")
    if re.fullmatch("[0-9]+", length) and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> Refusal:
    limit = f"{max_bytes / 1e6:.4g} MB" if max_bytes >= 1e6 else f"{max_bytes:,} bytes"
    return Refusal(413, "TooLarge", f"the body is larger than {limit}, the limit of this service")


def upload_name(query: QueryParams) -> str | None:
    """The name that an upload was given; None: none.

    Raises:
        Refusal: it is none that a file can have.
    """
    names = query.getlist("name")
    if not names:
        return None
    name = names[0]
    is_text = name.isprintable() and "\N{REPLACEMENT CHARACTER}" not in name
    if len(names) > 1:
        problem = f"there are {len(names)} names"
    elif not name.strip() or name.startswith("."):  # folders, and names of unfinished files
        problem = "the name is empty or begins with a dot"
    elif len(name.encode()) > _MAX_NAME_BYTES:
        problem = f"the name has {len(name.encode()):,} bytes"
    elif "/" in name or "\\" in name or not is_text:
        problem = "the name has a slash or characters that cannot be printed"
    else:
        return name
    raise Refusal(
        400,
        "BadRequest",
        f"{problem}; expected one file name of at most {_MAX_NAME_BYTES} bytes, without folders",
    )
