"""A file in 16-bit arithmetic is proven by an emulation of it, not by what x86 makes of it."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import replay_bundle
from cxr_edge.cli.exporting import emulated_note
from cxr_edge.cli.inspecting import _artifact_row
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.data.samples import Samples
from cxr_edge.errors import EngineError, ParityError
from cxr_edge.export import emulation
from cxr_edge.export.artifacts import KINDS
from cxr_edge.export.pipeline import export
from cxr_edge.export.request import CalibrationImages, ExportRequest, OriginalModel
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.run_folder import UNKNOWN
from cxr_edge.preprocess import normalize, resize_to_input
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec

KIND = KINDS["tflite-fp16-arithmetic"]
REQUEST = ExportRequest(golden_pool=64, named=frozenset({KIND.name}))


def original(detour: float) -> OriginalModel:
    """A network whose sums go up by up to ``detour`` and come down again."""
    keras, _ = require_tensorflow("export")
    spec = dataclasses.replace(SEED_SPEC, input=InputSpec(height=8, width=8))
    image = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(image)
    layer = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(image, layer(keras.layers.Concatenate()([flat, flat, flat])))
    contrast = np.repeat([0.5, -0.5], 32)
    up = np.full(64, detour / 64)
    layer.set_weights([np.concatenate([up, -up, contrast])[:, None], np.zeros(1)])
    drawn = [resize_to_input(draw_phantom(np.random.default_rng(i)), spec.input) for i in range(16)]
    logits = normalize(np.concatenate(drawn), spec.input).reshape(16, 64) @ contrast
    layer.set_weights([layer.get_weights()[0], np.array([-np.median(logits)])])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        samples = CalibrationImages(Samples(np.concatenate(drawn), None, ()), "drawn here")
        return OriginalModel(path.read_bytes(), spec, UNKNOWN, "small", calibration=samples)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("emulated") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulation, "has_float16_arithmetic", lambda: False)
        export(original(0.0), folder, (KIND, KINDS["onnx-fp32"]), REQUEST, Silent())
    return Bundle.open(folder)


def test_the_manifest_says_that_the_figures_are_emulated(bundle: Bundle) -> None:
    artifact = bundle.artifact(KIND.name)
    assert (artifact.target, artifact.precision) == ("arm64-fp16", "fp16")
    (record,) = artifact.engines
    assert record.emulated and record.data is None and record.fast is None
    assert 1e-5 < record.golden.max_abs_delta <= record.tolerance / emulation.MARGIN
    assert b"fp16accfp16" in bundle.read(artifact.file)  # what XNNPACK looks for
    assert f"{record.golden.inputs} golden, emulated)" in str(_artifact_row(artifact)[2])
    assert not any(r.emulated for r in bundle.artifact("onnx-fp32").engines)
    assert emulated_note(bundle.manifest) == (
        "tflite-fp16-arithmetic: emulated; 'cxr-edge verify' on arm64 proves it"
    )
    assert emulated_note(Bundle.open().manifest) is None


def test_verify_on_x86_does_not_call_it_proven(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_edge.engines.is_arm64", lambda: False)
    verdicts = {v.artifact: v for v in replay_bundle(bundle) if v.outcome != "not-installed"}
    assert verdicts[KIND.name].outcome == "not-for-this-cpu"
    assert verdicts["onnx-fp32"].outcome == "proven"
    with pytest.raises(EngineError, match="arm64-fp16; this CPU is not arm64"):
        bundle.choose(KIND.name, None)


def test_verify_on_arm64_measures_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr_edge.engines.is_arm64", lambda: True)
    (verdict,) = (v for v in replay_bundle(bundle) if v.artifact == KIND.name)
    assert verdict.outcome == "proven" and verdict.parity and verdict.parity.flips == 0


def test_what_only_an_exact_sum_gets_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of some hundreds have steps of .25 in 16 bits; x86 adds in float32 and passes."""
    monkeypatch.setattr(emulation, "has_float16_arithmetic", lambda: False)
    with pytest.raises(ParityError, match=r"in emulated 16-bit arithmetic: .*nothing was written"):
        export(original(500.0), tmp_path / "bundle", (KIND,), REQUEST, Silent())
    monkeypatch.setattr(emulation, "has_float16_arithmetic", lambda: True)
    manifest, _ = export(original(500.0), tmp_path / "bundle", (KIND,), REQUEST, Silent())
    (record,) = manifest.artifacts[0].engines
    assert not record.emulated  # the engines of a CPU that has the arithmetic are proof
