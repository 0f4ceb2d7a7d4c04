"""The network has the seed's layers and parameters, and is saved without its optimizer."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.extras import require_keras
from cxr_edge.original.keras_model import load_keras
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec, parse_spec
from cxr_edge.train.fitting.network import block_filters, build_network, layer_table

keras = require_keras("train")

PARAMETERS = 1_246_401
TRAINABLE = 1_245_313


def conv(filters: int) -> tuple[Any, ...]:
    return ("Conv2D", filters, (3, 3), (1, 1), "same", "relu")


NORM = ("BatchNormalization", 0.99, 0.001)
POOL = ("MaxPooling2D", (2, 2), (2, 2), "same")
SEED_LAYERS = [
    *(conv(32), NORM, POOL),
    *(conv(64), ("Dropout", 0.1), NORM, POOL),
    *(conv(64), NORM, POOL),
    *(conv(128), ("Dropout", 0.2), NORM, POOL),
    *(conv(256), ("Dropout", 0.2), NORM, POOL),
    ("Flatten",),
    ("Dense", 128, "relu"),
    ("Dropout", 0.2),
    ("Dense", 1, "sigmoid"),
]
FACTS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation"),
    "BatchNormalization": ("momentum", "epsilon"),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Dropout": ("rate",),
    "Flatten": (),
    "Dense": ("units", "activation"),
}


def describe(layer: Any) -> tuple[Any, ...]:
    """Kind of a layer and the settings that the seed gives."""
    kind = type(layer).__name__
    config = layer.get_config()
    values = (config[name] for name in FACTS[kind])
    return (kind, *(tuple(v) if isinstance(v, list) else v for v in values))


@pytest.fixture(scope="module")
def network() -> Any:
    return build_network(SEED_SPEC)


def test_the_layers_are_the_seeds_in_the_seeds_order(network: Any) -> None:
    assert [describe(layer) for layer in network.layers] == SEED_LAYERS


def test_the_parameters_are_as_many_as_the_seed_prints(network: Any) -> None:
    trainable = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    assert (network.count_params(), trainable) == (PARAMETERS, TRAINABLE)


def test_it_maps_grey_images_of_150_pixels_to_one_score(network: Any) -> None:
    assert network.input_shape == (None, 150, 150, 1)
    assert network.output_shape == (None, 1)


def test_the_input_follows_the_spec() -> None:
    spec = dataclasses.replace(SEED_SPEC, input=InputSpec(height=40, width=33, channels=3))
    assert build_network(spec).input_shape == (None, 40, 33, 3)


def test_a_narrower_network_has_its_share_of_filters_in_multiples_of_eight() -> None:
    widths = (1.0, 0.5, 0.35, 0.25, 0.01)
    assert [block_filters(width) for width in widths] == [
        (32, 64, 64, 128, 256),
        (16, 32, 32, 64, 128),
        (8, 24, 24, 48, 88),
        (8, 16, 16, 32, 64),
        (8, 8, 8, 8, 8),
    ]
    half = build_network(SEED_SPEC, width=0.5)
    assert half.count_params() == 517_345
    convolutions = [layer for layer in half.layers if type(layer).__name__ == "Conv2D"]
    assert [layer.filters for layer in convolutions] == [16, 32, 32, 64, 128]


def test_more_than_two_labels_end_in_a_softmax() -> None:
    spec = ModelSpec("three", InputSpec(16, 16), ("a", "b", "c"), "softmax", None, None, "")
    network = build_network(spec, width=0.25)
    pictures = np.random.default_rng(1).random((4, 16, 16, 1), np.float32)
    scores = np.asarray(network(pictures))
    assert scores.shape == (4, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_the_table_names_every_layer_and_adds_up(network: Any) -> None:
    lines = layer_table(network).splitlines()
    assert len({len(line) for line in lines}) == 1, "columns are not aligned"
    counts = [int(line.split()[-1].replace(",", "")) for line in lines[1:]]
    assert counts[-2:] == [PARAMETERS, TRAINABLE]
    assert sum(counts[:-2]) == PARAMETERS
    for layer, line in zip(network.layers, lines[1:-2], strict=True):
        assert line.startswith(f"{layer.name} ({type(layer).__name__})")


def test_a_saved_model_holds_the_network_without_its_optimizer(run_folder: Path) -> None:
    saved = run_folder / "model.keras"
    with zipfile.ZipFile(saved) as archive:
        assert not json.loads(archive.read("config.json"))["compile_config"]
    assert getattr(keras.saving.load_model(saved), "optimizer", None) is None
    loaded = load_keras(saved, parse_spec((run_folder / "spec.json").read_bytes()))
    assert loaded.count_params() * 4 < saved.stat().st_size < loaded.count_params() * 4.5
    assert [describe(layer) for layer in loaded.layers] == SEED_LAYERS
