"""A network that was read or lowered wrongly is noticed before anything is converted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from zoo import Case
from zoo.layers import CASES as LAYERS
from zoo.rewrites import CASES as REWRITES

from cxr_edge.errors import ExportError
from cxr_edge.export.graph import proof
from cxr_edge.export.graph.graph import Affine, Graph, Linear
from cxr_edge.export.graph.proof import draw_batch, lower_proven
from cxr_edge.extras import require_tensorflow
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, ModelSpec

keras, _ = require_tensorflow("export")
L = keras.layers


class Notes(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def spec_of(model: Any) -> ModelSpec:
    _, height, width, channels = model.inputs[0].shape
    sides = dataclasses.replace(SEED_SPEC.input, height=height, width=width, channels=channels)
    return dataclasses.replace(SEED_SPEC, input=sides)


def network(body: Callable[[Any], Any]) -> Any:
    image = keras.Input((16, 16, 1))
    pooled = L.GlobalAveragePooling2D()(body(image))
    return keras.Model(image, L.Dense(1, activation="sigmoid")(pooled))


def normalized(image: Any) -> Any:
    return L.BatchNormalization()(L.Conv2D(4, 3, activation="relu")(image))


CASES = [case for case in (*REWRITES, *LAYERS) if not case.refusal]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_network_of_the_zoo_is_lowered(case: Case) -> None:
    model, notes = case.build(), Notes()
    graph, lowered = lower_proven(model, spec_of(model), notes)
    assert notes.lines == []
    assert len(lowered.nodes) <= len(graph.nodes) + 2  # shifts before what pads


def test_a_wrong_rewrite_leaves_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph) -> Graph:
        at = next(i for i, n in enumerate(graph.nodes) if isinstance(n.operation, Affine))
        step = graph.nodes[at].operation
        assert isinstance(step, Affine)
        return graph.replace({at: Affine(step.scale, step.offset + 0.01)})

    monkeypatch.setattr(proof, "lower", wrong)
    model, notes = network(normalized), Notes()
    graph, lowered = lower_proven(model, spec_of(model), notes)
    assert lowered is graph
    assert len(notes.lines) == 1 and "as it is" in notes.lines[0]


def test_a_rewrite_that_fails_leaves_the_network_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(graph: Graph) -> Graph:
        raise IndexError("no such axis")

    monkeypatch.setattr(proof, "lower", failing)
    model, notes = network(normalized), Notes()
    graph, lowered = lower_proven(model, spec_of(model), notes)
    assert lowered is graph
    assert len(notes.lines) == 1 and "no such axis" in notes.lines[0]


def test_saturated_scores_hide_no_wrong_rewrite(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(normalized)
    weights, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([weights, np.full(1, 200.0)])

    def wrong(graph: Graph) -> Graph:
        at = len(graph.nodes) - 2
        step = graph.nodes[at].operation
        assert isinstance(step, Linear)
        return graph.replace({at: dataclasses.replace(step, bias=step.bias + 1)})

    monkeypatch.setattr(proof, "lower", wrong)
    notes = Notes()
    lower_proven(model, spec_of(model), notes)
    assert len(notes.lines) == 1


def test_a_model_with_a_call_of_its_own_is_refused() -> None:
    class Halved(keras.Model):
        def call(self, value: Any, training: bool | None = None) -> Any:
            return super().call(value, training=training) * 0.5

    plain = network(normalized)
    with pytest.raises(ExportError, match="rebuilt from its layers differs"):
        lower_proven(Halved(plain.inputs[0], plain.outputs[0]), spec_of(plain), Silent())


def test_scores_that_are_no_numbers_are_refused() -> None:
    model = network(lambda image: normalized(image) / 0.0)
    with pytest.raises(ExportError, match="no numbers"):
        lower_proven(model, spec_of(model), Silent())


def test_an_answer_that_depends_on_the_batch_is_refused() -> None:
    model = network(lambda image: image - keras.ops.mean(image, axis=0, keepdims=True))
    with pytest.raises(ExportError, match="depends on the batch"):
        lower_proven(model, spec_of(model), Silent())


def test_the_drawn_images_span_the_range_of_the_input() -> None:
    batch = draw_batch(SEED_SPEC.input)
    assert batch.shape == (4, 150, 150, 1) and batch.dtype == np.float32
    assert batch.min() == 0 and batch.max() == 1
