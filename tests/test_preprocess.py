"""Preprocessing: the resize, the borders and the range that a spec asks for."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cxr_edge import preprocess
from cxr_edge.errors import ImageError
from cxr_edge.preprocess import average_areas, normalize, resize_to_input, shown_area
from cxr_edge.spec import InputSpec


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def block_mean(image: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.float64]:
    """Means of squares of ``factor`` x ``factor`` pixels, by reshaping."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, -1).astype(np.float64)
    return blocks.mean(axis=(1, 3))


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_by_a_whole_factor_is_the_mean_of_each_block(factor: int, channels: int) -> None:
    image = noise(12 * factor, 8 * factor, channels)
    spec = InputSpec(height=12, width=8, channels=channels)  # type: ignore[arg-type]
    pixels = resize_to_input(image if channels == 3 else image[..., 0], spec)
    assert pixels.shape == (1, 12, 8, channels) and pixels.dtype == np.uint8
    assert np.abs(pixels[0] - block_mean(image, factor)).max() <= 0.5 + 1e-6


def test_linear_interpolation_skips_pixels_where_area_averages_them() -> None:
    stripes = np.zeros((60, 60), np.uint8)
    stripes[::3] = 255
    area = resize_to_input(stripes, InputSpec(height=20, width=20))
    linear = resize_to_input(stripes, InputSpec(height=20, width=20, interpolation="linear"))
    assert np.all(area == 85)
    assert np.all(linear == 0)  # the middle line of every three


def test_squashing_ignores_the_aspect_ratio() -> None:
    image = np.repeat(np.array([[10, 200]], np.uint8), 50, axis=0).repeat(10, axis=1)  # 50 x 20
    pixels = resize_to_input(image, InputSpec(height=4, width=10))[0, :, :, 0]
    assert np.all(pixels[:, :5] == 10) and np.all(pixels[:, 5:] == 200)


@pytest.mark.parametrize("geometry", ["squash", "letterbox", "center-crop"])
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_an_image_of_the_right_size_stays_as_it_is(geometry: str, interpolation: str) -> None:
    spec = InputSpec(height=15, width=17, geometry=geometry, interpolation=interpolation)  # type: ignore[arg-type]
    image = noise(15, 17)
    np.testing.assert_array_equal(resize_to_input(image, spec)[0, :, :, 0], image)


@pytest.mark.parametrize(
    ("rows", "columns", "content"),
    [
        (100, 50, (slice(0, 20), slice(5, 15))),  # tall: borders left and right
        (50, 100, (slice(5, 15), slice(0, 20))),  # wide: borders above and below
        (5, 10, (slice(5, 15), slice(0, 20))),  # smaller than the network: enlarged
        (40, 40, (slice(0, 20), slice(0, 20))),  # square: none
        (1000, 1, (slice(0, 20), slice(9, 10))),  # so thin that it would vanish: one column
    ],
)
def test_a_letterbox_touches_two_borders_and_is_centred_between_the_others(
    rows: int, columns: int, content: tuple[slice, slice]
) -> None:
    spec = InputSpec(height=20, width=20, geometry="letterbox", pad_value=7)
    expected = np.full((20, 20), 7)
    expected[content] = 200
    pixels = resize_to_input(np.full((rows, columns), 200, np.uint8), spec)
    np.testing.assert_array_equal(pixels[0, :, :, 0], expected)


def test_a_letterbox_keeps_the_channels_apart_and_pads_all_of_them() -> None:
    spec = InputSpec(height=20, width=20, channels=3, geometry="letterbox", pad_value=9)
    image = np.full((40, 20, 3), (10, 20, 30), np.uint8)
    pixels = resize_to_input(image, spec)[0]
    assert np.all(pixels[:, 5:15] == (10, 20, 30))
    assert np.all(pixels[:, :5] == 9) and np.all(pixels[:, 15:] == 9)


def test_a_view_with_reversed_rows_and_channels_is_read_like_its_copy() -> None:
    view = noise(30, 40, 3)[::-1, :, ::-1]
    spec = InputSpec(height=10, width=20, channels=3)
    np.testing.assert_array_equal(resize_to_input(view, spec), resize_to_input(view.copy(), spec))


