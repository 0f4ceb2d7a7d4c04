"""What a .ncnn file holds, checked in its bytes before ncnn sees them.

ncnn needs two files, and a bundle has one file for each artifact. So a .ncnn file is a zip archive
of stored members, in this order: what its arithmetic is, the document of :mod:`..bundle.embedded`,
and ncnn's two files, which ``unzip`` gives back to any program that uses ncnn. It is read by its
local headers, in one pass. ncnn trusts its files, so everything in them is checked: each layer by
:mod:`.ncnn_layers`, how they are connected, and that the weights are as many as the layers need.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass

from cxr_edge.engines.ncnn_layers import Layer, Shape, describe
from cxr_edge.engines.ncnn_params import Params
from cxr_edge.errors import EngineError
from cxr_edge.files import printable

PRECISION, METADATA, PARAM, WEIGHTS = "precision", "metadata.json", "model.param", "model.bin"
MEMBERS = (PRECISION, METADATA, PARAM, WEIGHTS)
"""Names of the members, in the order of the file."""
PRECISIONS = ("fp32", "fp16")
"""What ncnn may compute in; ``fp16`` where the CPU can."""
INPUT, OUTPUT = "image", "scores"
"""Names of the blobs that go in and come out."""
MAGIC = 7767517
"""The first line of a .param file."""
FLOAT32, FLOAT16 = 0, 0x01306B47
"""How an array of weights is stored, by the four bytes before it."""

_LOCAL = b"PK\3\4"
_HEADER, _END = struct.Struct("<4sHHHHHIIIHH"), struct.Struct("<4sHHHHIIH")
_MOST_PARAM_BYTES = 2**22
_MOST_LAYERS = 2_000  # ncnn calls itself once for each: 3,000 end a thread with a stack of 512 KiB
_MOST_VALUES = 2**27  # of all blobs together: 512 MiB if none is freed
_MOST_MULTIPLICATIONS = 2**37  # of one inference
_LINE = re.compile(r"([A-Za-z]{1,40}) +([!-~]{1,200}) +(\d{1,4}) +(\d{1,4})((?: +[!-~]{1,200})*) *")
_WHOLE, _REAL = re.compile(r"-?\d{1,9}"), re.compile(r"-?\d\.\d{8}e[+-]\d\d")
_KEYED = re.compile(r"(-?\d{1,5})=(.+)")
_ARRAYS = -23300
"""The number of an array's parameter is written as this minus the number."""


@dataclass(frozen=True, slots=True)
class NcnnFile:
    """The members of a file, and what its network takes and gives."""

    precision: str
    """One of :data:`PRECISIONS`."""
    metadata: bytes
    """The document of :mod:`cxr_edge.bundle.embedded`; empty before it is embedded."""
    param: str
    """ncnn's list of layers."""
    weights: memoryview
    """ncnn's weights."""
    input: Shape
    """(channels, height, width)."""
    output: Shape
    """Of the scores."""


def read_ncnn(model: bytes) -> NcnnFile:
    """Read and check a file.

    Raises:
        EngineError: it is no .ncnn file, or its network is not one that ncnn may be given.
    """
    members = members_of(model)
    precision = bytes(members[PRECISION][:20]).decode("ascii", "replace")
    if precision not in PRECISIONS:
        raise EngineError(
            f"the model's precision is {printable(precision)}, expected {' or '.join(PRECISIONS)}"
        )
    if len(members[PARAM]) > _MOST_PARAM_BYTES:
        raise EngineError(f"the model's list of layers has more than {_MOST_PARAM_BYTES:,} bytes")
    try:
        param = bytes(members[PARAM]).decode("ascii")
    except UnicodeDecodeError as err:
        raise _malformed("its list of layers is not ASCII") from err
    network = _Network(param)
    network.check_weights(members[WEIGHTS])
    return NcnnFile(
        precision,
        bytes(members[METADATA]),
        param,
        members[WEIGHTS],
        network.input,
        network.output,
    )


def members_of(model: bytes) -> dict[str, memoryview]:
    """The members of a file by name.

    Raises:
        EngineError: it is no .ncnn file.
    """
    view, place, members = memoryview(model), 0, {}
    for name in MEMBERS:
        start = place + _HEADER.size
        if start > len(view):
            raise _malformed("it is no .ncnn file, or cut")
        signature, _, flags, method, _, _, _, packed, size, letters, extra = _HEADER.unpack(
            view[place:start]
        )
        end = start + letters + size
        if signature != _LOCAL or view[start : start + letters] != name.encode():
            raise _malformed("it is no .ncnn file, or damaged")
        if flags or method or extra or packed != size or end > len(view):
            raise _malformed(f"its member {name} is packed, cut or damaged")
        members[name] = view[start + letters : end]
        place = end
    end = len(view) - _END.size
    if end < place or _END.unpack(view[end:]) != (b"PK\5\6", 0, 0, 4, 4, end - place, place, 0):
        raise _malformed("its end is cut or damaged")
    return members


