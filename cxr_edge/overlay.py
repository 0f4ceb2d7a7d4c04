"""Heat map pictures: the image in grey, coloured where it moved the score, with a caption below."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.model_card import heatmap_meaning
from cxr_edge.classifier import Classifier
from cxr_edge.engines import Heatmaps
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.files import printable, write_file
from cxr_edge.image.listing import HEATMAP_SUFFIX, stem_of
from cxr_edge.lettering import BACKGROUND, Lettering, Picture
from cxr_edge.preprocess import image_area, shown_area
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.spec import InputSpec, ModelSpec

MAX_SIDE = 1024
"""Longer side of the image in a picture, pixels."""
MIN_WIDTH = 320
"""Least width of a picture with a caption, pixels."""

_WARNING = (60, 190, 255)  # amber
_CAUTION_INK = (170, 170, 170)
_BLUR = 0.3  # of a cell's side: smooths the edges between cells
_STRONGEST = 0.6  # opacity at the map's largest value: the image stays visible below


def write_overlays(
    classifier: Classifier,
    sources: Sequence[str | bytes],
    folder: Path,
    *,
    on_explanation: Callable[[Explanation], None] | None = None,
) -> Iterator[Prediction | Failure]:
    """Classify images and write a heat map picture of each.

    Args:
        classifier: loaded with ``heatmap=True``.
        sources: paths, or the bytes of a file.
        folder: for the pictures, named ``STEM.heatmap.png``; created if absent. A number is added
            to a name that another picture or an image of ``sources`` has.
        on_explanation: called with each explanation, before its prediction is yielded.

    Yields:
        In order, predictions with the path of their picture, and failures.

    A picture whose name is too long, or is that of a folder, makes its image a failure.

    Raises:
        OutputError: a picture could not be written, and the next could not either.
        EngineError: the engine failed, or its output is no probability.
    """
    paths = (source for source in sources if isinstance(source, str))
    taken = {
        file_key(Path(path)) for path in paths if "\0" not in path
    }  # with NUL: a failure below
    for result in classifier.explain_many(sources):
        if isinstance(result, Failure):
            yield result
            continue
        source = result.prediction.source
        path = _free_name(folder, stem_of(source) if source else "stdin", taken)
        taken.add(file_key(path))
        try:
            _write_picture(path, draw_overlay(result, classifier.spec))
        except OutputError as err:
            if not concerns_only(path, err):
                raise
            yield Failure(source, type(err).__name__, str(err), err.exit_code)
            continue
        if on_explanation is not None:
            on_explanation(result)
        yield dataclasses.replace(result.prediction, heatmap=str(path))


def save_overlay(explanation: Explanation, path: Path) -> None:
    """Write the picture that :func:`draw_overlay` draws as a PNG.

    Raises:
        UsageError: the path does not end in ``.png``, or the explanation has no spec.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{printable(path)}: a heat map is saved as PNG; end the name in .png")
    if explanation.spec is None:
        raise UsageError("the explanation has no spec; save one that a Classifier returned")
    _write_picture(path, draw_overlay(explanation, explanation.spec))


def _write_picture(path: Path, picture: Picture) -> None:
    encoded, data = cv2.imencode(".png", picture)
    if not encoded:
        raise OutputError(f"{printable(path)}: OpenCV cannot encode the picture")
    write_file(path, data.tobytes())


def draw_overlay(explanation: Explanation, spec: ModelSpec, *, max_side: int = MAX_SIDE) -> Picture:
    """Draw an image with its heat map, and below it the decision, the score and a colour bar.

    Args:
        explanation: the image, its prediction and its map.
        spec: of the model that explained it.
        max_side: longer side of the image in the picture, pixels.

    Returns:
        (H, W, 3) uint8, blue, green, red. Its first rows are what :func:`colour_image` draws,
        centred where the text is wider; nothing is drawn over them.
    """
    image = colour_image(explanation, spec.input, max_side=max_side)
    text = Lettering(max(image.shape[1], MIN_WIDTH))
    left = (text.width - image.shape[1]) // 2
    right = text.width - image.shape[1] - left
    framed = cv2.copyMakeBorder(
        image, 0, 0, left, right, cv2.BORDER_CONSTANT, value=(*BACKGROUND, 0)
    )
    return np.vstack([framed, *_caption(explanation, spec, text)])


