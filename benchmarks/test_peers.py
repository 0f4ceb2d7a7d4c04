"""The same network in other tools, one thread, scores checked: ``make bench``.

Each benchmark is what a careful user of the tool would write: the stock conversion, one image per
call.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite

FLOAT32 = 1e-5
# ncnn's Winograd convolutions trade accuracy for fewer multiplications.
WINOGRAD = 5e-3


@pytest.fixture(scope="module")
def stock_onnx(original):
    return export_onnx(original)


@pytest.fixture(scope="module")
def onnxruntime_session(stock_onnx):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(stock_onnx, options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def litert_interpreter(original):
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the extra litert")
    interpreter = litert.Interpreter(model_content=export_tflite(original, "fp32"), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run_litert(interpreter, batch):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def from_file(jpeg, spec):
    """Decode to grey, resize by area and scale, as most scripts do."""
    grey = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(grey, spec.input_shape[1::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).reshape(1, *spec.input_shape) / 255


@pytest.mark.benchmark(group="peers: inference")
def test_onnxruntime(benchmark, onnxruntime_session, batch, expected):
    (scores,) = benchmark(lambda: onnxruntime_session.run(None, {"image": batch}))
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_litert(benchmark, litert_interpreter, batch, expected):
    scores = benchmark(lambda: run_litert(litert_interpreter, batch))
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_openvino(benchmark, stock_onnx, batch, expected):
    # Our module blocks its telemetry package, which opens connections at import.
    pytest.importorskip("cxr_edge.engines.openvino", reason="needs the extra openvino")
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(stock_onnx), "CPU", settings)
    scores = benchmark(lambda: compiled(batch)[compiled.output(0)])
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_ncnn(benchmark, stock_onnx, batch, expected, tmp_path):
    ncnn = pytest.importorskip("ncnn", reason="not installed; make bench installs it")
    pnnx = importlib.util.find_spec("pnnx")  # importing it would need PyTorch
    assert pnnx and pnnx.origin
    (tmp_path / "stock.onnx").write_bytes(stock_onnx)
    shape = ",".join(map(str, batch.shape))
    converter = Path(pnnx.origin).parent / "pnnx"
    converter.chmod(0o755)
    subprocess.run(
        [converter, "stock.onnx", f"inputshape=[{shape}]"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.load_param(str(tmp_path / "stock.ncnn.param"))
    net.load_model(str(tmp_path / "stock.ncnn.bin"))
    image = ncnn.Mat(batch[0]).clone()

    def run():
        with net.create_extractor() as extractor:
            extractor.input("in0", image)
            return np.array(extractor.extract("out0")[1])

    assert np.abs(benchmark(run) - expected).max() <= WINOGRAD


@pytest.mark.benchmark(group="peers: inference")
def test_keras_compiled(benchmark, original, batch, expected):
    import tensorflow

    compiled = tensorflow.function(lambda image: original(image, training=False))
    scores = benchmark(lambda: compiled(batch).numpy())
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_keras_call(benchmark, original, batch, expected):
    scores = benchmark(lambda: np.asarray(original(batch, training=False)))
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_keras_predict(benchmark, original, batch, expected):
    scores = benchmark(lambda: original.predict(batch, verbose=0))
    assert np.abs(scores - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: from file to score")
def test_plain_onnxruntime_script(benchmark, onnxruntime_session, jpeg, spec):
    (scores,) = benchmark(lambda: onnxruntime_session.run(None, {"image": from_file(jpeg, spec)}))
    assert 0 <= scores.item() <= 1


@pytest.mark.benchmark(group="peers: from file to score")
def test_plain_litert_script(benchmark, litert_interpreter, jpeg, spec):
    scores = benchmark(lambda: run_litert(litert_interpreter, from_file(jpeg, spec)))
    assert 0 <= scores.item() <= 1
