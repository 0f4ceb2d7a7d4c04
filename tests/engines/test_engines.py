"""Engines match Keras, alone, in batches and from threads; models that do not fit are refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cxr_edge import engines
from cxr_edge.bundle.parity import compare, holds
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import ENGINES, Engine, Output, Port, installed_engines, open_engine
from cxr_edge.errors import EngineError, MissingExtraError, UsageError
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.spec import SEED_SPEC, InputSpec

ONNX_ENGINES = ("onnxruntime", "openvino")
PAIRS = [
    ("onnx-int8", "onnxruntime"),
    ("onnx-int8", "openvino"),
    ("onnx-fp32", "onnxruntime"),
    ("onnx-fp32", "openvino"),
    ("onnx-explain", "onnxruntime"),
    ("onnx-explain", "openvino"),
    ("onnx-fp32-batch", "onnxruntime"),
    ("onnx-fp32-batch", "openvino"),
    ("tflite-int8-dynamic", "litert"),
    ("tflite-fp32", "litert"),
    ("ncnn-fp32", "ncnn"),
]
SMALL = dataclasses.replace(SEED_SPEC, input=InputSpec(height=8, width=6))
"""The contract that the drawn ONNX files below fulfil or break."""


@pytest.fixture(scope="module")
def opened(exported_bundle: Path) -> Bundle:
    return Bundle.open(exported_bundle)


@pytest.fixture(scope="module")
def batch(opened: Bundle) -> Batch:
    return normalize(opened.golden().pixels, opened.manifest.spec.input)


def load(bundle: Bundle, artifact: str, engine: str, threads: int = 1) -> Engine:
    return bundle.load(bundle.artifact(artifact), engine, threads=threads)


def test_every_engine_is_installed_and_every_pair_below_is_in_the_bundle(opened: Bundle) -> None:
    assert installed_engines() == tuple(ENGINES) == ("onnxruntime", "litert", "openvino", "ncnn")
    proven = [(a.name, r.engine) for a in opened.manifest.artifacts for r in a.engines]
    assert proven == PAIRS


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_it_answers_like_keras_within_the_tolerance_of_the_manifest(
    opened: Bundle, batch: Batch, artifact: str, engine: str
) -> None:
    scores = load(opened, artifact, engine, threads=2).run(batch)
    assert scores.dtype == np.float32 and scores.shape == (len(batch), 1)
    records = {r.engine: r for r in opened.artifact(artifact).engines}
    parity = compare(opened.golden().scores, scores, opened.manifest.spec)
    assert holds(parity, records[engine].tolerance)


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_an_image_is_answered_alike_alone_first_and_last_in_a_batch(
    opened: Bundle, batch: Batch, artifact: str, engine: str
) -> None:
    loaded, batch = load(opened, artifact, engine), batch[::4]
    alone = np.concatenate([loaded.run(batch[i : i + 1]) for i in range(len(batch))])
    assert np.ptp(alone) > 1e-3  # or all answers would be alike whatever happened
    assert np.abs(loaded.run(batch) - alone).max() <= 1e-6
    assert np.abs(loaded.run(batch[::-1])[::-1] - alone).max() <= 1e-6
    assert np.abs(loaded.run(batch[:3]) - alone[:3]).max() <= 1e-6


@pytest.mark.parametrize(
    ("artifact", "engine"),
    [
        ("onnx-fp32", "onnxruntime"),
        ("tflite-fp32", "litert"),
        ("onnx-fp32", "openvino"),
        ("ncnn-fp32", "ncnn"),
    ],
)
def test_16_threads_on_one_engine_answer_bitwise_like_one(
    opened: Bundle, batch: Batch, artifact: str, engine: str
) -> None:
    loaded = load(opened, artifact, engine)
    serial = [loaded.run(batch[i : i + 1]).tobytes() for i in range(4)]
    assert len(set(serial)) > 1
    start = threading.Barrier(16)

    def answer(number: int) -> bool:
        start.wait(timeout=30)
        order = [(number + step) % 4 for step in range(4)]
        return all(loaded.run(batch[i : i + 1]).tobytes() == serial[i] for i in order)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(answer, range(16)))


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_an_answer_is_a_copy_that_the_next_call_leaves_alone(
    opened: Bundle, batch: Batch, artifact: str, engine: str
) -> None:
    loaded = load(opened, artifact, engine)
    first = loaded.run(batch[:1])
    before = first.copy()
    loaded.run(batch[-1:])
    np.testing.assert_array_equal(first, before)


FORK = """
import os, signal, sys, time
import numpy as np
from cxr_edge.bundle.reader import Bundle
from cxr_edge.errors import EngineError