def colour_image(explanation: Explanation, spec: InputSpec, *, max_side: int = MAX_SIDE) -> Picture:
    """Colour an image by its heat map, without any text.

    Args:
        explanation: the image and its map.
        spec: how the image was brought to the network's input, which the map covers; what a crop
            cut off stays grey.
        max_side: longer side of the picture, pixels; a smaller image is not enlarged.

    Returns:
        (h, w, 3) uint8, blue, green, red: plain grey where there is no evidence, from violet to
        yellow where there is, relative to the map's largest value.
    """
    image = explanation.image
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    shrink = min(1.0, max_side / max(grey.shape))
    height, width = (max(1, round(side * shrink)) for side in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return _blend(np.asarray(small, np.uint8), _strength(explanation, spec, height, width))


def _caption(explanation: Explanation, spec: ModelSpec, text: Lettering) -> list[Picture]:
    """Rows of text and colours, as wide as the picture."""
    prediction = explanation.prediction
    label = spec.positive_label or prediction.label
    name = text.shorten(label, text.text_width // 2)
    score = f"P({name}) = {prediction.score:.4f}"
    if prediction.threshold is not None:
        score += f", threshold {prediction.threshold:g}"
    decision = text.shorten(prediction.label, text.text_width, bold=True)
    rows = [text.row(decision, bold=True), *text.rows(score)]
    if prediction.uncertain:
        rows += text.rows("uncertain", _WARNING)
    if prediction.out_of_domain:  # before the decision, which means nothing then
        rows[:0] = text.rows("out of domain: unlike the training images", _WARNING)
    largest = float(explanation.heatmap.max())
    if largest > 0:
        rows.append(_colour_bar(text, f"{largest:.2g}"))
        rows += text.rows(f"evidence for {name}, in units of its log-odds")
    else:
        rows += text.rows(f"no evidence for {name} anywhere in the image")
    return rows + text.rows(f"A heat map shows {heatmap_meaning(spec)}.", _CAUTION_INK)


def _colour_bar(text: Lettering, largest: str) -> Picture:
    """The map's colours from 0 to its largest value, as they look on a medium grey."""
    gap = text.margin
    start = text.measure("0") + gap
    length = text.text_width - start - gap - text.measure(largest)
    row = text.row(largest, left=start + length + gap)
    row[:, : text.margin + start] = text.row("0")[:, : text.margin + start]
    height = text.row_height // 2
    shares = np.linspace(0, 1, length, dtype=np.float32)
    strength = np.tile(shares, (height, 1))
    top, left = (text.row_height - height) // 2, text.margin + start
    row[top : top + height, left : left + length] = _blend(
        np.full(strength.shape, 128, np.uint8), strength
    )
    return row


def _blend(grey: npt.NDArray[np.uint8], strength: Heatmaps) -> Picture:
    """(h, w) grey levels under the colours of (h, w) shares 0..1 of the strongest evidence."""
    plain = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.float32)
    colours = cv2.applyColorMap(np.rint(strength * 255).astype(np.uint8), cv2.COLORMAP_PLASMA)
    opacity = (_STRONGEST * strength)[..., np.newaxis]
    return np.rint(plain + opacity * (colours - plain)).astype(np.uint8)


def _strength(explanation: Explanation, spec: InputSpec, height: int, width: int) -> Heatmaps:
    """(height, width) the map over the image, relative to its largest value, 0..1."""
    heatmap = explanation.heatmap
    largest = float(heatmap.max())
    if largest <= 0:
        return np.zeros((height, width), np.float32)
    share = heatmap / np.float32(largest)
    # The map covers the whole input; of a letterbox only the image's part is shown. Cubic
    # interpolation would overshoot beside a maximum and show evidence where there is none.
    covered = cv2.resize(share, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
    cells = spec.width / share.shape[1], spec.height / share.shape[0]
    smooth = cv2.GaussianBlur(covered, (0, 0), *(_BLUR * side for side in cells))
    smooth = smooth / smooth.max()
    rows, columns = explanation.image.shape[:2]
    visible = np.ascontiguousarray(smooth[image_area(rows, columns, spec)])
    place = _scaled(shown_area(rows, columns, spec), height / rows, width / columns)
    strength = np.zeros((height, width), np.float32)  # no evidence where a crop cut the image
    size = strength[place].shape[::-1]
    strength[place] = cv2.resize(visible, size, interpolation=cv2.INTER_LINEAR).clip(0, 1)
    return strength


def _scaled(area: tuple[slice, slice], *factors: float) -> tuple[slice, ...]:
    """An area of an image in the pixels of a smaller picture; never empty."""
    starts = [int(side.start * factor) for side, factor in zip(area, factors, strict=True)]
    stops = [round(side.stop * factor) for side, factor in zip(area, factors, strict=True)]
    return tuple(
        slice(start, max(stop, start + 1)) for start, stop in zip(starts, stops, strict=True)
    )


def _free_name(folder: Path, stem: str, taken: set[str]) -> Path:
    path, number = folder / f"{stem}{HEATMAP_SUFFIX}", 1
    while file_key(path) in taken:
        number += 1
        path = folder / f"{stem}-{number}{HEATMAP_SUFFIX}"
    return path


def concerns_only(path: Path, err: OutputError) -> bool:
    """Whether only this file cannot be written, because of its name or of what has that name."""
    cause = err.__cause__
    if isinstance(cause, OSError):
        return cause.errno == errno.ENAMETOOLONG
    return path.parent.is_dir()


def file_key(path: Path) -> str:
    """Equal for two names of one file, also on a file system that ignores case."""
    return os.path.realpath(path).casefold()
