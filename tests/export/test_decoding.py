"""Fast decoding is proven like a file, and is the default only where it keeps the budget."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.bundle.manifest import MANIFEST_NAME, dump_manifest
from cxr_edge.bundle.model_card import model_card
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.data.samples import Samples
from cxr_edge.errors import ParityError
from cxr_edge.export import images as export_images
from cxr_edge.export.artifacts import KINDS
from cxr_edge.export.decoding import FastReading, prove_decoding
from cxr_edge.export.drafts import BuiltArtifact
from cxr_edge.export.gate import EngineProof, ParityImages
from cxr_edge.export.images import ExportImages
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Silent
from cxr_edge.sources import read_pixels

BUNDLE = Bundle.open()
SPEC = BUNDLE.manifest.spec
RECORD = BUNDLE.artifact("onnx-explain")
ENGINE = BUNDLE.load(RECORD, "onnxruntime")
ARTIFACT = BuiltArtifact(
    KINDS["onnx-explain"],
    BUNDLE.read(RECORD.file),
    Budget(),
    5e-5,
    (EngineProof("onnxruntime", {}),),
)
CHANGED = [2, 5]
"""Images that fast decoding reads otherwise."""


def reading(pixels: Pixels, fast: Pixels) -> FastReading:
    """What fast decoding reads, with the scores of the float32 file as the original's."""
    before, after = (ENGINE.run(normalize(p, SPEC.input)) for p in (pixels, fast))
    return FastReading(ParityImages("data", Samples(pixels, None, ()), before), fast, after)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.concatenate([BUNDLE.golden().pixels[:8]])


def test_fast_decoding_is_the_default_where_it_keeps_the_budget(pixels: Pixels) -> None:
    fast = pixels.copy()
    fast[CHANGED, 70:74, 70:74] ^= 1
    both = reading(pixels, fast)
    record, parities = prove_decoding(both, [ARTIFACT], Budget(max_delta_p=0.05), SPEC)
    delta = np.abs(both.scores - both.images.scores)
    assert (record.default, record.reason) == ("fast", "")
    assert (record.images, record.changed) == (8, 2)
    assert delta.max() > 0 and record.original.max_abs_delta == pytest.approx(delta.max())
    assert parities["onnx-explain", "onnxruntime"].inputs == 8
    assert "pixels of 2 of 8 images of --data change" in record.summary


def test_exact_decoding_is_the_default_where_fast_decoding_exceeds_the_budget(
    pixels: Pixels,
) -> None:
    fast = pixels.copy()
    fast[CHANGED] = 255 - fast[CHANGED]
    record, parities = prove_decoding(reading(pixels, fast), [ARTIFACT], Budget(), SPEC)
    assert record.default == "exact"
    assert record.reason.startswith("onnx-explain on onnxruntime: ")
    assert "exact decoding is the default" in record.summary
    assert parities["onnx-explain", "onnxruntime"].max_abs_delta > 0.05


def test_images_that_fast_decoding_reads_alike_prove_nothing_and_it_is_said(
    pixels: Pixels,
) -> None:
    record, parities = prove_decoding(reading(pixels, pixels), [ARTIFACT], Budget(), SPEC)
    assert (record.default, record.changed, parities) == ("fast", 0, {})
    assert "changes no pixel of the 8 images of --data" in record.summary


def test_a_bundles_default_is_what_runs_and_what_its_card_says(
    tmp_path: Path, pixels: Pixels
) -> None:
    fast = 255 - pixels
    record, _ = prove_decoding(reading(pixels, fast), [ARTIFACT], Budget(), SPEC)
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLE.folder, folder)
    manifest = dataclasses.replace(BUNDLE.manifest, decoding=record)
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    assert Classifier.load(folder).decode == "exact"
    assert Classifier.load(folder, decode="fast").decode == "fast"
    assert Classifier.load().decode == "fast"
    assert record.summary in model_card(manifest)


def images_of(folder: Path) -> ExportImages:
    """The images of an export whose ``--data`` is a folder; the model is the float32 file."""
    original = OriginalModel(b"", SPEC, BUNDLE.manifest.provenance, "drawn")
    return ExportImages(None, original, ExportRequest(data=folder, golden_pool=16), Silent())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four large JPEGs."""
    for seed in range(4):
        picture = cv2.resize(draw_phantom(np.random.default_rng(seed)), (900, 800))
        cv2.imwrite(str(tmp_path / f"{seed}.jpeg"), picture)
    monkeypatch.setattr(
        export_images,
        "keras_scores",
        lambda model, pixels, spec: ENGINE.run(normalize(pixels, spec.input)),
    )
    return tmp_path


def test_large_jpegs_of_data_are_read_both_ways(folder: Path) -> None:
    fast_reading = images_of(folder).fast_reading
    assert fast_reading is not None and fast_reading.changed == 4
    levels = np.abs(fast_reading.pixels.astype(int) - fast_reading.images.samples.pixels)
    assert 0 < levels.mean() < 2


def test_a_runtime_that_reads_otherwise_than_training_stops_the_export(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(path: Path, spec: object, *, decode: str) -> Pixels:
        return np.roll(read_pixels(path, SPEC, decode=decode), 1, axis=2)  # type: ignore[arg-type]

    monkeypatch.setattr(export_images, "read_pixels", shifted)
    with pytest.raises(ParityError, match="the runtime's pixels differ"):
        images_of(folder)
