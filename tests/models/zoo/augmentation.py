"""Networks that hold augmentation layers; each layer of Keras in one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from . import Case

LAYERS: dict[str, Callable[[], Any]] = {
    "AugMix": layers.AugMix,
    "CutMix": layers.CutMix,
    "Equalization": layers.Equalization,
    "MixUp": layers.MixUp,
    "RandAugment": layers.RandAugment,
    "RandomBrightness": lambda: layers.RandomBrightness(0.1),
    "RandomColorDegeneration": lambda: layers.RandomColorDegeneration(0.1),
    "RandomColorJitter": lambda: layers.RandomColorJitter(brightness_factor=0.1, hue_factor=0.1),
    "RandomContrast": lambda: layers.RandomContrast(0.1),
    "RandomElasticTransform": lambda: layers.RandomElasticTransform(0.1),
    "RandomErasing": layers.RandomErasing,
    "RandomFlip": layers.RandomFlip,
    "RandomGaussianBlur": layers.RandomGaussianBlur,
    "RandomGrayscale": lambda: layers.RandomGrayscale(0.1),
    "RandomHue": lambda: layers.RandomHue(0.1),
    "RandomInvert": lambda: layers.RandomInvert(0.1),
    "RandomPerspective": lambda: layers.RandomPerspective(0.1),
    "RandomPosterization": lambda: layers.RandomPosterization(4),
    "RandomRotation": lambda: layers.RandomRotation(0.1),
    "RandomSaturation": lambda: layers.RandomSaturation(0.1),
    "RandomSharpness": lambda: layers.RandomSharpness(0.1),
    "RandomShear": lambda: layers.RandomShear(0.1, 0.1),
    "RandomTranslation": lambda: layers.RandomTranslation(0.1, 0.1),
    "RandomZoom": lambda: layers.RandomZoom(0.1),
    "Solarization": layers.Solarization,
}
"""Those that leave an image as it is in inference."""

SCALE = {"input": {"height": 32, "width": 32, "channels": 3, "scale": 1.0}}


def augmented(*augmentation: Any, size: int = 32) -> Any:
    """A small network behind augmentation layers."""
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            *augmentation,
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, "sigmoid", name="out"),
        ]
    )


def _nested() -> Any:
    flips = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
    return augmented(flips, layers.Pipeline([layers.RandomZoom(0.1), layers.RandomShear(0.1, 0.1)]))


_EVERYDAY = ("AugMix", "CutMix", "Equalization", "RandomBrightness", "RandomFlip", "RandomShear")
"""One of each base class, and those that Keras writes but does not read."""

CASES = (
    *(
        Case(
            name,
            lambda make=make: augmented(make()),
            spec=SCALE,
            large=name not in _EVERYDAY,
            tflite=False,
        )
        for name, make in LAYERS.items()
    ),
    Case("a Sequential and a Pipeline of augmentation", _nested, spec=SCALE),
    Case(
        "RandomCrop",
        lambda: augmented(layers.RandomCrop(32, 32), size=40),
        spec={"input": {"height": 40, "width": 40, "channels": 3, "scale": 1.0}},
    ),
    Case("AutoContrast", lambda: augmented(layers.AutoContrast()), spec=SCALE),
)
