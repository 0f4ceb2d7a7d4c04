"""Heat map pictures: colours, captions, and their names on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.classifier import Classifier
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.errors import OutputError, UsageError
from cxr_edge.lettering import BACKGROUND
from cxr_edge.overlay import MAX_SIDE, MIN_WIDTH, colour_image, draw_overlay, write_overlays
from cxr_edge.preprocess import image_area
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

SQUASH = InputSpec(height=150, width=150)
LETTERBOX = dataclasses.replace(SQUASH, geometry="letterbox")
CROP = dataclasses.replace(SQUASH, geometry="center-crop")
PREDICTION = Prediction(None, "a", 0.9, {}, 0.5, False, None, "onnxruntime", "onnx-explain")


def explanation(image: np.ndarray, heatmap: np.ndarray) -> Explanation:
    return Explanation(PREDICTION, heatmap.astype(np.float32), image)


def grey_of(picture: np.ndarray) -> np.ndarray:
    assert np.array_equal(picture[..., 0], picture[..., 1])
    assert np.array_equal(picture[..., 0], picture[..., 2])
    grey: np.ndarray = picture[..., 0]
    return grey


def colour(picture: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey."""
    return np.ptp(picture.astype(int), axis=2)


def test_no_evidence_leaves_the_image_as_it_is() -> None:
    image = draw_phantom(np.random.default_rng(1), height=200, width=300)
    picture = colour_image(explanation(image, np.zeros((10, 10))), SQUASH)
    np.testing.assert_array_equal(grey_of(picture), image)


