"""A Keras model as one TensorFlow graph without variables: what both converters start from.

A converter takes a tensor that the traced function captured from outside, such as the mean of a
``Normalization``, for an input of the model. Freezing turns variables and captured tensors into
constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_edge.extras import require, require_tensorflow

_XLA = ("_XlaMustCompile", "_XlaCompile")


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A ``GraphDef`` whose only inputs are the images."""

    graph_def: Any
    """The operations; may be changed in place."""
    inputs: tuple[str, ...]
    """Names of the input tensors, ``image:0``."""
    outputs: tuple[str, ...]
    """Names of the output tensors, in order."""

    def function(self) -> Any:
        """The graph as a TensorFlow ``ConcreteFunction``."""
        _, tensorflow = require_tensorflow("export")
        wrapped = tensorflow.compat.v1.wrap_function(
            lambda: tensorflow.graph_util.import_graph_def(self.graph_def, name=""), []
        )
        tensors = wrapped.graph.get_tensor_by_name
        return wrapped.prune([tensors(i) for i in self.inputs], [tensors(o) for o in self.outputs])


def trace(model: Callable[..., Any], signature: Sequence[Any]) -> Any:
    """Record the TensorFlow operations of a model, as a ``ConcreteFunction``.

    Args:
        model: a ``keras.Model`` with one or several inputs.
        signature: a ``tf.TensorSpec`` for each input.
    """
    _, tensorflow = require_tensorflow("export")

    @tensorflow.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def infer(*images: Any) -> Any:
        return model(images[0] if len(images) == 1 else list(images), training=False)

    return infer.get_concrete_function()


def freeze(traced: Any) -> FrozenGraph:
    """Turn the variables and captured tensors of a traced model into constants."""
    frozen = _freeze(traced)
    if any("PartitionedCall" in node.op for node in frozen.graph_def.node):
        _release_from_xla(frozen.graph_def)
        frozen = _freeze(frozen.function())
    return frozen


def _freeze(traced: Any) -> FrozenGraph:
    tools = require("tensorflow.python.framework.convert_to_constants", "export")
    frozen = tools.convert_variables_to_constants_v2(
        traced, lower_control_flow=False, aggressive_inlining=True
    )
    return FrozenGraph(
        frozen.graph.as_graph_def(add_shapes=True),
        tuple(tensor.name for tensor in frozen.inputs),
        tuple(tensor.name for tensor in frozen.outputs),
    )


def _release_from_xla(graph_def: Any) -> None:
    """Let functions be inlined that Keras compiles by XLA: those of grouped convolutions.

    They get new names, since TensorFlow knows the old ones with XLA.
    """
    functions = graph_def.library.function
    names = {function.signature.name for function in functions}
    for function in functions:
        function.signature.name += "_inlined"
    for item in (*graph_def.node, *functions, *(n for f in functions for n in f.node_def)):
        for attribute in _XLA:
            item.attr.pop(attribute, None)
        for value in item.attr.values():
            if value.func.name in names:
                value.func.name += "_inlined"
