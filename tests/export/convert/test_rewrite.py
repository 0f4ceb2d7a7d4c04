"""Operations that converters lack, replaced by others: the graph computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cxr_edge.engines.onnxruntime import open_session
from cxr_edge.export.convert.frozen import freeze, trace
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.export.convert.rewrite import FOR_ONNX, FOR_TFLITE, rewrite
from cxr_edge.extras import require_tensorflow

keras, tensorflow = require_tensorflow("export")


def traced(function: Any, *shape: int | None) -> Any:
    def infer(image: Any, training: bool) -> Any:
        return function(image)

    return trace(infer, [tensorflow.TensorSpec(shape, tensorflow.float32)])


def types(frozen: Any) -> set[str]:
    return {node.op for node in frozen.graph_def.node}


@pytest.mark.parametrize(
    ("operation", "method", "antialias", "size"),
    [
        ("ResizeArea", "area", False, (7, 5)),
        ("ResizeArea", "area", False, (30, 24)),
        ("ResizeBicubic", "bicubic", False, (9, 30)),
        ("ScaleAndTranslate", "bilinear", True, (7, 5)),
        ("ScaleAndTranslate", "bicubic", True, (9, 30)),
        ("ScaleAndTranslate", "lanczos3", False, (13, 11)),
        ("ScaleAndTranslate", "mitchellcubic", True, (11, 24)),
    ],
)
@pytest.mark.parametrize("batch", [2, None])
def test_a_resizing_becomes_two_matrix_products_with_the_same_result(
    operation: str, method: str, antialias: bool, size: tuple[int, int], batch: int | None
) -> None:
    def resize(image: Any) -> Any:
        return tensorflow.image.resize(image, size, method, antialias=antialias)

    frozen = freeze(traced(resize, batch, 16, 12, 3))
    assert operation in types(frozen)
    rewritten = rewrite(frozen, FOR_TFLITE)
    assert operation not in types(rewritten)
    image = np.random.default_rng(1).random((2, 16, 12, 3), np.float32)
    (result,) = rewritten.function()(tensorflow.constant(image))
    np.testing.assert_allclose(result, resize(image), atol=2e-6)


@pytest.mark.parametrize("name", ["erfc", "expm1", "log1p"])
def test_a_function_that_onnx_lacks_is_computed_by_others(name: str) -> None:
    function = getattr(tensorflow.math, name)
    frozen = freeze(traced(lambda image: function(function(image)), 1, 100))
    rewritten = rewrite(frozen, FOR_ONNX)
    assert not types(rewritten) & {"Erfc", "Expm1", "Log1p"}
    values = np.linspace(0, 3, 100, dtype=np.float32)[np.newaxis]
    (result,) = rewritten.function()(tensorflow.constant(values))
    np.testing.assert_allclose(result, function(function(values)), rtol=1e-6, atol=3e-7)


def test_a_graph_without_such_operations_is_left_alone() -> None:
    frozen = freeze(traced(tensorflow.math.erf, 1, 8))
    assert rewrite(frozen, FOR_ONNX) is frozen


def test_captured_tensors_and_variables_become_constants() -> None:
    variable, captured = tensorflow.Variable([2.0, 3.0]), tensorflow.constant([5.0, 7.0])
    frozen = freeze(traced(lambda image: image * variable + captured, 1, 2))
    assert len(frozen.inputs) == 1 and types(frozen) & {"VarHandleOp", "ReadVariableOp"} == set()
    (result,) = frozen.function()(tensorflow.constant([[1.0, 1.0]]))
    np.testing.assert_array_equal(result, [[7.0, 10.0]])


def test_a_grouped_convolution_is_no_function_compiled_by_xla() -> None:
    layer = keras.layers.Conv2D(4, 3, groups=2)
    image = np.random.default_rng(2).random((1, 8, 8, 4), np.float32)
    expected = layer(image)
    frozen = freeze(traced(layer, 1, 8, 8, 4))
    assert not any("PartitionedCall" in op for op in types(frozen)) and "Conv2D" in types(frozen)
    (result,) = frozen.function()(tensorflow.constant(image))
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_branches_and_loops_are_renamed_with_their_graph_to_the_same_bytes_every_time(
    capfd: pytest.CaptureFixture[str],
) -> None:
    image = keras.Input((12, 12, 1))
    value = keras.layers.Normalization(mean=0.3, variance=0.2)(image)
    value = keras.layers.Resizing(6, 9, pad_to_aspect_ratio=True)(value)
    value = keras.layers.GRU(3)(keras.layers.Reshape((6, 9))(value))
    model = keras.Model(image, keras.layers.Dense(2)(value))
    again = keras.models.clone_model(model)  # with other names
    again.set_weights(model.get_weights())
    data = export_onnx(model)
    assert export_onnx(again) == data
    assert capfd.readouterr() == ("", "")
    picture = np.random.default_rng(3).random((1, 12, 12, 1), np.float32)
    (scores,) = open_session(data, 1).run(None, {"image": picture})
    np.testing.assert_allclose(scores, model(picture), atol=1e-6)
