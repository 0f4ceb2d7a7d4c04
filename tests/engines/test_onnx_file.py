"""An ONNX file with external data or other operators is refused before an engine sees it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import installed_engines, open_engine
from cxr_edge.engines.onnx_file import MOST_FIELDS, MOST_LEVELS, check_onnx, read_metadata
from cxr_edge.errors import EngineError
from cxr_edge.spec import SEED_SPEC

ENGINES = [name for name in ("onnxruntime", "openvino") if name in installed_engines()]


def outside(name: str = "w") -> onnx.TensorProto:
    """A tensor whose data is in another file."""
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../weights.bin")
    return tensor


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(values, indices, [8])


INSIDE = numpy_helper.from_array(np.arange(4), "indices")


def graph(*nodes: onnx.NodeProto, **options: object) -> onnx.GraphProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 150, 150, 1])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])
    mean = helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0)
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1])
    last = helper.make_node("Reshape", ["mean", "shape"], ["scores"])
    initializers = [shape, *options.pop("initializer", [])]  # type: ignore[misc]
    return helper.make_graph(
        [mean, *nodes, last], "tiny", [image], [scores], initializers, **options
    )


def model(inner: onnx.GraphProto, **options: object) -> onnx.ModelProto:
    return helper.make_model(
        inner, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], **options
    )


def branch(*nodes: onnx.NodeProto, **options: object) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("v", TensorProto.FLOAT, [1])
    same = helper.make_node("Identity", ["mean"], ["v"])
    return helper.make_graph([*nodes, same], "branch", [], [value], **options)


def conditional(inner: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["x"], then_branch=branch(), else_branch=inner)


STRANGE = helper.make_node("Steal", ["mean"], ["stolen"], domain="org.example.evil")


def with_training() -> onnx.ModelProto:
    made = model(graph())
    made.training_info.add().algorithm.CopyFrom(branch(initializer=[outside()]))
    return made


def with_function(*nodes: onnx.NodeProto, domain: str = "") -> onnx.ModelProto:
    function = helper.make_function(domain, "F", ["mean"], ["y"], list(nodes), [])
    return model(graph(), functions=[function])


HOLD_DATA_OUTSIDE: dict[str, Callable[[], onnx.ModelProto]] = {
    "an initializer": lambda: model(graph(initializer=[outside()])),
    "a sparse initializer's values": lambda: model(
        graph(sparse_initializer=[sparse(outside(), INSIDE)])
    ),
    "a sparse initializer's indices": lambda: model(
        graph(sparse_initializer=[sparse(INSIDE, outside())])
    ),
    "a constant": lambda: model(graph(helper.make_node("Constant", [], ["k"], value=outside()))),
    "a list of tensors": lambda: model(
        graph(helper.make_node("Constant", [], ["k"], many=[INSIDE, outside()]))
    ),
    "a sparse constant": lambda: model(
        graph(helper.make_node("Constant", [], ["k"], sparse_value=sparse(outside(), INSIDE)))
    ),
    "a branch": lambda: model(graph(conditional(branch(initializer=[outside()])))),
    "a branch of a branch": lambda: model(
        graph(conditional(branch(conditional(branch(initializer=[outside()])))))
    ),
    "a loop": lambda: model(
        graph(helper.make_node("Loop", ["", "c"], ["x"], body=branch(initializer=[outside()])))
    ),
    "a function": lambda: with_function(helper.make_node("Constant", [], ["y"], value=outside())),
    "a graph for training": with_training,
}
NEED_OPERATORS: dict[str, Callable[[], onnx.ModelProto]] = {
    "the graph": lambda: model(graph(STRANGE)),
    "a branch": lambda: model(graph(conditional(branch(STRANGE)))),
    "a scan": lambda: model(
        graph(helper.make_node("Scan", ["x"], ["y"], body=branch(STRANGE), num_scan_inputs=1))
    ),
    "a function": lambda: with_function(STRANGE),
    "a function of their own": lambda: with_function(domain="org.example.evil"),
    "contributed ones": lambda: model(
        graph(helper.make_node("EPContext", ["mean"], ["x"], domain="com.microsoft"))
    ),
}


def refused(data: bytes, match: str) -> None:
    """Neither the check nor an engine takes it; the message is one line."""
    with pytest.raises(EngineError, match=match) as caught:
        check_onnx(data)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    for engine in ENGINES:
        with pytest.raises(EngineError, match=match):
            open_engine(engine, data, SEED_SPEC)


def test_a_file_of_standard_operators_and_its_own_data_passes() -> None:
    made = model(graph(conditional(branch(conditional(branch())))), functions=[])
    made.graph.node[0].domain = "ai.onnx"
    helper.set_model_props(made, {"key": "välue", "other": ""})
    check_onnx(made.SerializeToString())
    assert read_metadata(made.SerializeToString()) == {"key": "välue", "other": ""}


@pytest.mark.parametrize("where", HOLD_DATA_OUTSIDE)
def test_data_outside_the_file_is_refused_wherever_it_is(where: str) -> None:
    refused(HOLD_DATA_OUTSIDE[where]().SerializeToString(), "tensors outside the file")


@pytest.mark.parametrize("where", NEED_OPERATORS)
def test_operators_of_other_domains_are_refused_wherever_they_are(where: str) -> None:
    refused(NEED_OPERATORS[where]().SerializeToString(), "operators of (org.example|com.micro)")


def test_a_relative_path_in_the_working_directory_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tensor = outside("shape")
    tensor.data_type = TensorProto.INT64
    tensor.dims[:] = [2]
    tensor.external_data[0].value = "weights.bin"
    Path("weights.bin").write_bytes(np.array([1, 1], np.int64).tobytes())
    made = model(graph())
    made.graph.initializer[0].CopyFrom(tensor)
    refused(made.SerializeToString(), r"outside the file \(weights.bin\)")


def test_only_the_location_of_the_data_says_that_it_is_elsewhere() -> None:
    tensor = outside()
    tensor.ClearField("external_data")
    refused(model(graph(initializer=[tensor])).SerializeToString(), "outside the file")


def varint(value: int, padding: int = 0) -> bytes:
    """A number, if wanted in more bytes than it needs."""
    digits = []
    while True:
        digits.append(value & 0x7F)
        value >>= 7
        if not value:
            break
    digits += [0] * padding
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def field(number: int, content: bytes, padding: int = 0) -> bytes:
    return varint(number << 3 | 2, padding) + varint(len(content), padding) + content


def test_spellings_that_protobuf_accepts_hide_nothing() -> None:
    hidden = graph(initializer=[outside()]).SerializeToString()
    plain = model(graph()).SerializeToString()
    refused(plain + field(7, hidden), "outside the file")  # a second graph joins the first
    refused(plain + field(7, hidden, padding=2), "outside the file")
    refused(plain + field(7, field(5, b"\xf0\x00\x81\x80\x80\x80\x10")), "outside the file")


@pytest.mark.parametrize("levels", [MOST_LEVELS // 3 + 1, 3000])
def test_a_file_nested_too_deeply_is_refused(levels: int) -> None:
    nested = b""
    for _ in range(levels):  # a node's attribute's graph
        nested = field(1, field(5, field(6, nested)))
    start = time.perf_counter()
    with pytest.raises(EngineError, match="nested more than"):
        check_onnx(b"\x08\x08" + field(7, nested))
    assert time.perf_counter() - start < 1


def test_a_file_of_nothing_but_small_fields_is_refused_in_a_second() -> None:
    with pytest.raises(EngineError, match="fields"):
        check_onnx(b"\x08\x08" + field(7, b"\x10\x01" * (MOST_FIELDS + 1)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"hello",
        b"\x08\x08",
        b"\x3a\x00",
        b"<?xml version='1.0'?><net/>",
        b"\x1c\0\0\0TFL3" + bytes(64),
        b"\x08\x08\x3a\x7f",
        b"\x0a\x00\x08\x08\x3a\x00",  # a frozen TensorFlow graph's field
        b"\x08" + b"\xff" * 10 + b"\x3a\x00",
        b"\x08\x08\x3b\x3c",  # a group
    ],
)
def test_what_is_no_onnx_file_is_refused(data: bytes) -> None:
    refused(data, "no ONNX file")


def test_onnxruntimes_own_format_is_refused() -> None:
    refused(b"\x20\0\0\0ORTM" + bytes(100), "own format")


def test_damage_is_refused_or_passes_but_never_hangs() -> None:
    """Random changes and cuts: the check ends in an EngineError or in nothing."""
    whole, chance = model(graph(conditional(branch()))).SerializeToString(), random.Random(3)
    outcomes = set()
    for _ in range(3000):
        data = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            check_onnx(bytes(data))
            outcomes.add("passed")
        except EngineError:
            outcomes.add("refused")
    assert outcomes == {"passed", "refused"}


def test_it_takes_a_millisecond_for_a_file_of_five_megabytes() -> None:
    bundle = Bundle.open()
    data = bundle.read(bundle.artifact("onnx-explain").file)
    assert len(data) > 5_000_000
    times = []
    for _ in range(50):
        start = time.perf_counter()
        check_onnx(data)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3  # 0.28 ms where it was written
