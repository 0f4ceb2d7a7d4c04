"""Training writes a complete and consistent run folder, resumes, and refuses bad input."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge import documents
from cxr_edge.cli import main
from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.data.patients import grouping
from cxr_edge.data.samples import Samples, read_samples
from cxr_edge.decision import positive_scores, probabilities
from cxr_edge.domain import parse_domain
from cxr_edge.errors import DataError, ModelError, UsageError
from cxr_edge.metrics.evaluation import EVALUATION_NAME, Evaluation, read_evaluation
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.report.evaluation.text import report_text
from cxr_edge.reporting import Advance, Silent
from cxr_edge.spec import InputSpec
from cxr_edge.train.evaluation.scorers import keras_model
from cxr_edge.train.evaluation.summary import headline
from cxr_edge.train.fitting.data import (
    CALIBRATION_IMAGES,
    calibration_samples,
    read_training_data,
    validation_samples,
)
from cxr_edge.train.fitting.history import HISTORY_NAME, History
from cxr_edge.train.pipeline import train
from cxr_edge.train.recipe import ROBUST, SEED, TrainingRecipe
from cxr_edge.train.settings import Block

FILES = {
    *("model.keras", "spec.json", "provenance.json", "history.json", "evaluation.json"),
    *("calibration.npz", "validation.npz", "domain.npz"),
    *("layers.txt", "class-counts.png", "samples.png"),
    *("history-accuracy.png", "history-loss.png", "evaluation.html"),
    *(
        f"{part}{end}"
        for part in ("validation", "test")
        for end in (
            *("-report.txt", "-confusion.png", "-roc.png", "-roc-corner.png"),
            *("-precision-recall.png", "-reliability.png", "-scores-1.png", "-scores-2.png"),
            "-gallery",
        )
    ),
    "test-scores.csv",
}
TINY = dataclasses.replace(
    SEED,
    spec=dataclasses.replace(SEED.spec, input=InputSpec(height=16, width=16)),
    epochs=2,
    batch_size=8,
)
LABELS = TINY.spec.labels
ABOUT_DATA = "drawn squares, CC0, by nobody"


class Recording(Silent):
    """A reporter that records its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)


class PowerCutError(Exception):
    """Raised in the middle of a training."""


class Interrupting(Silent):
    """Interrupts the training in its second epoch."""

    @contextlib.contextmanager
    def bar(self, label: str) -> Iterator[Advance]:
        def advance(done: int, total: int) -> None:
            if label == "training" and done > total / 2:
                raise PowerCutError

        yield advance


def draw_patients(root: Path, patients: int, images: int, *, first: int = 0) -> Path:
    """Write uniform images; each patient, of either label in turn, has a grey level of its own."""
    for patient in range(first, first + patients):
        for number in range(images):
            path = root / LABELS[patient % 2] / f"{patient}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((20, 24), 4 * patient, np.uint8)
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


def run(data: Path, out: Path, reporter: Any = None, *, seed: int = 3) -> dict[str, Evaluation]:
    return train(
        data,
        out,
        TINY,
        seed=seed,
        group_of=grouping(r"^(\d+)_"),
        use_val_folder=False,
        reporter=reporter or Silent(),
        about_data=ABOUT_DATA,
    )


def read(
    data: Path, *, recipe: TrainingRecipe = TINY, pattern: str = r"^(\d+)_", **options: Any
) -> Any:
    settings = {"seed": 3, "use_val_folder": False, "reporter": Silent()} | options
    return read_training_data(data, recipe, group_of=grouping(pattern), **settings)


def levels(pixels: np.ndarray) -> Counter[int]:
    """How many images there are of each grey level, which is to say of each patient."""
    return Counter(int(image[0, 0, 0]) for image in pixels)


def history_of(folder: Path) -> History:
    data = (folder / HISTORY_NAME).read_bytes()
    return documents.parse(data, History, name=HISTORY_NAME, error=UsageError)


