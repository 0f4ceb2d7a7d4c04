"""What is none of the kind trained on is told apart, and the file that says how is checked."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_edge import Bundle, Classifier
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.domain import (
    Discriminator,
    Domain,
    dump_domain,
    facts_for,
    parse_domain,
    standardize,
)
from cxr_edge.domain.features import Floats
from cxr_edge.errors import BundleError
from cxr_edge.image.facts import PictureFacts
from cxr_edge.preprocess import Pixels, resize_to_input
from cxr_edge.spec import InputSpec
from cxr_edge.train.evaluation.shifts import shifted
from cxr_edge.train.fitting.discriminator import fit_discriminator
from cxr_edge.train.fitting.domain import FileLimits, fit_domain, survey_files

SPEC = InputSpec(height=60, width=50)


def phantoms(first: int, count: int) -> Pixels:
    randoms = (np.random.default_rng(first + i) for i in range(count))
    drawn = [draw_phantom(random, height=180, width=150) for random in randoms]
    return np.concatenate([resize_to_input(image, SPEC) for image in drawn])


def lettering() -> Pixels:
    page = np.full((300, 250), 255, np.uint8)
    for row in range(25, 300, 25):
        cv2.putText(page, "nothing to see here", (5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1)
    return resize_to_input(page, SPEC)


@pytest.fixture(scope="module")
def domain() -> Domain:
    return fit_domain(phantoms(0, 150), phantoms(1000, 100))


def test_the_limit_lets_the_stated_share_of_validation_images_out(domain: Domain) -> None:
    assert domain.outside(phantoms(1000, 100)).sum() <= 1
    assert domain.outside(phantoms(2000, 200)).mean() < 0.05
    changed = np.concatenate([copies for _, copies in shifted(phantoms(1000, 100))])
    assert domain.outside(changed).mean() <= 0.008
    largest = max(domain.distances(changed).max(), domain.distances(phantoms(1000, 100)).max())
    assert largest > 0.99  # the limit is no larger than needed


def faint() -> Pixels:
    """Grey with one line of a slightly other grey."""
    image = np.full((1, 60, 50, 1), 128, np.uint8)
    image[0, 30] += 9
    return image


def halves() -> Pixels:
    image = np.zeros((1, 60, 50, 1), np.uint8)
    image[0, 30:] = 255
    return image


def crops(top: float, bottom: float) -> Pixels:
    """Bands of phantoms, which are drawn larger than the network's input."""
    randoms = (np.random.default_rng(3000 + i) for i in range(20))
    drawn = [draw_phantom(random, height=180, width=150) for random in randoms]
    bands = [np.ascontiguousarray(image[int(180 * top) : int(180 * bottom)]) for image in drawn]
    return np.concatenate([resize_to_input(band, SPEC) for band in bands])


def blurs(sigma: float) -> Pixels:
    blurred = [cv2.GaussianBlur(image, (0, 0), sigma) for image in phantoms(3000, 20)]
    return np.stack(blurred)[..., np.newaxis]


