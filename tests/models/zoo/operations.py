"""Operations that a converter lacks, or that few image classifiers have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from cxr_edge.extras import require_tensorflow
from zoo import Case

Body = Callable[[Any, Any, Any], Any]
"""From the modules ``keras`` and ``keras.layers`` and a feature map of 8 channels to another."""


def network(body: Body, *, side: int = 32, channels: int = 1) -> Any:
    """A convolution, the operations, global pooling and the head."""
    keras, _ = require_tensorflow("export")
    layers = keras.layers
    image = keras.Input((side, side, channels))
    value = layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(image)
    value = body(keras, layers, value)
    if len(value.shape) == 4:
        value = layers.GlobalAveragePooling2D(name="pool")(value)
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(value))


def case(name: str, body: Body, refusal: str | None = None, *, tflite: bool = False) -> Case:
    return Case(name, lambda: network(body), refusal, tflite=tflite)


def activation(name: str) -> Case:
    """A convolution with one of Keras's activations."""
    return case(
        f"activation {name}",
        lambda _, layers, value: layers.Conv2D(8, 3, activation=name, name="activated")(value),
    )


def resizing(rows: int, columns: int, **options: Any) -> Case:
    """A Resizing layer on the feature map."""
    words = " ".join(f"{key}={value}" for key, value in options.items())
    return case(
        f"Resizing to {rows}x{columns} {words}",
        lambda _, layers, value: layers.Resizing(rows, columns, name="resized", **options)(value),
        tflite=True,
    )


def attention(keras: Any, layers: Any, value: Any) -> Any:
    """A transformer block on the positions of a feature map."""
    tokens = layers.Reshape((-1, 8))(layers.AveragePooling2D(4)(value))
    normed = layers.LayerNormalization()(tokens)
    seen = layers.MultiHeadAttention(2, 4, name="attention")(normed, normed)
    tokens = layers.Add()([tokens, seen])
    hidden = layers.Dense(16, activation="gelu", name="mlp")(layers.LayerNormalization()(tokens))
    tokens = layers.Add()([tokens, layers.Dense(8)(hidden)])
    return layers.GlobalAveragePooling1D()(tokens)


def squeeze_excite(_: Any, layers: Any, value: Any) -> Any:
    weights = layers.GlobalAveragePooling2D(keepdims=True)(value)
    weights = layers.Dense(8, activation="sigmoid")(layers.Dense(4, activation="silu")(weights))
    return layers.Multiply()([value, weights])


