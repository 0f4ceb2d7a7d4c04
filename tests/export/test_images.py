"""Images of an export: the record of calibration images, and that none of them is scored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cxr_edge.bundle.manifest import Calibration
from cxr_edge.data.samples import Samples
from cxr_edge.errors import DataError
from cxr_edge.export.images import ExportImages, describe_calibration, refuse_overlap
from cxr_edge.export.pipeline import judge
from cxr_edge.export.request import CalibrationImages
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


def describe(samples: Samples, source: str) -> Calibration:
    return describe_calibration(CalibrationImages(samples, source), SPEC)


def test_the_record_counts_images_by_label_and_says_where_they_come_from() -> None:
    record = describe(draw_samples(5), "drawn")
    assert (record.source, record.images) == ("drawn", 5)
    assert record.labels == {"PNEUMONIA": 3, "NORMAL": 2}


def test_the_record_names_a_label_that_no_image_has() -> None:
    samples = draw_samples(5)
    none = Samples(samples.pixels, np.zeros(5, np.intp), ())
    assert describe(none, "drawn").labels == {"PNEUMONIA": 5, "NORMAL": 0}


def test_the_record_of_images_without_labels_has_none() -> None:
    assert describe(draw_samples(5, labelled=False), "drawn").labels is None


def test_the_records_hash_is_that_of_the_sorted_hashes_of_the_images() -> None:
    samples = draw_samples(5)
    hashes = sorted(sha256(image.tobytes()) for image in samples.pixels)
    assert describe(samples, "").sha256 == sha256("\n".join(hashes).encode())


def test_the_records_hash_does_not_depend_on_order_or_labels_but_on_every_pixel() -> None:
    samples = draw_samples(5)
    first = describe(samples, "drawn").sha256
    turned = Samples(samples.pixels[::-1], None, ())
    assert describe(turned, "elsewhere").sha256 == first
    pixels = samples.pixels.copy()
    pixels[4, 3, 4, 0] ^= 1
    assert describe(Samples(pixels, samples.labels, ()), "drawn").sha256 != first


def test_an_image_on_both_sides_is_refused_by_its_name_among_those_scored() -> None:
    calibration, scored = draw_samples(4, named=False), draw_samples(6, seed=1)
    pixels = scored.pixels.copy()
    pixels[[2, 5]] = calibration.pixels[[3, 0]]
    both = Samples(pixels, None, scored.names)
    with pytest.raises(DataError) as caught:
        refuse_overlap(calibration, both, "the images to check parity on")
    assert str(caught.value).startswith(
        "2 calibration images are also among the images to check parity on (é1/2.png); "
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


class Labelled(ExportImages):
    """Images of a user, labelled or not."""

    def __init__(self, scores: list[float], labels: list[int] | None) -> None:
        self._given = np.array(scores, np.float32)[:, np.newaxis], labels

    def labelled(self) -> tuple[Samples, np.ndarray, str] | None:
        scores, labels = self._given
        if labels is None:
            return None
        pixels = np.zeros((len(scores), 4, 5, 1), np.uint8)
        return Samples(pixels, np.array(labels), ()), scores, "validation images"


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1], "decides NORMAL for all 4 images, on 4 validation"),
        ([0.1, 0.9, 0.9, 0.1], [0, 0, 1, 1], "AUC is 0.500"),
        ([0.1, 0.2, 0.9, 0.8], [0, 0, 1, 1], None),
        ([0.9, 0.9, 0.9, 0.9], None, None),
    ],
    ids=["one label for everything", "guesses", "of use", "no labels"],
)
def test_an_original_that_is_of_no_use_on_the_users_images_is_told(
    scores: list[float], labels: list[int] | None, words: str | None
) -> None:
    reason = judge(Labelled(scores, labels), SPEC)
    assert reason is None if words is None else words in str(reason)


class _OfARun:
    """What the choice of calibration images looks at, for a run whose images may be scored."""

    calibration = ExportImages.calibration

    def __init__(self, kept: Samples, scored: Samples) -> None:
        original = SimpleNamespace(spec=SPEC, calibration=CalibrationImages(kept, "the run's"))
        self._original, self._request = original, SimpleNamespace(calibration=None)
        self.parity_sets = [SimpleNamespace(samples=scored)]
        self._reporter = Silent()


def test_calibration_images_that_parity_is_checked_on_are_left_out_but_never_all() -> None:
    kept = draw_samples(6)
    some = Samples(kept.pixels[:2], None, ())
    assert len(_OfARun(kept, some).calibration.samples.pixels) == 4
    with pytest.raises(DataError, match="every calibration image of the run is among those"):
        _ = _OfARun(kept, kept).calibration
