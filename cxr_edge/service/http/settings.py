"""The table ``[http]``; address, token and limits of the HTTP server."""

from __future__ import annotations

import ipaddress
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cxr_edge.errors import UsageError
from cxr_edge.files import printable, read_file
from cxr_edge.service.settings import setting

_MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Requests, the page, /healthz and /metrics."""

    enabled: bool = setting(True, "Whether the service listens for requests.")
    host: str = setting(
        "127.0.0.1",
        "Address to listen on. Any other than this computer's own needs a token_file; put a proxy "
        "with TLS in front of it.",
    )
    port: int = setting(8631, "Port to listen on; 0: any free one.", least=0, most=65535)
    token_file: str = setting(
        "",
        "File of the token that requests must carry (Authorization: Bearer ...); empty: none. "
        "Not readable by every user of the computer.",
    )
    max_body_mb: float = setting(64.0, "Larger uploads are refused.", least=1, most=2048)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the server listens on and how much it accepts.

    Raises:
        UsageError: other computers could reach it without a token, or the token is unusable.
    """

    host: str = "127.0.0.1"
    port: int = 8631
    """0: any free port."""
    token: str | None = field(default=None, repr=False)
    """What requests must carry; None: nothing."""
    max_upload_bytes: int = 64 * 2**20
    max_upload_memory_bytes: int = 128 * 2**20
    """Of all uploads that are being received or classified."""
    max_connections: int = 256
    header_timeout_s: float = 10
    """For the request line and the headers, from the connection's start or the headers' first
    byte."""
    body_timeout_s: float = 60
    """For a whole body."""
    write_timeout_s: float = 30
    """For a client to take what was sent."""
    queue_timeout_s: float = 10
    """For other uploads that came before."""
    answer_timeout_s: float = 60
    """For the worker."""

    def __post_init__(self) -> None:
        if self.token is None and not self.is_loopback:
            raise UsageError(
                f"{self.host} can be reached from other computers; set a token, or listen on "
                "127.0.0.1"
            )
        if self.token is not None and not _is_sendable(self.token):
            raise UsageError(
                "the token is empty or has characters that no header can carry; expected ASCII "
                "letters, digits and signs without spaces"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this computer can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether only programs on this computer reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_sendable(token: str) -> bool:
    return bool(token) and all("!" <= character <= "~" for character in token)


def read_token(file: Path) -> str:
    """The token in a file: its text without the space around it.

    Raises:
        UsageError: the file cannot be read, or everybody can read it.
    """
    data = read_file(file, max_bytes=_MAX_TOKEN_BYTES, error=UsageError)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & stat.S_IRWXO:
        raise UsageError(
            f"{printable(file)}: every user of this computer can read the token (mode "
            f"{mode:04o}); run: chmod o= {shlex.quote(printable(file))}"
        )
    return data.decode(errors="replace").strip()
