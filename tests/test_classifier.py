"""The classifier: one answer to one image however it comes, and a failure for a bad one."""

from __future__ import annotations

import copy
import dataclasses
import doctest
import importlib
import io
import math
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as Pillow

import cxr_edge.bundle.reader
import cxr_edge.image.pillow
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier, Stage
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.device.machine import WORKERS_PER_CPU, usable_cpus
from cxr_edge.engines import open_engine
from cxr_edge.errors import BundleError, EngineError, ImageError, UsageError
from cxr_edge.export.commit import commit
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec


@pytest.fixture(scope="module")
def classifier(exported_bundle: Path) -> Classifier:
    return Classifier.load(exported_bundle, artifact="onnx-fp32")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), draw_phantom(np.random.default_rng(3), height=200, width=250))
    return path


def answering(value: float | list[float], spec: ModelSpec = SEED_SPEC) -> Classifier:
    """A classifier whose network outputs the same to every image."""
    constant = numpy_helper.from_array(np.array(value, np.float32).reshape(1, -1), "value")
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["scores"]),
    ]
    return of_graph(nodes, [constant, numpy_helper.from_array(np.float32([0]), "zero")], spec)


def of_graph(nodes: list[Any], weights: list[Any], spec: ModelSpec) -> Classifier:
    ports = [("image", (1, *spec.input_shape)), ("scores", (1, spec.outputs))]
    image, scores = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ports)
    graph = helper.make_graph(nodes, "drawn", [image], [scores], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    engine = open_engine("onnxruntime", model.SerializeToString(), spec)
    return Classifier(spec, _Drawn, engine, ImageLimits())  # type: ignore[arg-type]


class _Drawn:
    """Stands for the record of an artifact that no bundle holds."""

    name = "drawn"


def test_a_path_its_text_its_bytes_and_its_pixels_are_answered_alike(
    classifier: Classifier, picture: Path
) -> None:
    pixels = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    by_path = classifier.predict(picture)
    others = [classifier.predict(s) for s in (str(picture), picture.read_bytes(), pixels)]
    assert by_path.source == others[0].source == str(picture)
    assert others[1].source is None and others[2].source is None
    assert all(dataclasses.replace(p, source=str(picture)) == by_path for p in others)


def test_the_answer_is_the_original_model_s_on_the_golden_inputs(
    classifier: Classifier, exported_bundle: Path
) -> None:
    golden = Bundle.open(exported_bundle).golden()
    for pixels, scores in zip(golden.pixels[::8], golden.scores[::8], strict=True):
        prediction = classifier.predict(pixels[..., 0])  # already of the network's size
        assert math.isclose(prediction.scores["NORMAL"], float(scores[0]), abs_tol=1e-5)


def test_a_prediction_says_all_that_was_asked_of_it(classifier: Classifier, picture: Path) -> None:
    prediction = classifier.predict(picture)
    assert isinstance(prediction, Prediction)
    assert list(prediction.scores) == ["PNEUMONIA", "NORMAL"]
    assert math.isclose(sum(prediction.scores.values()), 1.0, abs_tol=1e-9)
    assert prediction.score == prediction.scores["PNEUMONIA"] and 0 <= prediction.score <= 1
    assert prediction.label == ("PNEUMONIA" if prediction.score >= 0.5 else "NORMAL")
    assert prediction.threshold == 0.5
    assert prediction.uncertain is False
    assert (prediction.engine, prediction.artifact) == ("onnxruntime", "onnx-fp32")
    assert (classifier.engine, classifier.artifact) == ("onnxruntime", "onnx-fp32")
    assert type(prediction.score) is float and all(
        type(p) is float for p in prediction.scores.values()
    )


@pytest.mark.parametrize(
    ("artifact", "engine", "tolerance"),
    [
        ("onnx-int8", "onnxruntime", 0.05),
        ("onnx-int8", "openvino", 0.05),
        ("onnx-fp32", "openvino", 1e-4),
        ("onnx-fp32-batch", "onnxruntime", 1e-4),
        ("tflite-int8-dynamic", "litert", 0.05),
        ("tflite-fp32", "litert", 1e-4),
        ("ncnn-fp32", "ncnn", 1e-4),
    ],
)
def test_every_file_and_engine_answers_alike_and_says_which_it_was(
    classifier: Classifier,
    exported_bundle: Path,
    picture: Path,
    artifact: str,
    engine: str,
    tolerance: float,
) -> None:
    other = Classifier.load(exported_bundle, artifact=artifact, engine=engine)
    prediction, expected = other.predict(picture), classifier.predict(picture)
    assert (prediction.engine, prediction.artifact) == (engine, artifact)
    assert prediction.label == expected.label
    assert math.isclose(prediction.score, expected.score, abs_tol=tolerance)


def test_many_are_answered_in_order_and_a_bad_one_is_a_failure_among_them(
    classifier: Classifier, picture: Path, tmp_path: Path
) -> None:
    dark = np.zeros((100, 100), np.uint8)
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture.read_bytes()[:-100])
    absent = tmp_path / "absent.png"
    sources = [picture, broken, dark, b"no image", str(absent), dark.astype(np.float32), picture]
    results = list(classifier.predict_many(sources))
    kinds = [Prediction, Failure, Prediction, Failure, Failure, Failure, Prediction]
    assert [type(result) for result in results] == kinds
    names = [str(picture), str(broken), None, None, str(absent), None, str(picture)]
    assert [result.source for result in results] == names
    assert results[0] == results[6] == classifier.predict(picture)
    for failure in results:
        if isinstance(failure, Failure):
            assert (failure.error, failure.exit_code) == ("ImageError", ImageError.exit_code)
            assert failure.message and len(failure.message.splitlines()) == 1
            assert failure.source is None or failure.source in failure.message


