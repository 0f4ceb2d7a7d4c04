"""Latency of the runtime's parts on one thread: `make bench`.

The picture is a drawn phantom of a usual size. pytest-benchmark prints the distribution; nothing
here asserts a time, because no two machines agree on one.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cxr_edge import Bundle, Classifier
from cxr_edge.engines import installed_engines
from cxr_edge.image import read_image
from cxr_edge.phantom import draw_phantom
from cxr_edge.preprocess import fit, normalize

MANIFEST = Bundle.open().manifest
PAIRS = [
    (artifact.name, record.engine)
    for artifact in MANIFEST.artifacts
    for record in artifact.engines
    if record.engine in installed_engines()
]
each_pair = pytest.mark.parametrize(
    ("artifact", "engine"), PAIRS, ids=[f"{artifact}-{engine}" for artifact, engine in PAIRS]
)


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    """1280 x 876 pixels, the median of the hospital's own images."""
    cv2.setNumThreads(1)
    image = draw_phantom(np.random.default_rng(0), height=876, width=1280)
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_read(benchmark, jpeg):
    assert benchmark(read_image, jpeg).shape == (876, 1280)


def test_fit(benchmark, jpeg):
    image = read_image(jpeg)
    assert benchmark(fit, image, MANIFEST.spec.input).shape == (1, *MANIFEST.spec.input_shape)


@each_pair
def test_invoke(benchmark, jpeg, artifact, engine):
    bundle = Bundle.open()
    loaded = bundle.load(bundle.artifact(artifact), engine)
    batch = normalize(fit(read_image(jpeg), MANIFEST.spec.input), MANIFEST.spec.input)
    assert benchmark(loaded.run, batch).shape == (1, MANIFEST.spec.outputs)


@each_pair
def test_predict(benchmark, jpeg, artifact, engine):
    classifier = Classifier.load(artifact=artifact, engine=engine)
    assert benchmark(classifier.predict, jpeg).label in MANIFEST.spec.labels


def test_load(benchmark):
    assert benchmark(Classifier.load).spec == MANIFEST.spec
