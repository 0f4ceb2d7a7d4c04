"""Bundles: a changed byte is found before an engine sees it; what to run is chosen by name."""

from __future__ import annotations

import dataclasses
import io
import logging
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxr_edge import engines
from cxr_edge.bundle.golden import GoldenSet, dump_golden, parse_golden
from cxr_edge.bundle.manifest import MANIFEST_NAME, FileRecord, Manifest, Target
from cxr_edge.bundle.model_card import CARD_NAME
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.data.samples import Samples, dump_samples
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.engines import onnxruntime as exactness
from cxr_edge.errors import BundleError, EngineError, MissingExtraError, UsageError
from cxr_edge.export.commit import commit, record_file
from cxr_edge.preprocess import normalize


@pytest.fixture
def small(exported_bundle: Path, tmp_path: Path) -> Path:
    """The same bundle with files of some hundred bytes, so that damage falls on all of them alike.

    No engine could open its models: whatever reports their damage did so before one tried.
    """
    manifest = Bundle.open(exported_bundle).manifest
    bytes_of = random.Random(1).randbytes
    spec, contents = manifest.spec, {}

    def replace(stem: str, suffix: str, data: bytes) -> object:
        record = record_file(stem, suffix, data)
        contents[record.file] = data
        return record

    golden = GoldenSet(
        np.full((2, *spec.input_shape), 9, np.uint8), np.full((2, 1), 0.25, np.float32)
    )
    samples = Samples(golden.pixels, np.array([0, 1], np.intp), ())
    small = dataclasses.replace(
        manifest,
        keras=replace("model", "keras", bytes_of(1000)),
        calibration=replace("calibration", "npz", dump_samples(samples)),
        domain=replace("domain", "npz", bytes_of(1000)),
        artifacts=tuple(
            dataclasses.replace(a, file=replace(a.name, a.format, bytes_of(1000)))
            for a in manifest.artifacts
        ),
        golden=dataclasses.replace(
            manifest.golden, file=replace("golden", "npz", dump_golden(golden)), inputs=2
        ),
    )
    folder = tmp_path / "small"
    commit(folder, small, contents)
    return folder


def read_everything(folder: Path) -> Manifest:
    """What a check of a bundle reads: the manifest, every file, the golden inputs."""
    bundle = Bundle.open(folder)
    for record in bundle.manifest.files:
        bundle.read(record)
    bundle.golden()
    bundle.calibration()
    return bundle.manifest