STRANGERS: dict[str, Callable[[], Pixels]] = {
    "inverted": lambda: 255 - phantoms(3000, 20),
    "turned": lambda: np.rot90(phantoms(3000, 20), 2, (1, 2)),
    "noise": lambda: np.random.default_rng(1).integers(0, 256, (20, 60, 50, 1), np.uint8),
    "black": lambda: np.zeros((1, 60, 50, 1), np.uint8),
    "nearly even grey": faint,
    "half black": halves,
    "a ramp": lambda: np.repeat(np.linspace(0, 255, 60), 50).reshape(1, 60, 50, 1).astype(np.uint8),
    "lettering": lettering,
    "lower thirds": lambda: crops(2 / 3, 1),
    "upper thirds": lambda: crops(0, 1 / 3),
    "blurred": lambda: blurs(2.5),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_other_pictures_are_outside(domain: Domain, stranger: Callable[[], Pixels]) -> None:
    assert domain.outside(stranger()).all()


def test_exposure_does_not_move_an_image_outside(domain: Domain) -> None:
    images = phantoms(2000, 50).astype(float)
    for changed in (0.6 * images, 0.5 * images + 100):
        distances = domain.distances(changed.round().astype(np.uint8))
        np.testing.assert_allclose(distances, domain.distances(phantoms(2000, 50)), atol=0.05)


def test_the_distance_is_probabilistic_pcas(domain: Domain) -> None:
    """The Mahalanobis distance under the covariance that the model stands for, in float64."""
    basis = domain.components.astype(np.float64)
    # Outside the components every direction has the same variance.
    covariance = np.eye(256) * domain.residual
    covariance += basis.T @ np.diag(domain.variances - domain.residual) @ basis
    rows, _ = standardize(phantoms(5000, 5))
    centred = rows - domain.mean
    expected = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
    plain = dataclasses.replace(domain, least_detail=0.0, discriminator=None)
    distances = plain.distances(phantoms(5000, 5)) * domain.limit
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


def test_the_image_that_sets_the_limit_is_inside_it(domain: Domain) -> None:
    """The limit is the distance of an image, which another machine rounds otherwise."""
    images = phantoms(5000, 20)
    plain = dataclasses.replace(domain, limit=1.0, least_detail=0.0, discriminator=None)
    for image, distance in zip(images, plain.distances(images).tolist(), strict=True):
        for limit, is_outside in ((distance * (1 - 5e-7), False), (distance * 0.9999, True)):
            limited = dataclasses.replace(plain, limit=limit)
            assert limited.outside(image[np.newaxis]).tolist() == [is_outside]


def test_grey_images_as_rgb_have_the_same_distance(domain: Domain) -> None:
    grey = phantoms(2000, 5)
    rgb = np.repeat(grey, 3, axis=3)
    np.testing.assert_allclose(domain.distances(rgb), domain.distances(grey), rtol=1e-6)


def test_a_domain_survives_its_file(domain: Domain) -> None:
    data = dump_domain(domain)
    assert data == dump_domain(domain)
    again = parse_domain(data, "domain.npz", BundleError)
    images = phantoms(2000, 20)
    np.testing.assert_array_equal(again.distances(images), domain.distances(images))


def test_numbers_that_do_not_fit_are_refused(domain: Domain) -> None:
    """They are computed with as float32, in which one is infinite and the other 0."""
    with np.load(io.BytesIO(dump_domain(domain))) as stored:
        arrays = {key: np.asarray(stored[key], np.float64) for key in stored.files}
    for key, value in (("mean", 1e39), ("components", -1e39), ("variances", 1e-60)):
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, key: np.full_like(arrays[key], value)})
        with pytest.raises(BundleError, match="invalid PCA parameters"):
            parse_domain(buffer.getvalue(), "domain.npz", BundleError)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_overflows_is_outside(domain: Domain) -> None:
    far = dataclasses.replace(domain, components=domain.components * np.float32(1e30))
    assert far.outside(phantoms(2000, 3)).all()


def altered(domain: Domain, **changes: Any) -> bytes:
    return dump_domain(dataclasses.replace(domain, **changes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": float("nan")}, "invalid PCA parameters"),
        ({"limit": 0.0}, "invalid PCA parameters"),
        ({"residual": -1.0}, "invalid PCA parameters"),
        ({"variances": np.zeros(20, np.float32)}, "invalid PCA parameters"),
        ({"mean": np.zeros(9, np.float32)}, "shapes"),
        ({"components": np.zeros((20, 9), np.float32)}, "shapes"),
        ({"variances": np.ones(3, np.float32)}, "shapes"),
        ({"least_side": -1.0}, "limits of size and chroma"),
        ({"most_chroma": 0.0}, "limits of size and chroma"),
        ({"most_chroma": 256.0}, "limits of size and chroma"),
    ],
)
def test_a_domain_that_makes_no_sense_is_refused(
    domain: Domain, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BundleError, match=f"^domain.npz: .*{said}"):
        parse_domain(altered(domain, **change), "domain.npz", BundleError)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": np.zeros(518, np.float32)}, "invalid PCA parameters"),
        ({"hidden": np.zeros((9, 128), np.float32)}, "shapes"),
        ({"hidden_bias": np.zeros(1, np.float32)}, "shapes"),
        ({"output": np.zeros((128, 1), np.float32)}, "shapes"),
        ({"output_bias": np.full(3, np.inf, np.float32)}, "invalid PCA parameters"),
        ({"output_bias": np.zeros(0, np.float32)}, "shapes"),
    ],
)
def test_a_discriminator_that_makes_no_sense_is_refused(
    domain: Domain, change: dict[str, Any], said: str
) -> None:
    assert domain.discriminator
    discriminator = dataclasses.replace(domain.discriminator, **change)
    with pytest.raises(BundleError, match=f"^domain.npz: .*{said}"):
        parse_domain(altered(domain, discriminator=discriminator), "domain.npz", BundleError)


def test_half_a_discriminator_is_refused(domain: Domain) -> None:
    with np.load(io.BytesIO(dump_domain(domain))) as stored:
        arrays = {key: stored[key] for key in stored.files if key != "hidden_bias"}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(BundleError, match="not readable as a domain"):
        parse_domain(buffer.getvalue(), "domain.npz", BundleError)


def test_a_domain_of_format_2_0_has_no_discriminator(domain: Domain) -> None:
    old = dataclasses.replace(domain, discriminator=None, least_detail=0.01)
    assert facts_for(old) is None
    again = parse_domain(dump_domain(old), "domain.npz", BundleError)
    assert again.discriminator is None and (again.least_side, again.most_chroma) == (0, 255)
    images = phantoms(2000, 5)
    np.testing.assert_array_equal(again.distances(images), old.distances(images))


def test_the_same_images_give_the_same_domain() -> None:
    first, second = (dump_domain(fit_domain(phantoms(0, 12), phantoms(20, 6))) for _ in range(2))
    assert first == second


