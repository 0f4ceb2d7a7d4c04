"""Specs: every rule is refused with the name of the field; JSON keeps every value."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from cxr_edge import documents
from cxr_edge.errors import SpecError
from cxr_edge.spec import MAX_LABELS, MAX_SIDE, SEED_SPEC, InputSpec, ModelSpec, parse_spec

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
    ],
)
def test_an_input_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    field: str, value: object
) -> None:
    with pytest.raises(SpecError, match=field):
        dataclasses.replace(THREE.input, **{field: value})  # type: ignore[arg-type]


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
