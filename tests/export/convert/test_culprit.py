"""A refused conversion names one layer or operation, in one short line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cxr_edge.errors import ExportError
from cxr_edge.export.convert.culprit import refusal
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.tflite import export_tflite
from cxr_edge.extras import require_tensorflow

keras, _ = require_tensorflow("export")
layers = keras.layers


@keras.saving.register_keras_serializable("tests")
class Odd(layers.Layer):
    """A layer that no converter knows."""

    def call(self, value: Any) -> Any:
        return keras.ops.erfinv(value * 0.5)


def network(middle: Callable[[Any], Any], batch: int | None = None) -> Any:
    image = keras.Input((8, 8, 1), batch_size=batch)
    value = layers.Conv2D(4, 3, activation="gelu", name="first")(image)
    value = layers.GlobalAveragePooling2D()(middle(value))
    return keras.Model(image, layers.Dense(1, activation="sigmoid", name="out")(value))


def inside(value: Any) -> Any:
    """The layer in a model of its own."""
    start = keras.Input(value.shape[1:])
    return keras.Sequential([start, Odd(name="hidden"), layers.ReLU()])(value)


@pytest.mark.parametrize(
    ("middle", "named"),
    [
        (Odd(name="strange"), r"the layer strange \(Odd\): it has no operation like .* Erfinv; "),
        (Odd(name="strange-p3"), r"the layer strange \(Odd\)"),
        (Odd(name="long-" * 40), r"the layer (long-){12} \(Odd\)"),
        (inside, r"the layer hidden \(Odd\): it has no operation like .* Erfinv; "),
        (lambda value: keras.ops.erfinv(value * 0.1), "the operation Erfinv"),
        (lambda value: Odd(name="b")(Odd(name="a")(value)), r"the layer b \(Odd\)"),
    ],
    ids=["layer", "rebuilt", "long name", "nested", "operation", "two"],
)
def test_tf2onnx_refuses_by_the_name_of_the_layer(middle: Callable[[Any], Any], named: str) -> None:
    with pytest.raises(ExportError, match=f"tf2onnx cannot convert {named}") as caught:
        export_onnx(network(middle))
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300
    assert str(caught.value).endswith("choose artifacts other than ONNX with --artifacts")


@pytest.mark.slow
def test_tensorflow_lite_refuses_by_the_name_of_the_layer_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    named = r"TensorFlow Lite cannot convert the layer strange \(Odd\): .* Erfinv; replace it"
    with pytest.raises(ExportError, match=named) as caught:
        export_tflite(network(Odd(name="strange"), batch=1))
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300
    assert capfd.readouterr() == ("", "")


def test_only_the_refused_operation_fails_alone() -> None:
    failed = []

    def convert(part: Any) -> None:
        try:
            export_onnx(part)
        except ExportError:
            failed.append(part.operations[-1].name)

    refusal("it", "ONNX", network(Odd(name="strange")), ValueError("no"), convert)
    assert failed == ["strange"]


def test_where_every_operation_converts_alone_the_converters_own_words_are_shown() -> None:
    error = refusal("it", "ONNX", network(layers.ReLU()), ValueError("no\nidea"), lambda _: None)
    assert str(error).startswith("it cannot convert the model, though it converts each of its")
    assert ": no; " in str(error)


def test_each_kind_of_operation_is_tried_once_and_unusual_ones_first() -> None:
    tried: list[list[str]] = []

    def convert(part: Any) -> None:
        tried.append([type(operation).__name__ for operation in part.operations][1:])

    def repeated(value: Any) -> Any:
        for number in range(3):
            value = Odd(name=f"odd {number}")(value)
        return value

    refusal("it", "ONNX", network(repeated), ValueError("no"), convert)
    names = [name for (name,) in tried]
    assert names.count("Odd") == 1
    assert names[0] == "Odd" and sorted(names[1:]) == ["Conv2D", "Dense", "GlobalAveragePooling2D"]
