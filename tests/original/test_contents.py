"""A saved model that would read other files, or unpack without end, is refused before Keras runs.

The Keras of these tests is a trap: it fails the test when it is asked to load.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from cxr_edge.errors import ModelError
from cxr_edge.original.contents import MAX_LEVELS, check_config
from cxr_edge.original.files import model_kind
from cxr_edge.original.saved import read_saved


class LoadedError(Exception):
    """Keras was asked to load the file."""


def load(*_: object, **__: object) -> None:
    raise LoadedError


TRAP = SimpleNamespace(
    saving=SimpleNamespace(load_model=load),
    layers=SimpleNamespace(Dense=None),
    activations=SimpleNamespace(relu=None),
)


def layer(kind: str, module: Any = "keras.layers", **config: Any) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": "odd", **config},
        "registered_name": None,
        "build_config": {"input_shape": [None, 8]},
    }


def function(name: Any, module: Any = "builtins") -> dict[str, Any]:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def network(*layers: Any, **more: Any) -> dict[str, Any]:
    dense = layer("Dense", units=1, activation="sigmoid", kernel_initializer=GLOROT)
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "model", "layers": [dense, *layers]},
        **more,
    }


GLOROT = {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None}}


def weights(fill: Callable[[h5py.File], object] = lambda file: None) -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((8, 1), np.float32)
        fill(file)
    return data.getvalue()


def write_keras(path: Path, config: object, **members: bytes | str) -> Path:
    text = config if isinstance(config, (str, bytes)) else json.dumps(config)
    contents: dict[str, bytes | str] = {
        "config.json": text,
        "metadata.json": json.dumps({"keras_version": "3.10.0"}),
        "model.weights.h5": weights(),
        **members,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def write_hdf5(
    path: Path, config: object, fill: Callable[[h5py.File], object] = lambda file: None
) -> Path:
    path.write_bytes(weights(fill))
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        file.attrs["keras_version"] = "3.10.0"
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        read_saved(path, path.name, TRAP)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def passed(path: Path) -> None:
    """Keras is asked to load it; what it then says is not of these checks."""
    with pytest.raises(ModelError, match=r"LoadedError"):
        read_saved(path, path.name, TRAP)


ORDINARY: list[Any] = [
    layer("Conv2D", activation=function("relu"), dtype=layer("DTypePolicy", "keras")),
    layer("Relu", "keras.src.ops.nn"),
    layer("Add", "keras.src.ops.numpy", x={"class_name": "__tensor__", "config": {"value": 1}}),
    layer("Dropout", seed=layer("SeedGenerator", "keras.src.random.seed_generator")),
    layer("Dense", kernel_regularizer=layer("L2", "keras.regularizers")),
    layer("Functional", "keras.src.models.functional", layers=[layer("Dense")]),
    network(compile_config={"loss": layer("BinaryCrossentropy", "keras.losses")}),
]
FOREIGN: dict[str, Any] = {
    "another package's class": layer("Popen", "subprocess"),
    "another package of the Keras team": layer("Backbone", "keras_hub.layers"),
    "a function of another package": layer("Dense", activation=function("system", "os")),
    "a download as an activation": layer("Dense", activation=function("get_file", "keras.utils")),
    "a download as a layer": layer("get_file", "keras.utils"),
    "a download by a dotted name": layer("utils.get_file", "keras"),
    "a dotted function": layer("Dense", activation=function("utils.get_file", "keras")),
    "a download by its source": function("get_file", "keras.src.utils.file_utils"),
    "a model loaded from a path": function("load_model", "keras.saving"),
    "a model with weights by URL": layer("ResNet50", "keras.applications"),
    "a data set": function("load_data", "keras.datasets.mnist"),
    "a built-in": layer("eval", "builtins"),
    "numpy": function("fromfile", "numpy"),
    "a layer around a saved model": layer("TFSMLayer", filepath="/tmp/x"),
    "a lambda": {"class_name": "__lambda__", "config": {"value": ["4wEA", None, None]}},
    "a type of TensorFlow": {"class_name": "__typespec__", "module": "os", "config": []},
    "a module that is no text": layer("Dense", ["keras"]),
    "a class of a model's module": layer("model_from_json", "keras.src.models.model"),
    "a wrong top-level name": layer("utils", "keras"),
    "a loss that downloads, in a model inside": network(
        compile_config={"loss": function("get_file", "keras.utils")}
    ),
}
FOR_TEXT: dict[str, Any] = {
    "StringLookup": layer("StringLookup", vocabulary="/etc/passwd"),
    "IntegerLookup": layer("IntegerLookup", vocabulary=[1, 2]),
    "IndexLookup": layer("IndexLookup", "keras.src.layers.preprocessing.index_lookup"),
    "TextVectorization": layer("TextVectorization"),
    "Hashing": layer("Hashing", num_bins=3),
    "a path of a class by another name": layer("Dense", vocabulary="gs://bucket/words.txt"),
    "weights of words": layer("Dense", idf_weights="words"),
}


@pytest.mark.parametrize("number", range(len(ORDINARY)))
def test_what_networks_are_built_of_passes(number: int, tmp_path: Path) -> None:
    passed(write_keras(tmp_path / "model.keras", network(ORDINARY[number])))


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_what_is_not_of_a_network_is_refused(what: str, kind: str, tmp_path: Path) -> None:
    write = write_keras if kind == "keras" else write_hdf5
    refused(write(tmp_path / f"model.{kind}", network(FOREIGN[what])), "code of their own")


def test_it_is_refused_deep_inside_too() -> None:
    inside: Any = FOREIGN["a download as a layer"]
    for _ in range(10):
        inside = layer("Functional", "keras", layers=[{"node": {"args": [inside]}}])
    with pytest.raises(ModelError, match=r"odd \(get_file\)"):
        check_config(network(inside), "model")


def layers_of_families() -> list[tuple[str, str]]:
    """Modules of ``keras.applications`` and the layers that they define; Keras is not imported."""
    spec = importlib.util.find_spec("keras")
    assert spec is not None and spec.origin is not None
    pairs = []
    for path in sorted(Path(spec.origin).parent.glob("src/applications/*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not path.stem.endswith("_test"):
                pairs.append((f"keras.src.applications.{path.stem}", node.name))
    return pairs


def test_the_layers_that_families_bring_along_pass() -> None:
    """ConvNeXt and InceptionResNetV2 define layers; their modules hold functions too."""
    pairs = layers_of_families()
    assert ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer") in pairs
    for module, name in pairs:
        check_config(network(layer(name, module)), "m.keras")
        with pytest.raises(ModelError, match="preprocess_input"):
            check_config(network(layer("preprocess_input", module)), "m.keras")


@pytest.mark.parametrize("text", ["stage1->conv", "x>y", "bhwc->bwhc"])
def test_names_and_equations_with_arrows_pass(text: str) -> None:
    named = layer("Dense") | {"name": text}
    named["config"]["name"] = text
    einsum = {"module": "keras.ops", "class_name": "Einsum", "config": {"subscripts": "bhwc->bc"}}
    history = layer("Dense") | {"inbound_nodes": [{"args": [{"keras_history": [text, 0, 0]}]}]}
    check_config(network(named, history, einsum), "m.keras")


@pytest.mark.parametrize("kind", [[], {"a": 1}, 3])
def test_a_class_name_that_is_no_text_is_a_damaged_model(kind: object, tmp_path: Path) -> None:
    config = network(layer("Dense") | {"class_name": kind})
    path = write_keras(tmp_path / "m.keras", config)
    with pytest.raises(ModelError):
        read_saved(path, "m.keras", TRAP)


@pytest.mark.parametrize("key", ["build_config", "registered_name", "name", "anything"])
def test_no_key_hides_a_part(key: str) -> None:
    """Keras deserializes a plain object under any key."""
    hidden = {key: function("rmtree", "keras.src.utils.file_utils")}
    for place in ({"mask": hidden}, hidden):
        config = network(layer("Dense") | {"inbound_nodes": [{"args": [], "kwargs": place}]})
        with pytest.raises(ModelError, match="rmtree"):
            check_config(config, "m.keras")


def test_the_file_that_was_checked_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    """Whoever replaces the file in between changes nothing."""
    path = write_keras(tmp_path / "m.keras", network())
    seen = []

    def replace_and_load(given: Path, **_: object) -> object:
        path.write_bytes(b"another")
        seen.append(Path(given).read_bytes())
        return object()

    keras = SimpleNamespace(saving=SimpleNamespace(load_model=replace_and_load))
    before = path.read_bytes()
    saved = read_saved(path, "m.keras", keras)
    assert seen == [before] and saved.data == before


@pytest.mark.parametrize("what", FOR_TEXT)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_layers_that_read_vocabularies_are_refused(what: str, kind: str, tmp_path: Path) -> None:
    write = write_keras if kind == "keras" else write_hdf5
    refused(write(tmp_path / f"model.{kind}", network(FOR_TEXT[what])), r"may read files: odd \(")


@pytest.mark.parametrize("levels", [MAX_LEVELS, 900, 100_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_deeply_nested_json_is_refused(
    levels: int, pair: tuple[str, str], kind: str, tmp_path: Path
) -> None:
    levels = levels if kind == "keras" else min(levels, 9000)  # an attribute has 64 KiB at most
    nested = pair[0] * levels + "1" + pair[1] * levels
    text = json.dumps(network()).replace('"model"', f'"model", "deep": {nested}', 1)
    if kind == "h5":
        path = write_hdf5(tmp_path / "model.h5", network())
        with h5py.File(path, "r+") as file:
            del file.attrs["model_config"]
            file.attrs["model_config"] = text
    else:
        path = write_keras(tmp_path / "model.keras", text)
    refused(path, "nested|recursion|damaged")


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"../evil": b"x"}, "no network needs: ../evil;"),
        ({"/etc/cron.d/x": b"x"}, "no network needs"),
        ({"a/../../x/": b""}, "no network needs"),
        ({"assets/lookup/vocabulary.txt": b"x"}, "no network needs: assets/lookup"),
        ({"model.weights.npz": b"x"}, "pickles"),
        ({"evil\nname": b"x"}, r"evil\\nname"),
        ({f"layer{i}.h5": weights() for i in range(1001)}, "1004 files|1003 files"),
        ({"model.weights.h5": b"no HDF5"}, "damaged"),
        ({"config.json": b" " * 2**24 + b"{}"}, "16,777,218 bytes, the limit"),
        ({"metadata.json": b" " * 2**25}, "metadata.json has 33,554,432 bytes"),
    ],
)
def test_an_archive_of_what_no_network_needs_is_refused(
    members: dict[str, bytes], match: str, tmp_path: Path
) -> None:
    refused(write_keras(tmp_path / "model.keras", network(), **members), match)


def test_a_folder_s_entry_is_nothing(tmp_path: Path) -> None:
    passed(write_keras(tmp_path / "model.keras", network(), **{"assets/": b""}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_config_is_refused(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "model.keras", network())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps(network(FOREIGN["numpy"])))
    refused(path, "holds twice: config.json;")


def test_a_config_that_says_it_is_short_is_not_unpacked_further(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "model.keras", " " * 10**7 + json.dumps(network()))
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = struct.pack("<L", archive.getinfo("config.json").file_size)
    path.write_bytes(data.replace(size, struct.pack("<L", 10)))
    refused(path, "damaged")


def test_a_list_of_more_files_than_any_model_has_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.h5", b"")
    with pytest.raises(ModelError, match="longer than any model's"):
        model_kind(path, "model")


def outside(file: h5py.File) -> None:
    file["layers/stolen"] = h5py.ExternalLink("/etc/passwd", "/")


def stored_outside(file: h5py.File) -> None:
    file.create_dataset("a/b/stolen", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (8,))
    file.create_virtual_dataset("stolen", layout)


def huge(file: h5py.File) -> None:
    file.create_dataset("zeros", (2**40,), "f4", chunks=(2**20,))


HDF5_FAULTS = [
    (outside, r"layers/stolen are in another file \(/etc/passwd\)"),
    (stored_outside, r"a/b/stolen are in another file \(/etc/passwd\)"),
    (virtual, r"stolen are in another file \(/etc/passwd\)"),
    (huge, "unpack to 4,398,046,511,"),
]


@pytest.mark.parametrize(("fill", "match"), HDF5_FAULTS)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_weights_elsewhere_or_without_end_are_refused(
    fill: Callable[[h5py.File], object], match: str, kind: str, tmp_path: Path
) -> None:
    if kind == "keras":
        path = write_keras(
            tmp_path / "model.keras", network(), **{"model.weights.h5": weights(fill)}
        )
    else:
        path = write_hdf5(tmp_path / "model.h5", network(), fill)
    refused(path, match)


def test_groups_that_hold_each_other_end(tmp_path: Path) -> None:
    def cycle(file: h5py.File) -> None:
        file["layers/again"] = file["layers"]
        file["soft"] = h5py.SoftLink("/layers")

    passed(write_hdf5(tmp_path / "model.h5", network(), cycle))


@pytest.mark.parametrize(
    ("name", "value"),
    [("keras_version", b"\xff"), ("keras_version", 3), ("model_config", 3), ("model_config", "[]")],
)
def test_attributes_of_other_kinds_are_damage_or_nothing(
    name: str, value: Any, tmp_path: Path
) -> None:
    path = write_hdf5(tmp_path / "model.h5", network())
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
    with pytest.raises(ModelError):
        read_saved(path, path.name, TRAP)
