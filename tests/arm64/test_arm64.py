"""The project's wheel on an emulated Raspberry Pi 5 and 4 decides as on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import scoring
from machines import PIS
from sysroot import ROOT, Emulated, digest, install, once

from cxr_edge.bundle.reader import Bundle
from cxr_edge.export.artifacts import KINDS
from cxr_edge.export.emulation import MARGIN

pytestmark = pytest.mark.arm64

FLOAT_DELTA = 1e-4
ENGINES = ("onnxruntime", "litert", "ncnn")
FP16 = {"tflite-fp16-arithmetic": "tflite-fp32", "ncnn-fp16-arithmetic": "ncnn-fp32"}
"""Files of 16-bit arithmetic, each with the one of the same network in float32."""

Scores = dict[tuple[str, str, str], tuple[str, float]]
"""Decision and score by artifact, engine and image."""


@pytest.fixture(scope="module", params=PIS, ids=lambda pi: pi.cpu)
def machine(request: pytest.FixtureRequest) -> Emulated:
    return install(request.param)


@pytest.fixture(scope="module")
def bundle() -> Path:
    """The reference in every kind of file, exported on this machine.

    The budget is one that the kind with integer inputs and outputs holds too.
    """
    code = [*sorted((ROOT / "export").rglob("*.py")), ROOT / "cxr_edge/reference/manifest.json"]
    options = ["--artifacts", ",".join(KINDS), "--max-delta-p", "0.2", "--max-flips", "20"]

    def export(folder: Path) -> None:
        command = [sys.executable, "-m", "cxr_edge", "export", "-o", folder / "bundle"]
        done = subprocess.run(
            [*command, *options], check=False, capture_output=True, text=True, timeout=3000
        )
        assert done.returncode == 0, done.stderr[-1000:]

    key = digest(*(option.encode() for option in options), *(path.read_bytes() for path in code))
    return once(f"bundle-{key}", export) / "bundle"


@pytest.fixture(scope="module")
def images(data_root: Path) -> list[Path]:
    """20 radiographs: both labels in the size of training, and as the hospital stored them."""
    chosen = []
    for folder, count in (("chest_xray/test", 5), ("native", 5)):
        for label in ("NORMAL", "PNEUMONIA"):
            files = sorted((data_root / folder / label).iterdir())
            chosen += files[:: len(files) // count][:count]
    return chosen


def scores_of(output: str) -> Scores:
    rows = [json.loads(line) for line in output.splitlines()]
    return {(name, engine, image): (label, score) for name, engine, image, label, score in rows}


@pytest.fixture(scope="module")
def scores_here(bundle: Path, images: list[Path]) -> Scores:
    command = [sys.executable, scoring.__file__, bundle, *images]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return scores_of(done.stdout)


def test_the_wheel_and_what_it_depends_on_are_installed(machine: Emulated) -> None:
    code = "import platform, cxr_edge, onnxruntime, ai_edge_litert, cv2; print(platform.machine())"
    assert machine.python("-c", code, timeout_s=300).strip() == "aarch64"
    assert "predict" in machine.cxr_edge("--help", timeout_s=300)


def test_every_file_is_proven_on_every_engine(machine: Emulated, bundle: Path) -> None:
    document = json.loads(machine.cxr_edge("verify", bundle, "--format", "json", timeout_s=3600))
    checks = {(c["artifact"], c["engine"]): c for c in document["checks"] if c["engine"] in ENGINES}
    assert {name for name, _ in checks} == {*KINDS}
    for pair, check in checks.items():
        print(
            machine.pi.cpu, *pair, check["outcome"], check["max_abs_delta"], check["mean_abs_delta"]
        )
        assert (check["outcome"], check["flips"]) == ("proven", 0), pair
    in_float32 = checks["tflite-fp16", "litert"]["max_abs_delta"]
    for name in FP16:
        (record,) = Bundle.open(bundle).artifact(name).engines
        delta, emulated = checks[name, record.engine]["max_abs_delta"], record.golden.max_abs_delta
        if machine.pi.has_fp16_arithmetic:
            assert emulated / MARGIN < delta < emulated * MARGIN, name
        elif record.engine == "litert":  # in float32, with weights of 16 bits
            assert delta == pytest.approx(in_float32, rel=0.1)
        else:  # whose biases stay in 32
            assert in_float32 / 2 < delta < in_float32 * 1.1


def test_real_images_get_the_scores_of_this_machine(
    machine: Emulated, bundle: Path, images: list[Path], scores_here: Scores
) -> None:
    opened = Bundle.open(bundle)
    assert len(images) == 20
    output = machine.python(scoring.__file__, bundle, *images, timeout_s=3600)
    there = scores_of(output)
    assert {name for name, _, _ in there} == {*KINDS}
    largest: dict[tuple[str, str], float] = {}
    flips: dict[tuple[str, str], int] = {}
    for (name, engine, image), (label, score) in there.items():
        # This machine has no 16-bit arithmetic to compare with.
        expected = FP16.get(name, name)
        label_here, score_here = scores_here[expected, engine, image]
        pair = name, engine
        largest[pair] = max(largest.get(pair, 0.0), abs(score - score_here))
        flips[pair] = flips.get(pair, 0) + (label != label_here)
    for (name, engine), delta in largest.items():
        print(machine.pi.cpu, name, engine, f"{delta:.1e}", flips[name, engine])
        (record,) = (r for r in opened.artifact(name).engines if r.engine == engine)
        is_float = opened.artifact(name).precision == "fp32"
        assert delta <= (FLOAT_DELTA if is_float else record.tolerance), name
        assert flips[name, engine] == 0, name


def test_without_a_profile_it_runs_integers_on_litert(machine: Emulated) -> None:
    code = "from cxr_edge import Bundle; a, e = Bundle.open().choose(None, None); print(a.name, e)"
    assert machine.python("-c", code, timeout_s=300).split() == ["tflite-int8-dynamic", "litert"]


def test_doctor_knows_the_processor(machine: Emulated) -> None:
    document = json.loads(machine.cxr_edge("doctor", "--format", "json", timeout_s=300))
    pi = machine.pi
    assert (document["architecture"], document["processor"]) == ("aarch64", pi.model)
    assert ("asimddp" in document["instructions"]) == pi.has_dot_product
    assert ("asimdhp" in document["instructions"]) == pi.has_fp16_arithmetic
    assert document["sums_8bit"] == "exact"
    assert any("predict uses tflite-int8-dynamic on litert" in line for line in document["advice"])
