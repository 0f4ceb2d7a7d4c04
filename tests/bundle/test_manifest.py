"""Manifests: what was written is read back, and everything else is refused in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.bundle.manifest import FORMAT, MANIFEST_NAME, dump_manifest, parse_manifest
from cxr_edge.bundle.model_card import CARD_NAME
from cxr_edge.errors import BundleError

ROOT = Path(__file__).parents[2]

Values = dict[str, Any]


@pytest.fixture
def data(exported_bundle: Path) -> bytes:
    return (exported_bundle / MANIFEST_NAME).read_bytes()


def sign_text(text: str) -> bytes:
    """Fill the right hash into a manifest whose hash is empty, without the code under test."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace('"sha256": ""', f'"sha256": "{digest}"', 1).encode()


def sign(values: Values, *, ascii_only: bool = False) -> bytes:
    """JSON of a manifest with its hash, made without the code under test."""
    return sign_text(json.dumps({**values, "sha256": ""}, indent=2, ensure_ascii=ascii_only) + "\n")


def resign(data: bytes, old: str, new: str) -> bytes:
    """A manifest with one change of its text and the right hash."""
    text = data.decode().replace(json.loads(data)["sha256"], "", 1)
    assert old in text
    return sign_text(text.replace(old, new, 1))


def refused(data: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        parse_manifest(data, "here/manifest.json")
    message = str(caught.value)
    assert message.startswith("here/manifest.json: ")
    assert len(message.splitlines()) == 1
    return message


def test_a_manifest_is_read_and_written_as_the_same_bytes(data: bytes) -> None:
    assert dump_manifest(parse_manifest(data)) == data


def test_its_hash_is_the_sha_256_of_its_bytes_with_an_empty_hash(data: bytes) -> None:
    assert sign(json.loads(data)) == data


@pytest.mark.parametrize("folder", [REFERENCE, Path(__file__).parent / "data" / "2.0"])
def test_anybody_can_check_its_hash_with_the_command_of_the_documentation(folder: Path) -> None:
    command = """sed '3s/[0-9a-f]\\{64\\}//' manifest.json | sha256sum"""
    assert command in (ROOT / "docs/bundle.md").read_text()
    printed = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=True)
    digest = json.loads((folder / MANIFEST_NAME).read_bytes())["sha256"]
    assert printed.stdout.decode().split()[0] == digest


def test_another_form_with_the_right_hash_means_the_same(data: bytes) -> None:
    """Only the bytes are hashed; that an export writes one form is no rule of the format."""
    manifest = parse_manifest(data)
    compact = json.dumps({**json.loads(data), "sha256": ""}).replace('"offset": 0.0', '"offset": 0')
    escaped = sign_text(compact)
    assert escaped != data
    found = parse_manifest(escaped)
    assert dataclasses.replace(found, sha256=manifest.sha256) == manifest
    assert dump_manifest(found) == data


def test_its_hash_is_the_second_key_and_nowhere_else(data: bytes) -> None:
    values = json.loads(data)
    moved = {key: values[key] for key in ("format", "notice", "sha256", *values)}
    assert "changed after export" in refused(sign(moved))
    twice = resign(data, '"notice"', f'"sha256": "{"0" * 64}", "notice"')
    assert "'sha256' occurs twice" in refused(twice)


def test_it_names_every_file_of_the_bundle_with_its_hash_and_size(
    exported_bundle: Path, data: bytes
) -> None:
    manifest = parse_manifest(data)
    found = {p.name for p in exported_bundle.iterdir()} - {MANIFEST_NAME, CARD_NAME}
    assert {record.file for record in manifest.files} == found
    for record in manifest.files:
        content = (exported_bundle / record.file).read_bytes()
        assert record.sha256 == hashlib.sha256(content).hexdigest()
        assert record.bytes == len(content)
        assert record.sha256[:12] in record.file


def test_it_says_that_it_is_no_medical_device(data: bytes) -> None:
    assert "not a medical device" in parse_manifest(data).notice


def test_every_digit_of_its_hash_counts(data: bytes) -> None:
    digest = json.loads(data)["sha256"]
    for place in range(64):
        other = digest[:place] + ("0" if digest[place] != "0" else "1") + digest[place + 1 :]
        assert "changed after export" in refused(data.replace(digest.encode(), other.encode()))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"0.5", b"0.4", 1),
        lambda data: data.replace(b"not a medical", b"now a medical"),
        lambda data: data + b"\n",
        lambda data: data.replace(b"  ", b" "),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b'"offset": 0.0', b'"offset": -0.0'),
        lambda data: data.replace(b'"offset": 0.0', b'"offset": 0'),
    ],
    ids=["value", "notice", "newline", "indent", "line ends", "sign of zero", "type of zero"],
)
def test_any_change_without_a_new_hash_is_refused(
    data: bytes, change: Callable[[bytes], bytes]
) -> None:
    changed = change(data)
    assert changed != data
    assert "changed after export" in refused(changed)


