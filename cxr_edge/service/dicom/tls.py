"""TLS of the listener and of deliveries."""

from __future__ import annotations

import shlex
import ssl
import stat
from pathlib import Path

from cxr_edge.errors import UsageError, first_line
from cxr_edge.files import printable
from cxr_edge.service.dicom.settings import DicomSettings


def listener_context(settings: DicomSettings) -> ssl.SSLContext | None:
    """TLS for those who connect; None: there is no certificate.

    Raises:
        UsageError: a file cannot be used, or everybody can read the private key.
    """
    if not settings.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, settings)
    if settings.ca_file:
        _load_trusted(context, settings.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def forward_context(settings: DicomSettings) -> ssl.SSLContext | None:
    """TLS for the connection to the archive; None: it is not wanted.

    Raises:
        UsageError: a file cannot be used, or everybody can read the private key.
    """
    if not settings.forward_tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_trusted(context, settings.ca_file)
    if settings.certificate:
        _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: DicomSettings) -> None:
    name = printable(settings.private_key)
    try:
        mode = stat.S_IMODE(Path(settings.private_key).stat().st_mode)
        if mode & stat.S_IRWXO:
            raise UsageError(
                f"{name}: every user of this computer can read the private key (mode {mode:04o}); "
                f"run: chmod o= {shlex.quote(name)}"
            )
        # A key with a password would be asked for on a terminal that is not there.
        context.load_cert_chain(settings.certificate, settings.private_key, password=_no_password)
    except (OSError, ValueError) as err:  # ssl.SSLError is an OSError
        raise UsageError(
            f"dicom.certificate and dicom.private_key cannot be used: {first_line(err)}"
        ) from err


def _no_password() -> str:
    raise ValueError("the private key has a password; expected one without")


def _load_trusted(context: ssl.SSLContext, file: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as err:
        raise UsageError(
            f"{printable(file)}: no certificates in PEM format can be read: {first_line(err)}"
        ) from err
