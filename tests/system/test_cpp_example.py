"""examples/cpp gives the scores of golden inputs, and refuses what was changed."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.bundle.golden import GoldenSet, dump_golden
from cxr_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest, dump_manifest
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import verify_bundle
from cxr_edge.decision import decide, probabilities
from cxr_edge.engines import open_engine
from cxr_edge.files import sha256
from cxr_edge.preprocess import normalize
from cxr_edge.spec import InputSpec, ModelSpec

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
OLD_BUNDLE = ROOT / "tests/bundle/data/2.0"
NEEDED = {  # what the build looks for, by the Debian package that has it
    "cmake": ["/usr/bin/cmake"],
    "g++": ["/usr/bin/c++"],
    "nlohmann-json3-dev": ["/usr/include/nlohmann/json.hpp"],
    "libzip-dev": ["/usr/include/zip.h"],
    "libssl-dev": ["/usr/include/openssl/evp.h"],
    "libonnxruntime-dev": ["/usr/include/onnxruntime", ROOT / ".cache/onnxruntime-headers"],
}
LINE = re.compile(
    r"(?P<artifact>\S+) on onnxruntime [\d.]+: "
    r"max \|Δ\| (?P<largest>\S+), allowed (?P<allowed>\S+); "
    r"(?P<flips>\d+) of (?P<inputs>\d+) decisions changed; (?P<ms>\S+) ms an image"
)
ONLY = "only: onnx-int8 onnx-explain"
"""The reference's files that onnxruntime runs."""
Replay = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """Builds the program as examples/cpp/README.md says, and returns how to run it."""
    missing = [
        name for name, paths in NEEDED.items() if not any(Path(path).exists() for path in paths)
    ]
    if missing:
        advice = "; Debian 12 has no libonnxruntime-dev: `make .cache/onnxruntime-headers`"
        pytest.fail(f"missing: apt-get install {' '.join(missing)}{advice}")
    spec = importlib.util.find_spec("onnxruntime")
    assert spec and spec.origin
    (library,) = Path(spec.origin).parent.glob("capi/libonnxruntime.so.*")
    (headers, *_) = (path for path in NEEDED["libonnxruntime-dev"] if Path(path).exists())
    build = tmp_path_factory.mktemp("cpp")
    configure = [
        f"-DONNXRUNTIME_INCLUDE_DIR={headers}",
        f"-DONNXRUNTIME_LIBRARY={library}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror",
    ]
    for command in (
        ["cmake", "-S", str(ROOT / "examples/cpp"), "-B", str(build), *configure],
        ["cmake", "--build", str(build)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(*arguments: object, within: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*within, str(build / "replay_golden"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why, without the program's name."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("replay_golden: ")
    return line.removeprefix("replay_golden: ")


def commit(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))


def store(folder: Path, name: str, data: bytes) -> FileRecord:
    (folder / name).write_bytes(data)
    return FileRecord(name, sha256(data), len(data))


def with_golden(folder: Path, manifest: Manifest, golden: GoldenSet) -> Manifest:
    """The manifest of a bundle whose golden inputs are replaced."""
    record = store(folder, "golden.other.npz", dump_golden(golden))
    inputs = len(golden.scores)
    return dataclasses.replace(
        manifest, golden=dataclasses.replace(manifest.golden, file=record, inputs=inputs)
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A bundle free to be changed."""
    return Path(shutil.copytree(OLD_BUNDLE, tmp_path / "bundle"))


@pytest.mark.parametrize("bundle", [REFERENCE, OLD_BUNDLE], ids=["reference", "format 2.0"])
def test_it_measures_what_verify_measures(replay: Replay, bundle: Path) -> None:
    verdicts = [v for v in verify_bundle(bundle) if v.engine == "onnxruntime"]
    assert {Bundle.open(bundle).artifact(v.artifact).precision for v in verdicts} >= {
        "fp32",
        "int8-static",
    }
    for verdict in verdicts:
        done = replay(bundle, verdict.artifact)
        assert done.returncode == 0, done.stderr
        line = LINE.fullmatch(done.stdout.strip())
        assert line and verdict.parity, done.stdout
        assert line["artifact"] == verdict.artifact
        assert float(line["largest"]) == pytest.approx(
            verdict.parity.max_abs_delta, rel=0.01, abs=2e-6
        )
        assert float(line["allowed"]) == verdict.tolerance
        assert (line["flips"], line["inputs"]) == ("0", str(verdict.parity.inputs))


BGR = InputSpec(
    6, 5, 3, scale=1 / 64, offset=-1, mean=(0.5, 1, 0.2), std=(0.5, 1.5, 1), channel_order="bgr"
)
COLOURS = (
    ModelSpec("of three", BGR, ("a", "b", "c"), "softmax", None, None, ""),
    ModelSpec("the first of two", BGR, ("a", "b"), "softmax", "a", 0.3, ""),
)


def colour_model(labels: int) -> bytes:
    """An ONNX file: mean of each channel, a dense layer, softmax."""
    make = onnx.helper
    shapes = [("x", (1, 6, 5, 3)), ("scores", (1, labels))]
    x, scores = (make.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in shapes)
    weights = np.float32([[1, 0, -1], [0, 2, -1], [-1, 1, 3]])[:, :labels]
    nodes = [
        make.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        make.make_node("MatMul", ["mean", "w"], ["logits"]),
        make.make_node("Softmax", ["logits"], ["scores"]),
    ]
    graph = make.make_graph(nodes, "g", [x], [scores], [onnx.numpy_helper.from_array(weights, "w")])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("spec", COLOURS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("change", [{}, {"channel_order": "rgb"}, {"mean": (1.0, 0.5, 0.25)}])
def test_it_follows_the_spec_of_a_colour_model(
    replay: Replay, copy: Path, spec: ModelSpec, change: dict[str, object]
) -> None:
    model = colour_model(len(spec.labels))
    levels = np.random.default_rng(5).integers(0, 256, (9, 1, 1, 3), np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(levels, (9, 6, 5, 3)))
    scores = open_engine("onnxruntime", model, spec).run(normalize(pixels, spec.input))
    assert len({*decide(probabilities(scores, spec), spec)}) == len(spec.labels)

    manifest = Bundle.open(copy).manifest
    artifact = next(a for a in manifest.artifacts if a.name == "onnx-fp32")
    artifact = dataclasses.replace(artifact, file=store(copy, "colours.onnx", model))
    spec = dataclasses.replace(spec, input=dataclasses.replace(spec.input, **change))
    manifest = dataclasses.replace(manifest, spec=spec, artifacts=(artifact,))
    commit(copy, with_golden(copy, manifest, GoldenSet(pixels, scores)))

    done = replay(copy, "onnx-fp32")
    if change:  # the same pixels, prepared otherwise
        assert "decisions changed" in refusal(done)
    else:
        assert done.returncode == 0, done.stderr


def test_a_changed_byte_of_any_file_that_it_opens_is_refused(replay: Replay, copy: Path) -> None:
    manifest = Bundle.open(copy).manifest
    files = [MANIFEST_NAME, manifest.golden.file.file]
    files.append(next(a.file.file for a in manifest.artifacts if a.name == "onnx-int8"))
    for name in files:
        whole = (copy / name).read_bytes()
        for at in (len(whole) // 3, len(whole) // 2, len(whole) - 2):
            damaged = bytearray(whole)
            damaged[at] ^= 1
            (copy / name).write_bytes(damaged)
            reason = refusal(replay(copy, "onnx-int8"))
            assert "changed after export" in reason or "manifest.json is damaged" in reason
        (copy / name).write_bytes(whole)
    assert replay(copy, "onnx-int8").returncode == 0


@pytest.mark.parametrize("change", [0.001, 0.3, np.nan], ids=["score", "decision", "NaN"])
def test_other_golden_scores_are_a_difference(replay: Replay, copy: Path, change: float) -> None:
    bundle = Bundle.open(copy)
    golden = bundle.golden()
    scores = golden.scores.copy()
    nearest = np.abs(scores[:, 0] - 0.5).argmin()  # to the threshold
    scores[nearest] += np.where(scores[nearest] < 0.5, change, -change)
    commit(copy, with_golden(copy, bundle.manifest, dataclasses.replace(golden, scores=scores)))
    reason = refusal(replay(copy, "onnx-fp32"))
    if np.isnan(change):
        assert "a score is not within 0..1" in reason
        return
    line = LINE.fullmatch(reason)
    assert line and float(line["largest"]) == pytest.approx(change, abs=1e-5)
    assert line["flips"] == ("1" if change == 0.3 else "0")


def test_fewer_scores_than_the_manifest_says_are_refused(replay: Replay, copy: Path) -> None:
    bundle = Bundle.open(copy)
    golden = bundle.golden()
    manifest = with_golden(copy, bundle.manifest, GoldenSet(golden.pixels, golden.scores))
    more = dataclasses.replace(manifest.golden, inputs=manifest.golden.inputs + 1)
    commit(copy, dataclasses.replace(manifest, golden=more))
    assert "golden scores: no 33 of <f4" in refusal(replay(copy, "onnx-fp32"))


def test_a_newer_format_is_refused(replay: Replay, copy: Path) -> None:
    text = (copy / MANIFEST_NAME).read_text().replace('"format": "2.0"', '"format": "2.9"', 1)
    unsigned = re.sub(r'(?<="sha256": ")[0-9a-f]{64}', "", text, count=1)
    digest = sha256(unsigned.encode())
    (copy / MANIFEST_NAME).write_text(unsigned.replace('"sha256": "', f'"sha256": "{digest}', 1))
    assert "format 2.9, expected 2.0 or 2.1" in refusal(replay(copy, "onnx-fp32"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "usage: replay_golden BUNDLE ARTIFACT"),
        (["/nowhere", "onnx-int8"], "/nowhere/manifest.json: no such file, or it cannot be read"),
        ([ROOT, "onnx-int8"], f"{ROOT}/manifest.json: no such file, or it cannot be read"),
        ([REFERENCE, "onnx-int7"], f"the bundle has no onnx-int7 for onnxruntime, {ONLY}"),
        (
            [REFERENCE, "tflite-int8-dynamic"],
            f"the bundle has no tflite-int8-dynamic for onnxruntime, {ONLY}",
        ),
    ],
    ids=["no arguments", "no folder", "another folder", "no artifact", "another engine"],
)
def test_a_mistake_is_one_line(replay: Replay, arguments: list[object], reason: str) -> None:
    assert refusal(replay(*arguments)) == reason


def test_it_connects_nowhere_and_writes_nothing(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: apt-get install strace")
    monkeypatch.setenv("HOME", str(tmp_path))
    log = tmp_path / "trace"
    calls = "trace=network,openat,mkdir,unlink,rename"
    done = replay(REFERENCE, "onnx-int8", within=(strace, "-f", "-o", str(log), "-e", calls))
    assert done.returncode == 0, done.stderr
    assert "manifest.json" in log.read_text()
    assert not re.search(r"\b(socket|connect|mkdir)\(|O_WRONLY|O_RDWR|O_CREAT", log.read_text())
    assert [*tmp_path.iterdir()] == [log]