@pytest.mark.parametrize("version", ["2.2", "3.0", "99.0", "10.10"])
def test_a_newer_format_is_refused_with_the_advice_to_update(data: bytes, version: str) -> None:
    newer = {**json.loads(data), "format": version, "new key": 1}
    message = refused(sign(newer))
    expected = f"format {version}, this cxr-edge reads up to {FORMAT}; update cxr-edge"
    assert message == f"here/manifest.json: {expected}"


def test_a_newer_format_may_look_quite_different(data: bytes) -> None:
    assert "update cxr-edge" in refused(b'{"format": "3.0", "hash": {"blake3": [1]}}')


@pytest.mark.parametrize("version", ["0.9", "1.0", "1.1", "1.99"])
def test_an_older_major_format_is_refused_with_the_advice_to_export_again(
    data: bytes, version: str
) -> None:
    older = {**json.loads(data), "format": version, "old key": 1}
    message = refused(sign(older))
    assert f"format {version}" in message and "reads 2.x" in message
    assert "export the model again" in message


def test_it_says_how_a_file_was_quantized_and_on_which_images(data: bytes) -> None:
    by_name = {a.name: a for a in parse_manifest(data).artifacts}
    static = by_name["onnx-int8"].quantization
    assert static is not None and by_name["onnx-int8"].target == "portable"
    assert (static.arithmetic, static.weight_bits, static.ranges) == ("static", 7, "minmax")
    assert set(static.equalization.values()) <= {0.5}  # none, if the budget holds without
    assert static.calibration is not None and static.calibration.images == 72
    assert static.calibration.labels == {"PNEUMONIA": 36, "NORMAL": 36}
    dynamic = by_name["tflite-int8-dynamic"].quantization
    assert dynamic is not None
    assert (dynamic.arithmetic, dynamic.weight_bits, dynamic.ranges) == ("dynamic", 8, None)
    for name in ("onnx-fp32", "onnx-explain", "onnx-fp32-batch", "tflite-fp32"):
        assert by_name[name].quantization is None and by_name[name].target == "any"


def test_it_says_how_far_each_layer_was_equalized() -> None:
    artifact = parse_manifest((REFERENCE / MANIFEST_NAME).read_bytes()).artifacts[0]
    assert artifact.name == "onnx-int8" and artifact.quantization is not None
    strengths = artifact.quantization.equalization
    assert len(strengths) == 6 and all(0 < strength <= 1 for strength in strengths.values())


def test_it_never_lists_images_of_patients(data: bytes) -> None:
    """Calibrated on a run's training images: those stay in the run folder."""
    manifest = parse_manifest(data)
    assert manifest.calibration is None
    arrays = [record.file for record in manifest.files if record.file.endswith(".npz")]
    assert [name.split(".")[0] for name in arrays] == ["domain", "golden"]


def test_its_parities_are_ordered_and_its_golden_margin_is_positive(data: bytes) -> None:
    manifest = parse_manifest(data)
    assert 0 < manifest.golden.margin <= 0.5
    for artifact in manifest.artifacts:
        for record in artifact.engines:
            found = record.golden
            assert 0 <= found.p99_abs_delta <= found.max_abs_delta <= record.tolerance
            assert found.mean_abs_delta <= found.max_abs_delta


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\x89PNG", b'{"format": true}', b'{"format": "one"}', b'{"a": 1}'],
)
def test_another_document_is_refused_as_no_manifest(content: bytes) -> None:
    assert "no manifest" in refused(content)


