"""Specs: every rule is refused with the name of the field; JSON keeps every value."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from cxr_edge import documents
from cxr_edge.errors import SpecError
from cxr_edge.spec import MAX_LABELS, MAX_SIDE, SEED_SPEC, InputSpec, ModelSpec, parse_spec
from cxr_edge.spec_file import PRESETS

THREE = ModelSpec(
    name="three",
    input=InputSpec(
        height=20,
        width=30,
        channels=3,
        interpolation="linear",
        geometry="letterbox",
        pad_value=255,
        scale=1 / 127.5,
        offset=-1.0,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    labels=("bacteria", "virus", "none"),
    activation="softmax",
    positive_label=None,
    threshold=None,
    threshold_choice="none",
)
BANDED = dataclasses.replace(SEED_SPEC, uncertain_band=(0.2, 0.8))


@pytest.mark.parametrize("spec", [SEED_SPEC, THREE, BANDED], ids=lambda spec: spec.name)
def test_a_spec_survives_json_unchanged(spec: ModelSpec) -> None:
    assert parse_spec(documents.dump(spec)) == spec


def test_the_seed_is_grey_150_squashed_and_its_sigmoid_is_p_normal() -> None:
    seed = SEED_SPEC
    assert seed.input_shape == (150, 150, 1) and seed.outputs == 1
    assert (seed.input.geometry, seed.input.interpolation) == ("squash", "area")
    assert (seed.input.scale, seed.input.offset) == (1 / 255, 0.0)
    assert seed.input.mean == seed.input.std == ()
    assert seed.activation == "sigmoid" and seed.labels[1] == "NORMAL"
    assert (seed.positive_label, seed.threshold) == ("PNEUMONIA", 0.5)
    assert seed.uncertain_band is None


def test_a_softmax_has_one_output_a_label() -> None:
    assert THREE.outputs == 3 and THREE.input_shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 0),
        ("height", -1),
        ("height", MAX_SIDE + 1),
        ("width", 0),
        ("width", MAX_SIDE + 1),
        ("pad_value", -1),
        ("pad_value", 256),
        ("scale", 0.0),
        ("scale", math.nan),
        ("scale", math.inf),
        ("offset", math.nan),
        ("offset", -math.inf),
        ("mean", (0.1,)),
        ("mean", (0.1,) * 4),
        ("mean", (0.1, math.nan, 0.1)),
        ("std", (0.1, 0.1)),
        ("std", (0.1, 0.0, 0.1)),
        ("std", (0.1, -0.1, 0.1)),
        ("std", (0.1, math.inf, 0.1)),
        ("scale", 1e30),
        ("scale", 1e-30),
        ("scale", -1e-30),
        ("offset", 1e30),
        ("offset", 1e6),  # float32 would not tell neighbouring levels apart
        ("mean", (0.1, 1e7, 0.1)),
        ("std", (0.1, 0.1, 1e-30)),
        ("std", (0.1, 0.1, 1e300)),
        ("channel_order", "bgr"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    field: str, value: object
) -> None:
    changed = {"channels": 1, "mean": (), "std": ()} if field == "channel_order" else {}
    with pytest.raises(SpecError, match=field):
        dataclasses.replace(THREE.input, **changed, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [1, MAX_SIDE])
def test_the_smallest_and_the_largest_side_are_accepted(side: int) -> None:
    assert InputSpec(height=side, width=side).height == side


@pytest.mark.parametrize("pad", [0, 255])
def test_black_and_white_borders_are_accepted(pad: int) -> None:
    assert InputSpec(height=1, width=1, pad_value=pad).pad_value == pad


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("labels", {"labels": ()}),
        ("labels", {"labels": ("PNEUMONIA",)}),
        ("labels", {"labels": ("PNEUMONIA", "PNEUMONIA")}),
        ("labels", {"labels": tuple(map(str, range(MAX_LABELS + 1)))}),
        ("sigmoid", {"labels": ("PNEUMONIA", "NORMAL", "VIRUS")}),
        ("positive_label", {"positive_label": None}),
        ("positive_label", {"positive_label": "pneumonia"}),
        ("threshold", {"threshold": None}),
        ("threshold", {"threshold": -0.01}),
        ("threshold", {"threshold": 1.01}),
        ("threshold", {"threshold": math.nan}),
        ("uncertain_band", {"uncertain_band": (0.5, 0.5)}),
        ("uncertain_band", {"uncertain_band": (0.6, 0.4)}),
        ("uncertain_band", {"uncertain_band": (-0.1, 0.4)}),
        ("uncertain_band", {"uncertain_band": (0.4, 1.1)}),
        ("uncertain_band", {"uncertain_band": (math.nan, 0.4)}),
        ("uncertain_band", {"uncertain_band": (0.4, math.nan)}),
    ],
)
def test_a_spec_for_two_labels_that_contradicts_itself_is_refused_by_the_name_of_its_field(
    field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(SpecError, match=field):
        dataclasses.replace(SEED_SPEC, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("positive_label", {"positive_label": "virus"}),
        ("threshold", {"threshold": 0.5}),
        ("uncertain_band", {"uncertain_band": (0.4, 0.6)}),
    ],
)
def test_a_spec_for_three_labels_has_no_threshold_positive_label_or_band(
    field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(SpecError, match=field):
        dataclasses.replace(THREE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_either_end_is_accepted(threshold: float) -> None:
    assert dataclasses.replace(SEED_SPEC, threshold=threshold).threshold == threshold


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", 2),
        ("channels", True),
        ("channels", 1.0),
        ("interpolation", "cubic"),
        ("geometry", "crop"),
        ("channel_order", "RGB"),
        ("height", 150.0),
        ("height", True),
        ("scale", "1/255"),
        ("mean", 0.5),
    ],
)
def test_an_input_in_json_is_held_to_its_types_and_choices(field: str, value: object) -> None:
    values = json.loads(documents.dump(SEED_SPEC))
    values["input"][field] = value
    with pytest.raises(SpecError, match=rf"^my\.json: input\.{field} is "):
        parse_spec(json.dumps(values).encode(), "my.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("activation", "tanh"),
        ("labels", "NORMAL"),
        ("labels", ["NORMAL", 1]),
        ("threshold", "0.5"),
        ("threshold", True),
        ("threshold", 2),
        ("uncertain_band", [0.1, 0.2, 0.3]),
        ("positive_label", "COVID"),
        ("name", None),
    ],
)
def test_a_spec_in_json_is_held_to_its_types_and_rules_and_the_file_is_named(
    field: str, value: object
) -> None:
    values = {**json.loads(documents.dump(SEED_SPEC)), field: value}
    with pytest.raises(SpecError, match=rf"^my\.json: {field}"):
        parse_spec(json.dumps(values).encode(), "my.json")


def test_a_contradiction_inside_the_input_is_reported_with_the_file() -> None:
    values = json.loads(documents.dump(SEED_SPEC))
    values["input"]["pad_value"] = 300
    with pytest.raises(SpecError, match=r"^my\.json: input\.pad_value is 300"):
        parse_spec(json.dumps(values).encode(), "my.json")


def refusal(values: object, name: str = "my.json") -> str:
    """The one line that refuses a spec."""
    with pytest.raises(SpecError) as caught:
        parse_spec(json.dumps(values).encode(), name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ") and len(message.splitlines()) == 1
    assert len(f"cxr-edge: {message}") <= 300
    return message


SHORT: dict[str, Any] = {"labels": ["a", "b"], "input": {"height": 64, "width": 48}}


def test_two_labels_and_a_size_are_a_spec() -> None:
    spec = parse_spec(json.dumps(SHORT).encode())
    assert spec == ModelSpec(
        "unnamed", InputSpec(64, 48), ("a", "b"), "sigmoid", "b", 0.5, "the default"
    )


def test_three_labels_and_a_size_are_a_spec() -> None:
    spec = parse_spec(json.dumps({**SHORT, "labels": ["a", "b", "c"]}).encode())
    assert (spec.activation, spec.positive_label, spec.threshold) == ("softmax", None, None)
    assert spec.threshold_choice == "more than two labels: the largest score"


def test_a_threshold_that_is_given_is_said_to_be() -> None:
    spec = parse_spec(json.dumps({**SHORT, "threshold": 0.3, "positive_label": "a"}).encode())
    assert (spec.threshold, spec.positive_label) == (0.3, "a")
    assert spec.threshold_choice == "given in the spec"


def test_a_bundle_s_copy_may_leave_nothing_out() -> None:
    with pytest.raises(SpecError, match="the key 'name' is missing"):
        documents.parse(json.dumps(SHORT).encode(), ModelSpec, name="x", error=SpecError)


@pytest.mark.parametrize("key", ["labels", "input"])
def test_what_nothing_can_stand_in_for_is_named(key: str) -> None:
    assert refusal({k: v for k, v in SHORT.items() if k != key}) == (
        f"my.json: the key {key!r} is missing"
    )


def test_all_problems_are_named_at_once() -> None:
    message = refusal(
        {
            "labels": ["a", "b"],
            "treshold": 0.5,
            "activation": "tanh",
            "positive_label": "c",
            "input": {"width": "64", "pad_value": 300, "channels": 2, "mean": [1, 2, 3]},
        }
    )
    assert message.split(": ", 1)[1].split("; ") == [
        "unknown key 'treshold', did you mean threshold?",
        "the key 'input.height' is missing",
        "input.width is a text, expected a whole number",
        "input.channels is 2, expected one of 1, 3",
        "input.pad_value is 300, expected 0..255",
        "and 2 more",
    ]


def test_a_value_of_the_wrong_type_makes_no_contradiction_with_others() -> None:
    values = {**SHORT, "input": {**SHORT["input"], "channels": "RGB", "mean": [1, 2, 3]}}
    assert refusal(values) == "my.json: input.channels is 'RGB', expected one of 1, 3"
    assert refusal({**SHORT, "labels": "ab", "positive_label": "a"}) == (
        "my.json: labels is a text, expected a list"
    )


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("sclae", "did you mean scale?"),
        ("Height", "did you mean height?"),
        ("zzz", "expected heig"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, hint: str) -> None:
    message = refusal({**SHORT, "input": {**SHORT["input"], key: 1}})
    assert message.startswith(f"my.json: unknown key 'input.{key}', {hint}")


def test_a_message_stays_within_a_line_whatever_the_file_holds() -> None:
    assert refusal({**SHORT, **{f"key {i}" * 50: 1 for i in range(30)}}).endswith(" more")
    assert "64 x" not in refusal({**SHORT, "labels": ["é" * 500, "é" * 500]})
    assert refusal([]) == "my.json: it is a list, expected an object"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stands_for_its_numbers(name: str) -> None:
    preset = PRESETS[name]
    values = {**SHORT, "input": {**SHORT["input"], "channels": 3, "preset": name}}
    spec = parse_spec(json.dumps(values).encode()).input
    assert (spec.scale, spec.offset, spec.mean, spec.std, spec.channel_order) == (
        preset.scale,
        preset.offset,
        preset.mean,
        preset.std,
        preset.channel_order,
    )


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"preset": "imagenet"}, "input.preset is 'imagenet', expected one of unit, caffe, torch"),
        ({"preset": 1}, "input.preset is 1, expected one of unit"),
        ({"preset": "tf", "scale": 1.0, "mean": []}, "input has preset and scale, mean, which"),
        ({"preset": "caffe", "channels": 1}, "input.preset caffe is for 3 channels, not 1"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(keys: dict[str, object], problem: str) -> None:
    assert problem in refusal({**SHORT, "input": {**SHORT["input"], **keys}})


def test_logits_are_of_any_number_of_labels() -> None:
    for labels in (["a", "b"], ["a", "b", "c"]):
        values = {**SHORT, "labels": labels, "activation": "logits"}
        assert parse_spec(json.dumps(values).encode()).activation == "logits"


@pytest.mark.parametrize(
    ("changes", "summary"),
    [({}, "20 x 30 x 3, letterbox, linear"), ({"channel_order": "bgr"}, "20 x 30 x 3, BGR, lett")],
)
def test_the_summary_says_how_images_are_brought_to_the_network(
    changes: dict[str, Any], summary: str
) -> None:
    assert dataclasses.replace(THREE.input, **changes).summary.startswith(summary)


@pytest.mark.parametrize("label", ["", " a ", "a\nb", "a\u0000", "\u202eb", "x" * 201])
def test_a_name_that_people_could_not_read_is_refused(label: str) -> None:
    for values in ({"labels": [label, "z"]}, {"labels": ["y", "z"], "name": label}):
        document = {"input": {"height": 8, "width": 8}, **values}
        with pytest.raises(SpecError, match=r"expected to be 1\.\.200 printable") as caught:
            parse_spec(json.dumps(document).encode())
        assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) <= 300


def test_a_byte_order_mark_of_an_editor_is_no_mistake() -> None:
    plain = b'{"labels": ["a", "b"], "input": {"height": 8, "width": 8}}'
    assert parse_spec(b"\xef\xbb\xbf" + plain) == parse_spec(plain)
