"""What a saved model may hold, checked before Keras sees it: nothing that reads other files.

A model's configuration names classes and functions, which Keras imports and calls. Only those of
which networks are built are let through, by a list of what is allowed: other parts of Keras fetch
files by URL or read paths, and how far ``safe_mode`` refuses them differs between versions. The
same holds for the archive's members and for an HDF5 file's links.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from cxr_edge.errors import ModelError
from cxr_edge.extras import require
from cxr_edge.files import printable
from cxr_edge.original.files import listing, refuse

MAX_CONFIG_BYTES = 2**24
"""Size of a configuration; that of a network of 800 layers has under 2 MB."""
MAX_LEVELS = 200
"""Lists and objects within each other in a configuration."""
MAX_WEIGHT_BYTES = 2**30
"""Size of all weights, unpacked."""
MAX_MEMBERS = 1000
"""Files in an archive; Keras may split weights over several."""

MODELS = frozenset({"Functional", "Model", "Sequential"})
"""Classes of Keras models."""

_CODE = frozenset(
    {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
_TEXT = frozenset(
    ("FeatureSpace", "HashedCrossing", "Hashing", "IndexLookup", "IntegerLookup", "StringLookup")
) | {"TextVectorization"}
_PATHS = frozenset({"vocabulary", "idf_weights"})
# A package's class or function, in HDF5; "bhwc->bc" is an equation.
_REGISTERED = re.compile(r"[\w.-]+(?<!-)>\w+")
_MODELING = frozenset(
    ("activations", "constraints", "dtype_policies", "initializers", "layers", "ops", "quantizers")
) | {"random", "regularizers"}
_OF_APPLICATIONS = {
    ("keras.src.applications.convnext", "LayerScale"),
    ("keras.src.applications.convnext", "StochasticDepth"),
    ("keras.src.applications.inception_resnet_v2", "CustomScaleLayer"),
}
"""Layers that families of ``keras.applications`` have beside those of ``keras.layers``."""
_COMPILING = frozenset({"losses", "metrics", "optimizers"})
_TOP = MODELS | {"DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "QuantizedDTypePolicy"}
_NAMES = ("name", "registered_name")
"""Keys whose texts name a part; Keras deserializes anything else under them like other values."""

_MEMBER = re.compile(r"config\.json|metadata\.json|model\.weights\.json|[\w-][\w.-]*\.h5")
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})  # of HDF5 and h5py themselves; others are plugins


def check_config(config: Any, name: str, keras: Any = None) -> None:
    """Refuse a configuration that Keras would run code or read files for.

    Args:
        config: of the model, parsed JSON.
        name: what messages call the model.
        keras: the module: also refuse what it does not know, which explains why it did not load.

    Raises:
        ModelError: names the layers.
    """
    check_depth(config, name)
    foreign, reading = _strange_parts(config, keras)
    if foreign:
        raise refuse(
            name,
            f"holds layers with code of their own, which is never run: {listing(foreign, 120)}; "
            "replace them by layers of Keras and save it again",
        )
    if reading:
        raise refuse(
            name,
            f"holds layers for text, which may read files: {listing(reading, 120)}; an image "
            "classifier has none: build it without them and save it again",
        )


def check_depth(document: Any, name: str) -> None:
    """Refuse parsed JSON in which recursion would not end.

    Raises:
        ModelError: it is nested more than :data:`MAX_LEVELS` levels deep.
    """
    level = [document]
    for _ in range(MAX_LEVELS):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise refuse(name, f"its configuration is nested more than {MAX_LEVELS} levels deep")


def check_members(members: Iterable[zipfile.ZipInfo], name: str) -> None:
    """Refuse an archive with files that Keras would unpack, or of more bytes than weights have.

    Raises:
        ModelError: names the member.
    """
    seen: set[str] = set()
    total = 0
    for member in members:
        shown = printable(member.filename)[:60]
        if member.filename in seen or not (_MEMBER.fullmatch(member.filename) or _is_empty(member)):
            what = (
                "holds twice" if member.filename in seen else "holds a file that no network needs"
            )
            raise refuse(name, f"{what}: {shown}; save it again without assets, with Keras 3")
        if member.flag_bits & 1:
            raise refuse(name, f"holds an encrypted file: {shown}; save it again")
        is_text = member.filename.endswith(".json")
        if is_text and member.file_size > MAX_CONFIG_BYTES:
            raise refuse(
                name, f"{shown} has {member.file_size:,} bytes, the limit is {MAX_CONFIG_BYTES:,}"
            )
        seen.add(member.filename)
        total += member.file_size
    if total > MAX_WEIGHT_BYTES + MAX_CONFIG_BYTES or len(seen) > MAX_MEMBERS:
        raise refuse(
            name,
            f"unpacks to {total:,} bytes in {len(seen)} files, the limit is {MAX_WEIGHT_BYTES:,} "
            f"in {MAX_MEMBERS}; save it with include_optimizer=False",
        )


def check_weights(file: Any, name: str) -> None:
    """Refuse an HDF5 file whose data is elsewhere, or more than it may be.

    Args:
        file: an open ``h5py.File``.
        name: what messages call the model.

    Raises:
        ModelError: names the link or data set.
    """
    h5py = require("h5py", "train")
    total, waiting, seen = 0, [file], set()
    while waiting:
        group = waiting.pop()
        for key in group:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(name, f"{group.name}/{key}", str(link.filename))
            if not isinstance(link, h5py.HardLink):
                continue  # a soft link leads to something else in this file
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, name)
                total += item.size * item.dtype.itemsize if item.shape else 0
    if total > MAX_WEIGHT_BYTES:
        raise refuse(
            name,
            f"its weights unpack to {total:,} bytes, the limit is {MAX_WEIGHT_BYTES:,}; save it "
            "with include_optimizer=False",
        )


def _check_dataset(item: Any, name: str) -> None:
    if item.external or item.is_virtual:
        place = item.external[0][0] if item.external else item.virtual_sources()[0].file_name
        raise _elsewhere(name, item.name, str(place))
    created = item.id.get_create_plist()
    filters = {created.get_filter(number)[0] for number in range(created.get_nfilters())}
    if unknown := sorted(filters - _FILTERS):
        raise refuse(
            name,
            f"its weights {printable(item.name)[:60]} need a plugin of HDF5 (filter {unknown[0]}); "
            "save it again without",
        )


def _elsewhere(name: str, item: str, place: str) -> ModelError:
    return refuse(
        name,
        f"its weights {printable(item)[-60:]} are in another file ({printable(place)[:60]}), which "
        "is never opened; save it again as one file",
    )


def _is_empty(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder."""
    name = member.filename
    return (
        name.endswith("/")
        and not name.startswith("/")
        and ".." not in name
        and not member.file_size
    )


