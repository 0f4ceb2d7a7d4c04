"""Samples: images with labels and names, from a file or a folder."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_edge.data.samples import Samples, dump_samples, parse_samples, read_samples, sample_folder
from cxr_edge.errors import BundleError, CxrEdgeError, DataError, ModelError
from cxr_edge.reporting import Silent
from cxr_edge.spec import InputSpec, ModelSpec

SPEC = ModelSpec(
    name="small",
    input=InputSpec(height=4, width=5),
    labels=("PNEUMONIA", "NORMAL"),
    activation="sigmoid",
    positive_label="PNEUMONIA",
    threshold=0.5,
    threshold_choice="fixed",
)


def draw_samples(
    count: int, *, seed: int = 0, labelled: bool = True, named: bool = True
) -> Samples:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 4, 5, 1), np.uint8)
    labels = np.arange(count) % 2 if labelled else None
    names = tuple(f"é{seed}/{number}.png" for number in range(count)) if named else ()
    return Samples(pixels, labels, names)


def packed(**arrays: object) -> bytes:
    """An .npz of good samples, with other arrays in the place of some."""
    good = {
        "pixels": draw_samples(3).pixels,
        "labels": np.array([0, 1, 0]),
        "names": np.array(["a", "b", "c"]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{k: v for k, v in (good | arrays).items() if v is not None})
    return buffer.getvalue()


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_samples_come_back_from_their_file_as_they_were(
    tmp_path: Path, labelled: bool, named: bool
) -> None:
    samples = draw_samples(5, labelled=labelled, named=named)
    data = dump_samples(samples)
    (tmp_path / "samples.npz").write_bytes(data)
    for found in (
        parse_samples(data, SPEC, "samples.npz", ModelError),
        read_samples(tmp_path / "samples.npz", SPEC),
    ):
        assert found.pixels.dtype == np.uint8
        np.testing.assert_array_equal(found.pixels, samples.pixels)
        np.testing.assert_array_equal(found.labels, samples.labels)  # None equals None only
        assert found.names == samples.names
    assert dump_samples(samples) == data


def test_a_file_that_is_absent_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.npz"):
        read_samples(tmp_path / "absent.npz", SPEC)


WRONG = {
    "junk": (b"junk", "not readable as images"),
    "empty": (b"", "not readable as images"),
    "cut short": (packed()[:-40], "not readable as images"),
    "no pixels": (packed(pixels=None), "not readable as images"),
    "no labels": (packed(labels=None), "not readable as images"),
    "no names": (packed(names=None), "not readable as images"),
    "a pickle": (packed(names=np.array([1, "b", None], object)), "not readable as images"),
    "float pixels": (packed(pixels=np.zeros((3, 4, 5, 1))), r"float64 \(3, 4, 5, 1\)"),
    "another size": (packed(pixels=np.zeros((3, 5, 4, 1), np.uint8)), r"uint8 \(3, 5, 4, 1\)"),
    "another depth": (packed(pixels=np.zeros((3, 4, 5, 3), np.uint8)), r"uint8 \(3, 4, 5, 3\)"),
    "no channels": (packed(pixels=np.zeros((3, 4, 5), np.uint8)), r"uint8 \(3, 4, 5\)"),
    "one number": (packed(pixels=np.uint8(3)), "images"),
    "no images": (
        packed(pixels=np.zeros((0, 4, 5, 1), np.uint8), labels=np.zeros(0), names=np.zeros(0)),
        "images",
    ),
    "too few labels": (packed(labels=np.array([0, 1])), "not one for each image"),
    "a table of labels": (packed(labels=np.zeros((3, 1), int)), "not one for each image"),
    "too many names": (packed(names=np.array(["a"] * 4)), "not one for each image"),
    "a label too large": (packed(labels=np.array([0, 2, 1])), r"outside 0\.\.1"),
    "a label below zero": (packed(labels=np.array([0, -1, 1])), r"outside 0\.\.1"),
    "labels that are text": (packed(labels=np.array(["a", "b", "c"])), "label"),
    "labels between numbers": (packed(labels=np.array([0.5, 0.7, 1.0])), "label"),
    "labels that are no numbers": (packed(labels=np.array([0.0, np.nan, 1.0])), "label"),
}


@pytest.mark.parametrize("error", [ModelError, BundleError])
@pytest.mark.parametrize(("data", "message"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_not_one_of_samples_is_the_given_error(
    data: bytes, message: str, error: type[CxrEdgeError]
) -> None:
    with pytest.raises(error, match=f"^some.npz: .*{message}") as caught:
        parse_samples(data, SPEC, "some.npz", error)
    assert type(caught.value) is error


def test_the_file_that_the_wrong_ones_are_made_from_is_right() -> None:
    found = parse_samples(packed(), SPEC, "some.npz", ModelError)
    assert found.names == ("a", "b", "c") and found.labels is not None


def test_without_leaves_out_the_same_pixels_with_their_labels_and_names() -> None:
    samples, other = draw_samples(5), draw_samples(5, seed=1)
    assert samples.labels is not None
    both = Samples(np.concatenate([other.pixels, samples.pixels[[1, 4]]]), None, ())
    kept = samples.without(both)
    np.testing.assert_array_equal(kept.pixels, samples.pixels[[0, 2, 3]])
    np.testing.assert_array_equal(kept.labels, samples.labels[[0, 2, 3]])
    assert kept.names == ("é0/0.png", "é0/2.png", "é0/3.png")


def test_without_others_everything_is_kept_and_without_itself_nothing() -> None:
    samples = draw_samples(5, labelled=False, named=False)
    kept = samples.without(draw_samples(5, seed=1))
    np.testing.assert_array_equal(kept.pixels, samples.pixels)
    assert (kept.labels, kept.names) == (None, ())
    nothing = samples.without(samples)
    assert nothing.pixels.shape == (0, 4, 5, 1)


def write_image(path: Path, grey: int) -> None:
    """A PNG of one grey level, larger than the network's input."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((20, 25), grey, np.uint8))


