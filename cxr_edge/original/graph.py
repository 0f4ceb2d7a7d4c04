"""Walking a functional Keras model: the only module here that uses Keras's private API.

Keras 3 has no public way to run a model's graph with other layers in their places, so this reads
``_run_through_graph``, ``_nodes_by_depth`` and ``_flatten_layers``; pyproject.toml bounds Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def is_model(operation: Any, keras: Any) -> bool:
    """Whether a layer is a model with a graph of its own."""
    return isinstance(operation, keras.Model)


def functional(model: Any, keras: Any) -> Any:
    """A model's graph as a functional model; a Sequential keeps it inside.

    Raises:
        ValueError: it has none: it was written as a subclass, or never built.
    """
    if not isinstance(model, keras.Sequential) and hasattr(model, "_run_through_graph"):
        return model
    if not isinstance(model, keras.Sequential) or not model.built:
        raise ValueError(f"the model {model.name} has no graph")
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


def calls(model: Any, keras: Any) -> Iterator[tuple[Any, dict[str, Any], list[Any]]]:
    """Each call in a model and its nested models: the operation, its keywords, its outputs."""
    nodes = functional(model, keras)._nodes_by_depth
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.operation is None or node.is_input:
            continue
        yield node.operation, node.arguments.kwargs, list(node.outputs)
        if is_model(node.operation, keras):
            yield from calls(node.operation, keras)


def producer(tensor: Any) -> tuple[Any, list[Any]]:
    """The operation that returned a symbolic tensor, and the symbolic tensors that it took."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, list(node.arguments.keras_tensors)


def sublayers(layer: Any) -> list[Any]:
    """A layer and all layers inside it."""
    return list(layer._flatten_layers(include_self=True, recursive=True))


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
