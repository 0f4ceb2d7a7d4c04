"""What an exported file says of itself: its spec and the model that it was made from."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

from cxr_edge import documents
from cxr_edge.engines import Format
from cxr_edge.errors import EngineError, first_line
from cxr_edge.spec import ModelSpec

METADATA_KEY = "cxr_edge"
"""Key of an ONNX file's metadata."""
METADATA_NAME = "metadata.json"
"""Name inside the zip archive that follows a ``.tflite`` flatbuffer."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The document inside an exported file."""

    original_sha256: str
    """SHA-256 of the ``.keras`` file that it was made from."""
    spec: ModelSpec
    """The contract."""


def read_embedded(data: bytes, format: Format) -> Embedded:
    """Read the document inside an exported file.

    Raises:
        EngineError: there is none, or it is malformed.
    """
    text = _from_onnx(data) if format == "onnx" else _from_tflite(data)
    return documents.parse(text, Embedded, name="the file's metadata", error=EngineError)


def _from_onnx(data: bytes) -> bytes:
    from cxr_edge.engines.onnxruntime import read_metadata

    found = read_metadata(data)
    if METADATA_KEY not in found:
        raise EngineError("the file holds no metadata of cxr-edge")
    return found[METADATA_KEY].encode()


def _from_tflite(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(METADATA_NAME)
    except Exception as err:  # zipfile has several, zlib one, and KeyError is a missing name
        raise EngineError(f"the file holds no metadata of cxr-edge: {first_line(err)}") from err
