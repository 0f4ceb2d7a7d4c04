"""Keras to TensorFlow Lite, with the spec inside."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import Any

from cxr_edge import documents
from cxr_edge.errors import ExportError, first_line
from cxr_edge.extras import quiet_stderr, require_tensorflow
from cxr_edge.spec import ModelSpec

METADATA_NAME = "metadata.json"
"""Name inside the zip archive that follows the model in the file."""


def export_tflite(model: Any, spec: ModelSpec) -> bytes:
    """Convert a Keras model to a float32 ``.tflite`` file for one image a call.

    Args:
        model: a ``keras.Model`` with one input and one output.
        spec: the contract, embedded in the file.

    Returns:
        The flatbuffer followed by a zip archive, which is where TensorFlow Lite keeps metadata:
        ``unzip -p FILE metadata.json`` prints the spec.

    Raises:
        ExportError: the converter fails.
        MissingExtraError: a package of the extra ``export`` is missing.
    """
    _, tensorflow = require_tensorflow("export")
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    try:
        # Keras lists the model's variables on stdout, which belongs to results.
        with contextlib.redirect_stdout(io.StringIO()), quiet_stderr():
            flatbuffer: bytes = converter.convert()
    except Exception as err:  # whatever a converter raises
        raise ExportError(f"TensorFlow Lite cannot convert the model: {first_line(err)}") from err
    buffer = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        # A fixed date: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA_NAME), documents.dump(spec))
    return buffer.getvalue()
