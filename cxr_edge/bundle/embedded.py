"""The document inside an exported file: its spec, and the hash of the model it was made from.

It carries no version of its own. The manifest that lists the file does, and is checked first.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from cxr_edge import documents
from cxr_edge.engines import Format
from cxr_edge.errors import EngineError, first_line
from cxr_edge.spec import ModelSpec

METADATA_KEY = "cxr_edge"
"""Key of an ONNX file's metadata."""
METADATA_NAME = "metadata.json"
"""Name inside the zip archive that follows a ``.tflite`` flatbuffer or is a ``.ncnn`` file."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The document inside an exported file."""

    original_sha256: str
    """SHA-256 of the ``.keras`` file that it was made from."""
    spec: ModelSpec
    """Input, labels and decision rule."""


def read_embedded(data: bytes, format: Format) -> Embedded:
    """Read the document inside an exported file.

    Raises:
        EngineError: there is none, or it is malformed.
    """
    text = _READERS[format](data)
    return documents.parse(text, Embedded, name="the file's metadata", error=EngineError)


def _from_onnx(data: bytes) -> bytes:
    from cxr_edge.engines.onnx_file import read_metadata

    metadata = read_metadata(data)
    if METADATA_KEY not in metadata:
        raise EngineError("the file holds no metadata of cxr-edge")
    return metadata[METADATA_KEY].encode()


def _from_tflite(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(METADATA_NAME)
    except Exception as err:  # of zipfile or zlib, or KeyError: no such name
        raise EngineError(f"the file holds no metadata of cxr-edge: {first_line(err)}") from err


def _from_ncnn(data: bytes) -> bytes:
    from cxr_edge.engines.ncnn_file import METADATA, members_of

    return bytes(members_of(data)[METADATA])


_READERS: dict[Format, Callable[[bytes], bytes]] = {
    "onnx": _from_onnx,
    "tflite": _from_tflite,
    "ncnn": _from_ncnn,
}
