"""The ways from an image file to scores that ``fast_path.py`` compares, each split into parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from cxr_edge import Bundle, Classifier
from cxr_edge.decision import decide, positive_scores, probabilities, uncertain
from cxr_edge.engines import Engine
from cxr_edge.image import ImageLimits
from cxr_edge.image.decode import turn_upright
from cxr_edge.image.jpeg import inspect
from cxr_edge.image.libjpeg import decode_jpeg
from cxr_edge.preprocess import average_areas, normalize, resize_to_input
from cxr_edge.sources import load
from cxr_edge.spec import InputSpec, ModelSpec

Lap = Callable[[str], None]
"""Called at the end of each part, with its name."""
Way = Callable[[Path, Lap], object]
Infer = Callable[[np.ndarray], object]


def plain(spec: InputSpec, infer: Infer) -> Way:
    """What most people write."""

    def way(path: Path, lap: Lap) -> object:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        lap("read")
        grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        lap("decode")
        small = resize_area(grey, spec)
        lap("resize")
        batch = small.astype(np.float32).reshape(1, spec.height, spec.width, 1) / 255
        lap("normalize")
        scores = infer(batch)
        lap("invoke")
        return scores

    return way


def bare(
    spec: InputSpec,
    decode: Callable[[bytes], np.ndarray],
    resize: Callable[[np.ndarray, InputSpec], np.ndarray],
    infer: Infer,
) -> Way:
    """Decode, resize and invoke, and nothing else."""

    def way(path: Path, lap: Lap) -> object:
        data = path.read_bytes()
        lap("read")
        grey = decode(data)
        lap("decode")
        small = resize(grey, spec)
        lap("resize")
        batch = normalize(small.reshape(1, spec.height, spec.width, 1), spec)
        lap("normalize")
        scores = infer(batch)
        lap("invoke")
        return scores

    return way


def decode_whole(data: bytes) -> np.ndarray:
    """By libjpeg-turbo."""
    return simplejpeg.decode_jpeg(data, "GRAY")[..., 0]


def decode_quarter(data: bytes) -> np.ndarray:
    """Each side a quarter as long, which libjpeg makes of fewer coefficients."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4)


def resize_area(grey: np.ndarray, spec: InputSpec) -> np.ndarray:
    """By OpenCV."""
    return cv2.resize(grey, (spec.width, spec.height), interpolation=cv2.INTER_AREA)


def whole(classifier: Classifier) -> Way:
    """``predict`` as a user calls it."""
    return lambda path, lap: classifier.predict(path)


def in_parts(spec: ModelSpec, bundle: Bundle, engine: Engine) -> Way:
    """The calls that ``predict`` consists of."""
    limits, domain = ImageLimits(), bundle.domain()

    def way(path: Path, lap: Lap) -> object:
        data = load(path, limits)
        lap("read")
        header = inspect(data, limits)
        lap("markers")
        grey = turn_upright(decode_jpeg(header, 1), header.orientation)
        lap("decode")
        pixels = resize_to_input(average_areas(grey, spec.input), spec.input)
        lap("resize")
        batch = normalize(pixels, spec.input)
        lap("normalize")
        scores = engine.run(batch)
        lap("invoke")
        table = probabilities(scores, spec)
        decision = decide(table, spec), positive_scores(table, spec), uncertain(table, spec)
        lap("decide")
        outside = domain.outside(pixels) if domain else None
        lap("domain")
        return decision, outside

    return way
