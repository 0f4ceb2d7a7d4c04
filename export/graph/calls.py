"""How a functional Keras model calls its layers: the only module that uses Keras's private API.

Keras 3 has no public list of a model's calls with their arguments, so this reads ``_keras_history``
of a symbolic tensor, ``_inbound_nodes`` of an operation, and the ``SymbolicArguments`` of a node
(``keras_tensors``, ``args``, ``kwargs``, ``convert``). A new release of Keras may change them;
pyproject.toml bounds it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_edge.extras import require_keras


@dataclass(frozen=True, slots=True, eq=False)
class LayerCall:
    """One call of a layer or operation in a functional model."""

    operation: Any
    """The Keras layer or operation."""
    arguments: Any
    """Keras's ``SymbolicArguments``; see :func:`fill_in`."""
    inputs: tuple[Any, ...]
    """The symbolic tensors among the arguments."""
    outputs: tuple[Any, ...]
    """The symbolic tensors that it returned."""


def producing_call(tensor: Any) -> LayerCall | None:
    """The call that returned a symbolic tensor; None where Keras recorded none."""
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return None
    node = history.operation._inbound_nodes[history.node_index]
    return LayerCall(
        history.operation,
        node.arguments,
        tuple(node.arguments.keras_tensors),
        tuple(node.output_tensors),
    )


def fill_in(arguments: Any, tensors: Mapping[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Replace the symbolic tensors of a call, and its constant tensors by arrays.

    Args:
        arguments: of a :class:`LayerCall`.
        tensors: replacements by the ``id`` of the tensor that each replaces.

    Returns:
        Positional and keyword arguments.
    """

    def value_of(value: Any) -> Any:
        return tensors[id(value)] if id(value) in tensors else as_array(value)

    args, kwargs = arguments.convert(value_of)
    return args, kwargs


def as_array(value: Any) -> Any:
    """An array for a tensor or variable of the backend, which a converter would take for an input.

    Anything else is returned as it is.
    """
    keras = require_keras("export")
    is_constant = isinstance(value, keras.Variable) or (
        keras.ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)
    )
    return keras.ops.convert_to_numpy(value) if is_constant else value


def constants(arguments: Any) -> tuple[Any, ...]:
    """The arguments of a call that are neither symbolic tensors nor None nor ``training``."""
    keras = require_keras("export")
    options = {name: value for name, value in arguments.kwargs.items() if name != "training"}
    return tuple(
        value
        for value in keras.tree.flatten((arguments.args, options))
        if value is not None and not isinstance(value, keras.KerasTensor)
    )


def training_argument(call: LayerCall) -> bool | None:
    """What a call passes as ``training``; None: nothing, so that the model decides.

    Keras records the default of a layer as if it had been passed, so a default says nothing: True
    for the random layers that augment images, False for Dropout.
    """
    try:
        signature = inspect.signature(call.operation.call)
        bound = signature.bind_partial(*call.arguments.args, **call.arguments.kwargs)
    except (TypeError, ValueError):  # arguments that only __call__ understands
        return None
    value = bound.arguments.get("training")
    return None if value is None or value == signature.parameters["training"].default else value


def with_sublayers(operation: Any) -> tuple[Any, ...]:
    """A layer and the layers that it holds, at any depth; an operation that is no layer alone."""
    if not isinstance(operation, require_keras("export").layers.Layer):
        return (operation,)
    return tuple(operation._flatten_layers())


def renamed(operation: Any, name: str, dtype: str | None = None) -> Any:
    """A copy of a layer or operation that shares its weights, under another name.

    Args:
        operation: any layer or operation; it is left as it is.
        name: of the copy.
        dtype: of what a layer computes; None: as before.
    """
    copy = object.__new__(type(operation))
    copy.__dict__.update(operation.__dict__)
    copy.__dict__.update(name=name, _inbound_nodes=[], _outbound_nodes=[])
    if dtype is not None and "_dtype_policy" in copy.__dict__:
        copy.__dict__["_dtype_policy"] = require_keras("export").DTypePolicy(dtype)
    return copy
