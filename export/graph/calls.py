"""How a functional Keras model calls its layers: the only module that uses Keras's private API.

Keras 3 has no public list of a model's calls with their arguments, so this reads ``_keras_history``
of a symbolic tensor, ``_inbound_nodes`` of an operation, and the ``SymbolicArguments`` of a node
(``keras_tensors``, ``fill_in``). A new release of Keras may change them; pyproject.toml bounds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """Replace the symbolic tensors of a call.

    Args:
        arguments: of a :class:`LayerCall`.
        tensors: replacements by the ``id`` of the tensor that each replaces.

    Returns:
        Positional and keyword arguments.
    """
    args, kwargs = arguments.fill_in(tensors)
    return args, kwargs
