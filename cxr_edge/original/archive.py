"""Saving a rebuilt model: the same network gives the same bytes in every process."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from cxr_edge.device.temporary import temporary_folder
from cxr_edge.extras import package_version

_EPOCH = (1980, 1, 1, 0, 0, 0)


def save(model: Any) -> bytes:
    """A ``.keras`` file of a model, without dates, memory addresses or a compiled loss."""
    with temporary_folder() as folder:
        path = folder / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    config = json.loads(contents["config.json"])
    config.pop("compile_config", None)
    contents["config.json"] = json.dumps(_numbered(config, {})).encode()
    metadata = {"keras_version": package_version("keras"), "date_saved": "1980-01-01@00:00:00"}
    contents["metadata.json"] = json.dumps(metadata).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return data.getvalue()


def _numbered(value: Any, numbers: dict[int, int]) -> Any:
    """A configuration whose shared objects are numbered in order, not by memory address."""
    if isinstance(value, list):
        return [_numbered(item, numbers) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: numbers.setdefault(item, len(numbers))
        if key == "shared_object_id"
        else _numbered(item, numbers)
        for key, item in value.items()
    }
