"""The families of ``keras.applications``, untrained, and a small vision transformer."""

from __future__ import annotations

from typing import Any

from cxr_edge.extras import require_tensorflow
from zoo import Case

_PIXELS = {"input": {"scale": 1.0}}
"""These have their preprocessing inside, for grey levels 0..255."""
_SIGNED = {"input": {"scale": 1 / 127.5, "offset": -1.0}}
"""These were made for -1..1."""


def application(name: str, side: int, spec: dict[str, Any], **options: Any) -> Case:
    """A family's network without its top, global average pooling and a sigmoid."""

    def build() -> Any:
        keras, _ = require_tensorflow("export")
        backbone = getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=(side, side, 3), pooling="avg", **options
        )
        head = keras.layers.Dense(1, activation="sigmoid", name="out")
        return keras.Model(backbone.input, head(backbone.output), name=name.lower())

    return Case(name, build, spec=spec, large=True)


def vision_transformer() -> Any:
    """Patches of 8x8 pixels, learned positions, two blocks of attention, GELU."""
    keras, _ = require_tensorflow("export")
    layers, width = keras.layers, 32

    class_name = "vision_transformer"
    image = keras.Input((64, 64, 3))
    patches = layers.Conv2D(width, 8, strides=8, name="patches")(image)
    tokens = layers.Reshape((64, width))(patches)
    positions = layers.Embedding(64, width, name="positions")(keras.ops.arange(64))
    tokens = tokens + keras.ops.expand_dims(positions, 0)
    for _ in range(2):
        normed = layers.LayerNormalization(epsilon=1e-6)(tokens)
        tokens = layers.Add()([tokens, layers.MultiHeadAttention(4, 8)(normed, normed)])
        normed = layers.LayerNormalization(epsilon=1e-6)(tokens)
        hidden = layers.Dense(2 * width, activation="gelu")(normed)
        tokens = layers.Add()([tokens, layers.Dense(width)(hidden)])
    value = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(tokens))
    return keras.Model(image, layers.Dense(1, "sigmoid", name="out")(value), name=class_name)


CASES = (
    Case("vision transformer", vision_transformer, large=True),
    application("MobileNet", 96, _SIGNED, alpha=0.25),
    application("MobileNetV2", 96, _SIGNED),
    application("MobileNetV3Small", 96, _PIXELS),
    application("MobileNetV3Large", 96, _PIXELS),
    application("EfficientNetB0", 96, _PIXELS),
    application("EfficientNetV2B0", 96, _PIXELS),
    application("ResNet50", 64, {}),
    application("ResNet50V2", 64, _SIGNED),
    application("DenseNet121", 64, {}),
    application("NASNetMobile", 96, _SIGNED),
    application("Xception", 96, _SIGNED),
    application("InceptionV3", 96, _SIGNED),
    application("InceptionResNetV2", 96, _SIGNED),
    application("ConvNeXtTiny", 64, _PIXELS),
    application("VGG16", 64, {}),
)
