"""Whole processes, from start to prediction: ``make bench``."""

from __future__ import annotations

import pytest

from cxr_edge.device.process import run_python

LOAD = "from cxr_edge import Classifier; Classifier.load()"


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-c", "import numpy, cv2, onnxruntime"], id="imports"),
        pytest.param(["-c", LOAD], id="load"),
        pytest.param(["-m", "cxr_edge", "predict"], id="predict-onnxruntime"),
        pytest.param(["-m", "cxr_edge", "predict", "-e", "litert"], id="predict-litert"),
    ],
)
def test_start(benchmark, arguments, jpeg, tmp_path):
    if "predict" in arguments:
        (tmp_path / "image.jpeg").write_bytes(jpeg)
        arguments = [*arguments, str(tmp_path / "image.jpeg")]
    process = benchmark.pedantic(run_python, args=("start", arguments), rounds=7, warmup_rounds=1)
    assert process.ms > 0
    assert ("image.jpeg" in process.output) == ("predict" in arguments)
