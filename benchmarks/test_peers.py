"""The same network in other tools, one thread, scores checked: ``make bench``.

Each benchmark is what a careful user of the tool would write: the stock conversion, one image per
call. MNN is not here: without its command-line tools, which report home, its file keeps the weights
as inputs of each convolution (docs/performance.md).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.engines.ncnn_file import INPUT, OUTPUT, PARAM, WEIGHTS, members_of
from cxr_edge.export.convert.ncnn import export_ncnn
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite
from cxr_edge.export.graph.reader import read_graph

FLOAT32 = 1e-5
# pnnx stores weights in 16 bits.
FLOAT16_WEIGHTS = 5e-3


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


def run_ncnn(param, weights, names, batch, *, half):
    """A function that runs ncnn's two files on one image.

    ``half``: by default ncnn stores weights in 16 bits once more when it loads them, on x86 too.
    """
    ncnn = pytest.importorskip("ncnn", reason="needs the extra ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = half
    assert net.load_param(str(param)) == net.load_model(str(weights)) == 0
    image = ncnn.Mat(batch[0].transpose(2, 0, 1).copy()).clone()

    def run():
        with net.create_extractor() as extractor:
            extractor.input(names[0], image)
            return np.array(extractor.extract(names[1])[1])

    return run


@pytest.mark.benchmark(group="peers: inference")
def test_ncnn(benchmark, original, batch, expected, tmp_path):
    """The stock network with float32 weights, which its own converter does not write."""
    members = members_of(export_ncnn(read_graph(original)))
    for name in (PARAM, WEIGHTS):
        (tmp_path / name).write_bytes(members[name])
    run = run_ncnn(tmp_path / PARAM, tmp_path / WEIGHTS, (INPUT, OUTPUT), batch, half=False)
    assert np.abs(benchmark(run) - expected).max() <= FLOAT32


@pytest.mark.benchmark(group="peers: inference")
def test_ncnn_by_its_converter(benchmark, stock_onnx, batch, expected, tmp_path):
    pnnx = importlib.util.find_spec("pnnx")  # importing it would need PyTorch
    if not pnnx or not pnnx.origin:
        pytest.skip("pnnx is not installed; make bench installs it")
    (tmp_path / "stock.onnx").write_bytes(stock_onnx)
    shape = ",".join(map(str, batch.shape))
    converter = Path(pnnx.origin).parent / "pnnx"
    converter.chmod(0o755)
    subprocess.run(
        [converter, "stock.onnx", f"inputshape=[{shape}]"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    files = (tmp_path / "stock.ncnn.param", tmp_path / "stock.ncnn.bin")
    run = run_ncnn(*files, ("in0", "out0"), batch, half=True)
    assert np.abs(benchmark(run) - expected).max() <= FLOAT16_WEIGHTS


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
