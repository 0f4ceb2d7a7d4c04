"""An outbox for tests, and what delivers its reports."""

from __future__ import annotations

from types import SimpleNamespace

from dicom_peers import radiograph, to_file

from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.forwarder import Forwarder
from cxr_edge.service.dicom.outbox import Outbox, report_name
from cxr_edge.service.dicom.settings import DicomSettings

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class Delivering:
    """An outbox with two reports, and what delivers them."""

    def __init__(self, folder, port, *, has_clock=True, **settings):
        self.figures, self.problems = Figures(), {}
        self.said = []
        self.outbox = Outbox(folder)
        given = {"forward": f"127.0.0.1:{port}:ARCHIVE", "retry_s": 0.1, **settings}
        self.forwarder = Forwarder(
            DicomSettings(**given),
            self.outbox,
            self.figures,
            SimpleNamespace(set=self._set),
            has_clock=lambda: has_clock,
        )

    def _set(self, part, problem):
        if problem:
            self.said.append(problem)
        self.problems[part] = problem

    def put(self, count=2):
        self.outbox.prepare()
        for number in range(count):
            data = to_file(radiograph(number, sop_class=SECONDARY_CAPTURE))
            self.outbox.put(report_name(f"{number:032}" * 2, "b" * 64, "sr"), data)

    @property
    def waiting(self):
        return len(self.outbox.waiting())
