"""The application entity that others send to: Verification and Storage, as a provider."""

from __future__ import annotations

import logging
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any

from cxr_edge.errors import UsageError, first_line
from cxr_edge.extras import require
from cxr_edge.service.dicom import accepted
from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.settings import DicomSettings, parse_networks
from cxr_edge.service.dicom.spool import ReceivedFolder, Spool
from cxr_edge.service.dicom.tls import listener_context

_POLL_S = 0.1
_CALLING_TITLE = 3
"""Diagnostic of a rejection: the calling AE title is not recognized (PS3.8, 9.3.4)."""
_NO_LIMIT = 2**31
"""The server counts connections itself."""


class Listener:
    """A port for DICOM, served by threads: one that accepts, two for each association."""

    def __init__(
        self,
        settings: DicomSettings,
        folder: ReceivedFolder,
        figures: Figures,
        on_received: Callable[[], None],
    ) -> None:
        """Prepare the application entity.

        Args:
            settings: the table.
            folder: takes what is received.
            figures: counts.
            on_received: called after each object that was acknowledged.

        Raises:
            UsageError: a certificate cannot be used.
            MissingExtraError: pynetdicom is not installed.
        """
        self._settings, self._folder = settings, folder
        self._figures, self._on_received = figures, on_received
        self._tls = listener_context(settings)
        self._pydicom = require("pydicom", "dicom")
        self._ae = _application_entity(settings, self._pydicom)
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self.port = settings.port
        """After :meth:`start` never 0."""

    @property
    def is_running(self) -> bool:
        """Whether its thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def address(self) -> str:
        """Name and address, for people; after :meth:`start`."""
        host = self._settings.host
        return f"{self._settings.ae_title} at {f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Listen; connections are accepted when this returns.

        Raises:
            UsageError: the address cannot be listened on.
            OutputError: the folder of received objects cannot be used.
        """
        from pynetdicom import evt

        from cxr_edge.service.dicom.connection import Limits
        from cxr_edge.service.dicom.server import Door, LimitedServer

        settings = self._settings
        self._folder.prepare()
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACCEPTED, lambda event: self._figures.accept()),
            (evt.EVT_REJECTED, self._rejected),
        ]
        limits = Limits(settings.max_pdu, settings.idle_s, settings.object_s)
        door = Door(parse_networks(settings.addresses), settings.max_associations, limits)
        try:
            address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
            self._server = LimitedServer(
                self._ae,
                address[4],
                settings.ae_title,
                self._ae.supported_contexts,
                self._tls,
                evt_handlers=handlers,
                door=door,
                folder=self._folder,
                figures=self._figures,
            )
        except (OSError, UnicodeError) as err:
            reason = getattr(err, "strerror", None) or first_line(err)
            raise UsageError(
                f"cannot listen on {settings.host} port {settings.port}: {reason}; stop what uses "
                "it, or set another"
            ) from err
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_POLL_S], name="dicom", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port; objects that are arriving are not acknowledged."""
        if self._thread is not None:
            self._server.stop()
            self._thread.join(5)

    def _rejected(self, event: Any) -> None:
        diagnostic = getattr(event.assoc.acceptor.primitive, "diagnostic", None)
        self._figures.refuse("calling" if diagnostic == _CALLING_TITLE else "called")

    def _store(self, event: Any) -> int:
        """Answer a C-STORE with its status; called by the association's thread."""
        try:
            status = self._status(event.request, str(event.context.abstract_syntax))
        except Exception as err:  # another library's; the sender tries again
            from cxr_edge.service.dicom.protocol import report

            report(err)
            status = accepted.PROCESSING_FAILURE
        self._figures.answer(status)
        if status == accepted.SUCCESS:
            self._on_received()
        return status

    def _status(self, request: Any, sop_class: str) -> int:
        spool: Spool | None = request._dataset_file
        if spool is None:  # a command without an object
            return accepted.CANNOT_UNDERSTAND
        if request.AffectedSOPClassUID != sop_class:
            return accepted.CLASS_NOT_SUPPORTED
        if not spool.close_whole():
            return accepted.OUT_OF_RESOURCES
        status = accepted.check_object(
            spool.path, sop_class, str(request.AffectedSOPInstanceUID), self._pydicom
        )
        if status == accepted.SUCCESS and spool.finish() is None:
            return accepted.OUT_OF_RESOURCES
        return status


def quieten() -> None:
    """Keep pydicom and pynetdicom from logging and warning: they quote what they read."""
    for name in ("pydicom", "pynetdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=name)
    settings: Any = require("pynetdicom._config", "dicom")
    settings.LOG_HANDLER_LEVEL = "none"


def _application_entity(settings: DicomSettings, pydicom: Any) -> Any:
    """What is offered, to whom, and for how long."""
    from cxr_edge.image.dicom.frame import readable_syntaxes

    pynetdicom = require("pynetdicom", "dicom")
    require("pydicom.pixels", "dicom")
    quieten()
    entity = pynetdicom.AE(ae_title=settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.calling_ae_titles)
    entity.maximum_associations = _NO_LIMIT
    entity.maximum_pdu_size = settings.max_pdu
    entity.acse_timeout = settings.association_s
    entity.dimse_timeout = settings.idle_s
    entity.network_timeout = settings.idle_s
    entity.add_supported_context("1.2.840.10008.1.1")  # Verification
    syntaxes = readable_syntaxes(pydicom)
    for sop_class in accepted.SOP_CLASSES:
        entity.add_supported_context(sop_class, syntaxes)
    return entity
