"""DICOM devices and archives for tests: radiographs, a sender that tries again, an archive."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dsutils import encode
from pynetdicom.transport import AssociationSocket

from cxr_edge.data.phantom import draw_phantom

MARKER = "MARKERNAME"
"""Part of every name, number and date of the patient, and of nothing else."""
CR = "1.2.840.10008.5.1.4.1.1.1"
CR_RAW = "1.2.840.10008.5.1.4.1.1.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
REPORTS = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7")
"""Comprehensive SR, Secondary Capture."""
TITLE = "CXR-EDGE"


def radiograph(number: int = 0, *, sop_class: str = CR, side: int = 160) -> Dataset:
    """A drawn chest radiograph of 12 bits, another for each number, in a study of its own."""
    image = Dataset()
    image.SOPClassUID = sop_class
    image.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(number)])
    image.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    image.PatientName, image.PatientID = f"{MARKER}^{number}", f"{MARKER}ID{number}"
    image.PatientBirthDate, image.PatientSex = "19310807", "F"
    image.StudyDate, image.StudyTime, image.AccessionNumber = "20260203", "101112", MARKER
    image.StudyID, image.ReferringPhysicianName = "1", f"{MARKER}^DOCTOR"
    image.Modality, image.BodyPartExamined, image.ViewPosition = "CR", "CHEST", "PA"
    image.PatientOrientation = ["L", "F"]
    image.Manufacturer, image.InstanceNumber, image.SeriesNumber = "drawn", 1, 1
    image.Rows, image.Columns = side, side
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.WindowCenter, image.WindowWidth = 2048, 4096
    drawn = draw_phantom(np.random.default_rng([11, number]), height=side, width=side)
    image.PixelData = (drawn.astype(np.uint16) << 4).tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = sop_class
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def to_file(image: Dataset) -> bytes:
    written = BytesIO()
    dcmwrite(written, image, enforce_file_format=True)
    return written.getvalue()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def association(
    port: int, *, calling: str = "SENDER", called: str = TITLE, **arguments: Any
) -> Iterator[Any]:
    """An association with a service, or the attempt."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(VERIFICATION)
    syntaxes = arguments.pop("syntaxes", [ExplicitVRLittleEndian])
    for sop_class in (CR, CR_RAW):
        entity.add_requested_context(sop_class, syntaxes)
    made = entity.associate("127.0.0.1", port, ae_title=called, **arguments)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def send(port: int, image: Dataset) -> int | None:
    """Send an image; its status, None: the association was refused or ended."""
    with association(port) as made:
        if not made.is_established:
            return None
        status = made.send_c_store(image).get("Status")
        return None if status is None else int(status)


def request_bytes() -> bytes:
    """A request for an association, as a sender writes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = []

        def take() -> None:
            connected, _ = server.accept()
            received.append(connected.recv(2**16))
            connected.close()

        taking = threading.Thread(target=take)
        taking.start()
        with association(server.getsockname()[1]):
            taking.join()
    return bytes(received[0])


def part(context: int, control: int, data: bytes) -> bytes:
    """One P-DATA-TF with one value: control 1 is a command, 2 the last part."""
    value = bytes([context, control]) + data
    item = len(value).to_bytes(4, "big") + value
    return b"\x04\x00" + len(item).to_bytes(4, "big") + item


def store_command(image: Dataset, **changes: Any) -> bytes:
    """The command set of a C-STORE."""
    command = Dataset()
    command.AffectedSOPClassUID = image.SOPClassUID
    command.CommandField, command.MessageID, command.Priority = 0x0001, 1, 0
    command.CommandDataSetType = 1
    command.AffectedSOPInstanceUID = image.SOPInstanceUID
    for keyword, value in changes.items():
        setattr(command, keyword, value)
    command.CommandGroupLength = 0
    command.CommandGroupLength = len(encode(command, True, True) or b"") - 12
    return encode(command, True, True) or b""


def _close_always(self: AssociationSocket) -> None:
    """Of the peers: pynetdicom leaves a socket open that the other side has shut down."""
    if self.socket is not None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


AssociationSocket._shutdown_socket = _close_always  # type: ignore[method-assign]


class Archive:
    """Takes reports, and answers each with the next status of a list, at last with the last."""

    def __init__(
        self,
        *,
        port: int = 0,
        statuses: tuple[int, ...] = (0,),
        classes: tuple[str, ...] = REPORTS,
        dies_of: str = "",
        title: str = "ARCHIVE",
    ) -> None:
        self.received: list[Dataset] = []
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.statuses, self._dies_of = list(statuses), dies_of
        entity = AE(ae_title=title)
        entity.require_called_aet = True
        for sop_class in classes or (VERIFICATION,):
            entity.add_supported_context(sop_class)
        handlers = [(evt.EVT_C_STORE, self._take)]
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=handlers, ae_title=title
        )
        self.port = self._server.socket.getsockname()[1]

    def _take(self, event: Any) -> int:
        self.asked.set()
        if event.request.AffectedSOPInstanceUID == self._dies_of:
            event.assoc.abort()
        self.may_answer.wait(30)
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 0:
            self.received.append(dataset)
        return status

    def close(self) -> None:
        self._server.shutdown()


class RetryingSender(threading.Thread):
    """Sends each image until it is acknowledged."""

    def __init__(
        self, images: list[Any], deliver: Callable[[Any], bool], *, pause_s: float = 0.05
    ) -> None:
        super().__init__(daemon=True)
        self.images, self.deliver, self.pause_s = images, deliver, pause_s
        self.acknowledged = 0
        self.attempts = 0

    def run(self) -> None:
        for image in self.images:
            while True:
                self.attempts += 1
                if self.deliver(image):
                    break
                time.sleep(self.pause_s)
            self.acknowledged += 1


def everything_below(folder: Path, *, without: tuple[str, ...]) -> bytes:
    """The bytes of all files of a folder, but for those of some folders in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    outside = [p for p in files if p.relative_to(folder).parts[0] not in without]
    return b"".join(str(path).encode() + path.read_bytes() for path in outside)