def test_fitting_leaves_the_image_unchanged() -> None:
    image = noise(30, 40)
    before = image.copy()
    resize_to_input(image, InputSpec(height=10, width=10, geometry="letterbox"))
    normalize(
        resize_to_input(image, InputSpec(height=30, width=40)), InputSpec(height=30, width=40)
    )
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("channels", "image"),
    [
        (1, np.zeros((8, 8), np.float32)),
        (1, np.zeros((8, 8), np.uint16)),
        (1, np.zeros((8, 8), np.int8)),
        (1, np.zeros((8, 8), np.bool_)),
        (1, np.zeros((8, 8, 1), np.uint8)),
        (1, np.zeros((8, 8, 3), np.uint8)),
        (1, np.zeros(8, np.uint8)),
        (1, np.zeros((), np.uint8)),
        (3, np.zeros((8, 8), np.uint8)),
        (3, np.zeros((8, 8, 4), np.uint8)),
        (3, np.zeros((8, 8, 1), np.uint8)),
        (3, np.zeros((1, 8, 8, 3), np.uint8)),
    ],
)
def test_an_array_of_another_type_or_shape_is_refused_with_what_is_expected(
    channels: int, image: npt.NDArray[np.generic]
) -> None:
    expected = r"\(H, W\)" if channels == 1 else r"\(H, W, 3\) RGB"
    with pytest.raises(ImageError, match=f"expected uint8 {expected}$"):
        resize_to_input(image, InputSpec(height=4, width=4, channels=channels))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_an_image_without_pixels_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="empty"):
        resize_to_input(np.zeros(shape, np.uint8), InputSpec(height=4, width=4))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": 1.0},
        {"scale": 1 / 127.5, "offset": -1.0},
        {"mean": (0.485, 0.456, 0.406)},
        {"std": (0.229, 0.224, 0.225)},
        {"scale": -1 / 255, "offset": 1.0},
        {
            "scale": 1 / 127.5,
            "offset": -1.0,
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
        },
    ],
    ids=lambda settings: " ".join(settings) or "the default",
)
def test_the_range_is_scale_offset_mean_and_std_in_that_order(settings: dict[str, object]) -> None:
    spec = InputSpec(height=16, width=16, channels=3, **settings)  # type: ignore[arg-type]
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    mean, std = np.array(spec.mean or (0,) * 3), np.array(spec.std or (1,) * 3)
    expected = (pixels.astype(np.float64) * spec.scale + spec.offset - mean) / std
    batch = normalize(pixels, spec)
    assert batch.dtype == np.float32 and batch.shape == pixels.shape
    np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=1e-6)


def test_the_default_range_is_0_to_1_exactly() -> None:
    pixels = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    batch = normalize(pixels, InputSpec(height=1, width=1))
    assert batch.ravel().tolist() == [0.0, 1.0]


def test_each_image_of_a_batch_is_scaled_as_if_it_were_alone() -> None:
    spec = InputSpec(height=6, width=5, offset=-0.5, mean=(0.3,), std=(0.7,))
    pixels = noise(4, 6, 5, 1)
    alone = np.concatenate([normalize(pixels[i : i + 1], spec) for i in range(4)])
    np.testing.assert_array_equal(normalize(pixels, spec), alone)


@pytest.mark.parametrize(
    ("rows", "columns", "shown"),
    [
        (100, 50, (slice(37, 62), slice(0, 50))),  # input 10 x 20: half as high as wide
        (50, 300, (slice(0, 50), slice(100, 200))),
        (51, 301, (slice(0, 51), slice(99, 201))),  # an odd pixel more is cut from the right
        (40, 80, (slice(0, 40), slice(0, 80))),  # the input's aspect ratio: all of it
        (1, 1, (slice(0, 1), slice(0, 1))),
        (1000, 1, (slice(499, 500), slice(0, 1))),  # never nothing
    ],
)
def test_a_center_crop_shows_the_largest_middle_part_of_the_input_s_shape(
    rows: int, columns: int, shown: tuple[slice, slice]
) -> None:
    spec = InputSpec(height=10, width=20, geometry="center-crop")
    assert shown_area(rows, columns, spec) == shown
    image = noise(rows, columns)
    squashed = resize_to_input(image[shown].copy(), InputSpec(height=10, width=20))
    np.testing.assert_array_equal(resize_to_input(image, spec), squashed)