def listed(folder: Path) -> list[Path]:
    """The manifest and every file that it lists; the card is derived and not listed."""
    found = sorted(path for path in folder.iterdir() if path.name != CARD_NAME)
    assert len(found) == 12
    return found


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_everything(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def damages(folder: Path, count: int, change: Callable[[random.Random, bytes], bytes]) -> int:
    """Damage one file after the other, ``count`` times; how often the damage was refused."""
    chance, files, found = random.Random(2), listed(folder), 0
    for number in range(count):
        path = files[number % len(files)]
        data = path.read_bytes()
        path.write_bytes(change(chance, data))
        message = refused(folder)
        assert path.name in message
        found += 1
        path.write_bytes(data)
    return found


def flip(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def test_a_whole_bundle_is_read(exported_bundle: Path, small: Path) -> None:
    assert read_everything(exported_bundle).spec == read_everything(small).spec


def test_every_one_of_300_flipped_bits_is_refused_naming_the_file(small: Path) -> None:
    assert damages(small, 300, flip) == 300


def test_every_one_of_50_truncations_is_refused_naming_the_file(small: Path) -> None:
    assert damages(small, 50, cut) == 50


def test_an_appended_byte_is_refused(small: Path) -> None:
    assert damages(small, 9, lambda chance, data: data + b"\0") == 9


def test_an_emptied_file_is_refused(small: Path) -> None:
    assert damages(small, 9, lambda chance, data: b"") == 9


def test_every_deleted_file_is_refused_by_name(small: Path) -> None:
    for path in listed(small):
        data = path.read_bytes()
        path.unlink()
        assert path.name in refused(small)
        path.write_bytes(data)


def test_files_swapped_within_a_bundle_are_refused(small: Path) -> None:
    first, second, *_ = sorted(small.glob("*.onnx"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    assert first.name in refused(small) or second.name in refused(small)


def test_a_file_of_another_bundle_is_refused(small: Path, exported_bundle: Path) -> None:
    own = next(small.glob("golden*"))
    own.write_bytes(next(exported_bundle.glob("golden*")).read_bytes())
    assert own.name in refused(small)


def test_the_manifest_of_another_bundle_is_refused(small: Path, exported_bundle: Path) -> None:
    (small / MANIFEST_NAME).write_bytes((exported_bundle / MANIFEST_NAME).read_bytes())
    refused(small)


def test_a_link_in_place_of_a_file_is_refused_even_to_the_same_content(small: Path) -> None:
    path = next(small.glob("*.onnx"))
    path.rename(small.parent / "elsewhere")
    path.symlink_to(small.parent / "elsewhere")
    assert path.name in refused(small)


@pytest.mark.parametrize("target", ["elsewhere", "absent"])
def test_the_manifest_through_a_link_is_refused(small: Path, target: str) -> None:
    (small / MANIFEST_NAME).rename(small.parent / "elsewhere")
    (small / MANIFEST_NAME).symlink_to(small.parent / target)
    with pytest.raises(BundleError, match=f"{MANIFEST_NAME}: a symbolic link"):
        Bundle.open(small)


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder", "empty", "large"])
def test_a_card_that_cannot_be_read_as_one_is_not_current_and_breaks_nothing(
    small: Path, kind: str
) -> None:
    card = small / CARD_NAME
    assert Bundle.open(small).card_is_current()
    card.rename(small.parent / "elsewhere")
    if kind.startswith("link"):
        card.symlink_to(small.parent / ("elsewhere" if kind == "link" else "absent"))
    elif kind == "pipe":
        os.mkfifo(card)
    elif kind == "folder":
        card.mkdir()
    else:
        card.write_bytes(b" " * (2**20 + 1) if kind == "large" else b"")
    assert not Bundle.open(small).card_is_current()


def test_a_folder_through_a_link_is_a_bundle(bundle: Path, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(bundle, target_is_directory=True)
    assert Classifier.load(link).bundle == link


def test_a_folder_in_place_of_a_file_is_refused(small: Path) -> None:
    for name in (next(small.glob("*.onnx")).name, MANIFEST_NAME):
        (small / name).unlink()
        (small / name).mkdir()
        assert name in refused(small)


def test_a_manifest_over_a_mebibyte_is_refused(small: Path) -> None:
    (small / MANIFEST_NAME).write_bytes(b" " * (2**20 + 1))
    assert "limit" in refused(small)


@pytest.mark.parametrize("name", ["absent", "x" * 300, "a\nb", "nul\0"])
def test_a_folder_that_is_no_bundle_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name)


def test_an_empty_folder_and_a_file_are_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "no bundle here" in refused(tmp_path)
    assert "no bundle here" in refused(tmp_path / "file")


def test_a_changed_model_is_refused_by_load_before_an_engine_opens_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        "cxr_edge.bundle.reader.open_engine", lambda name, *_, **__: opened.append(name)
    )
    for artifact in Bundle.open(bundle).manifest.artifacts:
        path = bundle / artifact.file.file
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(BundleError, match=path.name):
            Classifier.load(bundle, artifact=artifact.name)
    assert opened == []


@pytest.mark.parametrize("part", ["domain", "model"])
def test_every_file_of_a_classifier_is_hashed_before_a_session_exists(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    manifest = Bundle.open(bundle).manifest
    record = manifest.domain if part == "domain" else manifest.artifacts[0].file
    assert record
    path = bundle / record.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    opened: list[str] = []
    monkeypatch.setattr(
        "cxr_edge.bundle.reader.open_engine", lambda name, *_, **__: opened.append(name)
    )
    with pytest.raises(BundleError, match=path.name):
        Classifier.load(bundle)
    assert opened == []


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_file_that_is_replaced_after_it_was_hashed_is_not_opened(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """An engine gets the bytes that were hashed; what stands in the folder by then is not read."""
    opened = Bundle.open(bundle)
    record = next(a for a in opened.manifest.artifacts if engine in {e.engine for e in a.engines})
    read = Bundle.read

    def read_and_replace(self: Bundle, file: FileRecord) -> bytes:
        data = read(self, file)
        for path in self.folder.iterdir():
            path.write_bytes(b"replaced")
        return data

    pixels = opened.golden().pixels[:1]
    before = opened.load(record, engine).run(normalize(pixels, opened.manifest.spec.input))
    monkeypatch.setattr(Bundle, "read", read_and_replace)
    loaded = opened.load(record, engine)
    assert (bundle / record.file.file).read_bytes() == b"replaced"
    after = loaded.run(normalize(pixels, opened.manifest.spec.input))
    assert after.tolist() == before.tolist()


def test_a_model_that_is_not_chosen_need_not_be_there(bundle: Path) -> None:
    for path in [*bundle.glob("*.tflite"), *bundle.glob("*.keras"), *bundle.glob("golden*")]:
        path.unlink()
    assert Classifier.load(bundle, artifact="onnx-fp32").artifact == "onnx-fp32"


def test_files_that_the_manifest_does_not_list_are_reported_sorted(small: Path) -> None:
    assert Bundle.open(small).unlisted() == ()
    (small / "notes.txt").touch()
    (small / "a folder").mkdir()
    (small / ".cxr-edge-0123.onnx").touch()
    assert Bundle.open(small).unlisted() == (".cxr-edge-0123.onnx", "a folder", "notes.txt")


def test_a_card_says_what_the_manifest_says_and_whether_it_still_does(small: Path) -> None:
    bundle, card = Bundle.open(small), small / CARD_NAME
    text = card.read_text()
    assert bundle.card_is_current()
    assert bundle.manifest.notice in text and bundle.manifest.spec.name in text
    for artifact in bundle.manifest.artifacts:
        assert text.count(f"| {artifact.name} |") == len(artifact.engines)
    card.write_text(text + " ")
    assert not bundle.card_is_current()
    card.unlink()
    assert not bundle.card_is_current()
    read_everything(small)  # nothing depends on it


def test_a_card_of_another_bundle_is_not_current(small: Path, exported_bundle: Path) -> None:
    (small / CARD_NAME).write_bytes((exported_bundle / CARD_NAME).read_bytes())
    assert not Bundle.open(small).card_is_current()
    assert Bundle.open(exported_bundle).card_is_current()


def test_images_to_calibrate_on_are_read_back_and_may_be_absent(
    small: Path, exported_bundle: Path
) -> None:
    samples = Bundle.open(small).calibration()
    assert samples is not None and samples.pixels.shape == (2, 50, 50, 1)
    assert samples.labels is not None and samples.labels.tolist() == [0, 1]
    assert Bundle.open(exported_bundle).calibration() is None


def test_the_first_artifact_of_the_manifest_on_its_first_engine_is_chosen(small: Path) -> None:
    opened = Bundle.open(small)
    artifact, engine = opened.choose(None, None)
    assert (artifact.name, engine) == ("onnx-int8", "onnxruntime")
    backwards = dataclasses.replace(
        opened.manifest,
        artifacts=tuple(
            dataclasses.replace(a, engines=a.engines[::-1]) for a in opened.manifest.artifacts[::-1]
        ),
    )
    artifact, engine = Bundle(small, backwards).choose(None, None)
    assert (artifact.name, engine) == ("ncnn-fp32", "ncnn")
    artifact, engine = Bundle(small, backwards).choose("onnx-fp32", None)
    assert (artifact.name, engine) == ("onnx-fp32", "openvino")


def test_a_named_engine_gets_the_first_artifact_that_was_proven_on_it(small: Path) -> None:
    artifact, engine = Bundle.open(small).choose(None, "litert")
    assert (artifact.name, engine) == ("tflite-int8-dynamic", "litert")


def only(bundle: Bundle, *names: str) -> Bundle:
    """The bundle with these files, in this order."""
    artifacts = tuple(bundle.artifact(name) for name in names)
    return Bundle(bundle.folder, dataclasses.replace(bundle.manifest, artifacts=artifacts))


def test_a_file_with_a_heat_map_is_the_last_resort_of_who_asked_for_none(small: Path) -> None:
    opened = Bundle.open(small)
    first = only(opened, "onnx-explain", "tflite-fp32", "onnx-fp32-batch")
    assert first.choose(None, None)[0].name == "tflite-fp32"
    assert first.choose(None, "openvino")[0].name == "onnx-fp32-batch"
    assert first.choose("onnx-explain", None)[0].name == "onnx-explain"
    assert only(opened, "onnx-explain").choose(None, None)[0].name == "onnx-explain"


def test_a_heat_map_is_answered_by_the_file_that_declares_one(small: Path) -> None:
    opened = Bundle.open(small)
    found = opened.choose(None, None, heatmap=True)
    assert (found[0].name, found[1]) == ("onnx-explain", "onnxruntime")
    assert opened.choose("onnx-explain", "openvino", heatmap=True)[1] == "openvino"
    with pytest.raises(UsageError, match="not proven on litert, only: onnx-explain on onnxruntime"):
        opened.choose(None, "litert", heatmap=True)


def test_without_a_file_with_heat_maps_the_command_that_makes_one_is_named(small: Path) -> None:
    opened = Bundle.open(small)
    with pytest.raises(UsageError) as caught:
        opened.choose("onnx-int8", None, heatmap=True)
    assert str(caught.value) == "onnx-int8 has no heat map; onnx-explain has one"
    command = "cxr-edge export MODEL --artifacts onnx-explain,onnx-int8,tflite-fp32"
    with pytest.raises(UsageError, match=f"the bundle has no heat map; '{command}' makes"):
        only(opened, "onnx-int8", "tflite-fp32").choose(None, None, heatmap=True)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("onnx-fp23", "onnx-fp32"), ("onnx-batch", "onnx-fp32-batch"), ("tflite", "tflite-fp32")],
)
def test_a_misspelt_artifact_is_refused_with_the_nearest_name(
    small: Path, typed: str, meant: str
) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant}\\?"):
        Bundle.open(small).choose(typed, None)


def test_an_unknown_artifact_is_refused_with_the_list_of_names(small: Path) -> None:
    with pytest.raises(
        UsageError,
        match="there are onnx-int8, onnx-fp32, onnx-explain, onnx-fp32-batch, tflite-int8-dynamic, "
        "tflite-fp32, ncnn-fp32",
    ) as err:
        Bundle.open(small).choose("zzz", None)
    assert "did you mean" not in str(err.value)


def test_an_engine_that_the_artifact_was_not_proven_on_is_refused(small: Path) -> None:
    with pytest.raises(UsageError, match="not proven on litert, only: onnx-fp32 on onnxruntime"):
        Bundle.open(small).choose("onnx-fp32", "litert")


@pytest.mark.parametrize(("typed", "hint"), [("tensorrt", ""), ("onnxrt", "onnxruntime")])
def test_an_engine_that_does_not_exist_is_refused_with_the_names(
    small: Path, typed: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=f"no engine is called '{typed}'; ") as caught:
        Bundle.open(small).choose(None, typed)
    assert "there are onnxruntime, litert, openvino, ncnn" in str(caught.value)
    assert not hint or f"did you mean {hint}?" in str(caught.value)


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these engines look not installed."""
    packages = {ENGINES[name].package for name in names}
    present = engines.is_installed
    monkeypatch.setattr(engines, "is_installed", lambda m: m not in packages and present(m))
    assert not {*names} & {*installed_engines()}


def test_without_the_first_engine_the_next_proven_one_is_chosen(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "onnxruntime")
    artifact, engine = Bundle.open(small).choose(None, None)
    assert (artifact.name, engine) == ("onnx-int8", "openvino")


def made_for(folder: Path, *targets: Target) -> Bundle:
    """The bundle with its first files made for these machines."""
    opened = Bundle.open(folder)
    first = opened.manifest.artifacts[: len(targets)]
    changed = (dataclasses.replace(a, target=t) for a, t in zip(first, targets, strict=True))
    artifacts = (*changed, *opened.manifest.artifacts[len(targets) :])
    return Bundle(folder, dataclasses.replace(opened.manifest, artifacts=artifacts))


def suits_no(*targets: str) -> Callable[[str], str]:
    return lambda target: "this CPU saturates" if target in targets else ""


def test_a_file_that_this_cpu_gets_wrong_is_passed_over_with_one_line_in_the_log(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = made_for(small, "x86-vnni")
    monkeypatch.setattr("cxr_edge.bundle.reader.why_unsuited", suits_no("x86-vnni"))
    artifact, engine = bundle.choose(None, None)
    assert (artifact.name, engine) == ("onnx-fp32", "onnxruntime")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cxr_edge", logging.WARNING)
    message = record.getMessage()
    assert message.startswith("onnx-int8 is for x86-vnni")
    assert message.endswith("onnx-fp32 runs instead") and len(message.splitlines()) == 1
    caplog.clear()
    artifact, engine = bundle.choose(None, "openvino")
    assert (artifact.name, engine, len(caplog.records)) == ("onnx-fp32", "openvino", 1)


@pytest.mark.parametrize("engine", [None, "onnxruntime", "openvino"])
def test_a_file_that_this_cpu_gets_wrong_is_refused_when_asked_for_by_name(
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    engine: str | None,
) -> None:
    monkeypatch.setattr("cxr_edge.bundle.reader.why_unsuited", suits_no("x86-vnni"))
    with pytest.raises(EngineError, match="onnx-int8 is for x86-vnni") as caught:
        made_for(small, "x86-vnni").choose("onnx-int8", engine)
    assert len(str(caught.value).splitlines()) == 1 and not caplog.records


def test_where_this_cpu_gets_every_file_wrong_nothing_is_run(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_edge.bundle.reader.why_unsuited", suits_no("arm64"))
    with pytest.raises(EngineError, match="is for arm64"):
        made_for(small, *["arm64"] * 7).choose(None, None)


@pytest.mark.parametrize(("exact", "name"), [(True, "onnx-int8"), (False, "onnx-fp32-batch")])
def test_whether_a_file_suits_this_cpu_is_tried(
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    exact: bool,
    name: str,
) -> None:
    monkeypatch.setattr(exactness, "sums_are_exact", lambda: exact)
    artifact, _ = made_for(small, "x86-vnni", "arm64").choose(None, None)
    assert artifact.name == name and len(caplog.records) == (not exact)


def test_files_for_any_machine_are_chosen_whatever_this_one_is(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exactness, "sums_are_exact", lambda: False)
    artifact, _ = Bundle.open(small).choose(None, None)
    assert (artifact.name, artifact.target) == ("onnx-int8", "portable")
    assert not caplog.records


@pytest.mark.parametrize(
    ("artifact", "engine", "command"),
    [
        ("tflite-fp32", None, r"cxr-edge\[litert\]"),
        (None, "openvino", r"cxr-edge\[openvino\]"),
        ("onnx-fp32", "onnxruntime", "pip install cxr-edge "),
    ],
)
def test_without_any_engine_the_command_that_installs_one_is_named(
    small: Path,
    monkeypatch: pytest.MonkeyPatch,
    artifact: str | None,
    engine: str | None,
    command: str,
) -> None:
    without(monkeypatch, *ENGINES)
    with pytest.raises(MissingExtraError, match=command):
        Bundle.open(small).choose(artifact, engine)


def test_golden_inputs_are_written_as_the_same_bytes_and_read_back(small: Path) -> None:
    bundle = Bundle.open(small)
    golden = bundle.golden()
    data = dump_golden(golden)
    assert data == dump_golden(golden) == bundle.read(bundle.manifest.golden.file)
    again = parse_golden(data, bundle.manifest)
    np.testing.assert_array_equal(again.pixels, golden.pixels)
    np.testing.assert_array_equal(again.scores, golden.scores)


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def half_deflated() -> bytes:
    """A zip archive whose directory is right and whose compressed data is not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pixels.npy", b"\x93NUMPY" + bytes(500))
        archive.writestr("scores.npy", b"")
    data = bytearray(buffer.getvalue())
    start = data.find(b"pixels.npy") + 10
    data[start : start + 8] = b"\xff" * 8
    return bytes(data)


def claims_a_terabyte() -> bytes:
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 1)}
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, header)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("pixels.npy", array.getvalue())
    return buffer.getvalue()


