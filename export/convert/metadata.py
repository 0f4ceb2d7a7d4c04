"""The spec and the origin inside each exported file, so that it says by itself what it is."""

from __future__ import annotations

import io
import zipfile

from cxr_edge import documents
from cxr_edge.bundle.embedded import METADATA_KEY, METADATA_NAME, Embedded
from cxr_edge.engines import Format
from cxr_edge.extras import require


def embed(data: bytes, format: Format, embedded: Embedded) -> bytes:
    """Write a document into a model file.

    Args:
        data: an ONNX file, or a ``.tflite`` flatbuffer.
        format: which of them.
        embedded: the spec, and the hash of the original model.

    Returns:
        The ONNX file with a metadata entry, or the flatbuffer followed by a zip archive, which is
        where TensorFlow Lite keeps metadata (``unzip -p FILE metadata.json`` prints it).
    """
    document = documents.dump(embedded)
    if format == "onnx":
        model = require("onnx", "export").load_from_string(data)
        del model.metadata_props[:]
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, document.decode()
        result: bytes = model.SerializeToString(deterministic=True)
        return result
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA_NAME), document)
    return buffer.getvalue()
