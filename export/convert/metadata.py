"""The spec and the hash of the original model, embedded in each exported file."""

from __future__ import annotations

import io
import zipfile

from cxr_edge import documents
from cxr_edge.bundle.embedded import METADATA_KEY, METADATA_NAME, Embedded
from cxr_edge.engines import Format
from cxr_edge.engines.ncnn_file import METADATA, members_of
from cxr_edge.export.convert.ncnn_archive import pack_ncnn
from cxr_edge.extras import require


def embed(data: bytes, format: Format, embedded: Embedded) -> bytes:
    """Embed a document in a model file.

    Args:
        data: an ONNX file, a ``.tflite`` flatbuffer, or a ``.ncnn`` file.
        format: which of them it is.
        embedded: the spec, and the hash of the original model.

    Returns:
        The ONNX file with a metadata entry, or the flatbuffer followed by a zip archive, where
        TensorFlow Lite keeps metadata (``unzip -p FILE metadata.json`` prints it); a ``.ncnn`` file
        is such an archive.
    """
    document = documents.dump(embedded)
    if format == "onnx":
        model = require("onnx", "export").load_from_string(data)
        del model.metadata_props[:]
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, document.decode()
        result: bytes = model.SerializeToString(deterministic=True)
        return result
    if format == "ncnn":
        return pack_ncnn({**members_of(data), METADATA: document})
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        # ZipInfo has a fixed date, so that the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA_NAME), document)
    return buffer.getvalue()