def test_many_are_answered_one_by_one_as_they_are_asked_for(
    classifier: Classifier, picture: Path
) -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield picture

    predictions = classifier.predict_many(endless())
    next(predictions)
    next(predictions)
    assert len(taken) == 2


@pytest.fixture(scope="module")
def explaining(exported_bundle: Path) -> Classifier:
    return Classifier.load(exported_bundle, heatmap=True)


def test_an_explanation_is_the_prediction_of_the_file_with_its_heat_map(
    explaining: Classifier, classifier: Classifier, picture: Path
) -> None:
    explanation = explaining.explain(picture)
    assert explaining.artifact == explanation.prediction.artifact == "onnx-explain"
    assert explanation.prediction == explaining.predict(picture)
    assert math.isclose(
        explanation.prediction.score, classifier.predict(picture).score, abs_tol=1e-5
    )
    assert explanation.heatmap.shape == (4, 4) and explanation.heatmap.dtype == np.float32
    assert explanation.heatmap.min() >= 0
    np.testing.assert_array_equal(explanation.image, cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE))


def test_explanations_come_in_order_with_failures_among_them(
    explaining: Classifier, picture: Path
) -> None:
    results = list(explaining.explain_many([picture, b"no image", picture]))
    assert [type(result) for result in results] == [Explanation, Failure, Explanation]
    assert isinstance(results[0], Explanation) and results[0].prediction.source == str(picture)


def test_a_classifier_loaded_for_scores_explains_nothing(
    classifier: Classifier, picture: Path
) -> None:
    with pytest.raises(EngineError, match="no heat map"):
        classifier.explain(picture)


def test_no_images_give_no_predictions(classifier: Classifier) -> None:
    assert list(classifier.predict_many([])) == []


def test_an_image_over_the_limits_is_refused_and_at_them_is_answered(
    exported_bundle: Path, picture: Path
) -> None:
    exact = ImageLimits(max_pixels=200 * 250, max_bytes=picture.stat().st_size)
    assert Classifier.load(exported_bundle, limits=exact).predict(picture).label
    for limits in (
        dataclasses.replace(exact, max_pixels=200 * 250 - 1),
        dataclasses.replace(exact, max_bytes=picture.stat().st_size - 1),
    ):
        with pytest.raises(ImageError, match="limit"):
            Classifier.load(exported_bundle, limits=limits).predict(picture)