bundle = Bundle.open(sys.argv[1])
engine = bundle.load(bundle.artifact(sys.argv[2]), sys.argv[3], threads=2)
batch = np.zeros((1, *bundle.manifest.spec.input_shape), np.float32)
engine.run(batch)
child = os.fork()
if child == 0:
    signal.alarm(5)  # a hang ends as a signal
    start = time.perf_counter()
    try:
        engine.run(batch)
    except EngineError as err:
        right = "fork" in str(err) and time.perf_counter() - start < 3
        os._exit(10 if right else 11)
    os._exit(12)
status = os.waitpid(child, 0)[1]
engine.run(batch)  # the parent's engine still works
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(
    ("artifact", "engine"),
    [
        ("onnx-fp32-batch", "onnxruntime"),
        ("tflite-fp32", "litert"),
        ("onnx-fp32", "openvino"),
        ("ncnn-fp32", "ncnn"),
    ],
)
def test_a_forked_child_gets_a_typed_error_at_once(
    exported_bundle: Path, artifact: str, engine: str
) -> None:
    script = [sys.executable, "-c", FORK, str(exported_bundle), artifact, engine]
    done = subprocess.run(script, capture_output=True, timeout=60, check=False)
    assert done.returncode == 10, done.stderr.decode()


def draw_onnx(
    shape: tuple[int | str, ...] = (1, 8, 6, 1),
    dtype: int = TensorProto.FLOAT,
    *,
    width: int = 1,
    output_dtype: int = TensorProto.FLOAT,
    inputs: int = 1,
    outputs: int = 1,
) -> bytes:
    """An ONNX file from images to sigmoids of their sums, with the ports asked for."""
    size = int(np.prod([side for side in shape[1:] if isinstance(side, int)], dtype=int))
    weights = np.full((size, width), 0.01, np.float32)
    nodes, names = [], [f"image{i}" for i in range(inputs)]
    for name in names:
        nodes += [
            helper.make_node("Cast", [name], [f"{name}f"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", [f"{name}f"], [f"{name}v"], axis=1),
        ]
    nodes += [
        helper.make_node("Sum", [f"{name}v" for name in names], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["p"]),
    ]
    nodes += [
        helper.make_node("Cast", ["p"], [f"scores{i}"], to=output_dtype) for i in range(outputs)
    ]
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info(name, dtype, shape) for name in names],
        [
            helper.make_tensor_value_info(f"scores{i}", output_dtype, (shape[0], width))
            for i in range(outputs)
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("engine", ONNX_ENGINES)
@pytest.mark.parametrize("first", [1, "N"])
def test_a_drawn_file_that_fits_its_spec_is_accepted(engine: str, first: int | str) -> None:
    loaded = open_engine(engine, draw_onnx((first, 8, 6, 1)), SMALL)
    scores = loaded.run(np.ones((3, 8, 6, 1), np.float32))
    np.testing.assert_allclose(scores, np.full((3, 1), 1 / (1 + np.exp(-0.48))), rtol=1e-6)


@pytest.mark.parametrize("engine", ONNX_ENGINES)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (draw_onnx((1, 6, 8, 1)), r"\(1, 6, 8, 1\)"),
        (draw_onnx((1, 1, 8, 6)), r"\(1, 1, 8, 6\)"),
        (draw_onnx((1, 8, 6, 3)), r"\(1, 8, 6, 3\)"),
        (draw_onnx((1, 48)), r"\(1, 48\)"),
        (draw_onnx((2, 8, 6, 1)), r"\(2, 8, 6, 1\)"),
        (draw_onnx(dtype=TensorProto.FLOAT16), "float16"),
        (draw_onnx(dtype=TensorProto.DOUBLE), "double|float64"),
        (draw_onnx(dtype=TensorProto.UINT8), "uint8"),
        (draw_onnx(dtype=TensorProto.INT64), "int64"),
        (draw_onnx(dtype=TensorProto.INT8), "int8"),
        (draw_onnx(width=2), r"\(1, 2\)"),
        (draw_onnx(output_dtype=TensorProto.DOUBLE), "double|float64"),
        (draw_onnx(output_dtype=TensorProto.FLOAT16), "float16"),
        (draw_onnx(inputs=2), "2 inputs and 1 outputs"),
        (draw_onnx(outputs=2), "1 inputs and 2 outputs"),
    ],
    ids=[
        "sides swapped",
        "channels first",
        "colour",
        "flat",
        "a batch of two",
        "float16 in",
        "float64 in",
        "uint8 in",
        "int64 in",
        "int8 in, of no scale",
        "two columns",
        "float64 out",
        "float16 out",
        "two inputs",
        "two outputs",
    ],
)
def test_a_file_of_another_contract_is_refused_when_it_is_loaded(
    engine: str, model: bytes, expected: str
) -> None:
    with pytest.raises(EngineError, match=expected):
        open_engine(engine, model, SMALL)


