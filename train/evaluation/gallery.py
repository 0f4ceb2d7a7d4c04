"""The gallery: a few images that a person should look at, with heat maps where the model has them.

Only pictures go to files; the document names them by relative paths.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.classifier import Classifier
from cxr_edge.data.folders import Labels
from cxr_edge.decision import decision_margins, positive_scores, uncertain
from cxr_edge.errors import OutputError
from cxr_edge.files import printable, remove_file, write_file
from cxr_edge.image import read_image
from cxr_edge.metrics.evaluation import GalleryEntry, GalleryGroup
from cxr_edge.overlay import colour_image
from cxr_edge.preprocess import Image
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.inputs import EvaluationInputs
from cxr_edge.train.evaluation.robustness import spread_evenly
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import ScoredModel

GALLERY_SIZE = 6
"""Images of each kind."""
PICTURE_SIDE = 200
"""Longer side of a picture, pixels."""

Kind = Literal["wrong", "nearest", "right"]
"""See :attr:`.document.GalleryGroup.kind`."""

_JPEG_QUALITY = 90
_PICTURE_NAME = re.compile(r"\d{5,}(-heatmap)?\.jpg")


@dataclass(frozen=True, slots=True, eq=False)
class GalleryChoice:
    """Images chosen for one reason."""

    kind: Kind
    total: int
    """How many images there are to choose from."""
    chosen: npt.NDArray[np.intp]
    """Indices of images, at most :data:`GALLERY_SIZE`."""


def choose_images(scored: Scored, spec: ModelSpec) -> tuple[GalleryChoice, ...]:
    """The most certain errors, the decisions nearest to changing, and some right ones."""
    certainty = scored.table[np.arange(len(scored.labels)), scored.decisions]
    wrong = np.flatnonzero(scored.decisions != scored.labels)
    certain = wrong[np.argsort(-certainty[wrong], kind="stable")]
    certain = _labels_in_turn(certain, scored.labels)[:GALLERY_SIZE]
    by_margin = np.argsort(decision_margins(scored.table, spec), kind="stable")
    nearest = by_margin[~np.isin(by_margin, certain)]
    right = np.flatnonzero(scored.decisions == scored.labels)
    return (
        GalleryChoice("wrong", len(wrong), certain),
        GalleryChoice("nearest", len(by_margin), nearest[:GALLERY_SIZE]),
        GalleryChoice("right", len(right), spread_evenly(right, GALLERY_SIZE)),
    )


def _labels_in_turn(indices: npt.NDArray[np.intp], labels: Labels) -> npt.NDArray[np.intp]:
    """The first of each label, then the second of each: no kind of error hides the others."""
    ranks = np.zeros(len(indices), np.intp)
    for label in np.unique(labels[indices]):
        members = labels[indices] == label
        ranks[members] = np.arange(np.count_nonzero(members))
    return indices[np.argsort(ranks, kind="stable")]


def gallery_folder(out: Path, part: str) -> Path:
    """The folder of a part's pictures."""
    return out / f"{part}-gallery"


def write_gallery(
    out: Path, inputs: EvaluationInputs, scored: Scored, model: ScoredModel
) -> tuple[GalleryGroup, ...]:
    """Write the pictures into ``<part>-gallery/`` and describe them.

    Args:
        out: folder of the document.
        inputs: the images.
        scored: what the model made of them.
        model: draws heat maps, where it has them.

    Raises:
        ImageError: a file has changed since it was scored.
        EngineError: the file with the heat maps does not run.
        OutputError: a picture cannot be written.
    """
    choices = choose_images(scored, model.spec)
    chosen = np.unique(np.concatenate([choice.chosen for choice in choices]))
    folder = gallery_folder(out, inputs.part)
    classifier = model.explainer.load() if model.explainer and inputs.images.files else None
    entries = {}
    for index, entry in zip(chosen, _describe(chosen, inputs, scored, model), strict=True):
        image = _read(inputs, int(index), model.spec)
        _write_jpeg(folder / Path(entry.picture).name, _to_bgr(image))
        if classifier:
            heatmap = Path(entry.picture).with_stem(f"{Path(entry.picture).stem}-heatmap")
            drawn = _draw_heatmap(classifier, inputs.images.files[index], image)
            _write_jpeg(folder / heatmap.name, drawn)
            entry = dataclasses.replace(entry, heatmap=heatmap.as_posix())
        entries[index] = entry
    remove_pictures(folder, keep=entries.values())
    return tuple(
        GalleryGroup(choice.kind, choice.total, tuple(entries[i] for i in choice.chosen))
        for choice in choices
    )


def remove_pictures(folder: Path, keep: Iterable[GalleryEntry] = ()) -> None:
    """Remove the pictures that an earlier evaluation left, so that none outlives its document.

    Args:
        folder: a gallery's; nothing happens where there is none, or a link in its place.
        keep: what the gallery shows now.

    Raises:
        OutputError: a picture cannot be removed.
    """
    kept = {Path(name).name for e in keep for name in (e.picture, e.heatmap) if name}
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if path.name not in kept and _PICTURE_NAME.fullmatch(path.name):
            remove_file(path)


def _describe(
    chosen: npt.NDArray[np.intp], inputs: EvaluationInputs, scored: Scored, model: ScoredModel
) -> Sequence[GalleryEntry]:
    spec, table = model.spec, scored.table[chosen]
    scores, doubts = positive_scores(table, spec), uncertain(table, spec)
    outside = model.domain.outside(inputs.images.pixels[chosen]) if model.domain else None
    return [
        GalleryEntry(
            file=inputs.names[index] if inputs.names else None,
            label=spec.labels[scored.labels[index]],
            decision=spec.labels[scored.decisions[index]],
            score=float(scores[place]),
            uncertain=bool(doubts[place]) if spec.uncertain_band else None,
            out_of_domain=None if outside is None else bool(outside[place]),
            picture=f"{inputs.part}-gallery/{index:05d}.jpg",
            heatmap=None,
        )
        for place, index in enumerate(chosen)
    ]


def _read(inputs: EvaluationInputs, index: int, spec: ModelSpec) -> Image:
    """(H, W) grey or (H, W, 3) RGB uint8, shrunk to :data:`PICTURE_SIDE` if it is larger."""
    if inputs.images.files:
        image = read_image(inputs.images.files[index], channels=spec.input.channels)
    else:
        image = inputs.images.pixels[index]
        image = image[..., 0] if image.shape[2] == 1 else image
    shrink = min(1.0, PICTURE_SIDE / max(image.shape[:2]))
    height, width = (max(1, round(side * shrink)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _draw_heatmap(classifier: Classifier, file: Path, image: Image) -> Image:
    """Compute the map on the whole file, draw it on the small image."""
    explanation = dataclasses.replace(classifier.explain(file), image=image)
    return colour_image(explanation, classifier.spec.input, max_side=PICTURE_SIDE)


def _to_bgr(image: Image) -> Image:
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)


def _write_jpeg(path: Path, image: Image) -> None:
    encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not encoded:
        raise OutputError(f"{printable(path)}: OpenCV cannot encode the picture")
    write_file(path, data.tobytes())