def with_file(name: str) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        values["artifacts"][0]["file"]["file"] = name

    return change


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b.onnx",
        "a\\b.onnx",
        "C:model.onnx",
        ".hidden",
        "-option",
        "Upper.onnx",
        "a\n",
        "a\0b",
        "\uff0fetc",
        "x" * 101,
        "con:aux",
        "~root",
    ],
)
def test_a_file_name_that_could_leave_the_folder_is_refused(data: bytes, name: str) -> None:
    values = json.loads(data)
    with_file(name)(values)
    assert "no plain file name" in refused(sign(values))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v["artifacts"].append(v["artifacts"][0]), "share"),
        (lambda v: v["artifacts"][1].update(name=v["artifacts"][0]["name"]), "share"),
        (lambda v: v["artifacts"][1].update(file=v["artifacts"][0]["file"]), "share"),
        (lambda v: v["golden"].update(file=v["keras"]), "share"),
        (lambda v: v["keras"].update(sha256="A" * 64), "no SHA-256"),
        (lambda v: v["keras"].update(sha256="0" * 63), "no SHA-256"),
        (lambda v: v["keras"].update(bytes=0), "0 bytes"),
        (lambda v: v["keras"].update(bytes=-1), "-1 bytes"),
        (lambda v: v["keras"].update(bytes=2**40), "bytes"),
        (lambda v: v["keras"].update(bytes=True), "keras.bytes"),
        (lambda v: v["artifacts"][0]["engines"][0].update(engine="tensorrt"), "update"),
        (lambda v: v["artifacts"][0]["engines"][0].update(tolerance=1.5), "tolerance"),
        (lambda v: v["artifacts"][0]["engines"][0].update(tolerance=-1e-9), "tolerance"),
        (lambda v: v["artifacts"][0].update(format="pickle"), "format"),
        (lambda v: v["artifacts"][0].update(target="sparc"), "target"),
        (lambda v: v["artifacts"][0].pop("quantization"), "quantization' is missing"),
        (lambda v: v["artifacts"][0].pop("outputs"), "outputs' is missing"),
        (lambda v: v["artifacts"][0].update(outputs=[]), "expected scores"),
        (lambda v: v["artifacts"][0].update(outputs=["heatmap"]), "expected scores"),
        (lambda v: v["artifacts"][0].update(outputs=["heatmap", "scores"]), "expected scores"),
        (lambda v: v["artifacts"][0].update(outputs=["scores", "scores"]), "expected scores"),
        (lambda v: v["artifacts"][0].update(outputs=["scores", "features"]), "outputs[1]"),
        (lambda v: v["artifacts"][0]["quantization"].update(arithmetic="analog"), "arithmetic"),
        (lambda v: v["artifacts"][0]["quantization"].update(weight_bits="7"), "weight_bits"),
        (lambda v: v["artifacts"][0]["quantization"].update(float_layers="all"), "float_layers"),
        (lambda v: v["artifacts"][0]["engines"][0]["golden"].pop("p99_abs_delta"), "p99_abs_delta"),
        (lambda v: v["golden"].pop("margin"), "margin"),
        (lambda v: v["golden"].update(margin=None), "margin"),
        (lambda v: v.pop("calibration"), "'calibration' is missing"),
        (lambda v: v.update(calibration=v["keras"]), "share"),
        (lambda v: v["provenance"].pop("data"), "provenance.data' is missing"),
        (lambda v: v["golden"].update(inputs=0), "golden.inputs"),
        (lambda v: v["golden"].update(inputs=10**12), "golden.inputs"),
        (lambda v: v["golden"].update(decisions={"NORMAL": 40, "PNEUMONIA": -8}), "0 or more"),
        (lambda v: v["artifacts"].clear(), "no artifact; export the model again"),
        (lambda v: v["artifacts"][0]["engines"].clear(), "proven on no engine"),
        (lambda v: v["artifacts"][0].update(name="../../evil"), "an artifact is called"),
        (lambda v: v["artifacts"][0].update(name="\x1b[31m"), "an artifact is called"),
        (lambda v: v["spec"].update(threshold=2), "threshold"),
        (lambda v: v["spec"]["input"].update(height=0), "input.height"),
        (lambda v: v["spec"].update(colour="red"), "spec.colour"),
        (lambda v: v.pop("golden"), "'golden' is missing"),
        (lambda v: v.update(extra=1), "'extra'"),
        (lambda v: v.update(notice="\ud800"), "surrogate"),
        (lambda v: v["provenance"]["tools"].update({"\ud800": "1"}), "surrogate"),
    ],
)
def test_a_manifest_that_was_made_to_mislead_is_refused_although_its_hash_is_right(
    data: bytes, change: Callable[[Values], object], expected: str
) -> None:
    values = json.loads(data)
    change(values)
    # Only an escape can carry half of a surrogate pair.
    assert expected in refused(sign(values, ascii_only=expected == "surrogate"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_threshold_that_is_no_number_is_refused(data: bytes, number: str) -> None:
    message = refused(resign(data, '"threshold": 0.5', f'"threshold": {number}'))
    assert "number" in message and "changed" not in message


def test_a_key_that_occurs_twice_is_refused(data: bytes) -> None:
    twice = resign(data, '"notice":', '"notice": "harmless",\n  "notice":')
    assert "'notice' occurs twice" in refused(twice)


def test_a_megabyte_of_brackets_is_refused_at_once() -> None:
    start = time.process_time()
    assert "changed" in refused(b'{"format": "2.0", "sha256": ' + b"[" * 2**20)
    signed = sign_text('{"format": "2.0", "sha256": "", "notice": ' + "[" * 2**20)
    assert "nested too deeply" in refused(signed)
    assert time.process_time() - start < 1


def test_its_scores_are_probabilities(data: bytes) -> None:
    assert "spec.activation is logits" in refused(resign(data, '"sigmoid"', '"logits"'))


def test_its_spec_leaves_nothing_out_and_names_no_preset(data: bytes) -> None:
    assert "'spec.input.channel_order' is missing" in refused(
        resign(data, ',\n      "channel_order": "rgb"', "")
    )
    assert "unknown key 'spec.input.preset'" in refused(
        resign(data, '"channel_order": "rgb"', '"channel_order": "rgb", "preset": "unit"')
    )