def draw_explaining(name: str = "heatmap", rank: int = 3, dtype: int = TensorProto.FLOAT) -> bytes:
    """The drawn file with its sum, spread over (4, 3) positions, as a second output."""
    network = onnx.load_from_string(draw_onnx())
    shape = np.asarray([1, 4, 3][:rank] if rank == 3 else [1, 12], np.int64)
    network.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ones((1, 12), np.float32), "ones"),
            numpy_helper.from_array(shape, "shape"),
        ]
    )
    for operation, inputs, output in (
        ("MatMul", ["logits", "ones"], "spread"),
        ("Reshape", ["spread", "shape"], "shaped"),
    ):
        network.graph.node.append(helper.make_node(operation, inputs, [output]))
    network.graph.node.append(helper.make_node("Cast", ["shaped"], [name], to=dtype))
    network.graph.output.append(helper.make_tensor_value_info(name, dtype, shape.tolist()))
    onnx.checker.check_model(network, full_check=True)
    data: bytes = network.SerializeToString()
    return data


DECLARED: tuple[Output, ...] = ("scores", "heatmap")


@pytest.mark.parametrize("engine", ONNX_ENGINES)
def test_a_declared_heat_map_is_answered_beside_the_scores_image_by_image(engine: str) -> None:
    loaded = open_engine(engine, draw_explaining(), SMALL, outputs=DECLARED)
    batch = np.stack([np.full((8, 6, 1), level, np.float32) for level in (0, 1, 2)])
    scores, heatmaps = loaded.explain(batch)
    assert heatmaps.shape == (3, 4, 3) and heatmaps.dtype == np.float32
    np.testing.assert_allclose(heatmaps[:, 2, 1], [0, 0.48, 0.96], atol=1e-6)
    np.testing.assert_array_equal(loaded.run(batch), scores)
    before = heatmaps.copy()
    loaded.explain(batch[::-1])
    np.testing.assert_array_equal(heatmaps, before)


@pytest.mark.parametrize("engine", ONNX_ENGINES)
def test_a_heat_map_that_nobody_declared_is_refused(engine: str) -> None:
    with pytest.raises(EngineError, match="1 inputs and 2 outputs, expected 1 and 1: scores"):
        open_engine(engine, draw_explaining(), SMALL)


@pytest.mark.parametrize("engine", ONNX_ENGINES)
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (draw_onnx(), "1 inputs and 1 outputs, expected 1 and 2: scores, heatmap"),
        (draw_explaining("features"), "features is float32"),
        (draw_explaining(rank=2), r"heatmap is float32 \(1, 12\)"),
        (draw_explaining(dtype=TensorProto.DOUBLE), "double|float64"),
    ],
    ids=["none", "another name", "no map", "float64"],
)
def test_a_declared_heat_map_that_is_none_is_refused(
    engine: str, model: bytes, expected: str
) -> None:
    with pytest.raises(EngineError, match=expected):
        open_engine(engine, model, SMALL, outputs=DECLARED)


@pytest.mark.parametrize("engine", ONNX_ENGINES)
def test_a_file_of_scores_explains_nothing(engine: str) -> None:
    with pytest.raises(EngineError, match="no heat map output; use the bundle's onnx-explain"):
        open_engine(engine, draw_onnx(), SMALL).explain(np.zeros((1, 8, 6, 1), np.float32))