def evaluations_of(folder: Path) -> dict[str, Evaluation]:
    return read_evaluation(folder / EVALUATION_NAME).parts


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The run folder.


def test_a_run_folder_holds_every_promised_file_and_no_leftover(run_folder: Path) -> None:
    assert {path.name for path in run_folder.iterdir()} == FILES


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.endswith(".png")))
def test_every_picture_decodes_and_shows_something(run_folder: Path, name: str) -> None:
    picture = cv2.imread(str(run_folder / name), cv2.IMREAD_COLOR)
    assert picture is not None
    assert 400 <= picture.shape[1] <= 1500
    assert picture.std() > 10
    assert len(np.unique(picture)) > 20
    if name != "samples.png":  # a mosaic of images
        border = np.concatenate([picture[:3].ravel(), picture[-3:].ravel()])
        assert border.min() > 200, "something is cut off at the picture's border"


def test_the_history_tells_what_was_trained_on(
    run_folder: Path, short_recipe: TrainingRecipe
) -> None:
    history = history_of(run_folder)
    assert (history.seed, history.unreadable) == (3, ())
    assert history.recipe == short_recipe
    assert history.train_images == {"PNEUMONIA": 36, "NORMAL": 36}
    assert history.validation_images == {"PNEUMONIA": 4, "NORMAL": 4}
    assert history.patients == {"training": 72, "validation": 8}


def test_the_history_holds_plausible_figures_of_every_epoch(run_folder: Path) -> None:
    epochs = history_of(run_folder).epochs
    assert len(epochs) == 2
    for epoch in epochs:
        assert epoch.loss > 0
        assert epoch.val_loss > 0
        assert round(epoch.accuracy * 72, 3).is_integer()
        assert round(epoch.val_accuracy * 8, 3).is_integer()
        assert epoch.learning_rate == pytest.approx(1e-3)
        assert epoch.seconds > 0
    assert epochs[1].loss < epochs[0].loss


def test_the_last_epochs_validation_figures_are_the_saved_models(run_folder: Path) -> None:
    last, validation = history_of(run_folder).epochs[-1], evaluations_of(run_folder)["validation"]
    assert validation.accuracy == pytest.approx(last.val_accuracy)
    assert validation.loss == pytest.approx(last.val_loss, rel=0.02)


def test_the_evaluation_counts_each_part(run_folder: Path) -> None:
    parts = evaluations_of(run_folder)
    assert {part: figures.data.images for part, figures in parts.items()} == {
        "validation": 8,
        "test": 16,
    }
    for part, figures in parts.items():
        assert (run_folder / f"{part}-report.txt").read_text() == report_text(figures) + "\n"


def test_the_galleries_show_images_by_name_with_what_the_model_made_of_them(
    run_folder: Path, drawn_data: Path
) -> None:
    for part, evaluation in evaluations_of(run_folder).items():
        assert evaluation.model.description == f"model.keras of {run_folder.name}, run by Keras"
        assert evaluation.gallery and evaluation.heatmap_source is None
        for entry in (entry for group in evaluation.gallery for entry in group.entries):
            folder = drawn_data / ("train" if part == "validation" else part)
            assert entry.file and (folder / entry.file).is_file()
            assert entry.file.startswith(f"{entry.label}/")
            assert (run_folder / entry.picture).is_file()
            assert (entry.uncertain, entry.heatmap) == (None, None)
            assert entry.out_of_domain is not None