@pytest.mark.parametrize("geometry", ["squash", "letterbox"])
def test_other_geometries_show_the_whole_image(geometry: str) -> None:
    spec = InputSpec(height=10, width=20, geometry=geometry)  # type: ignore[arg-type]
    assert shown_area(30, 7, spec) == (slice(0, 30), slice(0, 7))


@pytest.mark.parametrize("geometry", ["squash", "letterbox", "center-crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", [(90, 120), (101, 63), (70, 400)])
def test_running_totals_give_the_averages_of_areas(
    geometry: str, channels: int, sides: tuple[int, int]
) -> None:
    image = noise(*sides, 3) if channels == 3 else noise(*sides)
    spec = InputSpec(32, 31, channels, geometry=geometry)  # type: ignore[arg-type]
    averaged = average_areas(image, spec)
    assert averaged.size < image.size
    delta = resize_to_input(averaged, spec).astype(int) - resize_to_input(image, spec)
    assert np.abs(delta).max() <= 1 and (delta != 0).mean() < 0.005


def means_by_whole_totals(
    image: npt.NDArray[np.uint8], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """As pixels were averaged before it was done in strips, with the same floating-point steps."""
    totals = cv2.integral(image, sdepth=cv2.CV_32S)

    def borders(side: int, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        positions = np.linspace(0, side, count + 1)
        pixel = np.minimum(positions.astype(np.intp), side - 1)
        return pixel, positions - pixel

    (y, below), (x, beyond) = borders(image.shape[0], height), borders(image.shape[1], width)
    rows = totals[y] * (1 - below)[:, None] + totals[y + 1] * below[:, None]
    bands = np.diff(rows, axis=0)
    columns = bands[:, x] * (1 - beyond) + bands[:, x + 1] * beyond
    means = np.diff(columns, axis=1) * (height * width / image.size)
    return np.rint(means).astype(np.uint8)


@pytest.mark.parametrize("at_once", [1, 2_000, 2**18], ids=["a row", "some rows", "1 MiB"])
@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ((90, 120), (30, 40)),
        ((301, 211), (32, 31)),
        ((211, 307), (3, 200)),
        ((700, 450), (150, 150)),
    ],
)
def test_strips_give_the_pixels_of_the_whole(
    sides: tuple[int, int], size: tuple[int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "_TOTALS_AT_ONCE", at_once)
    image = noise(*sides)
    averaged = average_areas(image, InputSpec(*size))
    np.testing.assert_array_equal(averaged, means_by_whole_totals(image, *size))


def test_running_totals_do_not_overflow_in_the_largest_white_image() -> None:
    white = np.full((2_000, 4_210), 255, np.uint8)
    assert (average_areas(white, InputSpec(10, 10)) == np.full((10, 10), 255)).all()
    larger = np.full((2_000, 4_211), 255, np.uint8)
    assert average_areas(larger, InputSpec(10, 10)) is larger


@pytest.mark.parametrize(
    "spec",
    [InputSpec(10, 10, interpolation="linear"), InputSpec(40, 10), InputSpec(10, 50)],
    ids=["linear", "as high", "as wide"],
)
def test_what_is_not_made_smaller_both_ways_by_area_is_left_to_the_resize(spec: InputSpec) -> None:
    image = noise(40, 50)
    assert average_areas(image, spec) is image


def test_bgr_swaps_the_channels_before_the_scaling() -> None:
    pixels = np.array([[[[10, 20, 30]]]], np.uint8)  # red 10
    spec = InputSpec(1, 1, 3, scale=1.0, mean=(1.0, 2.0, 3.0), channel_order="bgr")
    batch = normalize(pixels, spec)
    assert batch.ravel().tolist() == [29.0, 18.0, 7.0]
    assert batch.flags.c_contiguous and pixels.ravel().tolist() == [10, 20, 30]
