"""Limits that pynetdicom does not have: of sizes, times and memory.

pynetdicom reads whatever length a peer announces, waits for it as long as it takes, and keeps an
object in memory or among temporary files. Here each part of a message has a size and a time, and
an object goes to its file while it arrives. What breaks a rule ends the association at once.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AddressInformation, AssociationSocket

from cxr_edge.reporting import notice
from cxr_edge.service.dicom.connection import LOOK_S, LimitedSocket, Limits
from cxr_edge.service.dicom.figures import Refusal
from cxr_edge.service.dicom.spool import ReceivedFolder, Spool, TooLarge, file_meta_of

_MAX_COMMAND_BYTES = 2**16
_STOP_S = 5.0


class BrokenRule(Exception):  # noqa: N818 - the peer's fault
    """The peer sent what it may not send; the association ends."""


class ReceivingDimse(DIMSEServiceProvider):
    """Puts messages together, objects in a file."""

    def __init__(
        self,
        assoc: Association,
        folder: ReceivedFolder,
        limits: Limits,
        refuse: Callable[[Refusal], None],
    ) -> None:
        super().__init__(assoc)
        self._folder, self._limits, self._refuse = folder, limits, refuse
        self._began = 0.0
        self._spools: list[Spool] = []

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take a part of a message; called by the thread that reads the connection."""
        try:
            for value in primitive.presentation_data_value_list:
                self._receive(value)
        except Exception as err:  # of pynetdicom and pydicom, for what they cannot decode
            self._refuse("protocol")
            if not isinstance(err, BrokenRule | TooLarge):
                report(err)
            self.discard()
            self.assoc.dul.socket.cut()

    def _receive(self, value: tuple[int, bytes]) -> None:
        self._check(value)
        part = P_DATA()
        part.presentation_data_value_list = [list(value)]
        super().receive_primitive(part)
        message = self.message
        if isinstance(message, C_STORE_RQ) and message._data_set_file is None:
            self._begin_object(message)

    def _check(self, value: tuple[int, bytes]) -> None:
        """Refuse what does not belong to the message in hand.

        Raises:
            BrokenRule: it does not.
        """
        context, data = value
        if context not in self.assoc._accepted_cx or not data:
            raise BrokenRule
        if self.message is None:
            self._began = time.monotonic()
            if self.msg_queue.qsize():  # more than one request at a time was not agreed
                raise BrokenRule
        elif time.monotonic() - self._began > self._limits.object_s:
            raise BrokenRule
        is_command, message = data[0] & 1, self.message
        if message is None or message.context_id is None:  # its command is not whole
            sent = 0 if message is None else message.encoded_command_set.tell()
            if not is_command or sent + len(data) > _MAX_COMMAND_BYTES:
                raise BrokenRule
        elif is_command or message._data_set_file is None or message.context_id != context:
            raise BrokenRule  # no other message than C-STORE has a data set here

    def _begin_object(self, message: C_STORE_RQ) -> None:
        command = message.command_set
        syntax = self.assoc._accepted_cx[message.context_id].transfer_syntax[0]
        meta = file_meta_of(command.AffectedSOPClassUID, command.AffectedSOPInstanceUID, syntax)
        spool = Spool(self._folder, meta)
        self._spools = [*self._spools[-1:], spool]  # the one before may still be answered
        message._data_set_file, message._data_set_path = spool, spool.path

    def get_msg(self, block: bool = False) -> Any:
        """The next message; none after a moment."""
        try:
            return self.msg_queue.get(timeout=LOOK_S)
        except queue.Empty:
            return None, None

    def discard(self) -> None:
        """Remove objects that were not finished."""
        for spool in self._spools:
            spool.discard()


class GuardedStates(StateMachine):
    """Ends the connection, quietly, where a message cannot be understood."""

    def do_action(self, event: str) -> None:
        """Act on an event."""
        try:
            super().do_action(event)
        except Exception:  # also for events that the standard does not allow in this state
            self.dul.kill_dul()
            self.dul.assoc._kill = True
            if self.dul.socket is not None:
                self.dul.socket.cut()


class LimitedAssociation(Association):
    """An association that a peer asked for; its thread never ends with a traceback."""

    def __init__(self, ae: Any, at_end: Callable[[LimitedAssociation], None]) -> None:
        super().__init__(ae, "acceptor")
        self.dul.state_machine = GuardedStates(self.dul)
        self._at_end = at_end

    def run_reactor(self) -> None:
        """Serve the peer until one of the two ends it."""
        try:
            super().run_reactor()
        except Exception as err:  # of pynetdicom, for what it cannot decode
            report(err)
        finally:
            self.end()
            self._at_end(self)

    def end(self) -> None:
        """Close the connection; what was not acknowledged is gone."""
        self._kill = True
        self._reactor_checkpoint.set()
        self.dul.kill_dul()
        if self.dul.socket is not None:
            self.dul.socket._shutdown_socket()
        if self._started_dul:
            self.dul.join(_STOP_S)
        self.dimse.discard()


class LimitedEntity(AE):
    """Asks others for associations; its connections have limits too."""

    connected: LimitedSocket | None = None
    """The last connection."""

    def __init__(self, title: str, limits: Limits) -> None:
        super().__init__(title)
        self._limits = limits

    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: Any
    ) -> AssociationSocket:
        assoc.dul.state_machine = GuardedStates(assoc.dul)
        self.connected = LimitedSocket(assoc, self._limits, address=address)
        self.connected.tls_args = tls_args
        return self.connected


def report(err: Exception) -> None:
    """Log an error of the protocol by its type: its text may hold what the peer sent."""
    frame = err.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
    notice(f"DICOM: a message cannot be used: {type(err).__name__} at {place}")