_ACTIVATIONS = (
    *("elu", "exponential", "hard_shrink", "hard_sigmoid", "hard_silu"),
    *("hard_tanh", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "relu6", "selu", "silu"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid"),
    *("sparsemax", "squareplus", "tanh", "tanh_shrink"),
)

_MENDED = (
    activation("gelu"),
    activation("celu"),
    resizing(10, 13, interpolation="area"),
    resizing(10, 13, interpolation="bilinear", antialias=True),
    resizing(12, 20, interpolation="bilinear", pad_to_aspect_ratio=True),
    case(
        "Conv2D with groups", lambda _, layers, x: layers.Conv2D(8, 3, groups=4, name="grouped")(x)
    ),
    case("PReLU", lambda _, layers, x: layers.PReLU(alpha_initializer="random_normal")(x)),
    case("GroupNormalization", lambda _, layers, x: layers.GroupNormalization(4)(x)),
    case("MultiHeadAttention", attention),
    case(
        "Conv2DTranspose",
        lambda _, layers, x: layers.Conv2DTranspose(8, 3, strides=2, padding="same")(x),
    ),
    case(
        "UpSampling2D bicubic",
        lambda _, layers, x: layers.UpSampling2D(2, interpolation="bicubic")(x),
        tflite=True,
    ),
    case("GRU", lambda _, layers, x: layers.GRU(4)(layers.Reshape((16, 128))(x))),
    case("fast Fourier transform", lambda k, _, x: k.ops.fft2((x, 0 * x))[0], "the operation FFT2"),
    case(
        "atan2 and sinh",
        lambda k, _, x: k.ops.arctan2(k.ops.sinh(x), k.ops.cosh(x)),
        "the operation Cosh",
        tflite=True,
    ),
    case("log1p and expm1", lambda k, _, x: k.ops.log1p(k.ops.expm1(k.ops.abs(x)))),
    case("gelu by hand", lambda k, _, x: 0.5 * x * (1.0 + k.ops.erf(x * 0.5**0.5)), tflite=True),
    case("erf", lambda k, _, x: k.ops.erf(x), "the operation Erf", tflite=True),
)
"""What a converter lacks or converts wrongly by itself, or refuses."""

_ORDINARY = (
    *(activation(name) for name in _ACTIVATIONS),
    resizing(32, 40, interpolation="area"),
    resizing(10, 13, interpolation="bicubic", antialias=True),
    resizing(24, 20, interpolation="lanczos3"),
    resizing(24, 20, interpolation="lanczos5", antialias=True),
    resizing(24, 20, interpolation="bicubic"),
    resizing(24, 20, interpolation="bilinear"),
    resizing(24, 20, interpolation="nearest"),
    resizing(12, 20, interpolation="bilinear", crop_to_aspect_ratio=True),
    case(
        "Conv2D dilated",
        lambda _, layers, x: layers.Conv2D(8, 3, dilation_rate=2, padding="same")(x),
    ),
    case(
        "PReLU shared",
        lambda _, layers, x: layers.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(x),
    ),
    case("ELU with alpha", lambda _, layers, x: layers.ELU(0.5)(x)),
    case(
        "ReLU with a slope, a ceiling and a threshold",
        lambda _, layers, x: layers.ReLU(4.0, 0.1, 0.2)(x),
    ),
    case("LayerNormalization", lambda _, layers, x: layers.LayerNormalization()(x)),
    case("UnitNormalization", lambda _, layers, x: layers.UnitNormalization()(x)),
    case("RMSNormalization", lambda _, layers, x: layers.RMSNormalization()(x)),
    case(
        "SpectralNormalization",
        lambda _, layers, x: layers.SpectralNormalization(layers.Conv2D(8, 3))(x),
    ),
    case("squeeze and excite", squeeze_excite),
    case(
        "Attention", lambda _, layers, x: layers.Attention()([layers.Reshape((-1, 8))(x)] * 2)[:, 0]
    ),
    case(
        "SeparableConv2D", lambda _, layers, x: layers.SeparableConv2D(8, 3, depth_multiplier=2)(x)
    ),
    case("UpSampling2D nearest", lambda _, layers, x: layers.UpSampling2D(2)(x)),
    case(
        "UpSampling2D bilinear",
        lambda _, layers, x: layers.UpSampling2D(2, interpolation="bilinear")(x),
    ),
    case(
        "AveragePooling2D same",
        lambda _, layers, x: layers.AveragePooling2D(3, 2, padding="same")(x),
    ),
    case("MaxPooling2D same", lambda _, layers, x: layers.MaxPooling2D(3, 2, padding="same")(x)),
    case(
        "AdaptiveAveragePooling2D", lambda _, layers, x: layers.AdaptiveAveragePooling2D((5, 3))(x)
    ),
    case("AdaptiveMaxPooling2D", lambda _, layers, x: layers.AdaptiveMaxPooling2D((5, 3))(x)),
    case("GlobalMaxPooling2D", lambda _, layers, x: layers.GlobalMaxPooling2D()(x)),
    case("Permute", lambda _, layers, x: layers.Permute((2, 3, 1))(x)),
    case("Cropping2D", lambda _, layers, x: layers.Cropping2D(((1, 2), (0, 3)))(x)),
    case(
        "ZeroPadding2D",
        lambda _, layers, x: layers.Conv2D(4, 3)(layers.ZeroPadding2D(((0, 1), (2, 3)))(x)),
    ),
    case("Softmax over rows", lambda _, layers, x: x * layers.Softmax(axis=1)(x)),
    case(
        "EinsumDense", lambda _, layers, x: layers.EinsumDense("abcd,cde->abe", (None, 6))(x)[:, 0]
    ),
    case("einsum", lambda k, _, x: k.ops.einsum("bhwc,bhwd->bcd", x, x)[:, 0]),
    case(
        "depth to space",
        lambda k, layers, x: layers.Permute((2, 1, 3))(layers.Reshape((32, 32, 2))(x)),
    ),
    case(
        "Bidirectional LSTM",
        lambda _, layers, x: layers.Bidirectional(layers.LSTM(4))(layers.Reshape((16, 128))(x)),
    ),
    case(
        "Conv1D",
        lambda _, layers, x: layers.GlobalMaxPooling1D()(
            layers.Conv1D(4, 3)(layers.Reshape((16, 128))(x))
        ),
    ),
    case(
        "TimeDistributed",
        lambda _, layers, x: layers.TimeDistributed(layers.Dense(3))(layers.Reshape((16, 128))(x))[
            :, 0
        ],
    ),
    case(
        "standard deviation",
        lambda k, _, x: k.ops.concatenate([k.ops.std(x, (1, 2)), k.ops.max(x, (1, 2))], axis=-1),
    ),
    case("sorting", lambda k, _, x: k.ops.sort(k.ops.reshape(x, (-1, 2048)))[:, ::64]),
    case("top k", lambda k, _, x: k.ops.top_k(k.ops.reshape(x, (-1, 2048)), 5)[0]),
    case("floor modulo", lambda k, _, x: k.ops.mod(x, 0.7)),
    case("cumulative sum", lambda k, _, x: k.ops.cumsum(x, axis=1)),
    case("roll and flip", lambda k, _, x: k.ops.flip(k.ops.roll(x, 3, axis=1), axis=2)),
)
"""What the converters convert by themselves."""

CASES = (*_MENDED, *(dataclasses.replace(case, large=True) for case in _ORDINARY))
