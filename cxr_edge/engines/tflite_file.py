"""What a TFLite file may hold, checked in its bytes before LiteRT sees them.

A .tflite file is a FlatBuffer: tables whose fields are found through a list of offsets. Only the
list of operators and the two lists of external buffers are looked at.
"""

from __future__ import annotations

import struct

from cxr_edge.errors import EngineError
from cxr_edge.files import printable

_OPERATORS, _EXTERNAL_GROUPS, _EXTERNAL_BUFFERS = 1, 8, 9  # fields of the table Model
_OLD_CODE, _CUSTOM_NAME, _CODE = 0, 1, 3  # fields of the table OperatorCode
_CUSTOM = 32
_MOST_OPERATORS = 4096


def check_tflite(model: bytes) -> None:
    """Refuse a file that would make LiteRT open other files or need operators that it has not.

    Raises:
        EngineError: it has custom operators or buffers outside the file, or is no TFLite model.
    """
    if model[4:8] != b"TFL3":
        raise EngineError(
            "cannot load the model: it is no TFLite file, or damaged; export it again"
        )
    try:
        external, custom = _read(model)
    except (struct.error, IndexError) as err:
        raise EngineError("cannot load the model: offsets point outside the file") from err
    if external:
        raise EngineError(
            "the model keeps buffers outside the file, which is never opened; save it as one file"
        )
    if custom:
        kind = "TensorFlow's own" if custom.startswith("Flex") else "custom"
        raise EngineError(
            f"the model needs {kind} operators ({printable(custom)[:60]}), which cxr-edge never "
            "loads; convert it with TFLite's operators only"
        )


def _read(model: bytes) -> tuple[bool, str]:
    """Whether there are external buffers, and the name of the first custom operator."""
    root = _uint(model, 0)
    external = any(
        (place := _field(model, root, field)) and _uint(model, place + _uint(model, place))
        for field in (_EXTERNAL_GROUPS, _EXTERNAL_BUFFERS)
    )
    place = _field(model, root, _OPERATORS)
    if not place:
        return external, ""
    place += _uint(model, place)
    count = _uint(model, place)
    if count > _MOST_OPERATORS:
        raise EngineError(f"the model lists {count:,} kinds of operators; export it again")
    for entry in range(place + 4, place + 4 + 4 * count, 4):
        table = entry + _uint(model, entry)
        name = _field(model, table, _CUSTOM_NAME)
        old, new = _field(model, table, _OLD_CODE), _field(model, table, _CODE)
        codes = (model[old] if old else 0, _uint(model, new) if new else 0)
        if name or _CUSTOM in codes:
            return external, _text(model, name) if name else "of no name"
    return external, ""


def _field(model: bytes, table: int, number: int) -> int:
    """Where a field of a table is; 0: it has its default."""
    (back,) = struct.unpack_from("<i", model, table)
    offsets = table - back
    if offsets < 0:
        raise IndexError
    (size,) = struct.unpack_from("<H", model, offsets)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", model, offsets + 4 + 2 * number)
    return table + int(offset) if offset else 0


def _text(model: bytes, place: int) -> str:
    place += _uint(model, place)
    text = model[place + 4 : place + 4 + min(_uint(model, place), 100)]
    return text.decode("utf-8", "backslashreplace")


def _uint(model: bytes, place: int) -> int:
    (value,) = struct.unpack_from("<I", model, place)
    return int(value)
