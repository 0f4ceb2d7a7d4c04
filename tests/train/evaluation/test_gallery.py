"""The gallery: which images it shows, what it says of them, and the pictures it writes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.classifier import Classifier
from cxr_edge.data.folders import LabelledImages, open_folder, read_folder
from cxr_edge.domain import Domain
from cxr_edge.metrics.evaluation import ModelSource
from cxr_edge.overlay import colour_image
from cxr_edge.spec import SEED_SPEC, InputSpec
from cxr_edge.train.evaluation.gallery import PICTURE_SIDE, choose_images, write_gallery
from cxr_edge.train.evaluation.inputs import gather_inputs
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.scorers import ScoredModel, exported_model

P = np.asarray([0.9, 0.8, 0.55, 0.45, 0.2, 0.1, 0.52, 0.95])
LABELS = np.asarray([0, 1, 0, 0, 1, 0, 1, 1])  # the positive label is 0
SPEC = dataclasses.replace(SEED_SPEC, input=InputSpec(32, 32), uncertain_band=(0.4, 0.6))


def scored(spec=SPEC) -> Scored:
    return Scored.from_scores(1 - P[:, None].astype(np.float32), LABELS, spec)


def test_it_shows_the_most_certain_errors_the_nearest_to_the_threshold_and_some_right_ones():
    wrong, nearest, right = choose_images(scored(), SPEC)
    assert (wrong.kind, wrong.total, wrong.chosen.tolist()) == ("wrong", 5, [7, 5, 1, 3, 6])
    assert (right.kind, right.total, right.chosen.tolist()) == ("right", 3, [0, 2, 4])
    assert (nearest.kind, nearest.total) == ("nearest", 8)
    # Not those that are shown already: of 6, 2 and 3, which are nearest, only 2 is right.
    assert nearest.chosen[0] == 2 and set(nearest.chosen.tolist()) == {0, 2, 4}


def test_images_without_files_are_drawn_from_their_pixels(tmp_path: Path):
    levels = np.linspace(20, 230, 8).round()
    pixels = np.broadcast_to(levels[:, None, None, None], (8, 32, 32, 1)).astype(np.uint8)
    images = LabelledImages(pixels, LABELS, (), ())
    names = [f"NORMAL/{index}.png" for index in range(8)]
    (tmp_path / "held-gallery").mkdir()
    for stale in ("00099.jpg", "00098-heatmap.jpg", "own.jpg"):
        (tmp_path / "held-gallery" / stale).write_bytes(b"")
    inputs = gather_inputs("held", images, SPEC, [], names=names)
    model = ScoredModel(ModelSource("run", "model.keras", "Keras", SPEC), lambda _: P[:, None])
    groups = write_gallery(tmp_path, inputs, scored(), model)
    shown = {entry.file: entry for group in groups for entry in group.entries}
    first = shown["NORMAL/0.png"]
    assert (first.label, first.decision, first.score) == (
        *("PNEUMONIA", "PNEUMONIA"),
        pytest.approx(0.9),
    )
    assert (first.uncertain, first.out_of_domain, first.heatmap) == (False, None, None)
    assert shown["NORMAL/2.png"].uncertain is True
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    assert written == {"held-gallery/own.jpg", *(entry.picture for entry in shown.values())}
    for name, entry in shown.items():
        picture = cv2.imread(str(tmp_path / entry.picture), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (32, 32)
        assert picture.mean() == pytest.approx(levels[int(name[7])], abs=3)


def test_a_model_without_a_band_says_nothing_of_uncertainty(tmp_path: Path):
    spec = dataclasses.replace(SPEC, uncertain_band=None)
    images = LabelledImages(np.zeros((8, 32, 32, 1), np.uint8), LABELS, (), ())
    domain = Domain(
        np.zeros(256, np.float32), np.eye(1, 256, dtype=np.float32), np.ones(1, np.float32),
        1.0, 1.0, 0.0,
    )  # fmt: skip
    model = ScoredModel(
        ModelSource("run", "model.keras", "Keras", spec), lambda _: P[:, None], domain
    )
    inputs = gather_inputs("held", images, spec, [])
    groups = write_gallery(tmp_path, inputs, scored(spec), model)
    for entry in (entry for group in groups for entry in group.entries):
        assert (entry.file, entry.uncertain, entry.out_of_domain) == (None, None, True)


def test_a_bundles_heat_maps_are_those_of_its_explaining_file(drawn_data: Path, tmp_path: Path):
    model = exported_model(None, None, None, 1)
    assert model.explainer and model.explainer.source.startswith("onnx-explain, run by ")
    root = shutil.copytree(drawn_data / "test", tmp_path / "test")
    large = next((root / "NORMAL").glob("*.jpeg"))
    image = cv2.resize(cv2.imread(str(large), cv2.IMREAD_GRAYSCALE), (300, 400))
    large.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
    images = read_folder(open_folder(root, model.spec.labels), model.spec.input)
    inputs = gather_inputs("test", images, model.spec, [])
    scores = Scored.from_scores(model.scorer(images.pixels), images.labels, model.spec)
    groups = write_gallery(tmp_path / "out", inputs, scores, model)
    classifier = Classifier.load(REFERENCE, heatmap=True)
    for entry in (entry for group in groups for entry in group.entries):
        number = int(Path(entry.picture).stem)
        assert entry.heatmap == f"test-gallery/{number:05d}-heatmap.jpg"
        small = cv2.imread(str(tmp_path / "out" / entry.picture), cv2.IMREAD_GRAYSCALE)
        assert max(small.shape) <= PICTURE_SIDE
        explanation = dataclasses.replace(classifier.explain(images.files[number]), image=small)
        expected = colour_image(explanation, model.spec.input)
        heatmap = cv2.imread(str(tmp_path / "out" / entry.heatmap))
        assert heatmap.shape == expected.shape
        assert np.abs(heatmap.astype(int) - expected).mean() < 8  # JPEG, twice
        assert entry.out_of_domain is not None


def test_errors_of_every_label_are_shown():
    """Seven certain errors of one label and one doubtful one of the other."""
    labels = np.asarray([0] * 7 + [1])
    scores = np.asarray([[0.99]] * 7 + [[0.45]], np.float32)
    wrong, *_ = choose_images(Scored.from_scores(scores, labels, SPEC), SPEC)
    assert wrong.total == 8
    assert 7 in wrong.chosen[:2]
