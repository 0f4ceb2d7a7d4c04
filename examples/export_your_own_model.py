"""All five steps for a model of your own.

    python export_your_own_model.py WORK

1. A MobileNetV2 is trained by hand in Keras on a folder of drawn PNGs.
2. ``cxr-edge spec`` writes what the model file does not say.
3. ``cxr-edge export --int8`` converts it, and keeps what makes the same decisions.
4. ``cxr-edge verify`` repeats those decisions, as a device would, without TensorFlow.
5. ``cxr-edge predict`` classifies a picture.

Replace step 1 by your own training; the rest stays as it is. It needs the extra ``export``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

SHAPES = ("disc", "square")
SIZE = 96


def draw_pictures(folder: Path, count: int, first: int) -> None:
    """Draw ``count`` colour PNGs of each shape into a folder of its own."""
    for label in SHAPES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            random = np.random.default_rng([number, *label.encode()])
            noise = random.normal(110, 40, (12, 16, 3)).clip(0, 255).astype(np.uint8)
            picture = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
            colour = random.integers(0, 256, 3).tolist()
            x, y, half = random.integers(45, 115), random.integers(45, 75), random.integers(18, 32)
            if label == "disc":
                cv2.circle(picture, (int(x), int(y)), int(half), colour, -1)
            else:
                corners = (int(x - half), int(y - half)), (int(x + half), int(y + half))
                cv2.rectangle(picture, *corners, colour, -1)
            cv2.imwrite(str(folder / label / f"{number}.png"), picture)


def train(folder: Path, model_path: Path, epochs: int) -> None:
    """Train a MobileNetV2 by hand; nothing here knows cxr-edge."""
    import keras

    keras.utils.set_random_seed(1)
    images = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=32, label_mode="binary", seed=1, verbose=False
    )
    images = images.map(lambda pixels, label: (pixels / 127.5 - 1, label))  # as step 2 says: "tf"
    backbone = keras.applications.MobileNetV2(
        (SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
    )
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # .999 needs thousands of steps before its averages mean anything
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([backbone, head])
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"])
    model.fit(images, epochs=epochs, verbose=2)
    model.save(model_path)


def cxr_edge(*arguments: str | Path, out: Path | None = None) -> None:
    """Run a command as a shell would, and stop if it fails."""
    shown = ["cxr-edge", *map(str, arguments), *([">", str(out)] if out else [])]
    print("\n$", *shown, flush=True)
    command = [sys.executable, "-m", "cxr_edge", *map(str, arguments)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE if out else None)  # noqa: S603
    if out:
        out.write_bytes(result.stdout)


def main() -> None:
    """Take the five steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path, help="folder for pictures, model and bundle")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=240, help="of each shape, to train on")
    options = parser.parse_args()
    work: Path = options.work
    model, spec, bundle = work / "shapes.keras", work / "spec.json", work / "bundle"
    parts = {"train": options.pictures, "calibration": 60, "validation": 100, "test": 50}
    first = 0
    for part, count in parts.items():  # no picture is in two parts
        draw_pictures(work / part, count, first)
        first += count

    train(work / "train", model, options.epochs)
    cxr_edge("spec", model, "--preset", "tf", "--data", work / "train", out=spec)
    images = ["--calibration", work / "calibration", "--validation", work / "validation"]
    cxr_edge("export", model, "--spec", spec, "--int8", *images, "-o", bundle)
    cxr_edge("verify", bundle)
    cxr_edge("predict", "-b", bundle, work / "test" / "disc", work / "test" / "square")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
