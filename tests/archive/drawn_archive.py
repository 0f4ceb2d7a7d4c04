"""A drawn archive, its results, and models that kill their process."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet

from cxr_edge.archive.request import ArchiveRequest
from cxr_edge.archive.rows import Row
from cxr_edge.archive.worker import ModelChoice
from cxr_edge.data.phantom import draw_phantom

BUNDLE = "b" * 64


_PHANTOMS = 20


def draw_archive(folder: Path, images: int, *, bad: int = 0) -> Path:
    """Folders of small drawn JPEGs, each another; every ``images / bad``-th is cut."""
    phantoms = [
        draw_phantom(np.random.default_rng([11, seed]), height=120, width=150)
        for seed in range(min(_PHANTOMS, images))
    ]
    for number in range(images):
        path = folder / f"{number // 100:03}" / f"image-{number:05}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = phantoms[number % _PHANTOMS].copy()
        picture[0, :16] = [255 * (number >> bit & 1) for bit in range(16)]
        data = cv2.imencode(".jpg", picture)[1].tobytes()
        is_bad = bad and number % (images // bad) == 0
        path.write_bytes(data[: len(data) // 3] if is_bad else data)
    return folder


def request(archive: Path, to: Path, **changes: Any) -> ArchiveRequest:
    return ArchiveRequest(str(archive), str(to), **changes)


def read_rows(to: Path) -> list[dict[str, Any]]:
    """All rows of a folder, sorted by their ids."""
    rows: list[dict[str, Any]] = []
    for part in sorted(to.glob("*.parquet")):
        rows += pyarrow.parquet.read_table(part).to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def a_row(path: str, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "id": f"{abs(hash(path)):032x}"[:32],
        "path": path,
        "bytes": 1,
        "modified_ns": 2,
        "sha256": "c" * 64,
        "bundle_sha256": BUNDLE,
        "attempt": 1,
        "ok": True,
        "label": "NORMAL",
        "score": 0.25,
        "scores": {"NORMAL": 0.75, "PNEUMONIA": 0.25},
        "threshold": 0.5,
        "uncertain": False,
        "out_of_domain": None,
        "engine": "onnxruntime",
        "artifact": "onnx-int8",
    }
    return Row(**(values | changes))


@dataclass(frozen=True, slots=True)
class DeadlyChoice(ModelChoice):
    """A model whose process is killed, stopped or surprised by images with such an end."""

    def load(self) -> Any:
        classifier = ModelChoice.load(self)
        predict = classifier.predict

        def predict_or_die(data: Any) -> Any:
            if data.endswith(b"kill me"):
                os.kill(os.getpid(), signal.SIGKILL)
            if data.endswith(b"stop me"):
                os.kill(os.getpid(), signal.SIGSTOP)
            if data.endswith(b"surprise me"):
                raise ZeroDivisionError("surprise")
            return predict(data)

        classifier.predict = predict_or_die  # type: ignore[method-assign]
        return classifier


@dataclass(frozen=True, slots=True)
class DeadOnArrival(ModelChoice):
    """A model that kills every process that loads it."""

    def load(self) -> Any:
        os._exit(7)
