"""Rebuilding a network as float32, channels-last, of a fixed size, with the same weights.

The graph is run once more on a new input. Every layer is made anew from its configuration, with
another precision and layout; nested models are unfolded. Training-time layers are left out: in
inference they do nothing, and their random state would differ from process to process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from cxr_edge.errors import ModelError
from cxr_edge.original import keras_graph
from cxr_edge.original.files import reason, refuse
from cxr_edge.original.layout import Layout
from cxr_edge.original.saved import RANDOM_LAYERS

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_DTYPE_KEYS = frozenset({"dtype", "dtype_policy"})


def needs_float32(model: Any, keras: Any) -> list[str]:
    """The precisions other than float32 that a model computes or keeps weights in."""
    dtypes: dict[str, None] = {}
    for layer in keras_graph.sublayers(model):
        if keras_graph.is_model(layer, keras) or isinstance(layer, keras.layers.InputLayer):
            continue
        for weight in layer.weights:
            dtypes[keras.backend.standardize_dtype(weight.dtype)] = None
        dtypes[layer.dtype_policy.name] = None
    for call, _ in keras_graph.calls(model, keras):
        for tensor in call.outputs:
            dtypes[keras.backend.standardize_dtype(tensor.dtype)] = None
    low = _FLOATS - {"float32"}
    mixed = [name for name in dtypes if name.removeprefix("mixed_") in low and name not in low]
    return mixed or [name for name in dtypes if name in low]


def float32_config(value: Any) -> Any:
    """A layer's configuration with every floating-point type in it float32, and seeds fixed."""
    if isinstance(value, (list, tuple)):
        return type(value)(float32_config(item) for item in value)
    if not isinstance(value, dict):
        return value
    changed = {}
    for key, item in value.items():
        if key in _DTYPE_KEYS:
            changed[key] = _float32(item)
        elif key == "seed" and item is None:
            changed[key] = 0  # else the generator's state is drawn, and with it the file's bytes
        else:
            changed[key] = float32_config(item)
    return changed


def _float32(dtype: Any) -> Any:
    name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    if isinstance(dtype, dict) or str(name).removeprefix("mixed_") in _FLOATS:
        return "float32"
    return dtype


class Rebuilder:
    """Makes a network anew. Its parts keep their names, or get a number where two share one."""

    def __init__(self, keras: Any, name: str) -> None:
        """Start.

        Args:
            keras: the module.
            name: what messages call the model.
        """
        self._keras, self._name = keras, name
        self._made: dict[int, Any] = {}
        self._names: set[str] = set()
        self._batch: int | None = None
        self._layout = Layout(keras, self._unique)

    def rebuild(
        self, model: Any, shape: tuple[int, int, int], activation: str | None = None
    ) -> Any:
        """Rebuild a model.

        Args:
            model: one input, one output.
            shape: (height, width, channels) of its new input.
            activation: appended to the output; None: nothing.

        Returns:
            A functional ``keras.Model``, (N, *shape) float32 to (N, outputs) float32.

        Raises:
            ModelError: a layer cannot be made anew; names it.
        """
        keras = self._keras
        old = model.inputs[0]
        self._batch = old.shape[0]
        image = keras.Input(shape, name=self._unique(old.name), dtype="float32")
        value = image
        if len(old.shape) == 3:
            value = keras.layers.Reshape(shape[:2], name=self._unique("without_channels"))(image)
        elif is_channels_first(tuple(old.shape), shape):
            value = self._layout.plain(image)
        (output,) = keras_graph.run_graph(model, [value], self._call, keras)
        if activation is not None:
            name = self._unique("probabilities")
            output = keras.layers.Activation(activation, name=name, dtype="float32")(output)
        for layer, new in self._made.values():
            self._guard(layer, functools.partial(self._copy, layer, new))
        return keras.Model(image, output, name=model.name)

    def _call(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        keras = self._keras
        tensors = [item for item in keras.tree.flatten((args, kwargs)) if _is_symbolic(item, keras)]
        if keras_graph.is_model(operation, keras):
            outputs = keras_graph.run_graph(operation, tensors, self._call, keras)
            return outputs[0] if len(outputs) == 1 else outputs
        if type(operation).__name__ in RANDOM_LAYERS and _is_keras(operation):
            return tensors[0]
        args, kwargs = keras.tree.map_structure(self._constant, (args, kwargs))
        return self._guard(
            operation, lambda: self._layout.call(operation, self._make, args, kwargs)
        )

    def _make(self, operation: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
        """The layer that stands for another one; the same where that one is shared."""
        if id(operation) not in self._made:
            config = change(float32_config(operation.get_config()))
            if "newshape" in config:
                config["newshape"] = self._without_batch(list(config["newshape"]))
            name = self._unique(operation.name)
            if isinstance(operation, self._keras.layers.Layer):
                new = type(operation).from_config(config | {"name": name})
            else:
                new = type(operation).from_config(config)
                new.name = name  # an operation's configuration does not hold it
            self._made[id(operation)] = (operation, new)
        return self._made[id(operation)][1]

    def _without_batch(self, shape: list[int]) -> list[int]:
        """The target of a reshape for any batch, where it names the batch that was fixed."""
        names_batch = self._batch is not None and shape[:1] == [self._batch]
        return [-1, *shape[1:]] if names_batch and -1 not in shape else shape

    def _copy(self, layer: Any, new: Any) -> None:
        if isinstance(layer, self._keras.layers.Layer):
            keras_graph.copy_weights(layer, new)
            for count, part in enumerate(keras_graph.sublayers(new)[1:]):
                part.name = f"part{count}"  # Keras numbers them by what the process made before

    def _constant(self, value: Any) -> Any:
        if _is_symbolic(value, self._keras) or not hasattr(value, "dtype"):
            return value
        dtype = self._keras.backend.standardize_dtype(value.dtype)
        if dtype not in _FLOATS:
            return value
        return np.asarray(self._keras.ops.cast(value, "float32"))

    def _unique(self, name: str) -> str:
        taken, count = name, 1
        while taken in self._names:
            count += 1
            taken = f"{name}_{count}"
        self._names.add(taken)
        return taken

    def _guard(self, operation: Any, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except ModelError:
            raise
        except Exception as err:  # shapes, types, configurations: Keras has no common class
            kind = type(operation).__name__
            raise refuse(
                self._name,
                f"layer {operation.name} ({kind}) cannot be rebuilt for float32 inputs of the "
                f"spec's size: {reason(err)}",
            ) from err


def is_channels_first(old: tuple[int | None, ...], shape: tuple[int, int, int]) -> bool:
    """Whether an input (N, ...) fits (height, width, channels) with its channels first only."""
    height, width, channels = shape

    def fits(expected: tuple[int, int, int]) -> bool:
        return all(side in (None, want) for side, want in zip(old[1:], expected, strict=True))

    return len(old) == 4 and not fits(shape) and fits((channels, height, width))


def _is_symbolic(value: Any, keras: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def _is_keras(operation: Any) -> bool:
    return type(operation).__module__.partition(".")[0] == "keras"