@pytest.mark.parametrize("answer", [math.nan, math.inf, -math.inf, 1.5, -0.5])
def test_an_output_that_is_no_probability_is_an_error_and_never_a_result(
    answer: float,
) -> None:
    dark = np.zeros((150, 150), np.uint8)
    with pytest.raises(EngineError, match="no probability"):
        answering(answer).predict(dark)
    with pytest.raises(EngineError, match="no probability"):
        list(answering(answer).predict_many([dark]))


@pytest.mark.parametrize(
    ("p_normal", "label", "is_uncertain"),
    [
        (0.5, "PNEUMONIA", True),
        (0.625, "NORMAL", True),
        (0.75, "NORMAL", True),
        (0.875, "NORMAL", False),
        (0.25, "PNEUMONIA", False),
    ],
)
def test_threshold_and_band_of_the_spec_make_the_prediction(
    p_normal: float, label: str, is_uncertain: bool
) -> None:
    spec = dataclasses.replace(SEED_SPEC, uncertain_band=(0.25, 0.75))
    prediction = answering(p_normal, spec).predict(np.zeros((9, 9), np.uint8))
    assert (prediction.label, prediction.uncertain, prediction.score) == (
        label,
        is_uncertain,
        1 - p_normal,
    )


def test_among_three_labels_the_most_probable_is_the_prediction_and_its_score() -> None:
    spec = ModelSpec("3", InputSpec(height=8, width=8), ("a", "b", "c"), "softmax", None, None, "")
    prediction = answering([0.25, 0.125, 0.625], spec).predict(np.zeros((9, 9), np.uint8))
    assert (prediction.label, prediction.score, prediction.threshold) == ("c", 0.625, None)
    assert prediction.scores == {"a": 0.25, "b": 0.125, "c": 0.625}


@pytest.fixture(scope="module")
def red() -> Classifier:
    """A network for colour images that outputs their mean red."""
    spec = dataclasses.replace(
        SEED_SPEC, input=InputSpec(height=8, width=6, channels=3), positive_label="NORMAL"
    )
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colour", "w"], ["scores"]),
    ]
    weights = numpy_helper.from_array(np.array([[1], [0], [0]], np.float32), "w")
    return of_graph(nodes, [weights], spec)


@pytest.mark.parametrize(
    ("colour", "score"), [((255, 0, 0), 1), ((0, 255, 0), 0), ((51, 0, 255), 0.2)]
)
def test_a_colour_network_sees_red_green_and_blue_in_that_order(
    red: Classifier, tmp_path: Path, colour: tuple[int, int, int], score: float
) -> None:
    rgb = np.full((40, 60, 3), colour, np.uint8)
    path = tmp_path / "colour.png"
    cv2.imwrite(str(path), rgb[..., ::-1])  # OpenCV writes blue first
    for source in (path, path.read_bytes(), rgb):
        assert math.isclose(red.predict(source).score, score, abs_tol=1e-6)


def test_a_colour_network_takes_a_grey_file_and_a_grey_array_alike(
    red: Classifier, picture: Path
) -> None:
    grey = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
    assert math.isclose(red.predict(picture).score, grey.mean() / 255, abs_tol=0.01)
    assert red.predict(grey).score == red.predict(picture).score


def test_a_grey_network_turns_colour_to_grey_as_it_does_that_of_a_file(
    classifier: Classifier, tmp_path: Path
) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    path = tmp_path / "colour.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    by_file = classifier.predict(path).score
    flipped = np.ascontiguousarray(rgb[::-1, ::-1])
    arrays = (rgb, np.asfortranarray(rgb), flipped[::-1, ::-1], Pillow.open(path))
    assert [classifier.predict(array).score for array in arrays] == [by_file] * 4
    assert classifier.predict(rgb[..., ::-1]).score != by_file  # blue first is another picture


