"""Fixtures of the suites: the reference bundle, a drawn radiograph, the original network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cxr_edge import Bundle
from cxr_edge.data.phantom import phantom_jpeg
from cxr_edge.image import read_image
from cxr_edge.original.keras_model import load_keras
from cxr_edge.preprocess import normalize, resize_to_input


@pytest.fixture(scope="session")
def bundle():
    return Bundle.open()


@pytest.fixture(scope="session")
def spec(bundle):
    return bundle.manifest.spec


@pytest.fixture(scope="session")
def jpeg():
    """A phantom of 1280 x 876 pixels, the median size of the data set's images."""
    cv2.setNumThreads(1)
    return phantom_jpeg()


@pytest.fixture(scope="session")
def batch(jpeg, spec):
    return normalize(resize_to_input(read_image(jpeg), spec.input), spec.input)


@pytest.fixture(scope="session")
def original(bundle, spec):
    """The Keras model with one thread."""
    tensorflow = pytest.importorskip("tensorflow", reason="needs the extra export")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return load_keras(bundle.read(bundle.manifest.keras), spec)


@pytest.fixture(scope="session")
def expected(original, batch):
    """The original model's scores for the radiograph."""
    return np.asarray(original(batch, training=False))
