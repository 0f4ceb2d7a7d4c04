"""The results of a classification: a prediction, or a failure that says why there is none."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_edge.records import dataclass

if TYPE_CHECKING:  # numpy is slow to import
    import numpy as np
    import numpy.typing as npt

    from cxr_edge.spec import ModelSpec

SCHEMA = "cxr-edge.predictions/1"
"""Name and version of what :func:`to_document` returns; ``docs/predictions.md`` describes it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The decision for one image."""

    source: str | None
    """The file as it was named; None for an image given as bytes or array."""
    label: str
    """The decision."""
    score: float
    """P(positive label) for two labels, P(label) for more; 0..1."""
    scores: dict[str, float]
    """P(label) for every label, in the order of the spec."""
    threshold: float | None
    """A score of at least this is the positive label; None for more than two labels."""
    uncertain: bool
    """Whether the score lies in the model's uncertainty band; False if the model has none."""
    out_of_domain: bool | None
    """Whether the image is unlike the training images; None: the model cannot tell."""
    engine: str
    """The engine that ran."""
    artifact: str
    """The model file that it ran."""
    heatmap: str | None = None
    """File of the heat map picture; None: none was drawn."""
    sop_instance_uid: str | None = None
    """Of the DICOM file; None: not asked for (``cxr-edge predict --ids``), or it has none."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A prediction, the heat map of what moved its score, and the image."""

    prediction: Prediction
    """From the same model file as the heat map."""
    heatmap: npt.NDArray[np.float32]
    """(rows, columns) evidence for the positive label, 0 or more, in units of its log-odds.

    The map covers the network's input. It shows what moved the score, not where an object is."""
    image: npt.NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) RGB, as it was decoded."""
    spec: ModelSpec | None = None
    """Of the model that explained it; None: made by hand, and cannot be saved."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG of the image with its heat map, the decision, the score and a colour bar.

        Args:
            path: ends in ``.png``; an existing file is replaced.

        Raises:
            UsageError: it has another suffix, or the explanation has no spec.
            OutputError: the file cannot be written.
        """
        from cxr_edge.overlay import save_overlay

        save_overlay(self, Path(path))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no prediction."""

    source: str | None
    """The file as it was named; None for an image given as bytes or array."""
    error: str
    """Name of the error's type, for example ``ImageError``."""
    message: str
    """One line: what was found, what was expected, what to do."""
    exit_code: int = 1
    """What the command line exits with if this was its only image; 0: it was left out of a folder,
    which is no failure."""
    sop_instance_uid: str | None = None
    """Of the DICOM file; None: not asked for, or it has none."""


def to_document(result: Prediction | Failure, *, ids: bool = False) -> dict[str, object]:
    """A result as a JSON object, without its ``schema``.

    Args:
        result: the result.
        ids: whether the object has the file's SOP Instance UID.
    """
    if isinstance(result, Prediction):
        document: dict[str, object] = {"ok": True, **dataclasses.asdict(result)}
        del document["sop_instance_uid"]
    else:
        document = {
            "ok": False,
            "source": result.source,
            "error": result.error,
            "message": result.message,
        }
    for key in ("source", "heatmap"):
        if document.get(key) is not None:
            document[key] = _without_surrogates(str(document[key]))
    if ids:
        document["sop_instance_uid"] = result.sop_instance_uid
    return document


def _without_surrogates(path: str) -> str:
    r"""A path as JSON may hold it: a byte that is no UTF-8 is written as the text ``\udcNN``."""
    return path.encode("utf-8", "backslashreplace").decode()