@pytest.mark.parametrize("engine", ONNX_ENGINES)
def test_a_heat_map_that_is_not_finite_is_an_error(engine: str) -> None:
    loaded = open_engine(engine, draw_explaining(), SMALL, outputs=DECLARED)
    with pytest.raises(EngineError, match="heat map contains NaN or infinity"):
        loaded.explain(np.full((1, 8, 6, 1), np.inf, np.float32))


def test_litert_answers_no_heat_map(opened: Bundle) -> None:
    data = opened.read(opened.artifact("tflite-fp32").file)
    with pytest.raises(EngineError, match=r"scores only.*use onnxruntime or openvino"):
        open_engine("litert", data, opened.manifest.spec, outputs=DECLARED)


PORT = Port("image", "int8", (1, 2), scale=0.25, zero_point=-3)


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (0.0, -3),
        (0.25, -2),
        (-0.25, -4),
        (0.13, -2),
        (0.12, -3),
        (-0.13, -4),
        (-0.12, -3),
        (0.125, -3),  # halves go to the even step, as TensorFlow Lite's and ONNX's do
        (0.375, -1),
        (-0.125, -3),
        (-0.375, -5),
        (32.5, 127),
        (32.75, 127),
        (1e30, 127),
        (np.inf, 127),
        (-31.25, -128),
        (-31.5, -128),
        (-1e30, -128),
        (-np.inf, -128),
    ],
)
def test_an_integer_port_takes_the_nearest_step_and_clips(value: float, step: int) -> None:
    quantized = PORT.quantize(np.array([[value]], np.float32))
    assert quantized.dtype == np.int8 and quantized.tolist() == [[step]]


def test_what_an_integer_port_answers_stands_for_steps_from_its_zero() -> None:
    values = PORT.dequantize(np.array([[-128, -3, -2, 127]], np.int8))
    assert values.dtype == np.float32
    assert values.tolist() == [[-31.25, 0.0, 0.25, 32.5]]


def test_every_step_of_an_integer_port_survives_the_way_there_and_back() -> None:
    steps = np.arange(-128, 128).astype(np.int8)
    for scale in (1 / 255, 1 / 256, 0.0078125, 0.1, 3.7):
        for zero_point in (-128, -1, 0, 127):
            port = Port("scores", "int8", (1, 256), scale, zero_point)
            np.testing.assert_array_equal(port.quantize(port.dequantize(steps)), steps)


def test_within_its_range_an_integer_port_is_off_by_half_a_step_at_most() -> None:
    values = np.linspace(-31.25, 32.5, 10_001, dtype=np.float32)
    assert np.abs(PORT.dequantize(PORT.quantize(values)) - values).max() <= 0.125 + 1e-6


def test_a_float_port_takes_and_answers_values_as_they_are() -> None:
    port, values = Port("image", "float32", (1, 2)), np.array([[0.1, -1e30]], np.float32)
    assert port.quantize(values) is values
    np.testing.assert_array_equal(port.dequantize(values), values)


class Ported(Engine):
    """Any file that has these ports."""

    def __init__(self, source: Port, target: Port) -> None:
        super().__init__(SMALL)
        self._check_contract([source], [target])

    def _invoke(self, batch: Batch, count: int) -> list[np.ndarray]:
        raise NotImplementedError


def ported(**change: object) -> Port:
    return dataclasses.replace(Port("p", "int8", (1, 8, 6, 1), 0.1, 0), **change)  # type: ignore[arg-type]


SCORES = Port("q", "float32", (1, 1))


def test_integer_ports_with_a_scale_fit_the_spec() -> None:
    Ported(ported(), SCORES)
    Ported(ported(), Port("q", "int8", (1, 1), 1 / 256, -128))


