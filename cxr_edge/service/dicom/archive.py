"""The connection to the archive that reports go to.

An archive may die at any moment, as in the middle of an answer. pynetdicom would then wait for the
rest for ever, so the connection has the limits that those of the listener have.
"""

from __future__ import annotations

from typing import Any

from cxr_edge.extras import require
from cxr_edge.service.dicom.settings import DicomSettings, parse_destination
from cxr_edge.service.dicom.tls import forward_context

REPORT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7")
"""Comprehensive SR, and Secondary Capture for heat maps."""
_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
_NEVER = (3, 4)
"""A presentation context is rejected for its class or its transfer syntaxes. Other reasons may
pass."""
_CONNECT_S, _ANSWER_S = 10.0, 30.0
_MAX_PDU_BYTES = 2**16


class Away(Exception):  # noqa: N818 - it may come back
    """The archive cannot be reached, or ended the association; the argument says how."""


class Archive:
    """Where reports go; used by the thread that delivers, but for :meth:`cut`."""

    def __init__(self, settings: DicomSettings) -> None:
        """Prepare connections.

        Args:
            settings: the table; ``forward`` is set.

        Raises:
            UsageError: a certificate cannot be used.
            MissingExtraError: pynetdicom is not installed.
        """
        require("pynetdicom", "dicom")
        from cxr_edge.service.dicom.connection import Limits
        from cxr_edge.service.dicom.protocol import LimitedEntity

        self.destination = parse_destination(settings.forward)
        self._tls = forward_context(settings)
        self._entity = LimitedEntity(
            settings.ae_title, Limits(_MAX_PDU_BYTES, _ANSWER_S, _ANSWER_S)
        )
        self._entity.maximum_pdu_size = _MAX_PDU_BYTES
        self._entity.connection_timeout = self._entity.acse_timeout = _CONNECT_S
        self._entity.dimse_timeout = self._entity.network_timeout = _ANSWER_S
        for sop_class in REPORT_CLASSES:
            self._entity.add_requested_context(sop_class, _SYNTAXES)

    def associate(self) -> Any:
        """Connect, and ask for an association; it may have been refused.

        Raises:
            Away: the name of the archive's computer is not known.
        """
        to = self.destination
        tls = (self._tls, to.host) if self._tls else None
        try:
            return self._entity.associate(
                *(to.host, to.port), ae_title=to.ae_title, max_pdu=_MAX_PDU_BYTES, tls_args=tls
            )
        except OSError as err:
            raise Away("its name is not known, or there is no network") from err

    def cut(self) -> None:
        """End the connection, whatever is waited for; called by another thread."""
        if self._entity.connected is not None:
            self._entity.connected.cut()


def never_accepted(association: Any) -> set[str]:
    """SOP classes that the archive does not take, now or later."""
    rejected = association.rejected_contexts
    return {str(context.abstract_syntax) for context in rejected if context.result in _NEVER}


def store(association: Any, dataset: Any) -> int | None:
    """Send an object by C-STORE.

    Returns:
        Its status; None: the association ended.

    Raises:
        ValueError: the object cannot be sent, whatever the archive does.
    """
    try:
        status = association.send_c_store(dataset).get("Status")
    except RuntimeError:  # it ended before
        return None
    except Exception as err:  # of pynetdicom, for what it cannot encode
        raise ValueError(type(err).__name__) from err
    return status if isinstance(status, int) else None
