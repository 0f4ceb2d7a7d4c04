"""Bundles: a changed byte is found before an engine sees it; what to run is chosen by name."""

from __future__ import annotations

import dataclasses
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxr_edge import engines
from cxr_edge.bundle import Bundle, Golden, dump_golden, parse_golden
from cxr_edge.classifier import Classifier
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.errors import BundleError, MissingExtraError, UsageError
from cxr_edge.export.commit import commit, record_file
from cxr_edge.manifest import MANIFEST_NAME, Manifest


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

    golden = Golden(np.full((2, *spec.input_shape), 9, np.uint8), np.full((2, 1), 0.25, np.float32))
    small = dataclasses.replace(
        manifest,
        keras=replace("model", "keras", bytes_of(1000)),
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
    return bundle.manifest


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_everything(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def damages(folder: Path, count: int, change: Callable[[random.Random, bytes], bytes]) -> int:
    """Damage one file after the other, ``count`` times; how often the damage was refused."""
    chance, files, found = random.Random(2), sorted(folder.iterdir()), 0
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
    assert damages(small, 6, lambda chance, data: data + b"\0") == 6


def test_an_emptied_file_is_refused(small: Path) -> None:
    assert damages(small, 6, lambda chance, data: b"") == 6


def test_every_deleted_file_is_refused_by_name(small: Path) -> None:
    for path in sorted(small.iterdir()):
        data = path.read_bytes()
        path.unlink()
        assert path.name in refused(small)
        path.write_bytes(data)


def test_files_swapped_within_a_bundle_are_refused(small: Path) -> None:
    first, second = sorted(small.glob("*.onnx"))
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
    monkeypatch.setattr("cxr_edge.bundle.open_engine", lambda name, *_, **__: opened.append(name))
    for artifact in Bundle.open(bundle).manifest.artifacts:
        path = bundle / artifact.file.file
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(BundleError, match=path.name):
            Classifier.load(bundle, artifact=artifact.name)
    assert opened == []


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


def test_the_first_artifact_of_the_manifest_on_its_first_engine_is_chosen(small: Path) -> None:
    opened = Bundle.open(small)
    artifact, engine = opened.choose(None, None)
    assert (artifact.name, engine) == ("onnx-fp32", "onnxruntime")
    backwards = dataclasses.replace(
        opened.manifest,
        artifacts=tuple(
            dataclasses.replace(a, engines=a.engines[::-1]) for a in opened.manifest.artifacts[::-1]
        ),
    )
    artifact, engine = Bundle(small, backwards).choose(None, None)
    assert (artifact.name, engine) == ("tflite-fp32", "litert")
    artifact, engine = Bundle(small, backwards).choose("onnx-fp32", None)
    assert (artifact.name, engine) == ("onnx-fp32", "openvino")


def test_a_named_engine_gets_the_first_artifact_that_was_proven_on_it(small: Path) -> None:
    artifact, engine = Bundle.open(small).choose(None, "litert")
    assert (artifact.name, engine) == ("tflite-fp32", "litert")


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
        UsageError, match="there are onnx-fp32, onnx-fp32-batch, tflite-fp32"
    ) as err:
        Bundle.open(small).choose("zzz", None)
    assert "did you mean" not in str(err.value)


@pytest.mark.parametrize("engine", ["litert", "no such engine"])
def test_an_engine_that_the_artifact_was_not_proven_on_is_refused(small: Path, engine: str) -> None:
    with pytest.raises(UsageError, match=f"not proven on {engine}, only: onnx-fp32 on onnxruntime"):
        Bundle.open(small).choose("onnx-fp32", engine)


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
    assert (artifact.name, engine) == ("onnx-fp32", "openvino")


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


PIXELS, SCORES = np.zeros((2, 150, 150, 1), np.uint8), np.zeros((2, 1), np.float32)


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
        npz(pixels=PIXELS[:, :149], scores=SCORES),
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