PIXELS, SCORES = np.zeros((2, 50, 50, 1), np.uint8), np.zeros((2, 1), np.float32)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"PK\x03\x04",
        half_deflated(),
        claims_a_terabyte(),
        npz(pixels=PIXELS),
        npz(pixels=PIXELS[:1], scores=SCORES),
        npz(pixels=PIXELS.astype(np.float32), scores=SCORES),
        npz(pixels=PIXELS[:, :49], scores=SCORES),
        npz(pixels=PIXELS, scores=SCORES.astype(np.float64)),
        npz(pixels=PIXELS, scores=np.zeros((2, 2), np.float32)),
        npz(pixels=np.array([{}, {}], object), scores=SCORES),
    ],
    ids=[
        "empty",
        "garbage",
        "zip cut",
        "bad deflate",
        "a terabyte",
        "no scores",
        "too few",
        "pixels float32",
        "pixels 149 rows",
        "scores float64",
        "scores 2 columns",
        "pickle",
    ],
)
def test_golden_inputs_that_do_not_fit_the_manifest_are_refused(small: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match="golden"):
        parse_golden(data, Bundle.open(small).manifest)


def test_golden_inputs_that_are_one_array_instead_of_an_archive_are_refused(small: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, PIXELS)
    with pytest.raises(BundleError, match="golden"):
        parse_golden(buffer.getvalue(), Bundle.open(small).manifest)
