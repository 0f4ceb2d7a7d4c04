"""The bundled files on an emulated x86 CPU without VNNI, where stock int8 ONNX is wrong."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.system
QEMU = "qemu-x86_64-static"
# OpenVINO compiles its kernels while it runs, which takes an emulator a quarter of an hour.
PROVE = """
import json
from cxr_edge import Bundle
from cxr_edge.bundle.parity import compare
from cxr_edge.preprocess import normalize

bundle = Bundle.open()
spec, golden = bundle.manifest.spec, bundle.golden()
batch = normalize(golden.pixels, spec.input)
for artifact in bundle.manifest.artifacts:
    record = artifact.engines[0]
    parity = compare(golden.scores, bundle.load(artifact, record.engine).run(batch), spec)
    largest = parity.max_abs_delta
    print(json.dumps([artifact.name, record.engine, parity.flips, largest, record.tolerance]))
"""


@pytest.fixture(scope="module")
def emulated() -> list[str]:
    if platform.machine() != "x86_64":
        pytest.skip("an emulated x86 CPU runs this machine's packages on x86 only")
    if not shutil.which(QEMU):
        pytest.fail(f"{QEMU} is missing: apt install qemu-user-static")
    return [QEMU, "-cpu", "Haswell", sys.executable, "-c"]


def output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_cpu_is_one_that_saturates(emulated: list[str]) -> None:
    code = "from cxr_edge.engines.onnxruntime import sums_are_exact; print(sums_are_exact())"
    assert output([*emulated, code]).strip() == "False"


def test_every_file_of_the_reference_is_proven_there(emulated: list[str]) -> None:
    rows = [json.loads(line) for line in output([*emulated, PROVE]).splitlines()]
    assert {(name, engine) for name, engine, *_ in rows} >= {
        ("onnx-int8", "onnxruntime"),
        ("tflite-int8-dynamic", "litert"),
    }
    for name, engine, flips, largest, tolerance in rows:
        assert flips == 0, (name, engine)
        assert largest <= tolerance, (name, engine, largest)
