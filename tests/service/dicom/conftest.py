"""A listener in this process, without the rest of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.dicom.listener import Listener
from cxr_edge.service.dicom.settings import DicomSettings
from cxr_edge.service.dicom.spool import ReceivedFolder


class Listening:
    def __init__(self, folder: Path, min_free_bytes: float, **settings: Any) -> None:
        self.figures = Figures()
        self.woken = 0
        given = DicomSettings(**{"enabled": True, "port": 0, **settings})
        self.folder = ReceivedFolder(
            folder, max_bytes=int(given.max_object_mb * 1e6), min_free_bytes=min_free_bytes
        )
        self.listener = Listener(given, self.folder, self.figures, self._wake)
        self.listener.start()
        self.port = self.listener.port

    def _wake(self) -> None:
        self.woken += 1

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.folder.iterdir())


Listen = Callable[..., Listening]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    made = []

    def start(*, min_free_bytes: float = 1, **settings: Any) -> Listening:
        made.append(Listening(tmp_path / "received", min_free_bytes, **settings))
        return made[-1]

    yield start
    for listening in made:
        listening.listener.stop()
        assert not listening.listener.is_running
        left = [path for path in listening.files if path.name.startswith(".")]
        assert not left, "an unfinished object was left behind"
