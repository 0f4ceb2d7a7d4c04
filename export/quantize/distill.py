"""Calibration images without patients: distilled from the network itself.

A network with batch normalization remembers the mean and deviation of every channel over its
training images. Drawn phantoms are changed by gradient descent until they cause the same, and
until the network tells every label apart in them (Cai et al. 2020, "ZeroQ"; Yin et al. 2020,
"DeepInversion"). They resemble what a layer sees of real images, and are nobody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.data.samples import Samples
from cxr_edge.export.golden import draw_pictures
from cxr_edge.export.graph.graph import Affine, build_model
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.extras import require_tensorflow
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

SOURCE = "distilled from the network: drawn phantoms with its normalizations' statistics"
"""Where distilled images come from."""
DRAWN_SOURCE = "drawn phantoms: the network has no batch normalization to distil images from"
"""Where the images come from where nothing can be distilled."""

_BATCHES, _BATCH, _STEPS = 2, 16, 80
_RATE = 0.02
_LABEL_WEIGHT, _SMOOTHNESS_WEIGHT = 0.1, 1.0
_CERTAINTY = 0.98
_FIRST_PICTURE = 10_000  # golden inputs are the first ones


def distill(model: Any, spec: ModelSpec, reporter: Reporter) -> tuple[Samples, str]:
    """Make calibration images.

    Args:
        model: the original ``keras.Model``.
        spec: its contract.
        reporter: shows progress.

    Returns:
        32 images with the labels that the network sees in them, and where they come from.
    """
    graph = read_graph(model)
    known = [n for n in graph.nodes if isinstance(n.operation, Affine) and n.operation.seen]
    drawn = draw_pictures(spec, _FIRST_PICTURE, _BATCHES * _BATCH)
    if not known:
        return Samples(drawn, None, ()), DRAWN_SOURCE
    labels = np.arange(len(drawn)) % len(spec.labels)
    descent = _Descent(build_model(graph, [n.inputs[0] for n in known]), known, spec)
    made = []
    with reporter.bar("distilling calibration images") as advance:
        for number in range(_BATCHES):
            part = slice(number * _BATCH, (number + 1) * _BATCH)
            images, step = descent.start(drawn[part], labels[part])
            for count in range(_STEPS):
                step()
                advance(number * _STEPS + count + 1, _BATCHES * _STEPS)
            made.append(np.rint(np.asarray(images) * 255).astype(np.uint8))
    return Samples(np.concatenate(made), labels, ()), SOURCE


class _Descent:
    """Gradient descent on images, as float32 within 0..1."""

    def __init__(self, model: Any, normalizations: list[Any], spec: ModelSpec) -> None:
        self._keras, self._tensorflow = require_tensorflow("export")
        # Sums in another order would make other images: an export shall give the same bytes.
        self._tensorflow.config.experimental.enable_op_determinism()
        self._spec, self._model = spec, model
        self._seen = [node.operation.seen for node in normalizations]

    def start(
        self, pixels: Pixels, labels: npt.NDArray[np.intp]
    ) -> tuple[Any, Callable[[], object]]:
        """A variable of images, and what moves them one step towards their labels."""
        tensorflow = self._tensorflow
        images = tensorflow.Variable(pixels.astype(np.float32) / 255)
        optimizer = self._keras.optimizers.Adam(_RATE)
        optimizer.build([images])
        wanted = self._targets(labels)

        @tensorflow.function  # type: ignore[untyped-decorator]
        def step() -> None:
            with tensorflow.GradientTape() as tape:
                loss = self._loss(images, wanted)
            optimizer.apply([tape.gradient(loss, images)], [images])
            images.assign(tensorflow.clip_by_value(images, 0.0, 1.0))

        return images, step

    def _targets(self, labels: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        count = len(self._spec.labels)
        rest = (1 - _CERTAINTY) / (count - 1)
        table = np.full((len(labels), count), rest, np.float32)
        table[np.arange(len(labels)), labels] = _CERTAINTY
        return table[:, 1:] if self._spec.activation == "sigmoid" else table

    def _loss(self, images: Any, wanted: npt.NDArray[np.float32]) -> Any:
        tensorflow, losses = self._tensorflow, self._keras.losses
        spec = self._spec.input
        batch = images * np.float32(255 * spec.scale) + np.float32(spec.offset)
        batch = (batch - np.asarray(spec.mean or 0, np.float32)) / np.asarray(
            spec.std or 1, np.float32
        )
        scores, *values = self._model(batch, training=False)
        loss = 0.0
        for value, (mean, deviation) in zip(values, self._seen, strict=True):
            axes = list(range(len(value.shape) - 1))
            found, variance = tensorflow.nn.moments(value, axes)
            wide = deviation.astype(np.float32)
            loss += tensorflow.reduce_mean(((found - mean.astype(np.float32)) / wide) ** 2)
            loss += tensorflow.reduce_mean((tensorflow.sqrt(variance + 1e-6) / wide - 1) ** 2)
        kind = "binary" if self._spec.activation == "sigmoid" else "categorical"
        entropy = getattr(losses, f"{kind}_crossentropy")(wanted, scores)
        rough = tensorflow.reduce_mean(tensorflow.image.total_variation(images))
        area = images.shape[1] * images.shape[2]
        loss += _LABEL_WEIGHT * tensorflow.reduce_mean(entropy)
        return loss + _SMOOTHNESS_WEIGHT * rough / area
