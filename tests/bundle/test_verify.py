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
from cxr_edge.bundle.embedded import Embedded, read_embedded
from cxr_edge.bundle.golden import GoldenSet, dump_golden
from cxr_edge.bundle.manifest import ArtifactRecord, Manifest
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Verdict, replay_bundle
from cxr_edge.decision import decision_margins, probabilities
from cxr_edge.engines import ENGINES, Format
from cxr_edge.errors import BundleError
from cxr_edge.export.commit import commit, record_file
from cxr_edge.export.convert.metadata import embed

INPUTS = 6
"""Golden inputs that the rewritten bundles below keep."""


def same(value: object) -> object:
    return value


def rewrite(
    source: Path,
    folder: Path,
    *,
    golden: Callable[[GoldenSet], GoldenSet] = same,  # type: ignore[assignment]
    model: Callable[[bytes], bytes] = same,  # type: ignore[assignment]
    of: str = "onnx-fp32",
    manifest: Callable[[Manifest], Manifest] = same,  # type: ignore[assignment]
) -> Bundle:
    """Write a bundle whose hashes are all right, with other answers, another file or claims."""
    bundle = Bundle.open(source)
    contents = {record.file: bundle.read(record) for record in bundle.manifest.files}
    whole = bundle.golden()
    golden_data = dump_golden(golden(GoldenSet(whole.pixels[:INPUTS], whole.scores[:INPUTS])))
    golden_file = record_file("golden", "npz", golden_data)
    model_data = model(bundle.read(bundle.artifact(of).file))
    model_file = record_file(of, bundle.artifact(of).format, model_data)
    artifacts = tuple(
        dataclasses.replace(a, file=model_file) if a.name == of else a
        for a in bundle.manifest.artifacts
    )
    rewritten = dataclasses.replace(
        bundle.manifest,
        artifacts=artifacts,
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
    return {(v.artifact, v.engine): v for v in replay_bundle(bundle)}


def test_every_artifact_of_a_fresh_export_is_proven_on_every_engine(exported_bundle: Path) -> None:
    found = outcomes(Bundle.open(exported_bundle))
    assert list(found) == [
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
    inputs = Bundle.open(exported_bundle).manifest.golden.inputs
    for verdict in found.values():
        assert (verdict.outcome, verdict.reason) == ("proven", "")
        assert verdict.parity is not None and verdict.parity.inputs == inputs
        assert verdict.parity.flips == 0
        assert verdict.parity.max_abs_delta <= verdict.tolerance


def test_a_bundle_rewritten_without_a_change_is_proven(
    exported_bundle: Path, tmp_path: Path
) -> None:
    found = outcomes(rewrite(exported_bundle, tmp_path / "b"))
    assert {verdict.outcome for verdict in found.values()} == {"proven"}


@pytest.mark.parametrize(
    ("by", "said", "failing"),
    [(0.001, "1.0e-03", {5e-5}), (0.06, "-02", {5e-5, 0.05})],
    ids=["beyond float32's", "beyond every tolerance"],
)
def test_a_changed_answer_of_the_original_fails_what_tolerates_less(
    exported_bundle: Path, tmp_path: Path, by: float, said: str, failing: set[float]
) -> None:
    def change(golden: GoldenSet) -> GoldenSet:
        scores = golden.scores.copy()
        spec = Bundle.open(exported_bundle).manifest.spec
        safest = decision_margins(probabilities(scores, spec), spec).argmax()
        scores[safest] += by if scores[safest] > 0.5 else -by
        return GoldenSet(golden.pixels, scores)

    found = outcomes(rewrite(exported_bundle, tmp_path / "b", golden=change)).values()
    assert {verdict.tolerance for verdict in found} == {5e-5, 0.05}
    for verdict in found:
        assert verdict.outcome == ("failed" if verdict.tolerance in failing else "proven")
        if verdict.outcome == "failed":
            assert said in verdict.reason and "0 of 6 decisions" in verdict.reason


def test_a_changed_decision_fails_whatever_difference_is_tolerated(
    exported_bundle: Path, tmp_path: Path
) -> None:
    def flip(golden: GoldenSet) -> GoldenSet:
        scores = golden.scores.copy()
        scores[2] = 1 - scores[2]
        return GoldenSet(golden.pixels, scores)

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


def embed_instead(data: bytes, format: Format, embedded: Embedded) -> bytes:
    """The file with another document in place of its own."""
    if format == "tflite":
        data = data[: data.rindex(b"PK\x03\x04")]
    return embed(data, format, embedded)


def from_another_model(data: bytes, format: Format) -> bytes:
    return embed_instead(data, format, Embedded("0" * 64, read_embedded(data, format).spec))


def for_another_spec(data: bytes, format: Format) -> bytes:
    found = read_embedded(data, format)
    spec = dataclasses.replace(found.spec, threshold=0.25)
    return embed_instead(data, format, Embedded(found.original_sha256, spec))


@pytest.mark.parametrize("stale", [from_another_model, for_another_spec], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["onnx-int8", "onnx-fp32", "tflite-int8-dynamic", "tflite-fp32"])
def test_a_file_that_was_made_from_another_model_or_spec_fails_though_it_answers_alike(
    exported_bundle: Path, tmp_path: Path, name: str, stale: Callable[[bytes, Format], bytes]
) -> None:
    format: Format = "onnx" if name.startswith("onnx") else "tflite"
    bundle = rewrite(
        exported_bundle, tmp_path / "b", of=name, model=lambda data: stale(data, format)
    )
    for verdict in outcomes(bundle).values():
        if verdict.artifact == name:
            assert (verdict.outcome, verdict.parity) == ("failed", None)
            assert "another model or spec" in verdict.reason
        else:
            assert verdict.outcome == "proven"


def test_a_file_that_says_nothing_of_itself_fails(exported_bundle: Path, tmp_path: Path) -> None:
    def silent(data: bytes) -> bytes:
        network = onnx.load_from_string(data)
        del network.metadata_props[:]
        cleared: bytes = network.SerializeToString()
        return cleared

    found = outcomes(rewrite(exported_bundle, tmp_path / "b", model=silent))
    verdict = found["onnx-fp32", "onnxruntime"]
    assert verdict.outcome == "failed" and "no metadata" in verdict.reason


def test_a_file_for_other_cpus_is_not_run_and_the_others_are_proven(
    exported_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim(manifest: Manifest) -> Manifest:
        first = dataclasses.replace(manifest.artifacts[0], target="x86-vnni")
        return dataclasses.replace(manifest, artifacts=(first, *manifest.artifacts[1:]))

    bundle = rewrite(exported_bundle, tmp_path / "b", manifest=claim)
    reasons = {"x86-vnni": "it saturates"}
    why_unsuited = "cxr_edge.bundle.verify.why_unsuited"
    monkeypatch.setattr(why_unsuited, lambda target: reasons.get(target, ""))
    for verdict in outcomes(bundle).values():
        if verdict.artifact == "onnx-int8":
            assert (verdict.outcome, verdict.parity) == ("not-for-this-cpu", None)
            assert verdict.reason == "made for x86-vnni: it saturates"
        else:
            assert verdict.outcome == "proven"
    monkeypatch.setattr(why_unsuited, lambda target: "")
    assert {verdict.outcome for verdict in outcomes(bundle).values()} == {"proven"}


def test_a_model_that_no_engine_opens_fails_with_the_engine_s_reason(
    exported_bundle: Path, tmp_path: Path
) -> None:
    found = outcomes(rewrite(exported_bundle, tmp_path / "b", model=lambda data: data[:1000]))
    for engine in ("onnxruntime", "openvino"):
        verdict = found["onnx-fp32", engine]
        assert (verdict.outcome, verdict.parity) == ("failed", None)
        assert "cannot load the model" in verdict.reason
    assert found["tflite-fp32", "litert"].outcome == "proven"


def test_original_answers_that_are_no_probabilities_prove_nothing(
    exported_bundle: Path, tmp_path: Path
) -> None:
    bundle = rewrite(
        exported_bundle,
        tmp_path / "b",
        golden=lambda g: GoldenSet(g.pixels, np.full_like(g.scores, np.nan)),
        manifest=tolerate(1.0),
    )
    assert {verdict.outcome for verdict in outcomes(bundle).values()} == {"failed"}


def test_an_engine_that_is_not_installed_is_said_so_and_the_others_are_proven(
    exported_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {info.package for name, info in ENGINES.items() if name != "onnxruntime"}
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
        next(replay_bundle(Bundle.open(bundle)))
