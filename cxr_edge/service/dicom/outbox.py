"""The outbox: reports that wait until their archive has them, on the disk."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_edge.errors import OutputError
from cxr_edge.files import printable, sync_folder, why, write_file

ReportKind = Literal["sr", "heatmap"]

DEAD = "dead"
"""Folder in the outbox for reports that could not be delivered."""
_SUFFIX = ".dcm"


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """A file of the outbox."""

    file: Path
    since_s: float
    """When it was put there, also back from the folder of dead ones: seconds since 1970."""


class Outbox:
    """A folder of reports; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dead = folder, folder / DEAD

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            OutputError: they cannot be made.
        """
        try:
            self.dead.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            name = printable(self.folder)
            raise OutputError(f"{name}: cannot be made: {why(err)}") from err

    def has(self, name: str) -> bool:
        """Whether a report of this name waits."""
        return (self.folder / name).exists()

    def put(self, name: str, data: bytes) -> None:
        """Add a report; when this returns, it survives a power cut.

        Raises:
            OutputError: it cannot be written.
        """
        write_file(self.folder / name, data)
        sync_folder(self.folder)

    def waiting(self) -> list[WaitingReport]:
        """Reports to deliver, the oldest first."""
        reports = []
        for file in self.folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if not file.name.startswith("."):  # one that is being written
                    reports.append(WaitingReport(file, file.stat().st_ctime))
        return sorted(reports, key=lambda report: (report.since_s, report.file))

    def bury(self, report: WaitingReport) -> None:
        """Put a report that cannot be delivered among the dead ones."""
        self.dead.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            report.file.rename(self.dead / report.file.name)

    def remove(self, report: WaitingReport) -> None:
        """Forget a report that was delivered."""
        report.file.unlink(missing_ok=True)

    def count_dead(self) -> int:
        """Reports that could not be delivered."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.dead) as entries:
            return sum(entry.name.endswith(_SUFFIX) for entry in entries)
        return 0


def report_name(content: str, bundle: str, kind: ReportKind) -> str:
    """Name of a report's file: says nothing of its image, and is the same each time.

    Args:
        content: SHA-256 of the image's file.
        bundle: SHA-256 of the bundle that classified it.
        kind: of report.
    """
    return f"{content[:32]}.{bundle[:12]}.{kind}{_SUFFIX}"