def _strange_parts(config: Any, keras: Any) -> tuple[list[str], list[str]]:
    """Layers and functions that are not Keras's own, and those for text, as ``name (Class)``."""
    foreign: dict[str, None] = {}
    reading: dict[str, None] = {}

    def walk(value: Any, owner: str, allowed: frozenset[str]) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item, owner, allowed)
        elif isinstance(value, dict):
            inner, kind = value.get("config"), value.get("class_name")
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                owner = inner["name"]
            if isinstance(kind, str):
                shown = inner if kind == "function" and isinstance(inner, str) else kind
                part = f"{owner or value.get('name') or kind} ({shown})"
                if kind in _TEXT:
                    reading[part] = None
                elif _is_foreign(value, kind, allowed, keras):
                    foreign[part] = None
            for key, item in value.items():
                if key in _PATHS and isinstance(item, str):
                    reading[f"{owner} ({key})"] = None
                elif key == "compile_config":
                    # The model's own is never used; Keras compiles models inside of it.
                    if value is not config:
                        walk(item, owner, allowed | _COMPILING)
                elif not (key in _NAMES and isinstance(item, str)):
                    walk(item, owner, allowed)
        elif isinstance(value, str) and _REGISTERED.fullmatch(value) and value not in names:
            foreign[f"{owner} ({value})"] = None

    names = set(_texts(config, "name"))  # layers' names stand in connections too
    walk(config, "", _MODELING)
    return list(foreign), list(reading)


def _texts(value: Any, key: str) -> Iterator[str]:
    """The texts under a key, anywhere in a configuration."""
    if isinstance(value, dict):
        if isinstance(text := value.get(key), str):
            yield text
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, key)


def _is_foreign(value: dict[str, Any], kind: str, allowed: frozenset[str], keras: Any) -> bool:
    if kind in _CODE or _REGISTERED.fullmatch(kind):
        return True
    if kind.startswith("__"):
        return kind not in _VALUES
    if "module" not in value:  # Keras 2 names classes only
        is_layer = keras and isinstance(value.get("config"), dict) and "inbound_nodes" in value
        return bool(is_layer) and not (hasattr(keras.layers, kind) or kind in MODELS)
    module, name = value["module"], value.get("config") if kind == "function" else kind
    if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier():
        return True
    if kind == "function" and module == "builtins":
        if keras:
            return not hasattr(keras.activations, name)
        return ">" in str(value.get("registered_name") or "")  # registered by a package
    return not _builds_networks(module, name, allowed)


def _builds_networks(module: str, name: str, allowed: frozenset[str]) -> bool:
    """Whether a module of Keras holds what networks are made of."""
    if (module, name) in _OF_APPLICATIONS:
        return True
    if module == "keras":
        return name in _TOP
    package, _, rest = module.removeprefix("keras.src.").removeprefix("keras.").partition(".")
    if not module.startswith("keras."):
        return False
    if package == "models":
        return name in MODELS and rest in ("", "functional", "model", "sequential")
    return package in allowed