def test_of_several_fits_the_one_that_finds_most_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are spoiled here; by chance they are only worse."""
    seeds = []

    def fit(inside: Floats, outliers: Floats, groups: Any, seed: int) -> Discriminator:
        seeds.append(seed)
        fitted = fit_discriminator(inside, outliers, groups, 1)
        return fitted if seed == 3 else dataclasses.replace(fitted, output=-fitted.output)

    monkeypatch.setattr("cxr_edge.train.fitting.domain.fit_discriminator", fit)
    monkeypatch.setattr("cxr_edge.train.fitting.domain.IMAGES_A_FIT", 8)
    images, held_out = phantoms(0, 24), phantoms(40, 8)
    kept = fit_domain(images, held_out, seed=2).discriminator
    assert seeds == [2, 3, 4]
    alone = fit_discriminator
    monkeypatch.setattr("cxr_edge.train.fitting.domain.IMAGES_A_FIT", 1000)
    monkeypatch.setattr(
        "cxr_edge.train.fitting.domain.fit_discriminator", lambda a, b, c, seed: alone(a, b, c, 1)
    )
    only = fit_domain(images, held_out, seed=2).discriminator
    assert kept and only and np.array_equal(kept.output, only.output)
    assert np.array_equal(kept.output_bias, only.output_bias)


def facts(side: int, colour: int) -> PictureFacts:
    seen = PictureFacts()
    image = np.zeros((side, side + 1, 3), np.uint8)
    image[..., 1] = colour
    seen.see(image)
    return seen


def test_size_and_colour_mark_what_is_inside_otherwise(domain: Domain) -> None:
    image = phantoms(0, 1)
    assert not domain.outside(image).any()
    limited = dataclasses.replace(domain, least_side=64.0, most_chroma=6.0)
    assert facts_for(limited) is not None
    assert not limited.marks(image, None)
    assert not limited.marks(image, facts(64, 6))
    assert limited.marks(image, facts(63, 0))
    assert limited.marks(image, facts(64, 7))
    assert not domain.marks(image, facts(1, 255))


def write_files(folder: Path, side: int, colour: int) -> list[Path]:
    picture = np.full((side, side, 3), 100, np.uint8)
    picture[..., 0] += np.uint8(colour)
    files = [folder / f"{n}.png" for n in range(3)]
    for file in files:
        cv2.imwrite(str(file), picture)
    (folder / "damaged.png").write_bytes(b"no picture")
    return [*files, folder / "damaged.png"]


@pytest.mark.parametrize(
    ("side", "colour", "limits"),
    [
        (200, 0, FileLimits(64, 6.0)),
        (200, 40, FileLimits(64, 255.0)),
        (28, 0, FileLimits(14, 6.0)),
    ],
    ids=["grey", "colour", "as small as icons"],
)
def test_the_training_files_say_what_size_and_colour_are_usual(
    tmp_path: Path, side: int, colour: int, limits: FileLimits
) -> None:
    assert survey_files(write_files(tmp_path, side, colour)) == limits


def test_files_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    assert survey_files([tmp_path / "absent.png"]) == FileLimits()


def test_the_classifier_notes_size_and_colour(
    domain: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every source that a prediction accepts, small and in colour."""
    anything = dataclasses.replace(domain, limit=1e9, discriminator=None)
    classifier = Classifier.load()
    grey = draw_phantom(np.random.default_rng(0))
    tinted = np.stack([grey, grey // 2, grey // 3], axis=2)
    small = np.ascontiguousarray(grey[:40])
    file = tmp_path / "tinted.jpeg"
    file.write_bytes(cv2.imencode(".jpg", tinted)[1].tobytes())
    sources: dict[str, tuple[Any, bool]] = {
        "grey": (grey, False),
        "tinted": (tinted, True),
        "small": (small, True),
        "a tinted JPEG": (file, True),
        "a grey PNG": (cv2.imencode(".png", grey)[1].tobytes(), False),
        "a small PNG": (cv2.imencode(".png", small)[1].tobytes(), True),
    }
    limited = dataclasses.replace(anything, least_side=64.0, most_chroma=6.0)
    for checked, marks in ((limited, True), (anything, False)):
        monkeypatch.setattr(classifier, "_domain", checked)
        for name, (source, is_outside) in sources.items():
            assert classifier.predict(source).out_of_domain is (is_outside and marks), name


def test_a_pickle_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, mean=np.array([object()], dtype=object))
    with pytest.raises(BundleError, match="not readable as a domain"):
        parse_domain(buffer.getvalue(), "domain.npz", BundleError)


def test_the_classifier_says_so_where_the_bundle_knows() -> None:
    classifier = Classifier.load()
    known = Bundle.open().manifest.domain is not None
    outside = classifier.predict(np.full((200, 200), 90, np.uint8)).out_of_domain
    assert outside is (True if known else None)
