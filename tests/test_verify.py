"""Verify: proof on this machine, and no proof for a model that decides otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cxr_edge import engines
from cxr_edge.bundle import Bundle, Golden, dump_golden
from cxr_edge.engines import ENGINES
from cxr_edge.errors import BundleError
from cxr_edge.export.commit import commit, record_file
from cxr_edge.manifest import ArtifactRecord, Manifest
from cxr_edge.verify import Verdict, verify

INPUTS = 6
"""Golden inputs that the rewritten bundles below keep."""


def same(value: object) -> object:
    return value


def rewrite(
    source: Path,
    folder: Path,
    *,
    golden: Callable[[Golden], Golden] = same,  # type: ignore[assignment]
    model: Callable[[bytes], bytes] = same,  # type: ignore[assignment]
    manifest: Callable[[Manifest], Manifest] = same,  # type: ignore[assignment]
) -> Bundle:
    """Write a bundle whose hashes are all right, with other answers, ``onnx-fp32`` or claims."""
    bundle = Bundle.open(source)
    contents = {record.file: bundle.read(record) for record in bundle.manifest.files}
    whole = bundle.golden()
    golden_data = dump_golden(golden(Golden(whole.pixels[:INPUTS], whole.scores[:INPUTS])))
    golden_file = record_file("golden", "npz", golden_data)
    model_data = model(bundle.read(bundle.artifact("onnx-fp32").file))
    model_file = record_file("onnx-fp32", "onnx", model_data)
    first = dataclasses.replace(bundle.manifest.artifacts[0], file=model_file)
    rewritten = dataclasses.replace(
        bundle.manifest,
        artifacts=(first, *bundle.manifest.artifacts[1:]),
        golden=dataclasses.replace(bundle.manifest.golden, file=golden_file, inputs=INPUTS),
    )
    contents |= {golden_file.file: golden_data, model_file.file: model_data}
    commit(folder, manifest(rewritten), contents)
    return Bundle.open(folder)


def tolerate(tolerance: float) -> Callable[[Manifest], Manifest]:
    """Claim another tolerance for everything."""

    def loosen(artifact: ArtifactRecord) -> ArtifactRecord:
        records = (dataclasses.replace(r, tolerance=tolerance) for r in artifact.engines)
        return dataclasses.replace(artifact, engines=tuple(records))

    return lambda m: dataclasses.replace(m, artifacts=tuple(map(loosen, m.artifacts)))


def outcomes(bundle: Bundle) -> dict[tuple[str, str], Verdict]:
    return {(v.artifact, v.engine): v for v in verify(bundle)}


def test_every_artifact_of_a_fresh_export_is_proven_on_every_engine(exported_bundle: Path) -> None:
    found = outcomes(Bundle.open(exported_bundle))
    assert len(found) == 5
    for verdict in found.values():
        assert (verdict.outcome, verdict.reason) == ("proven", "")
        assert verdict.parity is not None and verdict.parity.inputs == 32
        assert verdict.parity.flips == 0
        assert verdict.parity.max_abs_delta <= verdict.tolerance


def test_a_bundle_rewritten_without_a_change_is_proven(
    exported_bundle: Path, tmp_path: Path
) -> None:
    found = outcomes(rewrite(exported_bundle, tmp_path / "b"))
    assert {verdict.outcome for verdict in found.values()} == {"proven"}


def test_a_changed_answer_of_the_original_fails_every_artifact(
    exported_bundle: Path, tmp_path: Path
) -> None:
    def change(golden: Golden) -> Golden:
        scores = golden.scores.copy()
        scores[2] += 0.001
        return Golden(golden.pixels, scores)

    for verdict in outcomes(rewrite(exported_bundle, tmp_path / "b", golden=change)).values():
        assert verdict.outcome == "failed"
        assert "1.0e-03" in verdict.reason and "0 of 6 decisions" in verdict.reason


def test_a_changed_decision_fails_whatever_difference_is_tolerated(
    exported_bundle: Path, tmp_path: Path
) -> None:
    def flip(golden: Golden) -> Golden:
        scores = golden.scores.copy()
        scores[2] = 1 - scores[2]
        return Golden(golden.pixels, scores)

    bundle = rewrite(exported_bundle, tmp_path / "b", golden=flip, manifest=tolerate(1.0))
    for verdict in outcomes(bundle).values():
        assert verdict.outcome == "failed"
        assert "1 of 6 decisions changed" in verdict.reason


def test_changed_weights_fail_that_artifact_and_no_other(
    exported_bundle: Path, tmp_path: Path
) -> None:
    def nudge(data: bytes) -> bytes:
        network = onnx.load_from_string(data)
        biases = [w for w in network.graph.initializer if list(w.dims) == [1]]
        assert biases
        for bias in biases:  # of the last layer, whatever else has one number
            value = numpy_helper.to_array(bias) + np.float32(0.05)
            bias.CopyFrom(numpy_helper.from_array(value, bias.name))
        changed: bytes = network.SerializeToString()
        return changed

    found = outcomes(rewrite(exported_bundle, tmp_path / "b", model=nudge))
    failed = {pair for pair, verdict in found.items() if verdict.outcome == "failed"}
    assert failed == {("onnx-fp32", "onnxruntime"), ("onnx-fp32", "openvino")}
    for pair in failed:
        verdict = found[pair]
        assert verdict.parity is not None and verdict.parity.max_abs_delta > verdict.tolerance
        assert "max |Δ|" in verdict.reason


def test_a_model_that_no_engine_opens_fails_with_the_engine_s_reason(
    exported_bundle: Path, tmp_path: Path
) -> None:
    found = outcomes(rewrite(exported_bundle, tmp_path / "b", model=lambda data: data[:1000]))
    for engine in ("onnxruntime", "openvino"):
        verdict = found["onnx-fp32", engine]
        assert (verdict.outcome, verdict.parity) == ("failed", None)
        assert "refuses the model" in verdict.reason
    assert found["tflite-fp32", "litert"].outcome == "proven"


def test_original_answers_that_are_no_probabilities_prove_nothing(
    exported_bundle: Path, tmp_path: Path
) -> None:
    bundle = rewrite(
        exported_bundle,
        tmp_path / "b",
        golden=lambda g: Golden(g.pixels, np.full_like(g.scores, np.nan)),
        manifest=tolerate(1.0),
    )
    assert {verdict.outcome for verdict in outcomes(bundle).values()} == {"failed"}


def test_an_engine_that_is_not_installed_is_said_so_and_the_others_are_proven(
    exported_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {ENGINES["openvino"].package, ENGINES["litert"].package}
    present = engines.is_installed
    monkeypatch.setattr(engines, "is_installed", lambda m: m not in missing and present(m))
    found = outcomes(Bundle.open(exported_bundle))
    for (_, engine), verdict in found.items():
        if engine == "onnxruntime":
            assert verdict.outcome == "proven"
        else:
            assert (verdict.outcome, verdict.parity) == ("not-installed", None)
            assert "not installed" in verdict.reason


@pytest.mark.parametrize("suffix", ["onnx", "tflite", "keras", "npz"])
def test_a_changed_byte_in_any_file_stops_it_before_the_first_verdict(
    bundle: Path, suffix: str
) -> None:
    path = next(bundle.glob(f"*.{suffix}"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=path.name):
        next(verify(Bundle.open(bundle)))
