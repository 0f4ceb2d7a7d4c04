"""What an exported file says of itself survives the way into the file and back."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cxr_edge import documents
from cxr_edge.bundle.embedded import METADATA_KEY, METADATA_NAME, Embedded, read_embedded
from cxr_edge.engines import Format, open_engine
from cxr_edge.errors import EngineError
from cxr_edge.export.convert.metadata import embed
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

SPEC = ModelSpec(
    name="Röntgen, three labels",
    input=InputSpec(
        height=1, width=1, channels=3, geometry="letterbox", mean=(0.5, 0.25, 0.1), std=(1, 2, 3)
    ),
    labels=("a", "b", "ç"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)
EMBEDDED = Embedded("0123456789abcdef" * 4, SPEC)
FLATBUFFER = b"\x20\x00\x00\x00TFL3" + bytes(range(256)) * 5


def onnx_file(**metadata: str) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 1, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 3])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["image", "shape"], ["scores"])],
        "tiny",
        [image],
        [scores],
        [shape],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, ir_version=8, opset_imports=[opset])
    helper.set_model_props(model, metadata)
    data: bytes = model.SerializeToString()
    return data


def tflite_file(**files: bytes) -> bytes:
    buffer = io.BytesIO(FLATBUFFER)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_json", ".json"), content)
    return buffer.getvalue()


@pytest.mark.parametrize("embedded", [EMBEDDED, Embedded("f" * 64, SEED_SPEC)])
@pytest.mark.parametrize(("format", "data"), [("onnx", onnx_file()), ("tflite", FLATBUFFER)])
def test_what_is_embedded_is_read_back(format: Format, data: bytes, embedded: Embedded) -> None:
    written = embed(data, format, embedded)
    assert read_embedded(written, format) == embedded
    assert embed(data, format, embedded) == written  # the same model gives the same bytes


def test_an_onnx_file_with_a_document_answers_as_before() -> None:
    written = embed(onnx_file(), "onnx", EMBEDDED)
    onnx.checker.check_model(onnx.load_from_string(written), full_check=True)
    batch = np.array([0.25, 0.5, 0.25], np.float32).reshape(1, 1, 1, 3)
    scores = open_engine("onnxruntime", written, SPEC).run(batch)
    assert scores.tolist() == [[0.25, 0.5, 0.25]]


def test_an_onnx_file_keeps_no_metadata_but_ours() -> None:
    other = Embedded("f" * 64, SEED_SPEC)
    written = embed(embed(onnx_file(author="somebody"), "onnx", other), "onnx", EMBEDDED)
    props = onnx.load_from_string(written).metadata_props
    assert [entry.key for entry in props] == [METADATA_KEY]
    assert read_embedded(written, "onnx") == EMBEDDED


def test_a_flatbuffer_stays_in_front_of_its_document() -> None:
    written = embed(FLATBUFFER, "tflite", EMBEDDED)
    assert written.startswith(FLATBUFFER)
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.namelist() == [METADATA_NAME]
        assert archive.read(METADATA_NAME) == documents.dump(EMBEDDED)


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("onnx", onnx_file()),
        ("onnx", onnx_file(author="somebody")),
        ("tflite", FLATBUFFER),
        ("tflite", b""),
        ("tflite", tflite_file(labels_json=b"{}")),
    ],
    ids=["no ONNX entry", "another ONNX entry", "no archive", "empty", "another file"],
)
def test_a_file_without_a_document_is_an_engine_error(format: Format, data: bytes) -> None:
    with pytest.raises(EngineError, match="metadata"):
        read_embedded(data, format)


JUNK = {
    "no JSON": "{",
    "no object": "[]",
    "nothing in it": "{}",
    "no spec": '{"original_sha256": "f"}',
    "a spec that contradicts itself": documents.dump(EMBEDDED).decode().replace('"b"', '"a"'),
    "a key twice": '{"original_sha256": "f", "original_sha256": "f"}',
    "nested too deeply": "[" * 100_000,
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("format", ["onnx", "tflite"])
def test_a_document_that_is_malformed_is_an_engine_error(format: Format, junk: str) -> None:
    data = (
        onnx_file(**{METADATA_KEY: junk})
        if format == "onnx"
        else tflite_file(metadata_json=junk.encode())
    )
    with pytest.raises(EngineError, match="the file's metadata: ") as caught:
        read_embedded(data, format)
    assert len(str(caught.value).splitlines()) == 1


def test_bytes_that_are_no_onnx_file_are_an_engine_error() -> None:
    with pytest.raises(EngineError):
        read_embedded(b"junk", "onnx")


def test_a_document_that_is_not_utf_8_is_an_engine_error() -> None:
    marked = onnx_file(**{METADATA_KEY: "@@@@"}).replace(b"@@@@", b"\xff\xfe\xff\xfe")
    for format, data in (("tflite", tflite_file(metadata_json=b"\xff")), ("onnx", marked)):
        with pytest.raises(EngineError):
            read_embedded(data, format)


def encrypted(archive: bytearray) -> None:
    """Say in both headers that the content is encrypted."""
    archive[archive.index(b"PK\x03\x04") + 6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1


def packed_otherwise(archive: bytearray) -> None:
    """Say in both headers that the content is packed by a method that Python does not know."""
    archive[archive.index(b"PK\x03\x04") + 8] = 19
    archive[archive.index(b"PK\x01\x02") + 10] = 19


def changed(archive: bytearray) -> None:
    archive[archive.index(METADATA_NAME.encode()) + len(METADATA_NAME) + 4] ^= 1


def cut(archive: bytearray) -> None:
    del archive[-5:]


@pytest.mark.parametrize(
    "damage", [changed, cut, encrypted, packed_otherwise], ids=lambda damage: damage.__name__
)
def test_an_archive_that_is_damaged_is_an_engine_error(damage: object) -> None:
    data = bytearray(embed(FLATBUFFER, "tflite", EMBEDDED))
    damage(data)
    with pytest.raises(EngineError):
        read_embedded(bytes(data), "tflite")
