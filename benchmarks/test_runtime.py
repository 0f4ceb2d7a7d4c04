"""Latency of the parts of the runtime with one thread: ``make bench``.

The image is a drawn phantom of a usual size. No time is asserted, since it depends on the machine.
"""

from __future__ import annotations

import pytest

from cxr_edge import Bundle, Classifier
from cxr_edge.engines import installed_engines
from cxr_edge.image import read_image
from cxr_edge.preprocess import resize_to_input

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


@pytest.mark.benchmark(group="parts")
def test_read(benchmark, jpeg):
    assert benchmark(read_image, jpeg).shape == (876, 1280)


@pytest.mark.benchmark(group="parts")
def test_read_reduced(benchmark, jpeg, spec):
    image = benchmark(read_image, jpeg, shrink_for=spec.input)
    assert image.shape == (spec.input.height, spec.input.width)


@pytest.mark.benchmark(group="parts")
def test_resize(benchmark, jpeg):
    image = read_image(jpeg)
    assert benchmark(resize_to_input, image, MANIFEST.spec.input).shape == (
        1,
        *MANIFEST.spec.input_shape,
    )


@pytest.mark.benchmark(group="parts")
def test_domain(benchmark, bundle, jpeg, spec):
    pixels = resize_to_input(read_image(jpeg), spec.input)
    assert benchmark(bundle.domain().outside, pixels).shape == (1,)


@each_pair
@pytest.mark.benchmark(group="inference")
def test_invoke(benchmark, bundle, batch, artifact, engine):
    loaded = bundle.load(bundle.artifact(artifact), engine)
    assert benchmark(loaded.run, batch).shape == (1, MANIFEST.spec.outputs)


@each_pair
@pytest.mark.benchmark(group="from file to prediction")
def test_predict(benchmark, jpeg, artifact, engine):
    classifier = Classifier.load(artifact=artifact, engine=engine)
    assert benchmark(classifier.predict, jpeg).label in MANIFEST.spec.labels


@pytest.mark.benchmark(group="load")
def test_load(benchmark):
    assert benchmark(Classifier.load).spec == MANIFEST.spec
