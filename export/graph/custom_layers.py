"""Keras layers for steps that Keras has no layer for, or none that converters understand."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxr_edge.extras import require_tensorflow


def affine_layer(keras: Any, scale: Any, offset: Any, name: str, dtype: str) -> Any:
    """A layer that multiplies each channel by a scale and adds an offset.

    Args:
        keras: the package.
        scale: (channels,).
        offset: (channels,).
        name: of the layer. Keras numbers bare operations without looking at the names of loaded
            layers: a model with both a layer "add" and an operation "add" cannot be built.
        dtype: of the layer.
    """

    class Channels(keras.layers.Layer):
        """An affine map of each channel."""

        def call(self, value: Any) -> Any:
            if np.any(scale != 1):
                value = keras.ops.multiply(value, scale.astype(dtype))
                if not np.any(offset):
                    return value
            return keras.ops.add(value, offset.astype(dtype))

        def compute_output_shape(self, input_shape: Any) -> Any:
            # Without it Keras would trace the call; it takes what it multiplied by a constant
            # for a sparse tensor, and then gives a wrong shape.
            return input_shape

    return Channels(name=name, dtype=dtype)


def grouped_convolution(
    keras: Any, layer: Any, kernel: Any, bias: Any, name: str, dtype: str
) -> Any:
    """A convolution in groups as one operation.

    Keras compiles such a convolution by XLA, which no converter reads. The same operation of
    TensorFlow runs on a CPU, and becomes a ``Conv`` with groups in ONNX and a ``CONV_2D`` in
    TensorFlow Lite, for which the engines have kernels.

    Args:
        keras: the package.
        layer: the ``keras.layers.Conv2D``, for its strides, padding and dilation.
        kernel: (rows, columns, inputs / groups, outputs).
        bias: (outputs,).
        name: of the new layer.
        dtype: of the new layer.
    """
    _, tensorflow = require_tensorflow("export")

    class GroupedConv2D(keras.layers.Layer):
        """A convolution in groups."""

        def call(self, value: Any) -> Any:
            maps = tensorflow.nn.conv2d(
                value,
                kernel.astype(dtype),
                strides=list(layer.strides),
                padding=layer.padding.upper(),
                dilations=list(layer.dilation_rate),
            )
            return tensorflow.nn.bias_add(maps, bias.astype(dtype))

        def compute_output_shape(self, input_shape: Any) -> Any:
            return layer.compute_output_shape(input_shape)

    return GroupedConv2D(name=name, dtype=dtype)
