"""Documents: canonical bytes out, nothing but exactly those values in."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_edge import documents
from cxr_edge.errors import BundleError, SpecError


@dataclass(frozen=True, slots=True)
class Leaf:
    text: str
    number: float

    def __post_init__(self) -> None:
        if self.text == "forbidden":
            raise SpecError("text is forbidden")


@dataclass(frozen=True, slots=True)
class Tree:
    count: int
    flag: bool
    choice: Literal[1, 3]
    leaf: Leaf
    leaves: tuple[Leaf, ...]
    pair: tuple[float, float] | None
    table: dict[str, int]


TREE = Tree(2, True, 3, Leaf("é \n", 0.1), (Leaf("", -1e-300),), (0.0, 1.0), {"b": 1, "a": 2})


def parse(data: bytes) -> Tree:
    return documents.parse(data, Tree, name="tree.json", error=BundleError)


def changed(**fields: object) -> bytes:
    """TREE as JSON with some values replaced."""
    return json.dumps({**json.loads(documents.dump(TREE)), **fields}).encode()


def refused(data: bytes) -> str:
    """The message of the refusal: it must name the document and fit one line."""
    with pytest.raises(BundleError) as caught:
        parse(data)
    message = str(caught.value)
    assert message.startswith("tree.json: ")
    assert len(message.splitlines()) == 1
    return message


leaves = st.builds(
    Leaf,
    st.text(st.characters(codec="utf-8")).filter(lambda text: text != "forbidden"),
    st.floats(allow_nan=False, allow_infinity=False),
)
integers = st.integers(-(2**63), 2**63 - 1)
trees = st.builds(
    Tree,
    integers,
    st.booleans(),
    st.sampled_from([1, 3]),
    leaves,
    st.lists(leaves, max_size=3).map(tuple),
    st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.dictionaries(st.text(st.characters(codec="utf-8")), integers, max_size=3),
)


@given(trees)
def test_what_is_written_is_read_back_equal_and_written_again_as_the_same_bytes(tree: Tree) -> None:
    data = documents.dump(tree)
    again = parse(data)
    assert again == tree
    assert documents.dump(again) == data


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_the_given_error(data: bytes) -> None:
    refused(data)


@given(st.data())
def test_a_document_with_a_changed_byte_is_refused_or_means_what_it_says(
    data: st.DataObject,
) -> None:
    original = documents.dump(TREE)
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = original[:place] + bytes([byte]) + original[place + 1 :]
    try:
        tree = parse(damaged)
    except BundleError:
        return
    assert tree == documents.parse(documents.dump(tree), Tree, name="", error=BundleError)


def test_the_bytes_are_two_spaces_utf_8_in_the_order_of_the_fields_with_a_final_newline() -> None:
    assert documents.dump(Leaf("é", 1.0)) == '{\n  "text": "é",\n  "number": 1.0\n}\n'.encode()


def test_other_spacing_and_order_are_read_and_written_in_the_one_representation() -> None:
    values = json.loads(documents.dump(TREE))
    shuffled = json.dumps(dict(reversed(values.items())), indent=7).encode()
    assert documents.dump(parse(shuffled)) == documents.dump(TREE)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_never_written(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        documents.dump(Leaf("", number))


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed() -> None:
    message = refused(changed(colour="red"))
    assert "'colour'" in message and "count, flag, choice" in message


def test_an_unknown_key_deep_inside_is_named_with_its_path() -> None:
    assert "'leaf.size'" in refused(changed(leaf={"text": "", "number": 1.0, "size": 1}))


def test_a_missing_key_is_refused_by_name() -> None:
    values = json.loads(documents.dump(TREE))
    del values["leaf"]["number"]
    assert "'leaf.number' is missing" in refused(json.dumps(values).encode())


def test_a_duplicate_key_is_refused_by_name_also_deep_inside() -> None:
    data = documents.dump(TREE).replace(b'"text": "\xc3\xa9', b'"text": "", "text": "\xc3\xa9')
    assert "'text' occurs twice" in refused(data)


def test_a_duplicate_after_a_hundred_thousand_keys_is_found_at_once() -> None:
    keys = ",".join(f'"{number}":1' for number in [*range(100_000), 99_999])
    start = time.process_time()
    assert "occurs twice" in refused(f"{{{keys}}}".encode())
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("count", True, "count is true or false, expected a whole number"),
        ("count", 2.0, "count is a number, expected a whole number"),
        ("count", "2", "count is a text, expected a whole number"),
        ("count", None, "count is null, expected a whole number"),
        ("flag", 1, "flag is a whole number, expected true or false"),
        ("choice", 2, "choice is 2, expected one of 1, 3"),
        ("choice", True, "choice is True, expected one of 1, 3"),
        ("choice", 1.0, "choice is 1.0, expected one of 1, 3"),
        ("choice", [1], "choice is [1], expected one of 1, 3"),
        ("leaf", [], "leaf is a list, expected an object"),
        ("leaf", {"text": 1, "number": 1.0}, "leaf.text is a whole number, expected a text"),
        ("leaf", {"text": "", "number": True}, "leaf.number is true or false, expected a number"),
        ("leaves", {}, "leaves is an object, expected a list"),
        ("leaves", [None], "leaves[0] is null, expected an object"),
        ("pair", [0.0], "pair has 1 entries, expected 2"),
        ("pair", [0.0, "1"], "pair[1] is a text, expected a number"),
        ("table", [], "table is a list, expected an object"),
        ("table", {"a\nb": 1.5}, r"table['a\nb'] is a number, expected a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(
    field: str, value: object, expected: str
) -> None:
    assert expected in refused(changed(**{field: value}))


def test_a_whole_number_is_taken_where_a_number_is_expected() -> None:
    tree = parse(changed(leaf={"text": "", "number": 3}))
    assert tree.leaf.number == 3.0 and type(tree.leaf.number) is float


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    data = documents.dump(TREE).replace(b"0.1", number.encode())
    assert number.encode() in data
    refused(data)


def test_a_whole_number_of_five_thousand_digits_is_refused() -> None:
    refused(documents.dump(TREE).replace(b'"count": 2', b'"count": ' + b"9" * 5000))


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_whole_number_of_more_than_64_bits_is_refused(number: int) -> None:
    assert "count is too large" in refused(changed(count=number))
    assert "leaf.number is too large" in refused(changed(leaf={"text": "", "number": number}))


@pytest.mark.parametrize("pattern", [("[", "]"), ('{"a":', "}")])
def test_nesting_of_depth_100_000_is_refused(pattern: tuple[str, str]) -> None:
    opening, closing = pattern
    assert "nested too deeply" in refused((opening * 100_000 + "1" + closing * 100_000).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_another_encoding_than_utf_8_is_refused(encoding: str) -> None:
    refused(documents.dump(TREE).decode().encode(encoding))


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    refused(documents.dump(TREE).replace("é".encode(), b"\xe9"))


@pytest.mark.parametrize("place", ["value", "key"])
def test_half_of_a_surrogate_pair_is_refused_because_it_could_not_be_written(place: str) -> None:
    data = changed(leaf={"text": "\ud800", "number": 1.0})
    if place == "key":
        data = changed(table={"\ud800": 1})
    assert rb"\ud800" in data
    assert "surrogate" in refused(data)


def test_a_rule_of_the_dataclass_itself_is_reported_with_the_name_of_the_document() -> None:
    assert "text is forbidden" in refused(changed(leaf={"text": "forbidden", "number": 1.0}))


def test_a_very_long_value_does_not_make_a_very_long_message() -> None:
    assert len(refused(changed(choice="x" * 100_000))) < 300
    assert len(refused(changed(**{"x" * 100_000: 1}))) < 300
    assert len(refused(changed(table={"x" * 100_000: None}))) < 300


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"1", b'"text"', b"{} {}", b"{"])
def test_what_is_no_single_object_is_refused(data: bytes) -> None:
    refused(data)


@dataclass(frozen=True, slots=True)
class Circle:
    radius: float
    colour: str = documents.since("1.2", "red")


@dataclass(frozen=True, slots=True)
class Box:
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawing:
    shape: Circle | Box


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"width": 1.0, "height": 2.0}, Box(1.0, 2.0)),
        ({"height": 2.0, "width": 1.0}, Box(1.0, 2.0)),
        ({"radius": 3.0}, Circle(3.0)),
        ({"colour": "blue", "radius": 3.0}, Circle(3.0, "blue")),
    ],
    ids=str,
)
def test_the_keys_say_which_of_two_objects_it_is(shape: object, expected: Circle | Box) -> None:
    data = json.dumps({"shape": shape}).encode()
    assert documents.parse(data, Drawing, name="d", error=BundleError).shape == expected
    for wrong in ({"width": 1.0}, {"radius": 3.0, "width": 1.0}, {}):
        with pytest.raises(BundleError, match="shape"):
            data = json.dumps({"shape": wrong}).encode()
            documents.parse(data, Drawing, name="d", error=BundleError)


@dataclass(frozen=True, slots=True)
class Grown:
    """A document that got one key with version 1.2, and one with 1.10."""

    format: str
    leaf: Leaf
    colour: str | None = documents.since("1.2", None)
    size: int = documents.since("1.10", 7)


def grown(format: str | None, **later: object) -> Grown:
    """A document with these later keys, read as one of a version; None: without a version."""
    data = json.dumps({"format": format or "", "leaf": {"text": "", "number": 1}, **later}).encode()
    version = documents.parse_version(format) if format else None
    return documents.parse(data, Grown, name="g", error=BundleError, version=version)


def test_a_key_that_came_later_has_its_default_in_older_documents() -> None:
    old = grown("1.0")
    assert (old.colour, old.size) == (None, 7)
    newer = grown("1.9", colour="red")
    assert (newer.colour, newer.size) == ("red", 7)
    newest = grown("1.10", colour=None, size=8)
    assert (newest.colour, newest.size) == (None, 8)


@pytest.mark.parametrize(
    ("format", "later", "expected"),
    [
        ("1.1", {"colour": "red"}, "unknown key 'colour'; expected format, leaf"),
        ("1.9", {"colour": "red", "size": 1}, "unknown key 'size'; expected format, leaf, colour"),
        ("1.2", {}, "the key 'colour' is missing"),
        ("1.10", {"colour": "red"}, "the key 'size' is missing"),
        ("1.10", {"colour": 1, "size": 1}, "colour is a whole number, expected a text"),
        ("1.10", {"colour": "red", "size": 1, "x": 1}, "unknown key 'x'"),
    ],
)
def test_a_later_key_is_in_documents_of_its_version_and_in_no_older_one(
    format: str, later: dict[str, object], expected: str
) -> None:
    with pytest.raises(BundleError, match=expected):
        grown(format, **later)


def test_a_document_without_a_version_may_lack_later_keys_and_no_others() -> None:
    assert grown(None, size=8) == Grown("", Leaf("", 1.0), None, 8)
    with pytest.raises(BundleError, match="unknown key 'x'"):
        grown(None, x=1)
    with pytest.raises(BundleError, match="'leaf' is missing"):
        documents.parse(b'{"format": ""}', Grown, name="g", error=BundleError)


def test_every_key_is_written_the_later_ones_too() -> None:
    assert list(json.loads(documents.dump(grown("1.0")))) == ["format", "leaf", "colour", "size"]


def version_of(data: bytes) -> documents.Version | None:
    return documents.read_version(data, "2.3", name="g", error=BundleError, renew="write it again")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"format": "2.0"}', (2, 0)),
        (b'\n{\n"format" : "2.3", "x": 1}', (2, 3)),
        (b'{"format": 2}', (2, 0)),
        (b'{"x": 1, "format": "2.0"}', None),
        (b'{"format": "2"}', None),
        (b'{"format": "2.0.1"}', None),
        (b'{"format": "-2.0"}', None),
        (b'{"format": "22222.0"}', None),
        (b'{"format": null}', None),
        (b'[{"format": "2.0"}]', None),
        (b"", None),
    ],
)
def test_the_version_is_the_first_key(data: bytes, expected: documents.Version | None) -> None:
    assert version_of(data) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"2.4"', "g: format 2.4, this cxr-edge reads up to 2.3; update cxr-edge"),
        ('"2.30"', "g: format 2.30, this cxr-edge reads up to 2.3; update cxr-edge"),
        ("3", "g: format 3.0, this cxr-edge reads up to 2.3; update cxr-edge"),
        ('"1.9"', "g: format 1.9, this cxr-edge reads 2.x; write it again"),
    ],
)
def test_another_version_is_refused_with_what_to_do(text: str, expected: str) -> None:
    with pytest.raises(BundleError) as caught:
        version_of(f'{{"format": {text}, and then something else'.encode())
    assert str(caught.value) == expected
