"""What kind of file is this? Told by its content, so that a wrong file is named for what it is."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Literal

from cxr_edge.errors import ModelError
from cxr_edge.files import is_folder, why, why_no_file

MAX_MESSAGE = 300
"""The longest message, characters."""

MAX_NAME = 150
"""The longest part of a file's name in it, characters."""

Kind = Literal["keras", "hdf5"]

_SAVE = "in Keras, load it and call model.save('model.keras')"
_TORCH = "a PyTorch file; cxr-edge takes Keras classifiers only: build the network in Keras 3"
_CHECKPOINT = (
    "a checkpoint: weights without the network; build the network in Keras, load the weights into "
    "it and call model.save('model.keras')"
)
_SAVED_MODEL = (
    "a TensorFlow SavedModel, which Keras 3 cannot load as a model; load it where it was made and "
    "call model.save('model.keras')"
)
_MOST_LISTED_BYTES = 2**20
_LEVELDB_MAGIC = bytes.fromhex("57fb808b247547db")
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (rb"....TFL3", "a TFLite model; export starts from the Keras model it was made of"),
    (rb"\x08\x01\x12", _SAVED_MODEL),
    (
        rb"\x08[\x02-\x1f][\x12\x1a\x22\x2a\x3a\x42]",
        "an ONNX model; export starts from the Keras model it was made of",
    ),
    (rb"[^\0]..\0{5}\{", "a safetensors file: weights without the network; " + _TORCH[16:]),
    (rb"\x80[\x02-\x05]", "a pickle, as PyTorch writes, which is never opened; " + _SAVE),
    (rb"\x0a.{0,3}\x0a", "a frozen TensorFlow graph (.pb); " + _SAVE),
    (rb"model_checkpoint_path", _CHECKPOINT),
    (rb"\x93NUMPY", "a NumPy array; expected a whole model: " + _SAVE),
    (rb"\xff\xd8|\x89PNG|II\*|MM\0\*|BM", "a picture; expected a Keras model"),
    (rb"\s*<", "an XML or HTML file; expected a Keras model: " + _SAVE),
    (
        rb"\s*\{",
        "a JSON file (the network without its weights, or a spec); expected the whole model: "
        + _SAVE,
    ),
)


def refuse(name: str, what: str) -> ModelError:
    """An error of one line, at most 300 characters: the end of the reason gives way.

    Of a long name only its end is kept.
    """
    name = name if len(name) <= MAX_NAME else f"...{name[-MAX_NAME:]}"
    text = f"{name}: {' '.join(what.split())}"
    return ModelError(text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…")


def listing(names: list[str], room: int = 150) -> str:
    """Names separated by commas, at most ``room`` characters; of more, how many are left out."""
    text = ""
    for count, name in enumerate(names):
        item = name if len(name) <= 60 else f"{name[:59]}…"
        if text and len(text) + len(item) > room:
            return f"{text} and {len(names) - count} more"
        text += f", {item}" if text else item
    return text


def reason(err: BaseException, room: int = 140) -> str:
    """The last line of Keras's message, where its reason stands, at most ``room`` characters.

    A list of objects or arguments may follow it.
    """
    text = re.sub(r"\x1b\[[\d;]*m", "", str(err))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    while len(lines) > 1 and re.match(r"\[<|List of objects|•|Arguments received", lines[-1]):
        lines.pop()
    text = (lines or [type(err).__name__])[-1].removeprefix("Exception encountered: ")
    return text if len(text) <= room else f"{text[: room - 1]}…"


def model_kind(path: Path, name: str) -> Kind:
    """Whether a file is a ``.keras`` archive or HDF5.

    Args:
        path: a file or folder.
        name: what messages call it.

    Raises:
        ModelError: it is absent, empty, cut or anything else; says what it is and what to do.
    """
    if is_folder(path):
        raise refuse(name, _describe_folder(path))
    if reason := why_no_file(path):
        raise refuse(name, f"{reason}; expected a Keras model (.keras or .h5)")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, path.stat().st_size - 8))
            tail = file.read()
    except OSError as err:
        raise refuse(name, f"cannot be read: {why(err)}") from err
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK"):
        what = _describe_archive(path)
        if what is None:
            return "keras"
        raise refuse(name, what)
    raise refuse(name, f"no model saved by Keras, but {_describe_content(path, head, tail)}")


def _describe_content(path: Path, head: bytes, tail: bytes) -> str:
    if not head:
        return "an empty file; save it again"
    if tail == _LEVELDB_MAGIC or re.search(r"\.(ckpt|index|data-\d+-of-\d+)$", path.name):
        return _CHECKPOINT
    for pattern, what in _MAGIC:
        if re.match(pattern, head, re.DOTALL):
            return what
    return f"something else; expected .keras or .h5: {_SAVE}"


def _describe_archive(path: Path) -> str | None:
    """What a zip is; None: a ``.keras`` file."""
    try:
        if _lists_too_much(path):
            return "no model saved by Keras: a zip whose list of files is longer than any model's"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # zipfile raises a dozen kinds for damage
        return "no model saved by Keras: the file is cut or damaged; copy or save it again"
    inside = {item.rpartition("/")[2] for item in names}
    if "config.json" in names and any(item.startswith("model.weights.") for item in names):
        if "model.weights.npz" in names:
            return "its weights are NumPy's (.npz), which may hold pickles; save it with Keras 3"
        return None
    if "data.pkl" in inside:
        return f"no model saved by Keras, but {_TORCH}"
    if "saved_model.pb" in inside:
        return f"no model saved by Keras, but a zip of {_SAVED_MODEL}"
    if any(item.endswith((".keras", ".h5")) for item in names):
        return "no model saved by Keras, but a zip that holds one; unpack it"
    if names and all(item.endswith(".npy") for item in names):
        return f"no model saved by Keras, but NumPy arrays (.npz); {_SAVE}"
    return f"no model saved by Keras, but a zip of {listing(names, 60) or 'nothing'}; {_SAVE}"


def _lists_too_much(path: Path) -> bool:
    """Whether reading a zip's list of files alone would take more memory than any model's."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2**16 - 42))  # the last record, a comment, a record of zip64
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0:  # damaged, which reading it will say
        return False
    listed = int.from_bytes(tail[end + 12 : end + 16], "little")
    return listed > _MOST_LISTED_BYTES or tail[max(0, end - 20) : end].startswith(b"PK\6\7")


def _describe_folder(folder: Path) -> str:
    try:
        names = sorted(item.name for item in folder.iterdir())
    except OSError as err:
        return f"cannot be read: {why(err)}"
    if "saved_model.pb" in names:
        return _SAVED_MODEL
    if "manifest.json" in names:
        return "a bundle, which was exported already; expected a run folder or a Keras model"
    if "config.json" in names and "model.weights.h5" in names:
        return f"an unzipped .keras file; {_SAVE}"
    models = [item for item in names if item.endswith((".keras", ".h5", ".hdf5"))]
    if models:
        return f"no run folder: no model.keras; give one of its models: {listing(models)}"
    if "checkpoint" in names or any(item.endswith(".index") for item in names):
        return _CHECKPOINT
    return "holds no model; expected a run folder with model.keras, or a .keras or .h5 file"
