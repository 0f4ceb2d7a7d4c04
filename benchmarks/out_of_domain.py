"""Evaluates the out-of-domain check: ``python benchmarks/out_of_domain.py RUN DATA``.

RUN is a run folder with domain.npz and validation.npz; DATA holds chest_xray, native, other_xrays,
dicom and odd_images. Prints the share of flagged images: false alarms, then detections.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.data.samples import read_samples
from cxr_edge.domain import Domain, parse_domain
from cxr_edge.errors import CxrEdgeError, ModelError
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import Pixels, resize_to_input
from cxr_edge.sources import read_pixels
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.shifts import shifted

_SMALLEST = 48
"""Shorter side in pixels below which an odd image shows too little to count."""


def read_all(folder: Path, spec: ModelSpec, smallest: int = 1) -> Pixels:
    """Every readable image below a folder that is not blank.

    Args:
        folder: searched recursively.
        spec: preprocessing.
        smallest: least shorter side, pixels.
    """
    images = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            pixels = read_pixels(path, spec)
            size = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        except CxrEdgeError:
            continue  # the tests of the image reader cover malformed files
        if size is None or (min(size.shape) >= smallest and pixels.std() > 5):
            images.append(pixels)
    return np.concatenate(images)


def text_page(random: np.random.Generator) -> Pixels:
    """Black letters on white."""
    page = np.full((400, 300), 255, np.uint8)
    for row in range(20, 400, 22):
        letters = "".join(chr(random.integers(97, 123)) for _ in range(24))
        cv2.putText(page, letters, (8, row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1)
    return page


def hand(random: np.random.Generator) -> Pixels:
    """A palm and five fingers with bones: a radiograph of another body part."""
    image = np.zeros((400, 320), np.uint8)
    palm = (160 + int(random.integers(-20, 20)), 290)
    cv2.ellipse(image, palm, (80, 90), 0, 0, 360, 120, -1)
    for finger in range(5):
        turn = np.radians(-150 + 30 * finger + random.uniform(-6, 6))
        length = random.uniform(130, 200)
        end = (int(palm[0] + length * np.cos(turn)), int(palm[1] + length * np.sin(turn)))
        for width, level in ((34, 110), (14, 220)):
            cv2.line(image, palm, end, level, width)
    return cv2.GaussianBlur(image, (0, 0), 2)


def cloud(random: np.random.Generator) -> Pixels:
    """Smooth noise with a random length scale."""
    noise = cv2.GaussianBlur(random.standard_normal((150, 150)), (0, 0), random.uniform(2, 30))
    noise -= noise.min()
    return (255 * noise / noise.max()).astype(np.uint8)


def board(random: np.random.Generator) -> Pixels:
    """A checkerboard."""
    side = int(random.integers(8, 60))
    rows, columns = np.indices((300, 300)) // side
    return ((rows + columns) % 2 * 255).astype(np.uint8)


def ramp(random: np.random.Generator) -> Pixels:
    """A linear gradient in a random direction."""
    turn = random.uniform(0, 2 * np.pi)
    rows, columns = np.indices((150, 150))
    values = rows * np.sin(turn) + columns * np.cos(turn)
    values -= values.min()
    return (255 * values / values.max()).astype(np.uint8)


def foreign_images(held: Pixels, data: Path, spec: ModelSpec) -> Iterator[tuple[str, Pixels]]:
    """Images that are not upright chest X-rays, by kind."""
    random = np.random.default_rng(1)
    yield "inverted radiographs", 255 - held
    yield "radiographs turned by 90 degrees", np.ascontiguousarray(np.rot90(held, 1, (1, 2)))
    for name, draw in (
        ("pages of text", text_page),
        ("drawn hands", hand),
        ("clouds of noise", cloud),
        ("checkerboards", board),
        ("ramps", ramp),
        ("white noise", lambda random: random.integers(0, 256, (150, 150)).astype(np.uint8)),
        ("one grey", lambda random: np.full((150, 150), random.integers(256), np.uint8)),
    ):
        yield name, np.concatenate([resize_to_input(draw(random), spec.input) for _ in range(50)])
    yield "photographs and test pictures", read_all(data / "odd_images", spec, _SMALLEST)


def radiographs(held: Pixels, data: Path, spec: ModelSpec) -> Iterator[tuple[str, Pixels]]:
    """Upright chest X-rays, by source."""
    yield "validation", held
    for name, images in shifted(held):
        yield f"validation, {name}", images
    for part in ("train", "test"):
        folder = open_folder(data / "chest_xray" / part, spec.labels)
        yield part, read_folder(folder, spec.input).pixels
    yield "native size", read_all(data / "native", spec)
    yield "adults, NIH", read_all(data / "other_xrays", spec)


def main(run: Path, data: Path) -> None:
    """Print false alarms, then detections."""
    opened = open_run(run)
    assert opened.domain and opened.validation, "the run kept no domain or no validation images"
    domain: Domain = parse_domain(opened.domain.read_bytes(), str(opened.domain), ModelError)
    spec, held = opened.spec, read_samples(opened.validation, opened.spec).pixels
    print("| false alarms on | images | flagged |\n|---|---|---|")
    for name, pixels in radiographs(held, data, spec):
        print(f"| {name} | {len(pixels)} | {domain.outside(pixels).mean():.1%} |")
    for path in sorted((data / "dicom").glob("*.dcm")):
        distance = domain.distances(read_pixels(path, spec))[0]
        print(f"| {path.name} | 1 | {distance:.2f} of the limit |")
    print("\n| detected among | images | flagged |\n|---|---|---|")
    flagged = []
    for name, pixels in foreign_images(held, data, spec):
        flagged.append(domain.outside(pixels))
        print(f"| {name} | {len(pixels)} | {flagged[-1].mean():.1%} |")
    mean_share = np.mean([flags.mean() for flags in flagged])
    print(f"| mean over the kinds | {sum(map(len, flagged))} | {mean_share:.1%} |")
    mirrored, upside = held[:, :, ::-1], held[:, ::-1, ::-1]
    for name, pixels in (("mirrored", mirrored), ("upside down", upside)):
        share = domain.outside(np.ascontiguousarray(pixels)).mean()
        print(f"| for comparison: {name} radiographs | {len(pixels)} | {share:.1%} |")


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "RUN", "DATA"))