@pytest.mark.parametrize(
    "change",
    [{"scale": 0.0}, {"scale": -0.1}, {"scale": np.nan}, {"dtype": "uint8"}, {"dtype": "int16"}],
    ids=str,
)
def test_integer_ports_that_do_not_say_what_a_step_is_are_refused(
    change: dict[str, object],
) -> None:
    with pytest.raises(EngineError, match="the spec says float32"):
        Ported(ported(**change), SCORES)
    with pytest.raises(EngineError, match="the spec says float32"):
        Ported(ported(), ported(shape=(1, 1), **change))


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
@pytest.mark.parametrize(
    "change",
    [
        {"input": InputSpec(height=51, width=50)},
        {"input": InputSpec(height=50, width=49)},
        {"input": InputSpec(height=50, width=50, channels=3)},
        {"activation": "softmax"},
    ],
    ids=["taller", "narrower", "colour", "softmax"],
)
def test_a_bundle_whose_spec_does_not_fit_its_file_is_refused_when_it_is_loaded(
    opened: Bundle, artifact: str, engine: str, change: dict[str, object]
) -> None:
    spec = dataclasses.replace(opened.manifest.spec, **change)  # type: ignore[arg-type]
    record = opened.artifact(artifact)
    with pytest.raises(EngineError, match="the spec says"):
        open_engine(engine, opened.read(record.file), spec, outputs=record.outputs)


@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("model", [b"", b"\0", b"garbage" * 100, bytes(range(256)) * 10])
def test_bytes_that_are_no_model_are_refused_in_one_line(engine: str, model: bytes) -> None:
    with pytest.raises(EngineError, match="cannot load the model") as caught:
        open_engine(engine, model, SMALL)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_half_a_model_is_refused(opened: Bundle, artifact: str, engine: str) -> None:
    data = opened.read(opened.artifact(artifact).file)
    with pytest.raises(EngineError):
        open_engine(engine, data[: len(data) // 2], opened.manifest.spec)


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_a_batch_of_other_images_than_it_was_loaded_for_is_a_typed_error(
    opened: Bundle, artifact: str, engine: str
) -> None:
    loaded = load(opened, artifact, engine)
    with pytest.raises(EngineError, match="failed"):
        loaded.run(np.zeros((1, 10, 10, 1), np.float32))


@pytest.mark.parametrize("threads", [0, -1])
@pytest.mark.parametrize("engine", list(ENGINES))
def test_less_than_one_thread_is_refused(engine: str, threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads is {threads}"):
        open_engine(engine, draw_onnx(), SMALL, threads=threads)


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there are onnxruntime, litert, openvino, ncnn"):
        open_engine("tensorrt", draw_onnx(), SMALL)


@pytest.mark.parametrize(
    ("engine", "command"),
    [
        ("litert", r"install it with pip install 'cxr-edge\[litert\]'$"),
        ("openvino", r"install it with pip install 'cxr-edge\[openvino\]'$"),
        ("ncnn", r"install it with pip install 'cxr-edge\[ncnn\]'$"),
        ("onnxruntime", r"install it with pip install cxr-edge$"),
    ],
)
def test_an_engine_that_is_not_installed_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, engine: str, command: str
) -> None:
    monkeypatch.setattr(engines, "is_installed", lambda module: False)
    with pytest.raises(MissingExtraError, match=command):
        open_engine(engine, draw_onnx(), SMALL)


def test_opening_an_engine_does_not_import_the_others(exported_bundle: Path) -> None:
    code = (
        "import sys; from cxr_edge.classifier import Classifier;"
        "Classifier.load(sys.argv[1], engine='onnxruntime');"
        "others = ('openvino', 'ai_edge_litert', 'ncnn', 'tensorflow');"
        "print([m for m in others if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported_bundle)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == b"[]"


def test_a_message_that_is_not_utf_8_is_typed_and_told() -> None:
    """OpenVINO's bindings raise UnicodeDecodeError where its own message holds other bytes."""
    data = draw_onnx().replace(b"Sigmoid", b"Si\xff\xfe\noid")
    for engine in ONNX_ENGINES:
        with pytest.raises(EngineError, match="cannot load the model") as caught:
            open_engine(engine, data, SMALL)
        assert len(str(caught.value).splitlines()) == 1


def test_the_reason_of_an_error_is_one_printable_line() -> None:
    undecodable = UnicodeDecodeError("utf-8", b"no op \xff\x1b[31m\nsecond", 6, 7, "invalid")
    assert engines.reason_of(undecodable) == "no op \\xff\\x1b[31m"
    assert engines.reason_of(undecodable, -1) == "second"
    assert engines.reason_of(ValueError()) == "ValueError"
    assert len(engines.reason_of(ValueError("x" * 999))) == 300
