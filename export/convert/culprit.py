"""Which layer of a model a converter cannot convert."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from cxr_edge.errors import ExportError
from cxr_edge.extras import require_keras
from cxr_edge.original.keras_graph import LayerCall, fill_in, producing_call

_MISSING = re.compile(r"No Op registered for (\w+)|'tf\.(\w+)' op is neither a custom op")
# Tried last: every converter converts them alone.
_PLAIN = (
    *("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense", "BatchNormalization", "ReLU"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "Add", "Concatenate"),
    *("ZeroPadding2D", "Multiply", "Dropout", "Flatten", "Rescaling", "Channels", "GetItem"),
)
# TensorFlow and Keras precede the reason by a traceback, and colour it.
_INNER, _COLOUR = re.compile(r"^\s*\w+Error: (.+)$", re.MULTILINE), re.compile(r"\x1b\[\d*m")
_LONGEST_NAME, _LONGEST_REASON = 60, 90


def refusal(
    converter: str, format: str, model: Any, error: Exception, convert: Callable[[Any], object]
) -> ExportError:
    """The error that names the layer for which a conversion failed.

    Args:
        converter: its name, for the message.
        format: the format that it writes, for the message.
        model: the ``keras.Model`` that it did not convert.
        error: what it raised.
        convert: converts a ``keras.Model`` of one operation, with one input or several; raises
            whatever the converter raises.

    Returns:
        An error of one line, at most 300 characters. Where every operation is converted alone, it
        names none.
    """
    for call in sorted(_calls(model), key=lambda call: type(call.operation).__name__ in _PLAIN):
        try:
            convert(_alone(call))
        except Exception as err:  # whatever a converter raises
            return ExportError(
                f"{converter} cannot convert {_described(call.operation)}: {_reason(err)}; replace "
                f"it, or choose artifacts other than {format} with --artifacts"
            )
    return ExportError(
        f"{converter} cannot convert the model, though it converts each of its operations: "
        f"{_reason(error)}; choose artifacts other than {format} with --artifacts"
    )


def _calls(model: Any) -> Iterator[LayerCall]:
    """Calls of a model, and of the models inside it, from the outputs to the input.

    Of several that compute the same, except for their weights, there is only one.
    """
    keras = require_keras("export")
    pending, done, kinds = list(model.outputs), set(), set()
    while pending:
        call = producing_call(pending.pop())
        if call is None or id(call.outputs[0]) in done or not call.inputs:
            continue
        done.add(id(call.outputs[0]))
        pending += call.inputs
        if isinstance(call.operation, keras.Model):
            pending += call.operation.outputs
            continue
        shapes = [tuple(tensor.shape) for tensor in (*call.inputs, *call.outputs)]
        kind = str((type(call.operation), _settings(call.operation), shapes))
        if kind not in kinds:
            kinds.add(kind)
            yield call


def _settings(operation: Any) -> dict[str, Any]:
    """A layer's configuration without its name; of a bare operation its attributes."""
    if isinstance(operation, require_keras("export").layers.Layer):
        return {name: value for name, value in operation.get_config().items() if name != "name"}
    return {name: value for name, value in vars(operation).items() if name.isidentifier()}


def _alone(call: LayerCall) -> Any:
    """A model of one call."""
    keras = require_keras("export")
    inputs = {
        id(tensor): keras.Input(
            batch_shape=(tensor.shape[0] or 1, *tensor.shape[1:]), dtype=tensor.dtype
        )
        for tensor in call.inputs
    }
    args, kwargs = fill_in(call.arguments, inputs)
    ports = list(inputs.values())
    return keras.Model(ports if len(ports) > 1 else ports[0], call.operation(*args, **kwargs))


def _described(operation: Any) -> str:
    """``the layer NAME (Class)`` or ``the operation NAME``, by the names of the user's model."""
    name = re.sub(r"(-(p|activation)\d+)+$", "", " ".join(operation.name.split()))
    kind = type(operation).__name__
    if not isinstance(operation, require_keras("export").layers.Layer):
        return f"the operation {kind}"
    activation = getattr(operation, "activation", None)
    if kind == "Activation":
        kind = f"activation {getattr(activation, '__name__', activation)}"
    return f"the layer {name[:_LONGEST_NAME].strip()} ({kind})"


def _reason(error: Exception) -> str:
    missing = _MISSING.search(str(error))
    if missing:
        return f"it has no operation like TensorFlow's {missing[1] or missing[2]}"
    text = _COLOUR.sub("", str(error))
    inner = _INNER.search(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception encountered when calling")]
    return (inner[1] if inner else (told or [type(error).__name__])[0])[:_LONGEST_REASON]
