"""How a functional Keras model calls its layers: the only module that uses Keras's private API.

Keras 3 has no public list of a model's calls with their arguments, nor a way to run its graph with
other layers in their places. So this reads ``_keras_history`` of a symbolic tensor,
``_inbound_nodes`` of an operation, ``_nodes_by_depth``, ``_run_through_graph`` and
``_flatten_layers`` of a model, and the ``SymbolicArguments`` of a node (``keras_tensors``,
``args``, ``kwargs``, ``convert``). A new release of Keras may change them; pyproject.toml bounds
it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    return _call_of(history.operation._inbound_nodes[history.node_index])


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


def sublayers(operation: Any) -> list[Any]:
    """A layer and the layers inside it, at any depth; an operation that is no layer alone."""
    if not isinstance(operation, require_keras("export").layers.Layer):
        return [operation]
    return list(operation._flatten_layers(include_self=True, recursive=True))


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


def is_model(operation: Any, keras: Any) -> bool:
    """Whether a layer is a model with a graph of its own."""
    return isinstance(operation, keras.Model)


def has_graph(model: Any, keras: Any) -> bool:
    """Whether Keras recorded what a model calls: not of a subclass, nor of one never built."""
    if isinstance(model, keras.Sequential):
        return bool(model.built)
    return hasattr(model, "_run_through_graph")


def functional(model: Any, keras: Any) -> Any:
    """A model's graph as a functional model; a Sequential keeps it inside.

    Raises:
        ValueError: it has none: it was written as a subclass, or never built.
    """
    if not has_graph(model, keras):
        raise ValueError(f"the model {model.name} has no graph")
    if not isinstance(model, keras.Sequential):
        return model
    return keras.Model(model.inputs, model.outputs)


def structures(model: Any, keras: Any) -> tuple[Any, Any]:
    """What a model takes and returns: symbolic tensors, bare or in lists or dictionaries."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def run_graph(model: Any, inputs: Sequence[Any], call: Callable[..., Any], keras: Any) -> list[Any]:
    """Run a model's graph; ``call(operation, *args, **kwargs)`` runs each of its calls."""
    outputs = functional(model, keras)._run_through_graph(list(inputs), call_fn=call)
    flat: list[Any] = keras.tree.flatten(outputs)
    return flat


def own_calls(model: Any, keras: Any) -> Iterator[LayerCall]:
    """Each call in a model, a nested model's as one, from input to output."""
    nodes = functional(model, keras)._nodes_by_depth
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.operation is not None and not node.is_input:
            yield _call_of(node)


def calls(
    model: Any, keras: Any, training: bool | None = None
) -> Iterator[tuple[LayerCall, bool | None]]:
    """Each call in a model and its nested models, and what ``training`` is for it.

    Args:
        model: a model with a graph.
        keras: the module.
        training: what is passed to the model itself; None: nothing.
    """
    for call in own_calls(model, keras):
        own = training_argument(call)
        passed = training if own is None else own
        yield call, passed
        if is_model(call.operation, keras):
            yield from calls(call.operation, keras, passed)


def copy_weights(source: Any, target: Any) -> None:
    """Copy the weights of a layer to one made from its configuration, whatever their precision.

    Raises:
        ValueError: the two do not hold the same weights.
    """
    for old, new in zip(sublayers(source), sublayers(target), strict=True):
        store: dict[str, Any] = {}
        old.save_own_variables(store)
        if store:
            new.load_own_variables(store)


def _call_of(node: Any) -> LayerCall:
    return LayerCall(
        node.operation,
        node.arguments,
        tuple(node.arguments.keras_tensors),
        tuple(node.output_tensors),
    )