class _Network:
    """A list of layers, checked line by line."""

    def __init__(self, param: str) -> None:
        lines = param.split("\n")
        if len(lines) < 4 or lines[0] != str(MAGIC) or lines[-1]:
            raise _malformed("its list of layers does not begin or end as ncnn's")
        if len(lines) > _MOST_LAYERS:
            raise EngineError(f"the model has more than {_MOST_LAYERS:,} layers")
        self._open: dict[str, Shape] = {}
        self._made: set[str] = set()
        self._arrays: list[tuple[int, bool]] = []
        self._values = self._multiplications = 0
        for line in lines[2:-1]:
            self._read(line)
        if lines[1] != f"{len(lines) - 3} {len(self._made)}":
            raise _malformed(f"it counts {lines[1][:40]!r} layers and blobs, which it has not")
        if list(self._open) != [OUTPUT]:
            raise _malformed(f"its output is {', '.join(self._open)[:80]!r}, expected {OUTPUT}")
        self.output = self._open[OUTPUT]

    def check_weights(self, weights: memoryview) -> None:
        """Walk over the arrays of weights; raises EngineError where they do not fit."""
        place = 0
        for count, flagged in self._arrays:
            size = 4 * count
            if flagged:
                flag = weights[place : place + 4]
                if flag == FLOAT16.to_bytes(4, "little"):
                    size = (2 * count + 3) // 4 * 4
                elif flag != FLOAT32.to_bytes(4, "little"):
                    raise _malformed("its weights are stored in an unknown way, or cut")
                place += 4
            place += size
        if place != len(weights):
            raise _malformed(f"its layers need {place:,} bytes of weights, it has {len(weights):,}")

    def _read(self, line: str) -> None:
        parts = _LINE.fullmatch(line)
        if not parts:
            raise _malformed(f"its list of layers has the line {printable(line)[:60]!r}")
        kind, inputs, outputs, words = parts[1], int(parts[3]), int(parts[4]), parts[5].split()
        names = words[: inputs + outputs]
        if len(names) < inputs + outputs or not outputs:
            raise _malformed(f"a layer {kind} lacks names of blobs")
        if (kind == "Input") != (not self._made):
            raise _malformed("its first layer, and no other one, must be the input")
        sources = [self._take(name, kind) for name in names[:inputs]]
        params = _params(words[inputs + outputs :], kind)
        layer = describe(kind, params, sources, outputs)
        for name, shape in zip(names[inputs:], layer.shapes, strict=True):
            if name in self._made:
                raise _malformed(f"two layers output {printable(name)[:40]!r}")
            self._made.add(name)
            self._open[name] = shape
        if kind == "Input":
            if names != [INPUT]:
                raise _malformed(f"its input is {printable(names[0])[:40]!r}, expected {INPUT}")
            (self.input,) = layer.shapes
        self._count_work(kind, layer)
        for number, count in enumerate(layer.weights):
            self._arrays.append((count, layer.flagged and number == 0))

    def _count_work(self, kind: str, layer: Layer) -> None:
        """Bound memory and time of an inference: ncnn does not check what it allocates."""
        shape = layer.shapes[0]
        if kind != "Split":  # which copies nothing
            self._values += math.prod(shape)
        if layer.weights:
            self._multiplications += layer.weights[0] * math.prod(shape[1:])
        if self._values > _MOST_VALUES or self._multiplications > _MOST_MULTIPLICATIONS:
            raise EngineError(
                f"the model's layers compute more than {_MOST_VALUES:,} values, or by more than "
                f"{_MOST_MULTIPLICATIONS:,} multiplications"
            )

    def _take(self, name: str, kind: str) -> Shape:
        """The shape of a blob; each is read by one layer, since ncnn frees it then."""
        if name not in self._open:
            raise _malformed(
                f"a layer {kind} reads {printable(name)[:40]!r}, which is not there, or read before"
            )
        return self._open.pop(name)


def _params(words: list[str], kind: str) -> Params:
    params: dict[int, int | float | tuple[float, ...]] = {}
    for word in words:
        keyed = _KEYED.fullmatch(word)
        number = int(keyed[1]) if keyed else -1
        is_array = number <= _ARRAYS
        if is_array:
            number = _ARRAYS - number
        if not keyed or not 0 <= number < 32 or number in params:
            raise _malformed(f"a layer {kind} has the parameter {printable(word)[:40]!r}")
        params[number] = _array(keyed[2], kind) if is_array else _number(keyed[2], kind)
    return params


def _number(text: str, kind: str) -> int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    raise _malformed(f"a layer {kind} has the number {printable(text)[:40]!r}")


def _array(text: str, kind: str) -> tuple[float, ...]:
    count, *values = text.split(",")
    numbers = tuple(_number(value, kind) for value in values)
    if count != str(len(numbers)) or not all(
        isinstance(number, float) and math.isfinite(number) for number in numbers
    ):
        raise _malformed(f"a layer {kind} has the array {printable(text)[:40]!r}")
    return numbers


def _malformed(reason: str) -> EngineError:
    return EngineError(f"cannot load the model: {reason}; export it again")
