"""Calibration images: what layers see of them, their record, their file, their folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge.data.samples import Samples, dump_samples, parse_samples, read_samples, sample_folder
from cxr_edge.errors import BundleError, CxrEdgeError, DataError, ModelError
from cxr_edge.export.graph.graph import Graph, Linear
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.quantize.calibration import Statistics, describe, measure, refuse_overlap
from cxr_edge.extras import require_tensorflow
from cxr_edge.files import sha256
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


@pytest.fixture(scope="module")
def network() -> tuple[Graph, tuple[np.ndarray, np.ndarray]]:
    """A 1x1 convolution of two channels, ReLU, the mean of the image, a dense layer."""
    keras, _ = require_tensorflow("export")
    random = np.random.default_rng(1)
    kernel, bias = random.normal(size=(2, 3)), random.normal(size=3)
    image = keras.Input((4, 5, 2))
    hidden = keras.layers.Conv2D(3, 1, activation="relu", name="conv")
    pooled = keras.layers.GlobalAveragePooling2D()(hidden(image))
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pooled))
    hidden.set_weights([kernel[np.newaxis, np.newaxis], bias])
    return read_graph(model), (kernel, bias)


def feeding(graph: Graph, kind: str) -> int:
    """The position of the node that feeds a layer of this kind."""
    (found,) = (
        node.inputs[0]
        for node in graph.nodes
        if isinstance(node.operation, Linear) and node.operation.kind == kind
    )
    return found


@pytest.mark.parametrize("count", [1, 16, 40], ids=["one", "one whole chunk", "a chunk cut short"])
def test_what_layers_see_is_what_numpy_computes(network: Any, count: int) -> None:
    graph, (kernel, bias) = network
    # The last images differ much: a chunk cut short must not count as a whole one.
    size = np.linspace(0.1, 3, count)[:, np.newaxis, np.newaxis, np.newaxis]
    batch = np.random.default_rng(2).normal(-0.2, size, (count, 4, 5, 2)).astype(np.float32)
    pooled = np.maximum(batch.astype(np.float64) @ kernel + bias, 0).mean(axis=(1, 2))
    seen: Statistics = measure(graph, batch)
    conv, dense = feeding(graph, "conv"), feeding(graph, "dense")
    assert set(seen.peaks) == set(seen.means) == {conv, dense} and conv == 0
    np.testing.assert_allclose(seen.peaks[conv], np.abs(batch).max(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(
        seen.means[conv], batch.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(seen.peaks[dense], pooled.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(seen.means[dense], pooled.mean(axis=0), rtol=1e-5)


def test_a_network_without_linear_layers_sees_nothing() -> None:
    keras, _ = require_tensorflow("export")
    image = keras.Input((4, 5, 2))
    scores = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(image))
    graph = read_graph(keras.Model(image, scores))
    assert not any(isinstance(node.operation, Linear) for node in graph.nodes)
    seen = measure(graph, np.zeros((3, 4, 5, 2), np.float32))
    assert (dict(seen.peaks), dict(seen.means)) == ({}, {})


def test_the_record_counts_images_by_label_and_says_where_they_come_from() -> None:
    record = describe(draw_samples(5), "drawn", SPEC)
    assert (record.source, record.images) == ("drawn", 5)
    assert record.labels == {"PNEUMONIA": 3, "NORMAL": 2}


def test_the_record_names_a_label_that_no_image_has() -> None:
    samples = draw_samples(5)
    none = Samples(samples.pixels, np.zeros(5, np.intp), ())
    assert describe(none, "drawn", SPEC).labels == {"PNEUMONIA": 5, "NORMAL": 0}


def test_the_record_of_images_without_labels_has_none() -> None:
    assert describe(draw_samples(5, labelled=False), "drawn", SPEC).labels is None


def test_the_records_hash_is_that_of_the_sorted_hashes_of_the_images() -> None:
    samples = draw_samples(5)
    hashes = sorted(sha256(image.tobytes()) for image in samples.pixels)
    assert describe(samples, "", SPEC).sha256 == sha256("\n".join(hashes).encode())


def test_the_records_hash_does_not_depend_on_order_or_labels_but_on_every_pixel() -> None:
    samples = draw_samples(5)
    first = describe(samples, "drawn", SPEC).sha256
    turned = Samples(samples.pixels[::-1], None, ())
    assert describe(turned, "elsewhere", SPEC).sha256 == first
    pixels = samples.pixels.copy()
    pixels[4, 3, 4, 0] ^= 1
    assert describe(Samples(pixels, samples.labels, ()), "drawn", SPEC).sha256 != first


def test_an_image_on_both_sides_is_refused_by_its_name_among_those_scored() -> None:
    calibration, scored = draw_samples(4, named=False), draw_samples(6, seed=1)
    pixels = scored.pixels.copy()
    pixels[[2, 5]] = calibration.pixels[[3, 0]]
    both = Samples(pixels, None, scored.names)
    with pytest.raises(DataError) as caught:
        refuse_overlap(calibration, both, "the images to prove on")
    assert str(caught.value).startswith(
        "2 calibration images are also among the images to prove on (é1/2.png); "
    )
    assert caught.value.exit_code == 2 and len(str(caught.value).splitlines()) == 1


def test_an_image_on_both_sides_is_refused_though_it_has_no_name() -> None:
    samples = draw_samples(4, named=False)
    with pytest.raises(DataError, match="4 calibration images are also among golden inputs; "):
        refuse_overlap(samples, samples, "golden inputs")


def test_images_that_differ_in_a_pixel_are_not_the_same() -> None:
    samples = draw_samples(4)
    others = Samples(samples.pixels ^ 1, None, samples.names)
    assert not set(samples.hashes()) & set(others.hashes())
    refuse_overlap(samples, others, "others")  # does not raise


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
    "too few labels": (packed(labels=np.array([0, 1])), r"labels are \(2,\) .* expected \(3,\)"),
    "a table of labels": (packed(labels=np.zeros((3, 1), int)), r"labels are \(3, 1\)"),
    "too many names": (packed(names=np.array(["a"] * 4)), r"names \(4,\), expected \(3,\)"),
    "a label too large": (
        packed(labels=np.array([0, 2, 1])),
        r"labels are 0\.\.2, expected 0\.\.1",
    ),
    "a label below zero": (
        packed(labels=np.array([0, -1, 1])),
        r"labels are -1\.\.1, expected 0\.\.1",
    ),
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