@pytest.mark.parametrize("scale", [1e-9, 0.1, 1e6])
def test_colours_follow_the_map_s_own_maximum(scale: float) -> None:
    image = np.full((200, 300), 128, np.uint8)
    heatmap = np.zeros((10, 10))
    heatmap[3, 6], heatmap[8, 1] = 1, 0.4
    picture = colour_image(explanation(image, heatmap * scale), SQUASH)
    reference = colour_image(explanation(image, heatmap), SQUASH)
    assert np.abs(picture.astype(int) - reference).max() <= 1
    saturation = colour(picture)
    row, column = np.unravel_index(saturation.argmax(), saturation.shape)
    assert (row // 20, column // 30) == (3, 6)
    assert 0 < saturation[170, 45] < saturation[70, 195]
    # Plain two cells away from it, also diagonally, where cubic interpolation would invent some.
    assert (
        saturation[:20].max() == saturation[:140, :120].max() == saturation[120:, 120:].max() == 0
    )


def test_stronger_evidence_hides_more_of_the_image_but_never_all() -> None:
    image = np.tile(np.uint8([0, 255]), (200, 150))
    picture = colour_image(explanation(image, np.eye(10)), SQUASH).astype(int)
    contrast = np.abs(np.diff(picture.sum(axis=2), axis=1))
    assert 0.3 * 765 < contrast.min() < 0.5 * 765  # .4 of it is left where evidence is strongest
    assert contrast[10, 285] == 765


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3000, 1500), (1024, 512)), ((100, 5000), (20, 1024)), ((7, 9), (7, 9)), ((5000, 1), None)],
    ids=str,
)
def test_pictures_are_at_most_so_long_and_never_enlarged(
    shape: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    picture = colour_image(explanation(np.zeros(shape, np.uint8), np.eye(10)), SQUASH)
    assert picture.shape == (*(expected or (MAX_SIDE, 1)), 3) and picture.dtype == np.uint8


def test_a_colour_image_is_shown_in_grey() -> None:
    image = np.full((60, 80, 3), (255, 0, 0), np.uint8)  # RGB
    picture = colour_image(explanation(image, np.zeros((5, 5))), SQUASH)
    assert np.unique(grey_of(picture)).tolist() == [76]  # .299 of 255


@pytest.mark.parametrize(("height", "width"), [(100, 200), (200, 100)])
def test_the_padding_of_a_letterbox_is_not_drawn(height: int, width: int) -> None:
    """The map covers the padded input: its middle half is the image."""
    wide, heatmap = width > height, np.zeros((8, 8))
    heatmap[0, 0] = 1  # in the padding
    bright = explanation(np.full((height, width), 90, np.uint8), heatmap)
    assert colour(colour_image(bright, LETTERBOX)).max() <= 1  # what the smoothing carries over
    place = (2, 4) if wide else (4, 2)  # the image's first row or column
    heatmap[place] = 1
    saturation = colour(colour_image(explanation(bright.image, heatmap), LETTERBOX))
    row, column = np.unravel_index(saturation.argmax(), saturation.shape)
    along, across = (column, row) if wide else (row, column)
    assert 100 <= along < 125 and across < 25


@pytest.mark.parametrize(("height", "width"), [(100, 200), (200, 100), (1500, 3000)])
def test_what_a_crop_cut_off_stays_grey(height: int, width: int) -> None:
    """The map covers the middle half of the image."""
    wide = width > height
    heatmap = np.ones((8, 8)) if wide else np.ones((8, 8)).T
    picture = colour_image(explanation(np.full((height, width), 90, np.uint8), heatmap), CROP)
    saturation = colour(picture if wide else picture.swapaxes(0, 1))
    quarter = saturation.shape[1] // 4
    assert saturation[:, quarter : 3 * quarter].min() > 50
    assert saturation[:, :quarter].max() == saturation[:, 3 * quarter :].max() == 0


LONG = "viral or bacterial pneumonia of the lower left lobe, confirmed by two radiologists " * 3
THREE_LABELS = ModelSpec("3", SQUASH, ("a", "b", "c"), "softmax", None, None, "")


def captioned(
    image: np.ndarray, spec: ModelSpec = SEED_SPEC, largest: float = 1, **changes: object
) -> tuple[np.ndarray, np.ndarray]:
    """The whole picture, and the part of it below the image."""
    given = explanation(image, np.eye(10) * largest)
    label = spec.positive_label or spec.labels[0]
    prediction = dataclasses.replace(PREDICTION, **{"label": label, **changes})
    picture = draw_overlay(dataclasses.replace(given, prediction=prediction), spec)
    return picture, picture[colour_image(given, spec.input).shape[0] :]


@pytest.mark.parametrize(
    "shape", [(480, 600), (32, 32), (20, 3000), (3000, 20), (1, 1), (2000, 1900)], ids=str
)
@pytest.mark.parametrize(
    "label", ["PNEUMONIA", LONG, "肺炎 निमोनिया é"], ids=["short", "long", "é"]
)
def test_the_caption_is_below_the_image_and_covers_nothing_of_it(
    shape: tuple[int, int], label: str
) -> None:
    spec = dataclasses.replace(SEED_SPEC, labels=(label, "NORMAL"), positive_label=label)
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    expected = colour_image(explanation(image, np.eye(10)), SQUASH)
    picture, caption = captioned(image, spec, uncertain=True, out_of_domain=True)
    height, width = expected.shape[:2]
    assert picture.shape[1] == max(width, MIN_WIDTH)
    left = (picture.shape[1] - width) // 2
    np.testing.assert_array_equal(picture[:height, left : left + width], expected)
    assert np.all(picture[:height, :left] == BACKGROUND)
    assert np.all(picture[:height, left + width :] == BACKGROUND)
    margins = np.concatenate([caption[:, :4], caption[:, -4:]], axis=1)
    assert np.all(margins == BACKGROUND)  # no text runs over the edge
    assert (caption != BACKGROUND).any(axis=(1, 2)).mean() > 0.4


def test_the_colour_bar_runs_from_no_evidence_to_the_strongest() -> None:
    _, caption = captioned(np.zeros((480, 600), np.uint8))
    row = int(colour(caption).max(axis=1).argmax())
    coloured = np.flatnonzero(colour(caption)[row] > 5)
    first, last = caption[row, coloured[0]].astype(int), caption[row, coloured[-1]].astype(int)
    assert np.abs(first - 128).max() < 15  # the grey below it
    assert last[0] < 80 and min(last[1:]) > 150  # yellow
    assert np.ptp(coloured) > 400


def test_a_map_without_evidence_has_no_colour_bar() -> None:
    assert colour(captioned(np.zeros((480, 600), np.uint8), largest=0)[1]).max() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "NORMAL"},
        {"score": 0.8},
        {"threshold": 0.25},
        {"uncertain": True},
        {"out_of_domain": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_caption_tells_predictions_apart(changes: dict[str, object]) -> None:
    image = np.zeros((200, 400), np.uint8)
    plain, changed = captioned(image)[0], captioned(image, **changes)[0]
    assert plain.shape != changed.shape or (plain != changed).any()


def test_the_caption_says_how_strong_the_strongest_evidence_is() -> None:
    image = np.zeros((200, 400), np.uint8)
    one, ten = captioned(image, largest=1)[0], captioned(image, largest=10)[0]
    assert one.shape == ten.shape and (one != ten).any()


def test_the_score_of_three_labels_has_no_threshold() -> None:
    picture, caption = captioned(np.zeros((200, 400), np.uint8), THREE_LABELS, threshold=None)
    assert picture.shape[1] == 400 and (caption != BACKGROUND).any()


def test_where_an_image_lies_in_the_input_is_where_the_network_sees_it() -> None:
    assert image_area(100, 200, LETTERBOX) == (slice(37, 112), slice(0, 150))
    assert image_area(100, 200, SQUASH) == (slice(0, 150), slice(0, 150))


@pytest.fixture(scope="module")
def explaining(exported_bundle: Path) -> Classifier:
    return Classifier.load(exported_bundle, heatmap=True)


def save(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = draw_phantom(np.random.default_rng(seed), height=80, width=100)
    assert cv2.imwrite(str(path), image)
    return str(path)


def test_images_of_one_stem_get_a_picture_each(explaining: Classifier, tmp_path: Path) -> None:
    names = ("a/x.png", "b/x.png", "b/x.bmp", "a/X.png", "a/x-2.png")
    sources = [save(tmp_path / name, seed) for seed, name in enumerate(names)]
    out = tmp_path / "new" / "out"
    data = Path(sources[0]).read_bytes()
    results = list(write_overlays(explaining, [*sources, data, b"no image"], out))
    assert isinstance(results[-1], Failure) and isinstance(results[0], Prediction)
    written = [Path(r.heatmap) for r in results[:-1] if isinstance(r, Prediction) and r.heatmap]
    assert [path.name for path in written] == [
        "x.heatmap.png",
        "x-2.heatmap.png",
        "x-3.heatmap.png",
        "X-4.heatmap.png",
        "x-2-2.heatmap.png",
        "stdin.heatmap.png",
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in written)
    for result, path in zip(results, written, strict=False):
        source = data if result.source is None else result.source
        expected = draw_overlay(explaining.explain(source), explaining.spec)
        np.testing.assert_array_equal(cv2.imread(str(path)), expected)


def test_an_image_is_never_replaced_by_a_picture(explaining: Classifier, tmp_path: Path) -> None:
    sources = [save(tmp_path / "x.heatmap.png", 1), save(tmp_path / "x.png", 2)]
    before = [Path(source).read_bytes() for source in sources]
    results = list(write_overlays(explaining, sources, tmp_path))
    names = [Path(str(getattr(result, "heatmap", ""))).name for result in results]
    assert names == ["x.heatmap.heatmap.png", "x-2.heatmap.png"]
    assert [Path(source).read_bytes() for source in sources] == before


def test_a_name_that_no_file_has_is_a_failure_among_the_others(
    explaining: Classifier, tmp_path: Path
) -> None:
    results = list(
        write_overlays(explaining, ["a\0b", save(tmp_path / "x.png", 1)], tmp_path / "o")
    )
    assert [type(result) for result in results] == [Failure, Prediction]


def test_a_folder_that_cannot_be_written_is_a_typed_error(
    explaining: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot be written"):
        list(write_overlays(explaining, [save(tmp_path / "x.png", 1)], tmp_path / "file"))


def test_an_explanation_saves_its_picture(tmp_path: Path) -> None:
    made = explanation(np.full((200, 300), 99, np.uint8), np.eye(10))
    with pytest.raises(UsageError, match="has no spec"):
        made.save(tmp_path / "a.png")
    whole = dataclasses.replace(made, spec=SEED_SPEC)
    whole.save(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "a.png")), draw_overlay(whole, SEED_SPEC)
    )
    with pytest.raises(UsageError, match=r"end the name in \.png"):
        whole.save(tmp_path / "a.jpeg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
