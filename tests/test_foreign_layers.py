"""A model with layers of somebody's own is refused by name, without running their code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cxr_edge.errors import ExportError, ModelError
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.pipeline import export, original_of_run
from cxr_edge.export.request import ExportRequest
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.keras_model import load_keras
from cxr_edge.original.run_folder import UNKNOWN, Run
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

SPEC = ModelSpec(
    **{
        **{name: getattr(SEED_SPEC, name) for name in SEED_SPEC.__dataclass_fields__},
        "input": InputSpec(height=24, width=24),
    }
)


def save(path: Path, middle: Any) -> Path:
    """A classifier of 24x24 images with one layer of the caller's choice."""
    keras, _ = require_tensorflow("export")
    image = keras.Input((24, 24, 1))
    value = keras.layers.Flatten()(middle(image))
    keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(value)).save(path)
    return path


def test_a_layer_that_keras_does_not_have_is_named(tmp_path: Path) -> None:
    keras, _ = require_tensorflow("export")

    class Odd(keras.layers.Layer):
        def call(self, value: Any) -> Any:
            return value * 2

    path = save(tmp_path / "model.keras", Odd(name="strange"))
    with pytest.raises(ModelError, match=r"strange \(Odd\)"):
        load_keras(path, SPEC)


def test_a_layer_that_no_converter_knows_is_named(tmp_path: Path) -> None:
    keras, _ = require_tensorflow("export")
    path = save(tmp_path / "model.keras", lambda image: keras.ops.erfinv(image * 0.5))
    original = original_of_run(Run(path, SPEC, UNKNOWN))
    with pytest.raises(ExportError, match=r"tf2onnx cannot convert the operation Erfinv: "):
        export(original, tmp_path / "out", find_kinds(("onnx-fp32",)), ExportRequest(), Silent())
    assert not (tmp_path / "out").exists()