def test_everything_that_holds_a_file_or_an_image_is_answered_as_the_file_is(
    classifier: Classifier, picture: Path
) -> None:
    data = picture.read_bytes()
    expected = dataclasses.replace(classifier.predict(picture), source=None)
    pillow = Pillow.open(picture)
    modes = [pillow.convert(mode) for mode in ("RGB", "RGBA", "LA", "P")]
    for source in (bytearray(data), memoryview(data), io.BytesIO(data), pillow, *modes):
        assert classifier.predict(source) == expected
    with picture.open("rb") as file:
        assert classifier.predict(file).source == str(picture)


class Trickle(io.BytesIO):
    """A pipe or connection: each read gives less than was asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1_000, size or 1_000))


class Lending(Trickle):
    """A file that gives views of its buffer."""

    def read(self, size: int | None = -1, /) -> bytes:
        return memoryview(bytearray(super().read(size)))  # type: ignore[return-value]


class Failing(io.BytesIO):
    """A file that cannot be read to its end."""

    name = "shared/scan.png"

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        raise self._error


def test_a_stream_is_read_to_its_end_or_to_the_limit(
    classifier: Classifier, picture: Path, exported_bundle: Path
) -> None:
    expected = dataclasses.replace(classifier.predict(picture), source=None)
    with subprocess.Popen(["cat", str(picture)], stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        assert classifier.predict(process.stdout) == expected
    data = picture.read_bytes()
    assert classifier.predict(Trickle(data)) == expected
    assert classifier.predict(Lending(data)) == expected
    limits = ImageLimits(max_bytes=len(data))
    limited = Classifier.load(exported_bundle, artifact="onnx-fp32", limits=limits)
    assert limited.predict(Trickle(data)) == expected
    long = Trickle(data + bytes(5_000))
    with pytest.raises(ImageError, match=f"{len(data) + 1:,} bytes, the limit is {len(data):,}"):
        limited.predict(long)
    assert long.tell() == len(data) + 1


@pytest.mark.parametrize(
    "error",
    [OSError(5, "I/O error"), ValueError("closed.\nYes"), EOFError(), zipfile.BadZipFile("CRC")],
    ids=["OSError", "ValueError", "EOFError", "BadZipFile"],
)
def test_a_file_that_cannot_be_read_is_a_failure_among_many(
    classifier: Classifier, picture: Path, error: Exception
) -> None:
    good, bad, last = classifier.predict_many([picture, Failing(error), picture])
    assert good == last and isinstance(good, Prediction)
    assert isinstance(bad, Failure)
    assert (bad.error, bad.source) == ("ImageError", "shared/scan.png")
    assert bad.message.startswith("shared/scan.png: cannot be read: ")
    assert len(bad.message.splitlines()) == 1


def test_a_stream_without_data_yet_and_text_are_refused(
    classifier: Classifier, picture: Path
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with (
        os.fdopen(reader, "rb", buffering=0) as pipe,
        os.fdopen(writer, "wb"),
        pytest.raises(ImageError, match="gives nothing yet"),
    ):
        classifier.predict(pipe)
    with picture.open() as text, pytest.raises(TypeError, match="open it with 'rb'"):
        classifier.predict(text)


def test_images_of_pillow_are_converted_a_band_at_a_time(
    classifier: Classifier, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow = Pillow.open(picture)
    expected = classifier.predict(pillow)
    monkeypatch.setattr(cxr_edge.image.pillow, "_BLOCK", 3_000)  # 12 rows
    for mode in ("L", "RGB", "RGBA", "LA", "P"):
        assert classifier.predict(pillow.convert(mode)) == expected
    see_through = pillow.convert("RGBA")
    see_through.putpixel((249, 199), (0, 0, 0, 254))
    with pytest.raises(ImageError, match="transparent in places"):
        classifier.predict(see_through)


def test_an_image_of_pillow_is_turned_upright_as_its_file_is(
    classifier: Classifier, picture: Path, tmp_path: Path
) -> None:
    path, exif = tmp_path / "turned.png", Pillow.Exif()
    exif[0x0112] = 6
    Pillow.open(picture).save(path, exif=exif)
    assert classifier.predict(path).score != classifier.predict(picture).score
    assert classifier.predict(Pillow.open(path)).score == classifier.predict(path).score


GREY = np.zeros((9, 9), np.uint8)


@pytest.mark.parametrize(
    ("source", "error", "advice"),
    [
        (GREY.astype(np.float32), ImageError, r"astype\('uint8'\)"),
        (GREY.astype(np.uint16), ImageError, "scale it to 0..255"),
        (GREY[..., None], ImageError, r"array\[\.\.\., 0\]"),
        (np.zeros((9, 9, 4), np.uint8), ImageError, "flatten the transparency"),
        (np.zeros((3, 9, 9), np.uint8), ImageError, "transpose it"),
        (np.zeros((2, 9, 9, 3), np.uint8), ImageError, "one image at a time"),
        (GREY[:0], ImageError, "the array is empty"),
        (Pillow.new("CMYK", (9, 9)), ImageError, r"convert\('L'\)"),
        (Pillow.new("I", (9, 9)), ImageError, "mode I"),
        (Pillow.new("RGBA", (9, 9)), ImageError, "transparent in places"),
        (Pillow.new("L", (9_000, 9_000)), ImageError, "the limit is 50,000,000"),
        (io.StringIO("text"), TypeError, "open it with 'rb'"),
        (None, TypeError, "give a path"),
        ([GREY], TypeError, "of type list"),
        ("", ImageError, "an empty path"),
    ],
    ids=[
        "float", "16 bits", "channel axis", "4 channels", "channels first", "several", "empty",
        "CMYK", "mode I", "RGBA", "too large", "text file", "None", "list", "empty path",
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_on_one_line_that_says_what_to_do(
    classifier: Classifier, source: Any, error: type[Exception], advice: str
) -> None:
    with pytest.raises(error, match=advice) as caught:
        classifier.predict(source)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sources", ["abc", b"abc", Path("a.png"), GREY, np.zeros((9, 9, 3), np.uint8), io.BytesIO(), 5]
)
def test_one_image_where_several_are_expected_is_a_type_error_at_once(
    classifier: Classifier, sources: Any
) -> None:
    with pytest.raises(TypeError, match="expected"):
        classifier.predict_many(sources)


def test_a_stack_of_grey_arrays_is_several_images(classifier: Classifier) -> None:
    assert len(list(classifier.predict_many(np.stack([GREY] * 5)))) == 5


def test_a_classifier_shows_what_it_is_and_is_not_pickled(
    classifier: Classifier, exported_bundle: Path
) -> None:
    assert repr(classifier) == (
        f"Classifier(bundle='{exported_bundle}', artifact='onnx-fp32', engine='onnxruntime', "
        "threads=1)"
    )
    for copy_it in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="load one in each process"):
            copy_it(classifier)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"artifact": "onnx"}, UsageError),
        ({"engine": "tensorrt"}, UsageError),
        ({"threads": 0}, UsageError),
        ({"threads": usable_cpus() + 1}, UsageError),
        ({"artifact": "tflite-fp32", "engine": "onnxruntime"}, UsageError),
        ({"artifact": "onnx-fp32", "heatmap": True}, UsageError),
    ],
)
def test_a_wrong_option_is_refused_when_loading(
    exported_bundle: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Classifier.load(exported_bundle, **options)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("module", ["cxr_edge", "cxr_edge.classifier"])
def test_the_examples_in_the_docstrings_run(
    module: str, exported_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cxr_edge.bundle.bundled, "REFERENCE", exported_bundle)
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted >= 2 and results.failed == 0


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twenty pictures four times as large as the input, every seventh of them cut."""
    folder = tmp_path_factory.mktemp("jpegs")
    paths = []
    for seed in range(20):
        image = draw_phantom(np.random.default_rng(seed), height=600, width=720)
        data = cv2.imencode(".jpg", image)[1].tobytes()
        paths.append(folder / f"{seed:02}.jpeg")
        paths[-1].write_bytes(data[: len(data) // 2] if seed % 7 == 3 else data)
    return paths


@pytest.mark.parametrize("artifact", ["onnx-fp32", "tflite-fp32"])
def test_several_workers_predict_as_one_does(
    exported_bundle: Path, jpegs: list[Path], artifact: str
) -> None:
    loaded = Classifier.load(exported_bundle, artifact=artifact)
    alone = list(loaded.predict_many(jpegs))
    assert list(loaded.predict_many(jpegs, workers=4)) == alone
    assert [isinstance(result, Failure) for result in alone] == [n % 7 == 3 for n in range(20)]
    assert [result.source for result in alone] == [str(path) for path in jpegs]


def test_more_workers_than_help_are_refused_with_the_most(jpegs: list[Path]) -> None:
    most = WORKERS_PER_CPU * usable_cpus()
    with pytest.raises(UsageError, match=f"workers is {most + 1}, expected at most {most}:"):
        Classifier.load().predict_many(jpegs, workers=most + 1)


def test_fast_and_exact_decoding_differ_little_and_the_name_is_checked(
    exported_bundle: Path, jpegs: list[Path]
) -> None:
    fast, exact = (
        Classifier.load(exported_bundle, artifact="onnx-fp32", decode=way)
        for way in ("fast", "exact")
    )
    pairs = [(fast.predict(path).score, exact.predict(path).score) for path in jpegs[:3]]
    assert all(abs(a - b) < 0.005 for a, b in pairs)
    image = read_image(jpegs[0])
    assert exact.predict(jpegs[0]).score == exact.predict(image).score == fast.predict(image).score
    with pytest.raises(UsageError, match="did you mean exact"):
        Classifier.load(exported_bundle, decode="exakt")  # type: ignore[arg-type]


def test_the_stages_of_a_prediction_come_in_order_and_change_nothing(
    classifier: Classifier, jpegs: list[Path]
) -> None:
    seen: list[str] = []
    prediction = classifier.predict_in_stages(jpegs[0], seen.append)
    assert seen == list(get_args(Stage))
    assert prediction == classifier.predict(jpegs[0])


GROWTH = """
import os, sys
from pathlib import Path
from cxr_edge import Classifier

loaded = Classifier.load(sys.argv[1], artifact="onnx-int8")
workers, paths = int(sys.argv[2]), sys.argv[3:]

def after(times):
    sources = (path for _ in range(times) for path in paths)
    assert sum(1 for _ in loaded.predict_many(sources, workers=workers)) == len(paths) * times
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = after(10)
print(after(20) - before)
"""


@pytest.mark.parametrize(("workers", "most"), [(1, 5e6), (2, 25e6)])
def test_memory_does_not_grow_with_the_number_of_images(
    exported_bundle: Path, jpegs: list[Path], workers: int, most: float
) -> None:
    """A short form of rows R1 and R5: good files and bad ones, in a process of their own.

    What several threads take and give back goes up and down by some megabytes.
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("this platform does not say how much memory a process has")
    command = [sys.executable, "-c", GROWTH, exported_bundle, workers, *jpegs]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most


def test_a_bundle_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are gone when they are wanted; those of the new one are there."""
    folder = tmp_path / "bundle"
    shutil.copytree(Bundle.open().folder, folder)
    old = Bundle.open(folder)
    contents = {record.file: old.read(record) for record in old.manifest.files}
    spec = dataclasses.replace(old.manifest.spec, name="another")
    whole, opened = Bundle.open, []

    def open_then_replace(given: Path, *, key: object = None) -> Bundle:
        bundle = whole(given)
        if not opened:
            commit(folder, dataclasses.replace(old.manifest, spec=spec), contents)
            (folder / old.artifact("onnx-int8").file.file).rename(tmp_path / "gone")
        elif not (folder / old.artifact("onnx-int8").file.file).exists():
            (tmp_path / "gone").rename(folder / old.artifact("onnx-int8").file.file)
        opened.append(bundle)
        return bundle

    monkeypatch.setattr(Bundle, "open", open_then_replace)
    assert Classifier.load(folder, artifact="onnx-int8").spec.name == "another"
    missing = folder / old.artifact("onnx-int8").file.file
    monkeypatch.setattr(Bundle, "open", whole)
    missing.unlink()
    with pytest.raises(BundleError, match="cannot be opened"):
        Classifier.load(folder, artifact="onnx-int8")
