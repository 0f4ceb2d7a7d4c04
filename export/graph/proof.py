"""Checks that a network taken apart, and then lowered, is still the one that was trained.

Reading follows Keras's record of the calls, and lowering rests on rules for the layers it knows.
Neither can be known to fit a network that nobody has seen, so each export compares them on drawn
images before anything is converted.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.errors import ExportError, first_line
from cxr_edge.export.graph.graph import Graph, build_model
from cxr_edge.export.graph.layers import activation_name
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_keras
from cxr_edge.preprocess import Batch, normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import InputSpec, ModelSpec

# Relative to the largest score or logit. The reference differs by 5e-7 when called layer by layer.
_SAME_READING = 1e-4
# In double precision a rewrite rounds by 1e-13; parts that stay in single precision, by 1e-6.
_SAME_LOWERING = {"float64": 1e-5, "float32": 1e-3}

Values = npt.NDArray[np.float64]


def lower_proven(model: Any, spec: ModelSpec, reporter: Reporter) -> tuple[Graph, Graph]:
    """Read a model and lower it, and compare both with the model on drawn images.

    Args:
        model: the original ``keras.Model``.
        spec: of its input.
        reporter: says where the network stays as it is.

    Returns:
        The network as it was read, and lowered. Where lowering changes an answer, the second is the
        first.

    Raises:
        ExportError: the network as it was read answers otherwise than the model, or the model gives
            the same images different scores, or scores that are no numbers.
    """
    batch = draw_batch(spec.input)
    expected = _answers_of(model, batch)
    graph = read_graph(model)
    try:
        difference = _difference(_values(build_model(graph), batch), expected)
    except Exception as err:  # whatever Keras or TensorFlow raises when it calls a strange layer
        raise ExportError(f"the model cannot be rebuilt from its layers: {_reason(err)}") from err
    if not difference <= _SAME_READING:
        raise ExportError(
            f"the model rebuilt from its layers differs from it by {difference:.2g}, allowed "
            f"{_SAME_READING:g}: it computes something that its layers do not say, as a "
            "model class with a call of its own does; build it of layers alone"
        )
    try:
        lowered = lower(graph)
        difference, allowed = _lowering_difference(graph, lowered, batch)
    except Exception as err:  # a rule that does not fit this network may fail in any way
        change = f"that fails ({_reason(err)})"
    else:
        if difference <= allowed:
            return graph, lowered
        change = f"that changes its answers by {difference:.2g}, allowed {allowed:g}"
    reporter.say(
        f"exported as it is, without folding its normalizations: {change}; report this network"
    )
    return graph, graph


def draw_batch(spec: InputSpec) -> Batch:
    """(4, height, width, channels): noise, coarse noise of low contrast, a slope, a grey image."""
    random = np.random.default_rng(0)
    shape = (spec.height, spec.width, spec.channels)
    fine = random.integers(0, 256, shape)
    cells = random.integers(64, 192, (8, 8, spec.channels))
    coarse = cells[np.arange(shape[0]) * 8 // shape[0]][:, np.arange(shape[1]) * 8 // shape[1]]
    slope = np.linspace(0, 255, shape[0])[:, np.newaxis, np.newaxis]
    pixels = [fine, coarse, np.broadcast_to(slope, shape), np.full(shape, 128)]
    return normalize(np.stack(pixels).astype(np.uint8), spec)


def _answers_of(model: Any, batch: Batch) -> Values:
    """The model's scores, which must be the same each time and for each image alone."""
    try:
        scores = _values(model, batch)
    except Exception as err:  # whatever Keras or TensorFlow raises
        raise ExportError(f"the model cannot be run on its own input: {_reason(err)}") from err
    if not np.all(np.isfinite(scores)):
        raise ExportError(
            "the model's scores of drawn images are no numbers (NaN or infinite); its weights or "
            "its spec's input range are wrong"
        )
    difference = _difference(_values(model, batch[:1]), scores[:1])
    if not difference <= _SAME_READING:
        raise ExportError(
            f"the model gives an image other scores, by {difference:.2g}, in a second call without "
            "the other images: its answer is random or depends on the batch"
        )
    return scores


def _lowering_difference(graph: Graph, lowered: Graph, batch: Batch) -> tuple[float, float]:
    """The largest relative difference of the logits by lowering, and what is allowed."""
    try:
        return _logit_difference(graph, lowered, batch, "float64"), _SAME_LOWERING["float64"]
    except Exception:  # a layer that runs in single precision only
        return _logit_difference(graph, lowered, batch, None), _SAME_LOWERING["float32"]


def _logit_difference(graph: Graph, lowered: Graph, batch: Batch, dtype: str | None) -> float:
    logits = [
        _values(build_model(each, [_logits(each)], dtype=dtype), batch) for each in (graph, lowered)
    ]
    return _difference(logits[1], logits[0])


def _logits(graph: Graph) -> int:
    """What enters the final sigmoid or softmax, since that hides what lies far from zero."""
    last = graph.nodes[-1]
    is_squashed = activation_name(last) in ("sigmoid", "softmax")
    return last.inputs[0] if is_squashed else len(graph.nodes) - 1


def _values(model: Any, batch: Batch) -> Values:
    """The last output of a model."""
    keras = require_keras("export")
    outputs = keras.tree.flatten(model(batch.astype(model.inputs[0].dtype), training=False))
    return np.asarray(keras.ops.convert_to_numpy(outputs[-1]), np.float64)


def _reason(err: Exception) -> str:
    """What Keras prints in bold within its message, or the first line of any other message."""
    bold = re.search("\x1b\\[1m(.+?)\x1b\\[0m", str(err), re.DOTALL)
    return first_line(ValueError(bold[1].strip())) if bold else first_line(err)


def _difference(values: Values, expected: Values) -> float:
    """The largest difference, relative to the largest expected value, or to 1 if that is larger."""
    return float(np.abs(values - expected).max() / max(1.0, np.abs(expected).max()))
