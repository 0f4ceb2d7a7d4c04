"""Files that are no model of Keras 3 are named for what they are, and what to do."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_edge.errors import ModelError
from cxr_edge.original.files import MAX_MESSAGE, listing, model_kind, reason, refuse
from cxr_edge.original.run_folder import open_run


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.keras", b"", "an empty file"),
        ("a.keras", b"text", "something else"),
        ("a.h5", zipped("a/data.pkl", "a/version"), "a PyTorch file"),
        ("a.pth", b"\x80\x02\x8a\nl\xfc\x9c", "a pickle, as PyTorch writes"),
        ("a.keras", (120).to_bytes(8, "little") + b'{"w":{}}', "a safetensors file"),
        ("a.keras", b"\x08\x08\x12\x07pytorch", "an ONNX model"),
        ("a.keras", b"\x1c\0\0\0TFL3\x14\0", "a TFLite model"),
        ("saved_model.pb", b"\x08\x01\x12\xd0", "a TensorFlow SavedModel"),
        ("frozen.pb", b"\n\x1f\n\x01x\x12\x0bPlaceholder", "a frozen TensorFlow graph"),
        ("a.json", b'{"class_name": "Functional"}', "without its weights"),
        ("a.ckpt.index", b"\0" * 40 + bytes.fromhex("57fb808b247547db"), "a checkpoint"),
        ("a.data-00000-of-00001", b"\x01\x02\x03", "a checkpoint"),
        ("checkpoint", b'model_checkpoint_path: "a"', "a checkpoint"),
        ("a.npz", zipped("a.npy"), "NumPy arrays"),
        ("a.keras", zipped("x/saved_model.pb"), "a zip of a TensorFlow SavedModel"),
        ("a.zip", zipped("model.keras"), "unpack it"),
        ("a.zip", zipped("readme.txt", "b.txt"), "a zip of readme.txt, b.txt"),
        ("a.keras", zipped("config.json", "model.weights.h5")[:-30], "cut or damaged"),
        ("a.png", b"\x89PNG\r\n", "a picture"),
    ],
)
def test_a_file_is_named_for_its_content(
    name: str, content: bytes, what: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=what) as caught:
        model_kind(path, name)
    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value)) <= MAX_MESSAGE
    with pytest.raises(ModelError, match=what):  # before a missing spec is missed
        open_run(path)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("saved_model.pb", "variables"), "a TensorFlow SavedModel"),
        (("manifest.json",), "a bundle"),
        (("config.json", "model.weights.h5"), "an unzipped .keras file"),
        (("best.keras", "last.h5"), r"give one of its models: best\.keras, last\.h5"),
        (("checkpoint", "a.index"), "a checkpoint"),
        ((), "holds no model"),
    ],
)
def test_a_folder_is_named_for_what_it_holds(
    names: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=what):
        open_run(tmp_path)


def test_messages_are_one_line_of_300_characters_at_most() -> None:
    assert len(str(refuse("x" * 200, "much\ntext " * 40))) == MAX_MESSAGE
    assert listing(["a", "b", "c"]) == "a, b, c"
    assert listing(["layer"] * 100, 20) == "layer, layer, layer and 97 more"
    error = ValueError("<class> could not be read\n\nException encountered: no such shape\n")
    assert reason(error) == "no such shape"
    assert reason(KeyError()) == "KeyError"


# --- files that only Keras can tell apart


def spec_for(height: int) -> Any:
    from cxr_edge.spec import SEED_SPEC, InputSpec

    return dataclasses.replace(SEED_SPEC, input=InputSpec(height=height, width=height))


def save(path: Path, *layers: Any) -> Any:
    from cxr_edge.extras import require_keras

    keras = require_keras("train")
    last = keras.layers.Dense(1, activation="sigmoid", name="out")
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Flatten(), last])
    network.save(path)
    return network


def load(path: Path) -> Any:
    from cxr_edge.original.opening import load_original

    return load_original(path, spec_for(8))


def test_hdf5_is_read_and_becomes_a_keras_file(tmp_path: Path) -> None:
    from cxr_edge.original.opening import draw_pixels
    from cxr_edge.preprocess import normalize

    network = save(tmp_path / "model.h5")
    original = load(tmp_path / "model.h5")
    (tmp_path / "model.keras").write_bytes(original.data)
    assert model_kind(tmp_path / "model.keras", "model") == "keras"
    batch = normalize(draw_pixels(original.spec), original.spec.input)
    assert np.array_equal(np.asarray(original.model(batch)), np.asarray(network(batch)))
    (tmp_path / "renamed.keras").write_bytes((tmp_path / "model.h5").read_bytes())
    assert load(tmp_path / "renamed.keras").data == original.data


def test_hdf5_of_keras_2_is_read(tmp_path: Path) -> None:
    import h5py

    names = ["input_1", "depthwise", "norm", "flatten", "dense"]
    classes = ["InputLayer", "DepthwiseConv2D", "BatchNormalization", "Flatten", "Dense"]
    configs: list[dict[str, Any]] = [
        {"batch_input_shape": [None, 8, 8, 1], "dtype": "float32", "sparse": False},
        {"dtype": "float32", "kernel_size": [3, 3], "padding": "same", "groups": 1},
        {"dtype": "float32", "axis": [3], "epsilon": 0.001},
        {"trainable": True, "dtype": "float32", "data_format": "channels_last"},
        {"trainable": True, "dtype": "float32", "units": 1, "activation": "sigmoid"},
    ]
    layers = [
        {
            "class_name": kind,
            "config": config | {"name": name},
            "name": name,
            "inbound_nodes": [[[names[n - 1], 0, 0, {}]]] if n else [],
        }
        for n, (kind, name, config) in enumerate(zip(classes, names, configs, strict=True))
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "model", "layers": layers} | ends}
    held = {
        "depthwise/depthwise_kernel:0": np.ones((3, 3, 1, 1)),
        "depthwise/bias:0": np.zeros(1),
        "norm/gamma:0": np.full(1, 2.0),
        "norm/beta:0": np.zeros(1),
        "norm/moving_mean:0": np.zeros(1),
        "norm/moving_variance:0": np.ones(1),
        "dense/kernel:0": np.random.default_rng(0).normal(size=(64, 1)),
        "dense/bias:0": np.ones(1),
    }
    path = tmp_path / "old.h5"

    def write() -> None:
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"] = "2.11.0"
            file.attrs["model_config"] = json.dumps(config)
            weights = file.create_group("model_weights")
            weights.attrs["layer_names"] = [name.encode() for name in names]
            for name in names:
                group = weights.create_group(name)
                kept = {item: held[item] for item in held if item.startswith(f"{name}/")}
                group.attrs["weight_names"] = [item.encode() for item in kept]
                for item, values in kept.items():
                    group[item] = values.astype(np.float32)

    write()
    model = load(path).model
    for layer, (item, values) in zip(model.weights, held.items(), strict=True):
        assert np.array_equal(layer, values.astype(np.float32)), item
    layers[3]["class_name"] = "Odd"
    write()
    with pytest.raises(ModelError, match=r"code of their own.*flatten \(Odd\)"):
        load(path)
    layers[3]["class_name"], layers[4]["config"]["activation"] = "Flatten", "no such"
    write()
    with pytest.raises(ModelError, match=r"saved by Keras 2\.11\.0, which Keras 3 cannot load"):
        load(path)


def test_code_is_refused_by_layer_before_anything_is_loaded(tmp_path: Path) -> None:
    from cxr_edge.extras import require_keras

    keras = require_keras("train")
    trap = tmp_path / "ran"
    code = keras.layers.Lambda(lambda x, path=str(trap): (open(path, "w").close(), x)[1], name="l1")  # noqa: PTH123

    @keras.saving.register_keras_serializable("strange")
    class Odd(keras.layers.Layer):
        pass

    @keras.saving.register_keras_serializable("strange")
    def wave(value: Any) -> Any:
        return keras.ops.sin(value)

    for name in ("model.keras", "model.h5"):
        for layer, what in (
            (code, r"l1 \(Lambda\)"),
            (Odd(name="odd"), r"odd \((strange>)?Odd\)"),
            (keras.layers.Dense(2, activation=wave, name="d"), r"d \((strange>)?wave\)"),
        ):
            save(tmp_path / name, layer)
            trap.unlink(missing_ok=True)
            with pytest.raises(ModelError, match=f"code of their own, which is never run: {what}"):
                load(tmp_path / name)
            assert not trap.exists()


def test_weights_without_a_network_and_a_cut_file(tmp_path: Path) -> None:
    network = save(tmp_path / "model.h5")
    network.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match="a weights file: it does not hold the network"):
        load(tmp_path / "model.weights.h5")
    data = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut or damaged"):
        load(tmp_path / "cut.h5")


def test_a_model_without_a_graph_is_refused_by_name(tmp_path: Path) -> None:
    from cxr_edge.extras import require_keras

    keras = require_keras("train")

    @keras.saving.register_keras_serializable("strange")
    class Mine(keras.Model):
        def __init__(self, **config: Any) -> None:
            super().__init__(**config)
            self.last = keras.layers.Dense(1)

        def call(self, image: Any) -> Any:
            return self.last(keras.ops.mean(image, (1, 2)))

    model = Mine(name="mine")
    model(np.zeros((1, 8, 8, 1), np.float32))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"\(Mine\)"):
        load(tmp_path / "model.keras")


def test_a_model_that_was_never_built_is_refused(tmp_path: Path) -> None:
    from cxr_edge.extras import require_keras

    keras = require_keras("train")
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Dense(1)], name="empty").save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"without a graph: empty \(Sequential\)"):
        load(tmp_path / "model.keras")
