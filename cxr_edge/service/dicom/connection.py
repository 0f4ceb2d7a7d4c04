"""A connection on which nothing is longer, or takes longer, than its limits.

pynetdicom reads whatever length a peer announces, and waits for it as long as it takes.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from dataclasses import dataclass

from pynetdicom.association import Association
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

_ABORT = bytes.fromhex("07000000000400000206")
"""A-ABORT by the service provider: an invalid parameter."""
_LEAST_PDU_BYTES = 2**17
"""A request for an association may be longer than parts of an object."""
LOOK_S = 0.01
"""How long a thread waits before it looks what else there is to do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one association."""

    max_pdu_bytes: int
    pdu_s: float
    """For one part of a message."""
    object_s: float
    """For a whole object."""


class LimitedSocket(AssociationSocket):
    """Reads parts of a bounded size in a bounded time."""

    def __init__(
        self,
        assoc: Association,
        limits: Limits,
        *,
        client: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        """Use the connection of a peer, or make one.

        Args:
            assoc: the association.
            limits: of what the peer sends.
            client: the connection; None: it is made by :meth:`connect`.
            address: of this computer, where ``client`` is None.
        """
        self._limits = limits
        self._most = max(limits.max_pdu_bytes + 6, _LEAST_PDU_BYTES)
        if client is not None:
            client.settimeout(limits.pdu_s)
        self._since = time.monotonic()
        super().__init__(assoc, client_socket=client, address=address)

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect to a peer; pynetdicom would then wait for it without end."""
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self._limits.pdu_s)

    @property
    def ready(self) -> bool:
        """Whether there is something to read, now or in a moment.

        Waiting costs less than asking a thousand times a second, as pynetdicom does: an idle
        association took 5 % of a processor, and takes 1 %.
        """
        connected = self.socket
        if connected is None or not self._is_connected:
            return False
        if isinstance(connected, ssl.SSLSocket) and connected.pending():
            return True
        try:
            return bool(select.select([connected], [], [], LOOK_S)[0])
        except (OSError, ValueError):  # it is closed
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes; fewer where the connection ended.

        Raises:
            OSError: there are too many, or they take too long.
        """
        connected = self.socket
        if nr_bytes > self._most or connected is None:
            self.cut()
            raise OSError("the part is longer than the limit")
        data, filled = bytearray(nr_bytes), 0
        end = self._end()
        while filled < nr_bytes:
            connected.settimeout(max(end - time.monotonic(), 0.001))
            count = connected.recv_into(memoryview(data)[filled:])
            if not count:
                return data[:filled]
            filled += count
        connected.settimeout(self._limits.pdu_s)
        return data

    def _end(self) -> float:
        """When what is read next must have come, of the monotonic clock."""
        end = time.monotonic() + self._limits.pdu_s
        if self._waits_for_request:
            end = min(end, self._since + float(self.assoc.acse_timeout))
        return end

    @property
    def _waits_for_request(self) -> bool:
        return self.assoc.is_acceptor and self.assoc.requestor.primitive is None

    def cut(self) -> None:
        """Send an A-ABORT, if that is possible at once, and close the connection."""
        if self.socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self.socket.settimeout(0.2)
                self.socket.send(_ABORT)
        self._shutdown_socket()
        self.event_queue.put("Evt17")  # the connection is closed

    def _shutdown_socket(self) -> None:
        if self._waits_for_request:  # in vain now, and so does its thread
            self.assoc.dul.to_user_queue.put(None)
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                self.socket.close()
