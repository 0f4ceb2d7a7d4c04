"""The table ``[dicom]``: who may send images, and where reports go."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from cxr_edge.errors import UsageError
from cxr_edge.service.http.settings import is_loopback
from cxr_edge.service.settings import SettingsFile, setting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_TITLE = 16


@dataclass(frozen=True, slots=True)
class DicomSettings:
    """Images from DICOM devices, and reports to an archive; the extra dicom."""

    enabled: bool = setting(False, "Whether the service listens for DICOM (C-STORE and C-ECHO).")
    host: str = setting(
        "127.0.0.1",
        "Address to listen on. Any other than this computer's own needs addresses, or a "
        "certificate and a ca_file.",
    )
    port: int = setting(11112, "Port to listen on; 0: any free one.", least=0, most=65535)
    ae_title: str = setting("CXR-EDGE", "Name that senders must call (AE title).")
    calling_ae_titles: tuple[str, ...] = setting(
        (), "Names of the senders that may connect; empty: any. Names alone protect nothing."
    )
    addresses: tuple[str, ...] = setting(
        (),
        "Addresses of the senders that may connect, or networks such as 10.1.2.0/24; empty: any.",
    )
    max_associations: int = setting(
        8, "Senders that are served at the same time; others are told to try again.",
        least=1, most=16,
    )  # fmt: skip
    max_pdu: int = setting(
        65_536, "Largest part of a message that is accepted, bytes.", least=4096, most=2**20
    )
    max_object_mb: float = setting(
        256.0, "Larger objects are refused while they arrive.", least=1, most=2048
    )
    association_s: float = setting(
        10.0, "A connection that asks for no association in this time is closed.",
        least=0.1, most=600,
    )  # fmt: skip
    idle_s: float = setting(
        60.0, "An association on which nothing happens for so long is aborted.",
        least=0.1, most=3600,
    )  # fmt: skip
    object_s: float = setting(
        300.0, "An object that takes longer to arrive is refused.", least=0.1, most=86_400
    )
    folder: str = setting(
        "", "Where received objects wait; empty: `received` beside the store. On a local disk."
    )
    certificate: str = setting(
        "", "Certificate of this service (PEM), which turns TLS on; empty: no TLS."
    )
    private_key: str = setting(
        "", "Its private key (PEM). Not readable by every user of the computer."
    )
    ca_file: str = setting(
        "",
        "Certificates to trust (PEM): senders must then show one that these have signed, and so "
        "must the archive.",
    )
    forward: str = setting(
        "",
        "Archive that gets a report for each DICOM image of the listener and of the inbox, as "
        "HOST:PORT:AETITLE; empty: none.",
    )
    forward_tls: bool = setting(False, "Whether to connect to it by TLS; needs a ca_file.")
    report: Literal["sr", "sr+heatmap"] = setting(
        "sr",
        "sr: a structured report. sr+heatmap: also a picture of what moved the score, for bundles "
        "with onnx-explain.",
    )
    outbox: str = setting(
        "", "Where reports wait until they are delivered; empty: `outbox` beside the store."
    )
    retry_s: float = setting(
        10.0,
        "A delivery that failed is tried again after so many seconds, then after twice as many, up "
        "to ten minutes.",
        least=0.1,
        most=600,
    )
    give_up_h: float = setting(
        168.0,
        "A report that could not be delivered in so many hours is put into the outbox's folder "
        "`dead`, and the health is red. Move it back into the outbox to try again.",
        least=0.0001,
        most=100_000,
    )


@dataclass(frozen=True, slots=True)
class Destination:
    """The archive that reports go to."""

    host: str
    port: int
    ae_title: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}:{self.ae_title}"


def parse_destination(text: str) -> Destination:
    """Read ``HOST:PORT:AETITLE``; an IPv6 address is written in brackets.

    Raises:
        UsageError: it is something else.
    """
    expected = f"dicom.forward is {text!r}, expected HOST:PORT:AETITLE such as pacs:104:ARCHIVE"
    address, _, title = text.rpartition(":")
    host, _, port = address.rpartition(":")
    is_bracketed = host[:1] == "[" and host[-1:] == "]"
    name = host[1:-1] if is_bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 2**16
    if not name or not is_port or (":" in host) != is_bracketed or set(name) & set("[] "):
        raise UsageError(expected)
    _check_title("dicom.forward", title)
    return Destination(name, int(port), title)


def parse_networks(addresses: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks that senders may connect from.

    Raises:
        UsageError: one is no address.
    """
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in addresses)
    except ValueError as err:
        raise UsageError(
            f"dicom.addresses: {err}; expected addresses or networks such as 10.1.2.0/24"
        ) from err


def is_allowed(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address may connect; where no network is named, any may."""
    peer = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return not networks or any(peer in network for network in networks)


def check_dicom(dicom: DicomSettings, source: SettingsFile) -> None:
    """Refuse settings that contradict each other, or open the service to everybody.

    Raises:
        UsageError: they do.
    """
    with source.blamed("dicom.ae_title"):
        _check_title("dicom.ae_title", dicom.ae_title)
    with source.blamed("dicom.calling_ae_titles"):
        for title in dicom.calling_ae_titles:
            _check_title("dicom.calling_ae_titles", title)
    with source.blamed("dicom.addresses"):
        parse_networks(dicom.addresses)
    with source.blamed("dicom.certificate", "dicom.private_key"):
        if bool(dicom.certificate) != bool(dicom.private_key):
            raise UsageError("dicom.certificate and dicom.private_key belong together; set both")
    with source.blamed("dicom.host"):
        has_client_certificates = dicom.certificate and dicom.ca_file
        is_open = not (is_loopback(dicom.host) or dicom.addresses or has_client_certificates)
        if dicom.enabled and is_open:
            raise UsageError(
                f"{dicom.host!r} can be reached from other computers; give dicom.addresses, or a "
                "certificate and a ca_file, or listen on 127.0.0.1"
            )
    with source.blamed("dicom.forward"):
        if dicom.forward and _is_itself(parse_destination(dicom.forward), dicom):
            raise UsageError(
                f"dicom.forward is {dicom.forward!r}, where this service itself listens; expected "
                "the archive, or another dicom.port"
            )
    with source.blamed("dicom.forward_tls"):
        if dicom.forward_tls and not dicom.ca_file:
            raise UsageError("dicom.forward_tls needs a dicom.ca_file, to know the archive by")


def _is_itself(to: Destination, dicom: DicomSettings) -> bool:
    """Whether reports would go to the listener, which takes the heat maps for images."""
    is_here = to.host == dicom.host or (is_loopback(to.host) and is_loopback(dicom.host))
    return dicom.enabled and to.port == dicom.port and is_here


def _check_title(key: str, title: str) -> None:
    is_text = all(" " <= character <= "~" and character != "\\" for character in title)
    if not is_text or not title.strip() or title != title.strip() or len(title) > _MAX_TITLE:
        raise UsageError(
            f"{key}: {title[:40]!r} is no AE title; expected 1 to {_MAX_TITLE} ASCII characters"
        )