def test_the_score_table_agrees_with_the_figures_and_with_the_saved_model(
    run_folder: Path, drawn_data: Path
) -> None:
    with (run_folder / "test-scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    confusion = Counter((row["label"], row["decision"]) for row in rows)
    figures = evaluations_of(run_folder)["test"]
    for i, true in enumerate(LABELS):
        for j, decided in enumerate(LABELS):
            assert figures.confusion[i][j] == confusion[true, decided]
    for row in rows:
        assert Path(row["file"]).parent.name == row["label"]
        assert (row["decision"] == "PNEUMONIA") == (float(row["score"]) >= 0.5)
    model = keras_model(run_folder, None)
    images = read_folder(open_folder(drawn_data / "test", model.spec.labels), model.spec.input)
    scores = positive_scores(probabilities(model.scorer(images.pixels), model.spec), model.spec)
    assert [row["file"] for row in rows] == [str(path) for path in images.files]
    assert [float(row["score"]) for row in rows] == pytest.approx(scores.tolist(), abs=2e-6)


def test_the_provenance_names_recipe_seed_data_and_figures(
    run_folder: Path, drawn_data: Path
) -> None:
    provenance = open_run(run_folder).provenance
    data = read(drawn_data)
    assert (provenance.recipe, provenance.seed) == ("seed v1, 2 epochs", 3)
    assert provenance.data == ""  # nothing was said of it
    assert provenance.data_sha256 == data.sha256
    assert provenance.train_images == {"PNEUMONIA": 36, "NORMAL": 36}
    parts = evaluations_of(run_folder)
    assert provenance.validation == headline(parts["validation"])
    assert provenance.test == headline(parts["test"])
    assert provenance.tools["keras backend"] == "tensorflow"


def kept_samples(folder: Path) -> tuple[Samples, Samples]:
    run = open_run(folder)
    assert run.calibration == folder / "calibration.npz"
    assert run.validation == folder / "validation.npz"
    return read_samples(run.calibration, run.spec), read_samples(run.validation, run.spec)


def test_the_kept_images_are_those_trained_on_and_those_held_out(
    run_folder: Path, drawn_data: Path, short_recipe: TrainingRecipe
) -> None:
    calibration, validation = kept_samples(run_folder)
    data = read_training_data(
        drawn_data,
        short_recipe,
        seed=3,
        group_of=grouping(None),
        use_val_folder=False,
        reporter=Silent(),
    )
    trained = {
        image.tobytes(): label for image, label in zip(data.pixels, data.labels, strict=True)
    }
    assert calibration.labels is not None and validation.labels is not None
    assert np.bincount(calibration.labels).tolist() == [36, 36]  # all: there are fewer than 100
    for image, label in zip(calibration.pixels, calibration.labels, strict=True):
        assert trained[image.tobytes()] == label
    assert not set(calibration.hashes()) & set(validation.hashes())
    np.testing.assert_array_equal(validation.pixels, data.validation.pixels)
    np.testing.assert_array_equal(validation.labels, data.validation.labels)


def test_held_out_images_are_named_as_files_of_the_training_folder_and_others_not_at_all(
    run_folder: Path, drawn_data: Path
) -> None:
    calibration, validation = kept_samples(run_folder)
    assert calibration.names == ()  # no need to say who was trained on
    assert validation.labels is not None and len(validation.names) == 8
    for name, label in zip(validation.names, validation.labels, strict=True):
        assert (drawn_data / "train" / name).is_file()
        assert Path(name).parts[0] == LABELS[label]


def test_the_robust_recipe_leaves_a_calibrated_model_for_the_folders_labels(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    for patient in range(60):
        path = data / ("dark", "bright")[patient % 2] / f"{patient}_0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(patient).integers(0, 120, (20, 24)) + 100 * (patient % 2)
        path.write_bytes(cv2.imencode(".png", image.astype(np.uint8))[1].tobytes())
    recipe = dataclasses.replace(
        ROBUST,
        spec=dataclasses.replace(ROBUST.spec, input=InputSpec(height=16, width=16)),
        epochs=2,
        batch_size=8,
    )
    options: dict[str, Any] = {"group_of": grouping(r"^(\d+)_"), "use_val_folder": False}
    train(data, tmp_path / "run", recipe, seed=3, reporter=Silent(), positive="dark", **options)
    run = open_run(tmp_path / "run")
    assert run.spec.labels == ("bright", "dark") and run.spec.positive_label == "dark"
    assert run.spec.threshold_choice.startswith("the largest with a mean recall of 97.0% for dark")
    assert run.spec.threshold is not None and run.spec.uncertain_band is not None
    assert run.validation is not None and run.domain is not None
    held = read_samples(run.validation, run.spec)
    scores = keras_scores(load_keras(run.model, run.spec), held.pixels, run.spec)
    dark = probabilities(scores, run.spec)[held.labels == 1, 1]
    assert len(dark) == 3
    assert (dark >= run.spec.threshold).all()  # 97 % of three
    assert parse_domain(run.domain.read_bytes(), "", ModelError).limit > 0
    assert run.provenance.recipe == "robust v2, 2 epochs"


# The images of a training.


def test_no_patient_is_both_trained_on_and_validated_on(tmp_path: Path) -> None:
    data = read(draw_patients(tmp_path, patients=60, images=3))
    training, validation = levels(data.pixels), levels(data.validation.pixels)
    assert not training.keys() & validation.keys()
    assert training | validation == {4 * patient: 3 for patient in range(60)}
    assert data.patients == {"training": len(training), "validation": len(validation)}
    assert len(data.validation.labels) == 18  # a tenth of each label, whole patients
    for pixels, labels in (
        (data.pixels, data.labels),
        (data.validation.pixels, data.validation.labels),
    ):
        np.testing.assert_array_equal(pixels[:, 0, 0, 0] // 4 % 2, labels)


def test_the_block_holds_the_lowest_numbers_that_validation_leaves_and_seeds_share_both(
    tmp_path: Path,
) -> None:
    block = Block(series=("NORMAL2-IM",), images=4, share=0.5, fewest=3)
    recipe = dataclasses.replace(TINY, block=block, split_seed=1)
    root = draw_patients(tmp_path, patients=60, images=1)
    data, other = read(root, recipe=recipe), read(root, recipe=recipe, seed=4)
    held, lowest = levels(data.validation.pixels), levels(data.block.pixels)
    left = [patient for patient in range(60) if 4 * patient not in held]
    expected = [patient for label in (0, 1) for patient in [p for p in left if p % 2 == label][:4]]
    assert sorted(lowest) == sorted(4 * patient for patient in expected)
    assert not (lowest.keys() | held.keys()) & levels(data.pixels).keys()
    assert data.patients == {"training": 46, "validation": 6, "block": 8}
    assert levels(other.block.pixels) == lowest and levels(other.validation.pixels) == held
    assert len(validation_samples(data).pixels) == 14
    assert all((root / name).is_file() for name in data.block.names)


def test_a_patient_of_both_labels_is_whole_in_the_block(tmp_path: Path) -> None:
    root = draw_patients(tmp_path, patients=60, images=1)

    def add(patient: int, label: str, number: int) -> None:
        image = np.full((20, 24), 4 * patient + (1 if number == 9 else 0), np.uint8)
        path = root / label / f"{patient}_{number}.png"
        path.write_bytes(cv2.imencode(".png", image)[1].tobytes())

    for number in range(1, 5):  # enough images of the second label for its share of the block
        add(1, LABELS[1], number)
        add(3, LABELS[1], number)
    for patient in (0, 2, 4, 6, 8):
        add(patient, LABELS[1], 9)
    block = Block(series=(), images=4, share=0.5, fewest=3)
    data = read(root, recipe=dataclasses.replace(TINY, block=block))
    trained, lowest = ({n // 4 for n in levels(part)} for part in (data.pixels, data.block.pixels))
    assert len(lowest) >= 5 and not trained & lowest


def test_a_folder_too_small_for_a_block_has_none_and_says_so(tmp_path: Path) -> None:
    reporter = Recording()
    block = Block(series=(), images=4, share=0.5, fewest=5)
    root = draw_patients(tmp_path, patients=60, images=1)
    data = read(root, recipe=dataclasses.replace(TINY, block=block), reporter=reporter)
    assert data.block is None
    (message,) = reporter.messages
    assert message == (
        "no block of the lowest-numbered patients: a label would have 4 images in it, fewer than 5"
    )


def draw_copies(root: Path, patients: int) -> Path:
    """One uniform image a patient; 0, 2 and 4 come twice."""
    draw_patients(root, patients=patients, images=1)
    for patient in (0, 2, 4):
        copy = root / LABELS[0] / f"{patient}_copy.png"
        copy.write_bytes((root / LABELS[0] / f"{patient}_0.png").read_bytes())
    return root


def test_of_byte_identical_files_the_first_is_kept(tmp_path: Path) -> None:
    reporter = Recording()
    root = draw_copies(tmp_path, patients=40)
    distinct = read(root, recipe=dataclasses.replace(TINY, distinct=True), reporter=reporter)
    shown = levels(distinct.pixels) | levels(distinct.validation.pixels)
    assert shown == {4 * patient: 1 for patient in range(40)}
    assert reporter.messages == ["left out: 3 byte-identical copies of other training images"]
    everything = read(root)
    assert len(everything.labels) + len(everything.validation.labels) == 43
    assert everything.sha256 == distinct.sha256


@pytest.mark.parametrize("recipe", [TINY, dataclasses.replace(TINY, distinct=True)])
def test_the_same_file_under_two_labels_stops_a_training(
    tmp_path: Path, recipe: TrainingRecipe
) -> None:
    root = draw_copies(tmp_path, patients=40)
    (root / LABELS[0] / "1_0.png").write_bytes((root / LABELS[1] / "1_0.png").read_bytes())
    with pytest.raises(DataError) as caught:
        read(root, recipe=recipe)
    first, second = (f"{label}/1_0.png" for label in LABELS)
    assert str(caught.value) == (
        f"{first} and {second} show the same image under two labels; keep the right one of each"
    )


def test_the_same_picture_in_another_format_stops_a_training(tmp_path: Path) -> None:
    root = draw_patients(tmp_path, patients=40, images=1)
    for patient in (0, 2):
        bmp = cv2.imencode(".bmp", np.full((20, 24), 4 * patient, np.uint8))[1]
        (root / LABELS[1] / f"{patient}.bmp").write_bytes(bmp.tobytes())
    with pytest.raises(DataError, match=r"under two labels \(4 files are such contradictions\)"):
        read(root)


def test_a_training_file_with_another_label_in_the_test_folder_stops_a_training(
    tmp_path: Path,
) -> None:
    draw_patients(tmp_path / "Train", patients=40, images=1)
    draw_patients(tmp_path / "Test", patients=4, images=1, first=50)
    (tmp_path / "Test" / LABELS[1] / "x.png").write_bytes(
        (tmp_path / "Train" / LABELS[0] / "0_0.png").read_bytes()
    )
    with pytest.raises(DataError, match=r"^Train/.*/0_0.png and Test/.*/x.png are the same file"):
        read(tmp_path)


def test_the_drawn_runs_validation_and_training_files_are_different(drawn_data: Path) -> None:
    data = read(drawn_data)
    trained = {image.tobytes() for image in data.pixels}
    held = {image.tobytes() for image in data.validation.pixels}
    assert len(trained) == 72
    assert len(held) == 8
    assert not trained & held


def test_calibration_images_are_as_many_of_each_label_whatever_the_classes_sizes(
    tmp_path: Path,
) -> None:
    for patient in range(150):  # 75 of either label, then one label four times more
        for number in range(1 if patient % 2 else 4):
            path = tmp_path / LABELS[patient % 2] / f"{patient}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((20, 24), patient, np.uint8)
            image[:8, : 6 * number] = 255
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    data = read(tmp_path)
    assert np.bincount(data.labels)[0] > CALIBRATION_IMAGES > np.bincount(data.labels)[1]
    samples = calibration_samples(data, 3)
    assert samples.labels is not None
    counted = np.bincount(samples.labels)
    assert counted[0] == CALIBRATION_IMAGES and counted[1] == np.bincount(data.labels)[1]
    again, other = calibration_samples(data, 3), calibration_samples(data, 4)
    np.testing.assert_array_equal(again.pixels, samples.pixels)
    assert set(other.hashes()) != set(samples.hashes())


def test_a_training_image_that_is_also_held_out_is_not_kept_to_calibrate_on(
    tmp_path: Path,
) -> None:
    root = draw_patients(tmp_path, patients=40, images=1)
    for path in list(root.glob("*/*.png")):  # every image under another patient's name too
        number = int(path.name.split("_")[0])
        (path.parent / f"{number + 100}_0.png").write_bytes(path.read_bytes())
    data = read(root)
    held = levels(data.validation.pixels)
    assert held.keys() & levels(data.pixels).keys()  # the split goes by names
    calibration, validation = calibration_samples(data, 3), validation_samples(data)
    assert not levels(calibration.pixels).keys() & held.keys()
    assert len(validation.pixels) == len(data.validation.pixels) == len(validation.names)
    assert len(calibration.pixels) > 0


def test_a_val_folder_is_validated_on_as_it_is_when_asked(tmp_path: Path) -> None:
    draw_patients(tmp_path / "train", patients=10, images=2)
    draw_patients(tmp_path / "val", patients=4, images=1, first=20)
    data = read(tmp_path, use_val_folder=True)
    assert levels(data.pixels) == {4 * patient: 2 for patient in range(10)}
    assert levels(data.validation.pixels) == {4 * patient: 1 for patient in range(20, 24)}
    assert data.patients == {"training": 10, "validation": 4}
    assert all((tmp_path / "val" / name).is_file() for name in data.validation.names)
    ignored = read(tmp_path)
    assert levels(ignored.pixels) + levels(ignored.validation.pixels) == levels(data.pixels)


def test_an_absent_val_folder_is_refused_when_asked_for(tmp_path: Path) -> None:
    draw_patients(tmp_path / "train", patients=10, images=2)
    with pytest.raises(DataError, match="val: no such folder"):
        read(tmp_path, use_val_folder=True)


def test_a_recipe_that_leaves_the_test_closed_does_not_list_it(tmp_path: Path) -> None:
    draw_patients(tmp_path / "train", patients=20, images=2)
    draw_patients(tmp_path / "test", patients=2, images=1, first=30)
    assert read(tmp_path).test.counts == {"PNEUMONIA": 1, "NORMAL": 1}
    assert read(tmp_path, recipe=dataclasses.replace(TINY, opens_test=False)).test is None


@pytest.mark.parametrize(
    ("patients", "pattern", "part"),
    [(4, r"^(\d+)_", "validation"), (20, r"\.(png)$", "training")],
    ids=["too few images to hold one out", "a pattern that makes everyone one patient"],
)
def test_a_split_that_leaves_a_label_out_is_refused_before_the_training(
    tmp_path: Path, patients: int, pattern: str, part: str
) -> None:
    draw_patients(tmp_path, patients=patients, images=1)
    with pytest.raises(DataError, match=f"no image of PNEUMONIA is left for {part}"):
        read(tmp_path, pattern=pattern)


def test_the_data_fingerprint_follows_bytes_and_labels_but_not_names(tmp_path: Path) -> None:
    root = draw_patients(tmp_path, patients=40, images=1)
    before = read(root).sha256
    moved = root / "PNEUMONIA" / "0_0.png"
    moved.rename(root / "PNEUMONIA" / "99_0.png")
    assert read(root).sha256 == before
    (root / "PNEUMONIA" / "99_0.png").rename(root / "NORMAL" / "99_0.png")
    assert read(root).sha256 != before


# What goes wrong.


@pytest.fixture(scope="module")
def damaged_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small patients with one damaged training and one damaged test image."""
    root = tmp_path_factory.mktemp("damaged")
    draw_patients(root / "train", patients=40, images=1)
    draw_patients(root / "test", patients=6, images=1, first=50)
    for path in (root / "train" / "NORMAL" / "7_0.png", root / "test" / "NORMAL" / "51_0.png"):
        path.write_bytes(path.read_bytes()[:-20])
    return root


@pytest.fixture(scope="module")
def interrupted(damaged_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a training on them, interrupted in its second epoch."""
    out = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.raises(PowerCutError):
        run(damaged_data, out, Interrupting())
    return out


def test_an_interrupted_training_leaves_no_model(interrupted: Path) -> None:
    assert not {path.name for path in interrupted.iterdir()} & {"model.keras", "evaluation.json"}
    assert (interrupted / "checkpoint" / "state.json").is_file()


def test_a_finished_run_is_not_trained_over(run_folder: Path, drawn_data: Path) -> None:
    before = contents(run_folder)
    with pytest.raises(UsageError, match="holds a finished training"):
        run(drawn_data, run_folder)
    assert contents(run_folder) == before


def test_a_finished_run_whose_checkpoint_was_half_deleted_is_not_trained_over(
    drawn_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "run/checkpoint").mkdir(parents=True)
    (tmp_path / "run/model.keras").touch()
    with pytest.raises(UsageError, match="holds a finished training"):
        run(drawn_data, tmp_path / "run")


def test_another_training_is_refused_and_changes_nothing(
    interrupted: Path, damaged_data: Path
) -> None:
    before = contents(interrupted)
    with pytest.raises(UsageError, match="choose another output folder or delete it"):
        run(damaged_data, interrupted, seed=4)
    assert contents(interrupted) == before


def test_the_same_command_goes_on_and_reports_unreadable_files_everywhere(
    interrupted: Path, damaged_data: Path
) -> None:
    reporter = Recording()
    results = run(damaged_data, interrupted, reporter)
    assert "resuming after epoch 1 of 2" in reporter.messages
    assert {path.name for path in interrupted.iterdir()} == FILES
    left_out = [message for message in reporter.messages if message.startswith("left out: ")]
    assert ["7_0.png" in left_out[0], "51_0.png" in left_out[1]] == [True, True]
    history = history_of(interrupted)
    assert len(history.epochs) == 2
    assert len(history.unreadable) == 1
    assert str(damaged_data / "train" / "NORMAL" / "7_0.png") in history.unreadable[0]
    assert sum(history.train_images.values()) + sum(history.validation_images.values()) == 39
    assert (results["test"].data.images, results["test"].data.unreadable) == (5, 1)
    assert evaluations_of(interrupted) == results
    assert open_run(interrupted).provenance.data == ABOUT_DATA
    assert "1 unreadable file is" in (interrupted / "test-report.txt").read_text()


def empty(root: Path) -> None:
    root.mkdir()


def loose_images(root: Path) -> None:
    draw_patients(root, patients=4, images=1)
    for path in list(root.glob("*/*.png")):
        path.rename(root / path.name)
    for label in LABELS:
        (root / label).rmdir()


def other_classes(root: Path) -> None:
    draw_patients(root, patients=4, images=1)
    (root / "NORMAL").rename(root / "HEALTHY")


def without_test_images(root: Path) -> None:
    draw_patients(root / "train", patients=20, images=1)
    (root / "test" / "NORMAL").mkdir(parents=True)


WRONG_LAYOUTS = {
    "absent": lambda root: None,
    "empty": empty,
    "loose images": loose_images,
    "other classes": other_classes,
    "a test folder without images": without_test_images,
}


@pytest.mark.parametrize("lay_out", WRONG_LAYOUTS.values(), ids=WRONG_LAYOUTS)
def test_a_folder_laid_out_otherwise_is_refused_and_nothing_is_written(
    tmp_path: Path, lay_out: Any
) -> None:
    lay_out(tmp_path / "data")
    with pytest.raises(DataError) as caught:
        run(tmp_path / "data", tmp_path / "run")
    assert str(tmp_path / "data") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_command_says_so_in_one_line_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty(tmp_path / "data")
    arguments = ["train", str(tmp_path / "data"), "-o", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["cxr-edge", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith(f"cxr-edge: {tmp_path / 'data'}: found nothing")
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]
