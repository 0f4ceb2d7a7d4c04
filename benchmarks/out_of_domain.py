"""Evaluates the out-of-domain check: ``python benchmarks/out_of_domain.py RUN DATA``.

RUN is a run folder with domain.npz and validation.npz; DATA holds chest_xray, native, other_xrays,
dicom and odd_images. Prints the share of flagged images: false alarms, then detections. Pictures
are drawn from validation files and native ones, none of which the check was fitted on, except that
native files are training images. Every picture goes the way of a prediction, as PNG.

``--test`` also counts false alarms on the test folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from odd_pictures import CHANGES, DRAWN, Picture, Random

from cxr_edge.data.folders import open_folder
from cxr_edge.data.phantom import draw_demo
from cxr_edge.data.samples import read_samples
from cxr_edge.domain import Domain, parse_domain
from cxr_edge.errors import CxrEdgeError, ModelError
from cxr_edge.image import read_image
from cxr_edge.image.facts import PictureFacts
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import resize_to_input
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.shifts import shifted

_SMALLEST = 48
"""Shorter side in pixels below which an odd image shows too little to count as a photograph."""
_SIDE = 672
"""Radiographs are enlarged to this before something is drawn from them."""
_DRAWN = 60
"""Pictures of each kind without a radiograph."""
_SEED = 2024  # the outliers that the check was fitted on have seed 1


class Check:
    """A domain check, as ``Classifier.predict`` does it."""

    def __init__(self, domain: Domain, spec: ModelSpec) -> None:
        self.domain, self.spec = domain, spec

    def marks(self, source: Path | Picture) -> bool:
        """Whether a file or a picture is marked."""
        facts = PictureFacts()
        if isinstance(source, Path):
            data = source.read_bytes()
        else:
            bgr = source[..., ::-1] if source.ndim == 3 else source
            data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
        image = read_image(data, channels=self.spec.input.channels, facts=facts)
        return self.domain.marks(resize_to_input(image, self.spec.input), facts)

    def count(self, sources: Iterable[Path | Picture]) -> str:
        """How many of them there are, and the share that is marked."""
        marks = [self.marks(source) for source in sources]
        return f"{len(marks)} | {np.mean(marks):.1%}"


def slightly_cropped(image: Picture, random: Random) -> Picture:
    """To 80 to 100 % of the area."""
    height, width = (int(side * np.sqrt(random.uniform(0.8, 1))) for side in image.shape)
    top, left = (
        random.integers(len(image) - height + 1),
        random.integers(image.shape[1] - width + 1),
    )
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def slightly_turned(image: Picture, random: Random) -> Picture:
    """By up to 5 degrees."""
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), random.uniform(-5, 5), 1)
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(image, matrix, (columns, rows), borderMode=border), np.uint8)


def read_large(files: Iterable[Path]) -> list[Picture]:
    """Grey pictures with a shorter side of at least 672 pixels."""
    pictures = []
    for file in files:
        image = read_image(file)
        factor = max(_SIDE / min(image.shape), 1.0)
        if factor > 1:
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        pictures.append(np.asarray(image, np.uint8))
    return pictures


def changed(
    pictures: Iterable[Picture], change: Callable[[Picture, Random], Picture]
) -> Iterator[Picture]:
    """Each picture changed; deterministic."""
    random = np.random.default_rng(_SEED)
    return (change(picture, random) for picture in pictures)


def readable(folder: Path, smallest: int) -> Iterator[Path]:
    """Every readable image below a folder that is large enough and not blank."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            image = read_image(path)
        except CxrEdgeError:
            continue  # the tests of the image reader cover malformed files
        if min(image.shape) >= smallest and image.std() > 5:
            yield path


def false_alarms(
    check: Check, files: list[Path], large: list[Picture], data: Path, *, test: bool
) -> None:
    """Print the share of radiographs that are marked, by source."""
    spec = check.spec
    print("| false alarms on | images | flagged |\n|---|---|---|")
    print(f"| validation | {check.count(files)} |")
    pixels = np.concatenate([resize_to_input(read_image(f), spec.input) for f in files])
    for name, copies in shifted(pixels):
        marks = check.domain.outside(copies)
        print(f"| validation, {name} | {len(marks)} | {marks.mean():.1%} |")
    for name, change in (
        ("cropped to 80 to 100 % of the area", slightly_cropped),
        ("turned by up to 5 degrees", slightly_turned),
        ("mirrored", lambda image, _: np.ascontiguousarray(image[:, ::-1])),
    ):
        print(f"| validation, {name} | {check.count(changed(large, change))} |")
    for name, folder in (("native size", "native"), ("adults, NIH", "other_xrays")):
        print(f"| {name} | {check.count(readable(data / folder, 1))} |")
    if test:
        folder = open_folder(data / "chest_xray" / "test", spec.labels)
        print(f"| test | {check.count(folder.files)} |")
    for path in sorted((data / "dicom").glob("*.dcm")):
        pixels = resize_to_input(read_image(path), spec.input)
        distance = min(float(check.domain.distances(pixels)[0]), 999.0)
        print(f"| {path.name} | 1 | {distance:.2f} of the limit |")


def detections(check: Check, large: list[Picture], data: Path) -> None:
    """Print the share of other pictures that are marked, by kind."""
    print("\n| detected among | drawn from | images | flagged |\n|---|---|---|---|")
    native = read_large(sorted((data / "native").rglob("*.jpeg")))
    for name, change in CHANGES.items():
        print(f"| {name} | validation | {check.count(changed(large[::4], change))} |", flush=True)
        print(f"| | native | {check.count(changed(native[::2], change))} |", flush=True)
    random = np.random.default_rng(_SEED)
    for name, draw in DRAWN.items():
        print(f"| {name} | | {check.count(draw(random) for _ in range(_DRAWN))} |")
    odd = data / "odd_images"
    print(f"| photographs and test pictures | | {check.count(readable(odd, _SMALLEST))} |")
    print(f"| those and smaller ones | | {check.count(readable(odd, 1))} |")
    demos = (draw_demo(seed) for seed in range(_DRAWN))
    print(f"| the demo's phantom, 60 seeds | | {check.count(demos)} |")
    print(f"| the demo's phantom itself | | {check.count([draw_demo()])} |")


def main(run: Path, data: Path, *, test: bool = False) -> None:
    """Print false alarms, then detections."""
    opened = open_run(run)
    assert opened.domain and opened.validation, "the run kept no domain or no validation images"
    domain = parse_domain(opened.domain.read_bytes(), str(opened.domain), ModelError)
    check = Check(domain, opened.spec)
    names = read_samples(opened.validation, opened.spec).names
    files = [data / "chest_xray" / "train" / name for name in names]
    large = read_large(files)
    false_alarms(check, files, large, data, test=test)
    detections(check, large, data)


if __name__ == "__main__":
    from arguments import paths

    opens_test = "--test" in sys.argv
    if opens_test:
        sys.argv.remove("--test")
    main(*paths(__doc__, "RUN", "DATA"), test=opens_test)
