"""Channels-first layers, run channels-last.

Every tensor keeps its meaning; beside one with channels first there may be its view with channels
last. A layer with channels first takes and returns such views, layers that treat every element
alike pass them on, and any other layer gets the tensor itself, transposed back. So the result is
exact whatever the layers between do; transpositions that nothing reads are not part of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_SPATIAL = """
Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose MaxPooling2D AveragePooling2D
GlobalMaxPooling2D GlobalAveragePooling2D AdaptiveMaxPooling2D AdaptiveAveragePooling2D
UpSampling2D ZeroPadding2D Cropping2D Resizing CenterCrop RandomCrop Flatten
"""
_NORMALIZING = frozenset(
    {"BatchNormalization", "LayerNormalization", "GroupNormalization", "Normalization"}
)
_ELEMENTWISE = """
Activation ReLU LeakyReLU ELU Rescaling Add Subtract Multiply Average Maximum Minimum Divide Relu
Relu6 Sigmoid Silu Softplus Softsign Elu Selu Gelu HardSigmoid HardSilu HardTanh Tanh Mish Exp Sqrt
Square Abs Negative Clip
"""
_NOT_ELEMENTWISE = frozenset({"softmax", "log_softmax", "glu", "sparsemax"})
_TO_LAST, _TO_FIRST = (2, 3, 1), (3, 1, 2)

Change = Callable[[dict[str, Any]], dict[str, Any]]
Make = Callable[[Any, Change], Any]


class Layout:
    """Calls layers; those with channels first on channels-last views."""

    def __init__(self, keras: Any, unique: Callable[[str], str]) -> None:
        """Start with no views.

        Args:
            keras: the module.
            unique: makes a name that no layer has.
        """
        self._keras, self._unique = keras, unique
        self._views: dict[int, tuple[Any, Any]] = {}

    def plain(self, last: Any) -> Any:
        """The channels-first tensor of a channels-last view."""
        if len(last.shape) != 4:
            return last
        first = self._permute(last, _TO_FIRST)
        self._views[id(first)] = (first, last)  # the tensor is kept, or its id were used again
        return first

    def call(
        self, operation: Any, make: Make, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call what stands for a layer.

        Args:
            operation: the layer or operation of the saved model.
            make: makes what stands for it, from its changed configuration.
            args: of the call.
            kwargs: of the call.

        Raises:
            ValueError: a layer with channels first is of an unknown kind.
        """
        keras, kind = self._keras, type(operation).__name__
        tensors = [
            t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor)
        ]
        if self._is_spatial(operation, kind, tensors):
            return self._call_last(operation, make, _channels_last, args, kwargs)
        viewed = any(id(tensor) in self._views for tensor in tensors)
        if viewed and all(len(tensor.shape) == 4 for tensor in tensors):
            if (axis := _channels_axis(operation, kind)) is not None:
                return self._call_last(operation, make, axis, args, kwargs)
            if kind in _ELEMENTWISE.split() and _is_elementwise(operation, args, tensors):
                return self._call_last(operation, make, lambda config: config, args, kwargs)
            if kind == "Permute" and tuple(operation.dims) == _TO_LAST:
                return self._views[id(tensors[0])][1]
        result = make(operation, lambda config: config)(*args, **kwargs)
        if kind == "Permute" and tuple(operation.dims) == _TO_FIRST:
            self._views[id(result)] = (result, tensors[0])
        return result

    def _is_spatial(self, operation: Any, kind: str, tensors: list[Any]) -> bool:
        if getattr(operation, "data_format", None) != "channels_first":
            if "channels_first" in str(operation.get_config()):
                raise ValueError("a layer inside it has its channels first; save it channels-last")
            return False
        if kind not in _SPATIAL.split() or len(tensors) != 1 or len(tensors[0].shape) != 4:
            if kind == "Flatten":
                return False
            raise ValueError("this layer is not known with channels first; save it channels-last")
        activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
        if activation in _NOT_ELEMENTWISE:
            raise ValueError(f"{activation} over rows, as channels first makes it, is not known")
        return True

    def _call_last(
        self,
        operation: Any,
        make: Make,
        change: Change,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        args, kwargs = self._keras.tree.map_structure(self._last, (args, kwargs))
        result = make(operation, change)(*args, **kwargs)
        return self.plain(result)

    def _last(self, value: Any) -> Any:
        if not isinstance(value, self._keras.KerasTensor):
            return value
        if id(value) not in self._views:
            self._views[id(value)] = (value, self._permute(value, _TO_LAST))
        return self._views[id(value)][1]

    def _permute(self, tensor: Any, dims: tuple[int, int, int]) -> Any:
        name = self._unique("channels_last" if dims == _TO_LAST else "channels_first")
        return self._keras.layers.Permute(dims, name=name)(tensor)


def _channels_last(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"data_format": "channels_last"}


def _channels_axis(operation: Any, kind: str) -> Change | None:
    """The change of axis that makes a layer over the channels one of channels-last tensors."""
    axis = operation.axis if kind in (*_NORMALIZING, "Concatenate", "Softmax") else None
    if axis in (1, -3):
        return lambda config: config | {"axis": 3}
    if isinstance(axis, (list, tuple)) and list(axis) in ([1], [-3]):
        return lambda config: config | {"axis": [3]}
    return None


def _is_elementwise(operation: Any, args: tuple[Any, ...], tensors: list[Any]) -> bool:
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    if type(operation).__name__ == "Rescaling":  # one factor for each channel has its own axis
        return np.ndim(operation.scale) == 0 == np.ndim(operation.offset)
    arrays = [value for value in args if hasattr(value, "shape") and len(value.shape)]
    outside = [value for value in arrays if not any(value is tensor for tensor in tensors)]
    return activation not in _NOT_ELEMENTWISE and not outside
