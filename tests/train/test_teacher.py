"""A student gets its teacher's input, labels and scores, whatever kind of classifier that is."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import cxr_edge
from cxr_edge.errors import ModelError, UsageError
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import InputSpec, ModelSpec
from cxr_edge.train.fitting.history import HISTORY_NAME
from cxr_edge.train.recipe import COMPACT, ROBUST
from cxr_edge.train.settings import Augmentation
from cxr_edge.train.teacher import for_teacher, load_teacher, teacher_spec, teachers_spec

LABELS = ("bars", "left", "right")
INPUT = {"height": 24, "width": 20, "channels": 3, "scale": 1 / 127.5, "offset": -1.0}


def draw(root: Path, labels: tuple[str, ...] = LABELS, images: int = 10) -> Path:
    """Noise with a bright part that depends on the label."""
    random = np.random.default_rng(1)
    for number in range(images * len(labels)):
        label = number % len(labels)
        image = random.integers(0, 60, (26, 24)).astype(np.uint8)
        image[:, 8 * label : 8 * label + 8] += 120
        path = root / labels[label] / f"{number}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made softmax of three labels on colour images: which third is the brightest?"""
    keras = require_keras("train")
    folder = tmp_path_factory.mktemp("teacher")
    layers = keras.layers
    image = keras.Input((24, 20, 3))
    thirds = layers.AveragePooling2D((24, 6))(image)
    model = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(thirds)))
    kernel = np.zeros((3, 3, 3), np.float32)
    kernel[np.arange(3), :, np.arange(3)] = 2.0
    model.set_weights([kernel.reshape(9, 3), np.zeros(3)])
    model.save(folder / "thirds.keras")
    spec = {"name": "thirds", "input": INPUT, "labels": LABELS, "activation": "softmax"}
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder / "thirds.keras"


@pytest.mark.slow
def test_a_student_of_any_classifier_learns_its_scores(teacher: Path, tmp_path: Path) -> None:
    data = draw(tmp_path / "data")
    result = cxr_edge.train_model(
        data,
        tmp_path / "run",
        recipe=dataclasses.replace(  # so short a training has nothing to average
            COMPACT, augmentation=Augmentation(), batch_size=8, averaging=None
        ),
        epochs=24,  # running statistics forget their first values in about a hundred steps
        teacher=teacher,
        width=0.375,
        patient_pattern=r"^(\d+)_",
    )
    run = open_run(tmp_path / "run")
    assert run.spec.labels == LABELS and run.spec.activation == "softmax"
    assert run.spec.input == teacher_spec(teacher).input
    assert run.spec.threshold is None
    assert run.provenance.recipe == "compact v2, width 0.375, 24 epochs"
    loaded = load_teacher(teacher, Silent())
    assert run.provenance.teachers == (loaded.sha256,)
    assert '"distillation": {' in (tmp_path / "run" / HISTORY_NAME).read_text()
    assert result.evaluations["validation"].figures["accuracy"].value == 1.0
    # It agrees with its teacher on pictures that neither was trained on, too.
    pixels = np.repeat(np.random.default_rng(3).integers(0, 60, (30, 24, 20, 1)), 3, axis=3)
    for number, picture in enumerate(pixels):
        picture[:, (number % 3) * 7 : (number % 3) * 7 + 6] += 130
    pixels = pixels.astype(np.uint8)
    student = load_keras(run.model, run.spec)
    taught = loaded.scores(normalize(pixels, run.spec.input)).argmax(axis=1)
    learnt = keras_scores(student, pixels, run.spec).argmax(axis=1)
    assert len(set(taught)) == 3
    assert np.mean(taught == learnt) >= 0.9


def test_the_teachers_labels_must_be_the_folders(teacher: Path, tmp_path: Path) -> None:
    two = draw(tmp_path / "two", ("left", "right"))
    for pattern, arguments in (
        (r"has folders left, right, but the teacher, .*knows bars, left, right", teacher),
        (r"has folders left, right, but the teacher, the bundled reference, knows NORMAL", None),
    ):
        with pytest.raises(UsageError, match=pattern) as caught:
            cxr_edge.train_model(two, tmp_path / "run", recipe="compact", teacher=arguments)
        assert "--teacher" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_none_is_named_with_what_could_be_one(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", ("NORMAL", "PNEUMONIA"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone.keras").write_bytes(b"PK")
    for name, message in {
        "nothing.keras": r"nothing\.keras: no such file or folder; expected a run folder",
        "empty": "empty",
        "alone.keras": r"spec\.json: no such file; .*'cxr-edge spec \S*alone\.keras -o",
    }.items():
        with pytest.raises(ModelError, match=message) as caught:
            cxr_edge.train_model(data, tmp_path / "run", teacher=tmp_path / name)
        assert "\n" not in str(caught.value) and "--spec" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_bundle_teaches_as_the_reference_does(tmp_path: Path) -> None:
    reference = teacher_spec(None)
    folder = Path(cxr_edge.__file__).parent / "reference"
    copied = Path(shutil.copytree(folder, tmp_path / "bundle"))
    assert teacher_spec(copied) == reference
    data = draw(tmp_path / "data", ("NORMAL", "PNEUMONIA"))
    student = for_teacher(COMPACT, reference, "t", data)
    assert student.spec.name == "chest X-ray pneumonia CNN, compact recipe"
    assert (student.spec.input, student.spec.labels) == (reference.input, reference.labels)
    assert (student.spec.threshold, student.spec.uncertain_band) == (0.5, None)
    assert student.distillation == COMPACT.distillation


def test_a_softmax_of_two_labels_teaches_one_sigmoid(tmp_path: Path) -> None:
    spec = ModelSpec(
        "moles", InputSpec(9, 9), ("benign", "malignant"), "softmax", "malignant", 0.3, "by hand"
    )
    data = draw(tmp_path / "data", ("benign", "malignant"))
    student = for_teacher(ROBUST, spec, "t", data)
    assert student.distillation and student.label_smoothing == 0 < ROBUST.label_smoothing
    assert student.spec.activation == "sigmoid" and student.spec.outputs == 1
    assert student.spec.name == "moles, robust recipe"
    assert student.spec.positive_label == "malignant" and student.spec.threshold == 0.5
    assert student.distillation == COMPACT.distillation


def test_teachers_of_one_student_have_the_same_input_and_labels(
    teacher: Path, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    for folder in (first, second, third):
        folder.mkdir()
        spec = {"name": folder.name, "input": INPUT, "labels": LABELS, "activation": "softmax"}
        if folder == third:
            spec["labels"] = ["bars", "right", "left"]
        (folder / "spec.json").write_text(json.dumps(spec))
        shutil.copy(teacher, folder / "model.keras")
    models = [folder / "model.keras" for folder in (first, second, third)]
    assert teachers_spec(models[:2]).name == "a"
    with pytest.raises(UsageError, match=r"c/model.keras: its input, labels or output differ"):
        teachers_spec(models)
