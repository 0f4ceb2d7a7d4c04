"""Reading a saved model without running code from it: ``.keras`` archives and HDF5 files."""

from __future__ import annotations

import contextlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_edge.bundle.manifest import MAX_FILE_BYTES
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.errors import ModelError
from cxr_edge.extras import package_version, require
from cxr_edge.files import read_file
from cxr_edge.original.contents import (
    MAX_CONFIG_BYTES,
    check_config,
    check_depth,
    check_members,
    check_weights,
)
from cxr_edge.original.files import Kind, model_kind, reason, refuse

_RANDOM = """
ActivityRegularization AlphaDropout AugMix CutMix Dropout Equalization GaussianDropout GaussianNoise
Identity MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue
RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
RandomShear RandomTranslation RandomZoom Solarization SpatialDropout1D SpatialDropout2D
SpatialDropout3D
"""
RANDOM_LAYERS = frozenset(_RANDOM.split())
"""Classes of Keras layers that do something in training only. RandomCrop and AutoContrast are not
among them: they change an image in inference, too."""

_UNGROUPED = frozenset({"Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D"})


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A loaded model, and what only its file says."""

    model: Any
    """The ``keras.Model``."""
    kind: Kind
    from_logits: bool
    """Whether the loss that it was trained with expected logits."""
    loss: str
    """Name of that loss as Keras's function has it, ``binary_crossentropy``; empty: unknown."""
    mended: bool
    """Whether it loads only without some options or training-time layers."""
    data: bytes = b""
    """The file; empty for a model that is from none."""


@dataclass(frozen=True, slots=True)
class _Description:
    config: dict[str, Any]
    loss: Any
    version: str


def read_saved(path: Path, name: str, keras: Any) -> SavedModel:
    """Load a model for inference.

    The file is read once, into a folder of this process: what was checked is what Keras loads.

    Args:
        path: the file.
        name: what messages call it.
        keras: the module.

    Raises:
        ModelError: it is no Keras model, holds code of its own or reads other files, or Keras
            cannot load it.
    """
    kind = model_kind(path, name)
    data = read_file(path, max_bytes=MAX_FILE_BYTES, error=ModelError)
    with temporary_folder() as folder:
        copy = folder / ("model.keras" if kind == "keras" else "model.h5")  # Keras goes by the name
        copy.write_bytes(data)
        return _read_copy(copy, kind, data, name, keras)


def _read_copy(path: Path, kind: Kind, data: bytes, name: str, keras: Any) -> SavedModel:
    """Check and load a file that nobody changes meanwhile."""
    description = _read_archive(path, name) if kind == "keras" else _read_hdf5(path, name)
    check_config(description.config, name)
    check_depth(description.loss, name)
    trained = _expects_logits(description.loss), _loss_name(description.loss)
    try:
        return SavedModel(_load(path, keras), kind, *trained, mended=False, data=data)
    except Exception as err:  # a zip, JSON, HDF5 or layer error: Keras wraps none of them
        check_config(description.config, name, keras)
        config = _mended(description.config)
        if config == description.config:
            raise _explain(err, name, description) from err
    try:
        with _with_config(path, kind, config) as mended:
            return SavedModel(_load(mended, keras), kind, *trained, mended=True, data=data)
    except Exception as err:  # as above
        raise _explain(err, name, description) from err


def _read_archive(path: Path, name: str) -> _Description:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_members(members, name)
            names = [member.filename for member in members]
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in names else {}
            for weights in (item for item in names if item.endswith(".h5")):
                with _open_hdf5(io.BytesIO(archive.read(weights))) as file:
                    check_weights(file, name)
    except ModelError:
        raise
    except Exception as err:  # of zipfile, zlib, json or h5py
        raise refuse(name, f"no model saved by Keras, or damaged: {reason(err)}") from err
    if not isinstance(config, dict):
        raise refuse(name, "no model saved by Keras: its config.json is no object")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return _Description(config, config.get("compile_config"), str(version or ""))


