"""A TFLite file with custom operators or external buffers is refused before LiteRT sees it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import open_engine
from cxr_edge.engines.tflite_file import check_tflite
from cxr_edge.errors import EngineError
from cxr_edge.spec import SEED_SPEC


@pytest.fixture(scope="module")
def good() -> bytes:
    bundle = Bundle.open()
    return bundle.read(bundle.artifact("tflite-int8-dynamic").file)


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with another content, but no weights, which the check does not look at."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(data))
    for buffer in model.buffers:
        buffer.data = None
    change(model)
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def refused(data: bytes, match: str) -> None:
    with pytest.raises(EngineError, match=match) as caught:
        check_tflite(data)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    with pytest.raises(EngineError, match=match):
        open_engine("litert", data, SEED_SPEC)


def add_operator(model: Any, name: bytes | None, code: int = 32) -> None:
    operator = schema.OperatorCodeT()
    operator.customCode, operator.builtinCode = name, code
    operator.deprecatedBuiltinCode = min(code, 127)
    model.operatorCodes.append(operator)


def test_an_exported_file_passes(good: bytes) -> None:
    check_tflite(good)
    check_tflite(changed(good, lambda model: None))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (b"TFLite_Detection_PostProcess", r"custom operators \(TFLite_Detection"),
        (b"FlexErf", r"TensorFlow's own operators \(FlexErf\)"),
        (b"two\nlines\xff" + b"x" * 500, "custom operators"),
        (None, "of no name"),
    ],
)
def test_custom_operators_are_refused(good: bytes, name: bytes | None, match: str) -> None:
    refused(changed(good, lambda model: add_operator(model, name)), match)


def test_a_name_on_an_ordinary_operator_is_refused(good: bytes) -> None:
    refused(changed(good, lambda model: add_operator(model, b"odd", 3)), "custom")


def test_buffers_outside_the_file_are_refused(good: bytes) -> None:
    def put_outside(model: Any) -> None:
        group = schema.ExternalBufferGroupT()
        group.name = b"/etc/passwd"
        model.externalBufferGroups = [group]

    refused(changed(good, put_outside), "buffers outside the file")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL2", b"\xff\xff\xff\xffTFL3"])
def test_what_is_no_tflite_file_is_refused(data: bytes) -> None:
    refused(data, "no TFLite file|outside the file")


def test_damage_is_refused_or_passes(good: bytes) -> None:
    """Random changes of a small file: the check ends in an EngineError or in nothing."""
    whole, chance = changed(good, lambda model: None), random.Random(3)
    outcomes = set()
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(8, 400)] = chance.randrange(256)
        try:
            check_tflite(bytes(data))
            outcomes.add("passed")
        except EngineError:
            outcomes.add("refused")
    assert outcomes == {"passed", "refused"}
