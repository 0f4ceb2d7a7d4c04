"""The spec of a Keras model: what it shows is read, what it does not show is said to be assumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zoo

from cxr_edge import documents
from cxr_edge.errors import ModelError, UsageError
from cxr_edge.extras import require_keras
from cxr_edge.original.infer import Given, InferredSpec, Origin, infer_from_network
from cxr_edge.preprocess import normalize, resize_to_input
from cxr_edge.spec import InputSpec, parse_spec
from cxr_edge.spec_file import PRESETS

keras = require_keras("export")
L = keras.layers

ALL = [f"all of {kind}" for kind in zoo.kinds()]
SOME = 4


def network(*first: Any, last: tuple[Any, ...], shape: tuple[Any, ...] = (16, 20, 3)) -> Any:
    """``first``, a convolution, pooling, ``last``."""
    body = (L.Conv2D(4, 3), L.GlobalAveragePooling2D())
    return keras.Sequential([keras.Input(shape), *first, *body, *last])


def softmax(*first: Any, **settings: Any) -> Any:
    return network(*first, last=(L.Dense(3, "softmax"),), **settings)


def infer(model: Any, **given: Any) -> InferredSpec:
    inferred = infer_from_network(model, Given(**given), "m.keras")
    assert parse_spec(documents.dump(inferred.spec)) == inferred.spec
    return inferred


def origins(inferred: InferredSpec) -> dict[str, tuple[str, Origin]]:
    return {line.field: (line.value, line.origin) for line in inferred.explanations}


def preset(model: Any, **given: Any) -> tuple[str, Origin]:
    """The preset and where it comes from; the spec has its numbers."""
    inferred = infer(model, **given)
    name, origin = origins(inferred)["preset"]
    values = {key: getattr(inferred.spec.input, key) for key in PRESETS[name].values()}
    assert values == {**PRESETS[name].values(), "mean": values["mean"], "std": values["std"]}
    assert (values["mean"], values["std"]) == (PRESETS[name].mean, PRESETS[name].std)
    return name, origin


def ensemble() -> Any:
    image = keras.Input((8, 8, 1))
    members = [L.Dense(2, "softmax")(L.Flatten()(image)) for _ in range(2)]
    return keras.Model(image, L.Average()(members))


def nested() -> Any:
    image = keras.Input((16, 20, 3))
    return keras.Model(image, L.Dropout(0.5)(softmax()(image)))


def operations() -> Any:
    image = keras.Input((8, 8, 1))
    return keras.Model(image, keras.ops.sigmoid(L.Dense(1)(L.Flatten()(image))))


def by_hand() -> Any:
    image = keras.Input((8, 8, 1))
    powers = keras.ops.exp(L.Dense(3)(L.Flatten()(image)))
    return keras.Model(image, powers / keras.ops.sum(powers, axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("build", "activation", "labels", "origin"),
    [
        (lambda: network(last=(L.Dense(1, "sigmoid"),)), "sigmoid", 2, "model"),
        (lambda: network(last=(L.Dense(2, "softmax"),)), "softmax", 2, "model"),
        (lambda: network(last=(L.Dense(4), L.Activation("softmax"))), "softmax", 4, "model"),
        (lambda: network(last=(L.Dense(4), L.Softmax(), L.Flatten())), "softmax", 4, "model"),
        (lambda: network(last=(L.Dense(1),)), "logits", 2, "guessed"),
        (lambda: network(last=(L.Dense(3, "log_softmax"),)), "logits", 3, "guessed"),
        (lambda: network(last=()), "logits", 4, "guessed"),
        (nested, "softmax", 3, "model"),
        (ensemble, "softmax", 2, "model"),
        (operations, "sigmoid", 2, "model"),
        (by_hand, "softmax", 3, "guessed"),
    ],
)
def test_the_last_operation_tells_the_activation(
    build: Any, activation: str, labels: int, origin: str
) -> None:
    inferred = infer(build())
    assert (inferred.spec.activation, len(inferred.spec.labels)) == (activation, labels)
    assert origins(inferred)["activation"] == (activation, origin)
    assert (inferred.spec.positive_label is None) == (labels > 2)


@pytest.mark.parametrize(
    ("units", "loss", "origin"),
    [
        (1, "binary_crossentropy", "model"),
        (3, "sparse_categorical_crossentropy", "model"),
        (1, "hinge", "guessed"),
        (1, "", "guessed"),
    ],
)
def test_the_loss_tells_whether_outputs_are_logits(units: int, loss: str, origin: str) -> None:
    name = loss.replace("_", "")
    inferred = infer_from_network(network(last=(L.Dense(units),)), Given("m"), "m", name)
    assert origins(inferred)["activation"] == ("logits", origin)


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "huber", "mae"])
def test_a_regression_is_refused(loss: str) -> None:
    with pytest.raises(ModelError, match=f"trained with {loss}, which predicts numbers"):
        infer_from_network(network(last=(L.Dense(1),)), Given("m"), "m", loss)
    sigmoid = network(last=(L.Dense(1, "sigmoid"),))  # a squared error of probabilities
    assert origins(infer_from_network(sigmoid, Given("m"), "m", loss))["activation"][1] == "model"


def test_logits_trained_as_one_yes_or_no_a_label_are_refused() -> None:
    with pytest.raises(ModelError, match="multi-label"):
        infer_from_network(network(last=(L.Dense(3),)), Given("m"), "m", "binary_crossentropy")


@pytest.mark.parametrize(
    "first",
    [
        lambda x: keras.ops.clip(x, 0, 1),
        lambda x: L.Concatenate()([L.Rescaling(1 / 255)(x), x]),
    ],
    ids=["a clip", "two scales"],
)
def test_what_does_not_scale_all_pixels_alike_is_not_taken_for_a_scaling(first: Any) -> None:
    image = keras.Input((16, 16, 3))
    value = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(first(image)))
    inferred = infer(keras.Model(image, L.Dense(1, "sigmoid")(value)))
    assert origins(inferred)["preset"] == ("unit", "assumed")


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ((), ("unit", "assumed")),
        ((L.BatchNormalization(),), ("unit", "assumed")),  # untrained: it changes nothing
        ((L.Rescaling(1 / 255),), ("none", "model")),
        ((L.RandomFlip(), L.Rescaling(1 / 127.5, -1), L.ZeroPadding2D()), ("none", "model")),
        ((L.Normalization(mean=[110] * 3, variance=[3000] * 3),), ("none", "model")),
        ((L.Normalization(mean=[0.4] * 3, variance=[0.04] * 3),), ("unit", "model")),
        ((L.Rescaling(2, -1),), ("unit", "model")),
        ((L.Rescaling(0.5, 0.5),), ("tf", "model")),
    ],
    ids=lambda value: "+".join(getattr(v, "name", str(v)) for v in value) or "nothing",
)
def test_the_first_layers_tell_the_range_of_pixels(first: Any, expected: tuple[str, str]) -> None:
    assert preset(softmax(*first)) == expected


def test_scaling_is_seen_behind_a_model_without_weights() -> None:
    image = keras.Input((16, 20, 3))
    augmented = keras.Sequential([keras.Input((16, 20, 3)), L.RandomFlip(), L.RandomZoom(0.1)])
    scaled = L.Rescaling(1 / 255)(augmented(image))
    assert preset(keras.Model(image, softmax()(scaled))) == ("none", "model")


@pytest.mark.parametrize("family", ["resnet50", "mobilenet_v2", "densenet"])
def test_preprocess_input_inside_the_model_is_seen(family: str) -> None:
    image = keras.Input((16, 20, 3))
    scaled = getattr(keras.applications, family).preprocess_input(image)
    assert preset(keras.Model(image, softmax()(scaled))) == ("none", "model")


def test_a_backbone_s_name_suggests_its_preset() -> None:
    image = keras.Input((32, 32, 3))
    backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    scores = L.Dense(3, "softmax")(L.Flatten()(backbone(image)))
    assert preset(keras.Model(image, scores)) == ("caffe", "guessed")
    flat = keras.Model(backbone.input, L.Dense(3, "softmax")(L.Flatten()(backbone.output)))
    assert preset(flat) == ("caffe", "guessed")
    assert preset(flat, preset="torch") == ("torch", "given")


def test_a_uint8_input_takes_pixels_as_they_are() -> None:
    image = keras.Input((16, 20, 3), dtype="uint8")
    assert preset(keras.Model(image, softmax()(L.Rescaling(1 / 255)(image)))) == ("none", "model")


def test_a_given_preset_that_the_model_contradicts_is_said() -> None:
    inferred = infer(softmax(L.Rescaling(1 / 255)), preset="unit")
    (line,) = (line for line in inferred.explanations if line.field == "preset")
    assert line.is_doubtful
    assert line.note == "0..1; but its first layers turn 0..255 into 0..1, which suggests none"


@pytest.mark.parametrize(
    ("shape", "given", "expected"),
    [
        ((16, 20, 3), {}, (16, 20, 3)),
        ((16, 20, 1), {"size": (16, 20)}, (16, 20, 1)),
        ((None, None, 3), {"size": (40, 50)}, (40, 50, 3)),
        ((None, 20, 1), {"size": (40, 20)}, (40, 20, 1)),
    ],
)
def test_the_size_is_the_model_s_or_given(
    shape: tuple[Any, ...], given: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert infer(softmax(shape=shape), **given).spec.input_shape == expected


def test_channels_may_come_first_or_be_left_out() -> None:
    for shape, expected in (((3, 16, 20), (16, 20, 3)), ((16, 20), (16, 20, 1))):
        last = (L.Flatten(), L.Dense(3, "softmax"))
        model = keras.Sequential([keras.Input(shape), *last])
        assert infer(model).spec.input_shape == expected


def test_labels_are_given_or_those_of_the_folder_or_placeholders() -> None:
    model = network(last=(L.Dense(1, "sigmoid"),))
    inferred = infer(model)
    assert origins(inferred)["labels"] == ("label_0, label_1", "assumed")
    assert inferred.spec.positive_label == "label_1"
    inferred = infer(model, data_labels=("cat", "dog"), positive="cat", threshold=0.3)
    assert origins(inferred)["labels"] == ("cat, dog", "data")
    assert (inferred.spec.positive_label, inferred.spec.threshold) == ("cat", 0.3)
    inferred = infer(model, labels=("dog", "cat"), data_labels=("cat", "dog"))
    assert origins(inferred)["labels"] == ("dog, cat", "given")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": ("a", "b")}, r"--labels names 2 labels \(a, b\), the model has 3 outputs"),
        ({"data_labels": ("a", "b")}, "--data has 2 labels"),
        ({"labels": tuple("abc"), "data_labels": tuple("abd")}, "folders of --data are a, b, d"),
        ({"size": (16, 21)}, "--size is 16x21, the model takes 16x20"),
        ({"threshold": 0.5}, "are for two labels, the model has 3"),
        ({"positive": "label_0"}, "are for two labels, the model has 3"),
    ],
)
def test_what_is_given_must_fit_the_model(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        infer(softmax(), **given)


def test_other_contradictions_are_refused_too() -> None:
    with pytest.raises(UsageError, match=r"any size; say with --size HxW"):
        infer(softmax(shape=(None, None, 3)))
    with pytest.raises(UsageError, match="--preset caffe is for 3 channels, the model takes 1"):
        infer(softmax(shape=(16, 20, 1)), preset="caffe")
    with pytest.raises(UsageError, match="--positive is 'x', expected one of"):
        infer(network(last=(L.Dense(1, "sigmoid"),)), positive="x")


class Subclassed(keras.Model):  # type: ignore[misc]
    def call(self, image: Any) -> Any:
        return image


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: network(last=(L.Dense(3, "sigmoid"),)), r"has 3 outputs, .*multi-label"),
        (lambda: network(last=(L.Dense(1, "softmax"),)), "softmax over one output"),
        (lambda: network(last=(L.Dense(3, "relu"),)), r"ends in relu \("),
        (lambda: softmax(shape=(16, 20, 4)), "with 1 or 3 channels"),
        (lambda: keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(2, 3)]), "is no classifier"),
        (Subclassed, "holds models without a graph"),
    ],
)
def test_what_is_no_supported_classifier_is_refused_with_what_to_do(
    build: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        infer(build())
    assert str(caught.value).startswith("m.keras: ") and len(str(caught.value)) < 290


@pytest.mark.parametrize("mode", ["caffe", "torch", "tf"])
def test_a_preset_is_what_keras_applications_does(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), np.uint8)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in PRESETS[mode].values().items()}
    batch = normalize(pixels, InputSpec(9, 7, 3, **values))
    module = {"caffe": "resnet50", "torch": "densenet", "tf": "mobilenet_v2"}[mode]
    expected = getattr(keras.applications, module).preprocess_input(pixels.astype(np.float32))
    np.testing.assert_allclose(batch, expected, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("shape", [(31, 57), (57, 31), (40, 20), (9, 200), (8, 8)])
def test_a_center_crop_is_what_keras_s_loaders_do(shape: tuple[int, int]) -> None:
    rows, columns = shape
    image = np.random.default_rng(1).integers(0, 256, (rows, columns, 3), np.uint8)
    spec = InputSpec(12, 16, 3, geometry="center-crop", interpolation="linear")
    smart_resize = keras.preprocessing.image.smart_resize
    expected = np.asarray(smart_resize(image, (12, 16), interpolation="bilinear"))
    pixels = resize_to_input(image, spec)[0].astype(float)
    assert np.abs(pixels - expected).max() <= 1  # rounding to whole levels


@pytest.mark.parametrize(
    "kind", [*zoo.kinds(), *(pytest.param(kind, marks=pytest.mark.models) for kind in ALL)]
)
def test_there_is_a_spec_for_the_models_of_the_zoo(kind: str) -> None:
    """Of some of each kind; with the marker ``models``, of all."""
    cases = [case for case in zoo.kinds()[kind.removeprefix("all of ")] if not case.refusal]
    for case in cases if kind in ALL else [case for case in cases if not case.large][:SOME]:
        # Operations are numbered, and a case may use such a name.
        keras.utils.clear_session(free_memory=kind in ALL)
        try:
            model = case.build()
        finally:
            keras.config.set_dtype_policy("float32")  # some leave another
        shape, sides = tuple(model.inputs[0].shape[1:]), case.spec.get("input", {})
        size = (sides.get("height", 64), sides.get("width", 64))
        spec = infer(model, size=size if None in shape else None).spec
        height, width, channels = spec.input_shape
        fitting = ((height, width, channels), (channels, height, width), (height, width))
        fixed = [tuple(b if a is None else a for a, b in zip(shape, fit)) for fit in fitting]  # noqa: B905
        assert any(
            len(shape) == len(fit) and a == fit for a, fit in zip(fixed, fitting, strict=True)
        )
        assert model.outputs[0].shape[1] in (1, len(spec.labels)), case.name
