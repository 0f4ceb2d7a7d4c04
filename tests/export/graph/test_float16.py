"""16-bit arithmetic, against sums that are rounded one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import ExportError
from cxr_edge.export.graph.float16 import check_emulated, run_in_float16
from cxr_edge.export.graph.graph import build_model
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_tensorflow

RANDOM = np.random.default_rng(3)
SHAPE = (7, 6, 4)


def layer(kind: str, /, *arguments: Any, **options: Any) -> Any:
    """A Keras layer; Keras is imported inside a test."""
    keras, _ = require_tensorflow("export")
    return getattr(keras.layers, kind)(*arguments, **options)


def graph_of(*steps: Any) -> Any:
    """A network of an image and layers, each with random weights."""
    keras, _ = require_tensorflow("export")
    value = image = keras.Input(SHAPE)
    for step in steps:
        value = step(value)
        weights = [RANDOM.normal(0, 0.6, weight.shape) for weight in step.weights]
        if type(step).__name__ == "BatchNormalization":
            weights[-1] = np.abs(weights[-1]) + 0.5  # the variance
        step.set_weights(weights)
    return read_graph(keras.Model(image, value))


def half(value: Any) -> np.float64:
    return np.float64(np.float16(value))


def summed(bias: float, products: Any) -> np.float64:
    """Each addition exact, then rounded, as a fused multiply-add does it."""
    total = half(bias)
    for factor, weight in products:
        total = half(total + half(factor) * half(weight))
    return total


def convolved(image: np.ndarray, step: Any) -> np.ndarray:
    """A convolution of one image in plain loops."""
    kernel, bias = (np.asarray(weight) for weight in step.get_weights())
    rows, columns, width, outputs = kernel.shape
    depthwise = type(step).__name__ == "DepthwiseConv2D"
    shape = step.compute_output_shape((1, *image.shape))[1:]
    (down, right), (tall, wide) = step.strides, step.dilation_rate
    top = left = 0
    if step.padding == "same":
        top = max((shape[0] - 1) * down + (rows - 1) * tall + 1 - image.shape[0], 0) // 2
        left = max((shape[1] - 1) * right + (columns - 1) * wide + 1 - image.shape[1], 0) // 2

    def pixel(row: int, column: int, channel: int) -> float:
        inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
        return image[row, column, channel] if inside else 0.0

    result = np.empty(shape)
    for row, column, output in np.ndindex(*shape):
        places = itertools.product(range(rows), range(columns))
        at = [
            (r, c, row * down + r * tall - top, column * right + c * wide - left) for r, c in places
        ]
        if depthwise:
            source, which = divmod(output, outputs)
            products = [(pixel(y, x, source), kernel[r, c, source, which]) for r, c, y, x in at]
        else:
            first = output // (outputs // (image.shape[2] // width)) * width
            products = [
                (pixel(y, x, first + i), kernel[r, c, i, output])
                for r, c, y, x in at
                for i in range(width)
            ]
        result[row, column, output] = summed(bias[output], products)
    return result


@pytest.mark.parametrize(
    ("name", "sizes", "options"),
    [
        ("Conv2D", (5, 3), {}),
        ("Conv2D", (5, (3, 2)), {"padding": "same", "strides": 2}),
        ("Conv2D", (4, 3), {"padding": "same", "dilation_rate": 2}),
        ("Conv2D", (6, 2), {"padding": "same", "groups": 2}),
        ("DepthwiseConv2D", (3,), {"padding": "same", "strides": 2}),
        ("DepthwiseConv2D", ((2, 3),), {"depth_multiplier": 2}),
    ],
    ids=["plain", "strides", "dilation", "groups", "depthwise", "multiplier"],
)
def test_a_convolution_rounds_after_every_addition(
    name: str, sizes: tuple[Any, ...], options: dict[str, Any]
) -> None:
    step = layer(name, *sizes, **options)
    graph = graph_of(step)
    image = RANDOM.normal(0, 1, (1, *SHAPE)).astype(np.float32)
    expected = convolved(image[0], step)
    emulated = run_in_float16(graph, image)[0]
    # A sum that is rounded to 24 bits and then to 11 differs by one step now and then.
    assert np.mean(emulated != expected) < 0.03
    np.testing.assert_allclose(emulated, expected, atol=2**-8)
    assert np.abs(expected - build_model(graph)(image)[0]).max() > 1e-3


def test_a_dense_layer_of_many_inputs_loses_what_a_sum_of_11_bits_loses() -> None:
    graph = graph_of(layer("Flatten"), layer("Dense", 1))
    dense = graph.nodes[-1].operation
    image = np.ones((1, *SHAPE), np.float32)
    (value,) = run_in_float16(graph, image)[0]
    kernel = np.asarray(dense.kernel)[:, 0]
    assert value == pytest.approx(summed(dense.bias[0], zip(np.ones(168), kernel, strict=True)))


def test_a_sum_beyond_the_largest_number_is_infinite() -> None:
    graph = graph_of(layer("Flatten"), layer("Dense", 1))
    image = np.full((1, *SHAPE), 60000, np.float32)
    assert not np.isfinite(run_in_float16(graph, image)).any()


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_averages_and_single_steps_are_those_of_keras_to_11_bits(padding: str) -> None:
    graph = graph_of(
        layer("AveragePooling2D", 3, 2, padding=padding),
        layer("ReLU", 6.0),
        layer("ZeroPadding2D", 1),
        layer("MaxPooling2D", 2),
        layer("BatchNormalization"),
        layer("Activation", "swish"),
        layer("GlobalAveragePooling2D", keepdims=True),
        layer("Flatten"),
        layer("Softmax"),
    )
    image = RANDOM.uniform(0, 1, (3, *SHAPE)).astype(np.float32)
    expected = np.asarray(build_model(graph)(image))
    np.testing.assert_allclose(run_in_float16(graph, image), expected, atol=4e-3)


def test_branches_join_in_the_model_s_order() -> None:
    keras, _ = require_tensorflow("export")
    image = keras.Input(SHAPE)
    left, right = (
        layer("Conv2D", 3, 1, name="left")(image),
        layer("Conv2D", 3, 1, name="right")(image),
    )
    joined = layer("Concatenate")([right, left, layer("Add")([left, right])])
    graph = lower(read_graph(keras.Model(image, layer("Flatten")(joined))))
    check_emulated(graph)
    batch = RANDOM.uniform(0, 1, (1, *SHAPE)).astype(np.float32)
    expected = np.asarray(build_model(graph)(batch))
    np.testing.assert_allclose(run_in_float16(graph, batch), expected, atol=1e-2)


def test_what_cannot_be_emulated_is_refused_by_name() -> None:
    graph = graph_of(layer("LayerNormalization", name="norm"), layer("Flatten"), layer("Dense", 1))
    with pytest.raises(ExportError, match=r"layer norm cannot be emulated.*take tflite-fp16,"):
        check_emulated(graph)