def test_a_folder_of_classes_gives_labels_in_the_specs_order(tmp_path: Path) -> None:
    for name, grey in (("NORMAL/n1", 10), ("NORMAL/n2", 20), ("PNEUMONIA/p1", 30)):
        write_image(tmp_path / f"{name}.png", grey)
    samples = sample_folder(tmp_path, SPEC, Silent())
    assert samples.pixels.shape == (3, 4, 5, 1) and samples.pixels.dtype == np.uint8
    # The spec says PNEUMONIA first, the alphabet NORMAL.
    assert samples.names == ("PNEUMONIA/p1.png", "NORMAL/n1.png", "NORMAL/n2.png")
    assert samples.labels is not None and samples.labels.tolist() == [0, 1, 1]
    assert samples.pixels[:, 0, 0, 0].tolist() == [30, 10, 20]


@pytest.mark.parametrize("folder", [".", "some", "HEALTHY"], ids=["flat", "one folder", "another"])
def test_a_folder_without_the_classes_gives_no_labels(tmp_path: Path, folder: str) -> None:
    for name, grey in (("a", 10), ("b", 20)):
        write_image(tmp_path / folder / f"{name}.png", grey)
    samples = sample_folder(tmp_path, SPEC, Silent())
    assert samples.labels is None
    assert samples.names == tuple(str(Path(folder) / name) for name in ("a.png", "b.png"))
    assert samples.pixels[:, 0, 0, 0].tolist() == [10, 20]


@pytest.mark.parametrize("only", SPEC.labels)
@pytest.mark.parametrize("beside", [None, "HEALTHY/b.png", "b.png"])
def test_a_folder_for_some_of_the_labels_only_is_refused(
    tmp_path: Path, only: str, beside: str | None
) -> None:
    """Or images of one label would be scored as if nobody knew which."""
    write_image(tmp_path / only / "a.png", 10)
    if beside:
        write_image(tmp_path / beside, 20)
    with pytest.raises(DataError, match="expected the folders PNEUMONIA, NORMAL") as caught:
        sample_folder(tmp_path, SPEC, Silent())
    assert str(tmp_path) in str(caught.value) and only in str(caught.value)


def test_folders_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    """Or a misspelt label would prove nothing about decisions, without a word."""
    write_image(tmp_path / "Pneumonia" / "a.png", 10)
    write_image(tmp_path / "Normal" / "b.png", 20)
    with pytest.raises(DataError, match="images in Normal, Pneumonia, expected the folders"):
        sample_folder(tmp_path, SPEC, Silent())


def test_an_image_that_cannot_be_read_is_left_out_with_its_label_and_name(tmp_path: Path) -> None:
    for name in ("NORMAL/a", "NORMAL/c", "PNEUMONIA/p"):
        write_image(tmp_path / f"{name}.png", 10)
    (tmp_path / "NORMAL" / "b.png").write_bytes(b"junk")
    samples = sample_folder(tmp_path, SPEC, Silent())
    assert samples.names == ("PNEUMONIA/p.png", "NORMAL/a.png", "NORMAL/c.png")
    assert samples.labels is not None and samples.labels.tolist() == [0, 1, 1]
    assert len(samples.pixels) == 3


def test_a_folder_without_images_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        sample_folder(tmp_path, SPEC, Silent())
    with pytest.raises(DataError, match="absent"):
        sample_folder(tmp_path / "absent", SPEC, Silent())


def test_a_folder_whose_images_are_all_damaged_is_named_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(DataError, match="none of its images can be read") as caught:
        sample_folder(tmp_path, SPEC, Silent())
    assert str(tmp_path / "image") not in str(caught.value)  # there is no such folder