def _read_hdf5(path: Path, name: str) -> _Description:
    try:
        with _open_hdf5(path) as file:
            kept = ("model_config", "training_config", "keras_version")
            attributes = {key: file.attrs[key] for key in kept if key in file.attrs}
            is_weights = "layer_names" in file.attrs or "layers" in file
            check_weights(file, name)
    except ModelError:
        raise
    except Exception as err:  # h5py raises OSError, KeyError and RuntimeError
        raise refuse(name, f"the file is cut or damaged: {reason(err)}; copy it again") from err
    if "model_config" not in attributes:
        what = "a weights file: it does not hold the network" if is_weights else "no Keras model"
        raise refuse(
            name,
            f"{what}; build the network in Keras, call load_weights and then "
            "model.save('model.keras')",
        )
    try:
        config = _json_attribute(attributes["model_config"])
        loss = _json_attribute(attributes.get("training_config", "null"))
        version = attributes.get("keras_version", "")
        version = version.decode() if isinstance(version, bytes) else str(version)
    except (TypeError, ValueError, RecursionError) as err:
        raise refuse(name, f"its network is damaged: {reason(err)}; save it again") from err
    if not isinstance(config, dict):
        raise refuse(name, "no model saved by Keras: its model_config is no object")
    return _Description(config, loss, version)


def _open_hdf5(source: Path | io.BytesIO) -> Any:
    return require("h5py", "train").File(source, "r")


def _json_attribute(text: Any) -> Any:
    if not isinstance(text, (str, bytes)) or len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"no text of at most {MAX_CONFIG_BYTES:,} bytes")
    return json.loads(text)


def _expects_logits(value: Any) -> bool:
    if isinstance(value, dict):
        items = [item for key, item in value.items() if "metric" not in key]
        return value.get("from_logits") is True or any(map(_expects_logits, items))
    return isinstance(value, list) and any(map(_expects_logits, value))


def _loss_name(compiled: Any) -> str:
    """The name of the only loss that a model was compiled with; empty where it says none."""
    loss = compiled.get("loss") if isinstance(compiled, dict) else None
    if isinstance(loss, dict):
        inner = loss.get("config")
        loss = inner if isinstance(inner, str) else loss.get("class_name")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss).lower() if isinstance(loss, str) else ""


def _load(path: Path, keras: Any) -> Any:
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _mended(value: Any) -> Any:
    """A configuration without what Keras 3 is known not to read.

    Training-time layers become Identity, with their names and places: Keras 3.15 writes some that
    it cannot read (RandomShear with the lower end of its range, which it then refuses as negative;
    Equalization in a Sequential, as a cycle). Of Keras 2, a group of one, initializers and an axis
    in a list go.
    """
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    config, kind = value.get("config"), str(value.get("class_name"))
    if kind in RANDOM_LAYERS and isinstance(config, dict):
        kept = {key: config[key] for key in ("name", "dtype") if key in config}
        built = {"module": "keras.layers"} if "module" in value else {}
        return value | {"class_name": "Identity", "config": kept} | built
    if kind in _UNGROUPED and isinstance(config, dict) and "groups" in config:
        dropped = {key for key in config if key.startswith("kernel_") and key != "kernel_size"}
        dropped |= {"groups"} if config["groups"] == 1 else set()
        rest = {key: item for key, item in config.items() if key not in dropped}
        return value | {"config": _mended(rest)}
    if value.get("class_name") == "BatchNormalization" and isinstance(config, dict):
        axis = config.get("axis")
        if isinstance(axis, list) and len(axis) == 1:
            return value | {"config": config | {"axis": axis[0]}}
    return {key: _mended(item) for key, item in value.items()}


@contextlib.contextmanager
def _with_config(path: Path, kind: Kind, config: dict[str, Any]) -> Iterator[Path]:
    """A copy of a saved model with another configuration."""
    with temporary_folder() as folder:
        copy = folder / ("model.keras" if kind == "keras" else "model.h5")
        text = json.dumps(config)
        if kind == "keras":
            with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as target:
                for item in archive.namelist():
                    target.writestr(item, text if item == "config.json" else archive.read(item))
        else:
            h5py = require("h5py", "train")

            copy.write_bytes(path.read_bytes())
            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = text
        yield copy


def _explain(err: Exception, name: str, description: _Description) -> ModelError:
    version, installed = description.version, package_version("keras") or ""
    if version and not version.startswith("3."):
        what = "save it as .h5 with the TensorFlow that wrote it, or with tf_keras"
        return refuse(
            name, f"saved by Keras {version}, which Keras 3 cannot load; {what}: {reason(err)}"
        )
    if version and version != installed:
        return refuse(
            name, f"saved by Keras {version}, Keras {installed} cannot load it: {reason(err)}"
        )
    return refuse(name, f"Keras cannot load it: {reason(err, 200)}")
