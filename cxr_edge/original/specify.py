"""The spec of a saved Keras model as one call, for Python and for ``cxr-edge spec``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cxr_edge.errors import UsageError, unknown_name
from cxr_edge.files import PathLike, check_parent, optional_path, printable

if TYPE_CHECKING:
    from cxr_edge.original.infer import Geometry, InferredSpec, Interpolation


def infer_spec(
    model: PathLike,
    *,
    labels: Sequence[str] | None = None,
    data: PathLike | None = None,
    preset: str | None = None,
    size: tuple[int, int] | None = None,
    geometry: Geometry | None = None,
    interpolation: Interpolation | None = None,
    threshold: float | None = None,
    positive: str | None = None,
    out: PathLike | None = None,
) -> InferredSpec:
    """Infer input, labels and decision rule of a saved Keras classifier.

    A file of weights does not say how the training scaled and resized its images: check each
    explanation of the result that ``is_doubtful``.

    Args:
        model: a Keras model, ``.keras`` or ``.h5``.
        labels: in output order; None: those of ``data``, else placeholders.
        data: folder of the training images; its class folders, sorted, are the labels.
        preset: how the training scaled pixels: ``unit`` 0..1, ``tf`` -1..1, ``none`` 0..255,
            ``caffe`` and ``torch`` as in ``keras.applications``. None: what the model shows, else
            ``unit``.
        size: (rows, columns) in pixels, for a model that takes images of any size.
        geometry: how the training fitted the aspect ratio: ``squash``, ``letterbox`` or
            ``center-crop``; None: ``squash``.
        interpolation: how the training resized: ``area`` or ``linear``; None: ``linear``.
        threshold: score from which the positive label is reported, 0..1; None: 0.5.
        positive: of two labels, the positive one; None: the second.
        out: a new file for the spec, JSON; None: nothing is written.

    Raises:
        UsageError: an argument is wrong or contradicts the model, ``out`` exists, or ``data`` is
            not laid out as expected (:class:`DataError`).
        ModelError: the file is no Keras model, or no image classifier with one sigmoid or softmax
            output.
        MissingExtraError: Keras is not installed (extra ``export``).
        OutputError: ``out`` cannot be written.
    """
    _check_labels(labels)
    _check_size(size)
    _check_choices(preset, geometry, interpolation)
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold is {threshold}, expected a number within 0..1")
    path, file = Path(model), optional_path(out)
    if file is not None and _exists(file):
        raise UsageError(f"{printable(file)}: exists; remove it or name another file")
    if file is not None:
        check_parent(file)
    data_labels = None if data is None else _folder_labels(Path(data))
    _check_printable((*(labels or ()), *(data_labels or ())))

    from cxr_edge import documents
    from cxr_edge.files import write_file
    from cxr_edge.original.infer import Given, infer_from_network
    from cxr_edge.original.keras_model import open_keras

    saved = open_keras(path, extra="export")
    given = Given(
        name=printable(path.stem),
        labels=None if labels is None else tuple(labels),
        data_labels=data_labels,
        preset=preset,
        size=size,
        geometry=geometry,
        interpolation=interpolation,
        threshold=threshold,
        positive=positive,
    )
    inferred = infer_from_network(saved.model, given, printable(path), saved.loss)
    if file is not None:
        write_file(file, documents.dump(inferred.spec))
    return inferred


def wrong_size(text: str) -> UsageError:
    """The error for a size that is not two numbers of pixels."""
    return UsageError(f"--size is {text!r:.40}, expected HxW in pixels, for example 224x224")


def _check_labels(labels: Sequence[str] | None) -> None:
    if labels is None:
        return
    given = labels if isinstance(labels, str) else ",".join(labels)
    if isinstance(labels, str) or "" in labels or len({*labels}) != len(labels) or len(labels) < 2:
        raise UsageError(f"--labels is {given!r:.80}, expected at least two different names: a,b")


def _check_size(size: tuple[int, int] | None) -> None:
    from cxr_edge.spec import MAX_SIDE

    if size is None:
        return
    if len(size) != 2 or not all(1 <= side <= MAX_SIDE for side in size):
        raise wrong_size("x".join(map(str, size)))


def _check_choices(preset: str | None, geometry: str | None, interpolation: str | None) -> None:
    from cxr_edge.original.infer import Geometry, Interpolation
    from cxr_edge.spec_file import PRESETS

    choices: dict[str, tuple[str | None, Iterable[str]]] = {
        "preset": (preset, PRESETS),
        "geometry": (geometry, get_args(Geometry)),
        "interpolation": (interpolation, get_args(Interpolation)),
    }
    for kind, (name, known) in choices.items():
        if name is not None and name not in known:
            raise unknown_name(kind, name, known)


def _check_printable(labels: Iterable[str]) -> None:
    for label in labels:
        if not label.isprintable():
            raise UsageError(f"the label {label!r:.80} cannot be printed; rename it")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have: writing it says why
        return False


def _folder_labels(data: Path) -> tuple[str, ...]:
    """The classes of a data set, or of its ``train`` folder."""
    from cxr_edge.data.folders import find_split, open_folder

    return open_folder(find_split(data, "train") or data).labels
