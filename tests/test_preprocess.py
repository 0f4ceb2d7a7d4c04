"""Preprocessing: the resize, the borders and the range that a spec asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cxr_edge.errors import ImageError
from cxr_edge.preprocess import (
    normalize,
    reduction,
    resize_halved,
    resize_to_input,
    shown_area,
)
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


def test_a_jpeg_is_halved_if_it_is_4_8_times_as_large_as_what_it_fills_of_the_input() -> None:
    square = InputSpec(100, 100)
    assert (reduction(480, 480, square), reduction(479, 480, square)) == (2, 1)
    assert (reduction(480, 480, square), reduction(480, 479, square)) == (2, 1)
    letterbox = InputSpec(100, 100, geometry="letterbox")
    assert (reduction(300, 600, letterbox), reduction(300, 600, square)) == (2, 1)
    linear = InputSpec(100, 100, interpolation="linear")
    assert reduction(4_000, 4_000, linear) == 1
    assert (reduction(5_000, 6_700, square), reduction(5_000, 6_800, square)) == (2, 1)


def test_a_crop_allows_less_reduction_than_the_whole_image_would() -> None:
    """Of 800 x 900 pixels an input of 100 x 600 sees 150 rows."""
    assert reduction(800, 3_000, InputSpec(100, 600)) == 2
    assert reduction(800, 3_000, InputSpec(100, 600, geometry="center-crop")) == 2  # 500 rows
    assert reduction(800, 2_880, InputSpec(100, 600)) == 2
    assert reduction(800, 2_879, InputSpec(100, 600, geometry="center-crop")) == 1  # 479 rows


@pytest.mark.parametrize("geometry", ["squash", "letterbox", "center-crop"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", [(90, 120), (91, 121)])
def test_the_slopes_of_a_halved_image_are_followed_between_its_pixels(
    geometry: str, channels: int, sides: tuple[int, int]
) -> None:
    """Curved on purpose: taking halved pixels for flat would be off by up to 4 levels."""
    rows, columns = (np.arange(side) for side in sides)
    curve = 127 + 60 * np.sin(rows / 9)[:, None] + 60 * np.cos(columns / 7)[None, :]
    whole = np.rint(np.stack([curve, 255 - curve, curve], axis=2)).astype(np.uint8)
    odd = [(0, side % 2) for side in sides]
    padded = np.pad(whole, (*odd, (0, 0)), mode="edge")
    halved = np.rint(block_mean(padded, 2)).astype(np.uint8)
    if channels == 1:
        whole, halved = whole[..., 0], halved[..., 0]
    spec = InputSpec(17, 19, channels, geometry=geometry)  # type: ignore[arg-type]
    resized = resize_halved(halved, *sides, spec)
    expected = resize_to_input(whole, spec)
    assert np.abs(resize_to_input(resized, spec).astype(int) - expected).max() <= 1


def test_bgr_swaps_the_channels_before_the_scaling() -> None:
    pixels = np.array([[[[10, 20, 30]]]], np.uint8)  # red 10
    spec = InputSpec(1, 1, 3, scale=1.0, mean=(1.0, 2.0, 3.0), channel_order="bgr")
    batch = normalize(pixels, spec)
    assert batch.ravel().tolist() == [29.0, 18.0, 7.0]
    assert batch.flags.c_contiguous and pixels.ravel().tolist() == [10, 20, 30]
