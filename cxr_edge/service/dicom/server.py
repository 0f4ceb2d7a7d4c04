"""Connections: from whom, how many, and those that are turned away."""

from __future__ import annotations

import collections
import contextlib
import socket
import ssl
import threading
import time
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from pynetdicom.transport import AddressInformation, AssociationServer

from cxr_edge.reporting import notice
from cxr_edge.service.dicom.connection import LimitedSocket, Limits
from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.protocol import LimitedAssociation, ReceivingDimse
from cxr_edge.service.dicom.settings import Network, is_allowed
from cxr_edge.service.dicom.spool import ReceivedFolder

_TRY_AGAIN = bytes.fromhex("03000000000400020302")
"""A-ASSOCIATE-RJ: transient, by the service provider, the local limit is exceeded."""
_MOST_TURNED_AWAY = 64
"""Connections that wait for their answer or its end; beyond that the oldest is closed."""
_LONGEST_ANSWER_S = 2.0
_LOOK_S = 0.02
_READS = 4
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in."""

    networks: tuple[Network, ...]
    """Empty: everybody."""
    max_associations: int
    limits: Limits


class LimitedServer(AssociationServer):
    """Accepts connections; its thread never waits for a peer."""

    request_queue_size = 128

    def __init__(
        self, *args: Any, door: Door, folder: ReceivedFolder, figures: Figures, **kwargs: Any
    ) -> None:
        self._door, self._folder, self._figures = door, folder, figures
        self._associations: set[LimitedAssociation] = set()
        self._changing = threading.Lock()
        self._turned_away: collections.deque[_TurnedAway] = collections.deque()
        self._next_look = 0.0
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection; the handshake of TLS is left to its own thread."""
        assert self.socket is not None  # noqa: S101
        connected, address = self.socket.accept()
        if self.ssl_context:
            connected = self.ssl_context.wrap_socket(
                connected, server_side=True, do_handshake_on_connect=False
            )
        return connected, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether the address may connect; nothing was read yet."""
        is_welcome = is_allowed(client_address[0], self._door.networks)
        if not is_welcome:
            self._figures.refuse("address")
        return is_welcome

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in threads of its own, or turn it away."""
        with self._changing:
            is_free = len(self._associations) < self._door.max_associations
        if not is_free:
            self._figures.refuse("limit")
            self._turn_away(request)
            return
        association = self._make_association(request, client_address)
        with self._changing:
            self._associations.add(association)
            self._figures.associations = len(self._associations)
        try:
            association.start()
        except RuntimeError:  # there are no threads left: the place must not stay taken
            self._forget(association)
            raise

    def _make_association(self, request: Any, client_address: Any) -> LimitedAssociation:
        """As RequestHandler of pynetdicom makes it, with limits."""
        limits = self._door.limits
        association = LimitedAssociation(self.ae, self._forget)
        association._server = self
        association.dimse = ReceivingDimse(association, self._folder, limits, self._figures.refuse)
        association.set_socket(LimitedSocket(association, limits, client=request))
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.ae_title
        acceptor.address_info = AddressInformation.from_tuple(self.server_address)
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        acceptor.supported_contexts = deepcopy(self.contexts)
        association.requestor.address_info = AddressInformation.from_tuple(client_address)
        for event, handlers in self._handlers.items():
            if event.is_intervention:
                association.bind(event, *handlers)
            else:
                for handler, arguments in handlers:
                    association.bind(event, handler, arguments)
        return association

    def _forget(self, association: LimitedAssociation) -> None:
        with self._changing:
            self._associations.discard(association)
            self._figures.associations = len(self._associations)

    def _turn_away(self, request: Any) -> None:
        """Answer a request for an association with "try again", when it comes."""
        if isinstance(request, ssl.SSLSocket):  # its handshake would have to be waited for
            self.shutdown_request(request)
            return
        request.setblocking(False)
        self._turned_away.append(_TurnedAway(request, time.monotonic() + _LONGEST_ANSWER_S))
        if len(self._turned_away) > _MOST_TURNED_AWAY:
            oldest = self._turned_away.popleft()
            if not oldest.is_done():
                oldest.close()

    def service_actions(self) -> None:
        """Go on with those that are turned away; called with every connection, and between."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        for _ in range(len(self._turned_away)):
            peer = self._turned_away.popleft()
            if not peer.is_done():
                self._turned_away.append(peer)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a connection cannot be served for, as when there are no threads left."""
        import sys

        notice(f"DICOM: a connection cannot be served: {type(sys.exception()).__name__}")

    def stop(self) -> None:
        """Close the port and every connection."""
        super(AssociationServer, self).shutdown()
        self.server_close()
        for peer in self._turned_away:
            peer.close()
        with self._changing:
            associations = list(self._associations)
        for association in associations:
            association.dul.socket._shutdown_socket()
        end = time.monotonic() + _STOP_S
        for association in associations:
            association.join(max(end - time.monotonic(), 0))


@dataclass(slots=True)
class _TurnedAway:
    """A connection beyond the limit."""

    connected: socket.socket
    end: float
    is_answered: bool = False

    def is_done(self) -> bool:
        """Read some of what came, answer it, and close when the peer has, or after two seconds."""
        is_over = False
        try:
            for _ in range(_READS):  # a peer that goes on sending does not keep this thread
                is_over = not self.connected.recv(2**16)
                if is_over:
                    break
                if not self.is_answered:
                    self.is_answered = True
                    self.connected.send(_TRY_AGAIN)
                    self.connected.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass  # there is no more now
        except OSError:
            is_over = True
        if not is_over and time.monotonic() < self.end:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.connected.close()
