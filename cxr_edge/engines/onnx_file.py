"""What an ONNX file may hold, checked in its bytes before an engine sees them.

Engines load more than the bytes that they are given: tensors whose data is in other files, by a
path of the file's choice, and operators of other packages. Both are refused wherever they stand:
in the graph, in the subgraphs of If, Loop and Scan, in functions, in sparse tensors and in graphs
for training. The ``onnx`` package is not needed. An ONNX file is a protobuf message: a sequence of
fields, each a number with a value, a length or another message. Only messages that may hold such
things are entered, so weights are skipped by their length.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxr_edge.errors import EngineError
from cxr_edge.files import printable

DOMAINS = ("", "ai.onnx")
"""The operator sets that a file may use: the standard one, under both of its names."""
MOST_LEVELS = 100
"""Messages within messages; protobuf itself reads no more."""
MOST_FIELDS = 500_000
"""Fields that are looked at; an exported network has some thousand."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ORT = slice(4, 8), b"ORTM"  # onnxruntime's own format, which it tells from ONNX by these bytes

_Field = tuple[int, int, int, int]
"""Number, wire type, and where the content starts and ends; of a varint, its value at the end."""

# By message, the number of each field that is of interest: the message that it holds, or a check.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute", 7: "=domain"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {13: "=external", 14: "=location"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 10: "=domain", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
_IR_VERSION, _GRAPH, _METADATA = 1, 7, 14


def check_onnx(model: bytes) -> None:
    """Refuse a file that would make an engine open other files or need other operators.

    Raises:
        EngineError: it holds external data or operators of another domain, is nested too deeply,
            or is no ONNX model.
    """
    if model[_ORT[0]] == _ORT[1]:
        raise EngineError("the model is in onnxruntime's own format, expected ONNX")
    numbers = set()
    for number, wire, _, _ in _fields(model, 0, len(model)):
        if number == _IR_VERSION and wire != _VARINT:
            raise _malformed()
        numbers.add(number)
    if not {_IR_VERSION, _GRAPH} <= numbers:
        raise EngineError("cannot load the model: it is no ONNX file, without a version or a graph")
    left = _check(model, 0, len(model), "model", 1, MOST_FIELDS)
    if left < 0:
        raise EngineError(f"the model has more than {MOST_FIELDS:,} fields; export it again")


def read_metadata(model: bytes) -> dict[str, str]:
    """Read the ``metadata_props`` of an ONNX file.

    Raises:
        EngineError: it is no ONNX file, or its metadata is not UTF-8.
    """
    check_onnx(model)
    metadata = {}
    for number, wire, start, end in _fields(model, 0, len(model)):
        if number == _METADATA and wire == _BYTES:
            entry = {n: model[a:b] for n, w, a, b in _fields(model, start, end) if w == _BYTES}
            try:
                metadata[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
            except UnicodeDecodeError as err:
                raise EngineError("the file's metadata is not UTF-8") from err
    return metadata


def _check(model: bytes, start: int, end: int, message: str, level: int, left: int) -> int:
    """Check a message and those inside it.

    Args:
        model: the file.
        start: where the message begins.
        end: where it ends.
        message: its type.
        level: how many messages it is inside of, itself included.
        left: fields that may still be looked at.

    Returns:
        Fields that are left; negative: there were too many.
    """
    if level > MOST_LEVELS:
        raise EngineError(f"the model is nested more than {MOST_LEVELS} levels deep")
    parts = _MESSAGES[message]
    for number, wire, first, last in _fields(model, start, end):
        left -= 1
        if left < 0:
            return left
        inner = parts.get(number)
        if inner is None:
            continue
        if inner == "=external":
            raise _external(model, first, last if wire == _BYTES else first)
        if inner == "=location":
            if wire == _VARINT and last & 0xFFFFFFFF:
                raise _external(model, first, first)
        elif wire == _BYTES:
            if inner == "=domain":
                _check_domain(model[first:last])
            elif last > first:
                left = _check(model, first, last, inner, level + 1, left)
    return left


def _check_domain(domain: bytes) -> None:
    name = domain.decode("utf-8", "backslashreplace")
    if name not in DOMAINS:
        raise EngineError(
            f"the model needs operators of {printable(name)[:60]}, which cxr-edge never loads; "
            "only standard ONNX operators are accepted: export it again"
        )


def _external(model: bytes, start: int, end: int) -> EngineError:
    """A tensor whose data is elsewhere; its entry may say where."""
    entry = {n: model[a:b] for n, w, a, b in _fields(model, start, end) if w == _BYTES}
    place = printable(entry.get(2, b"").decode("utf-8", "backslashreplace"))[:100]
    where = f" ({place})" if place else ""
    return EngineError(
        f"the model keeps tensors outside the file{where}, which is never opened; save it as one "
        "file"
    )


def _fields(model: bytes, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message.

    Raises:
        EngineError: it is no protobuf message.
    """
    place = start
    while place < end:
        key = model[place]
        place += 1
        if key >= 0x80:
            key, place = _varint(model, place - 1, end)
        wire, number = key & 7, key >> 3
        if not 0 < number < 2**29:
            raise _malformed()
        if wire == _BYTES:
            if place >= end:
                raise _malformed()
            length = model[place]
            place += 1
            if length >= 0x80:
                length, place = _varint(model, place - 1, end)
            last = place + length
            if last > end:
                raise _malformed()
            yield number, wire, place, last
            place = last
        elif wire == _VARINT:
            value, after = _varint(model, place, end)
            yield number, wire, place, value
            place = after
        elif wire in (_FIXED32, _FIXED64):
            last = place + (4 if wire == _FIXED32 else 8)
            if last > end:
                raise _malformed()
            yield number, wire, place, last
            place = last
        else:  # groups, which ONNX has none of
            raise _malformed()


def _varint(model: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of at most ten bytes, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            break
        byte = model[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _malformed()


def _malformed() -> EngineError:
    return EngineError("cannot load the model: it is no ONNX file, or damaged; export it again")
