"""Calibration images without patients: distilled from the network itself.

Batch normalization stores the mean and deviation of every channel over the training images.
Gradient descent changes drawn phantoms until they cause the same statistics, and until the network
gives each the label that it should have (Cai et al. 2020, "ZeroQ"; Yin et al. 2020,
"DeepInversion"). To the layers they look like real images, and they show no patient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_edge.data.samples import Samples
from cxr_edge.export.golden import draw_pictures
from cxr_edge.export.graph.graph import Affine, Graph, Linear, Weights, build_model, linear_name
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.request import CalibrationImages
from cxr_edge.extras import require_tensorflow
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

SOURCE = "distilled from the network: drawn phantoms with its normalizations' statistics"
"""Source of distilled images, for the manifest."""
DRAWN_SOURCE = "drawn phantoms: the network has no batch normalization to distil images from"
"""Source of the images if the network has no statistics to distil."""
NO_GRADIENT_SOURCE = "drawn phantoms: the gradient of the network is not finite"
"""Source of the images if gradient descent breaks down."""
STEPS = 80
"""Most steps of gradient descent for each batch of images."""
FIRST_PICTURE = 10_000
"""Number of the first phantom that distilling starts from; golden inputs have lower numbers."""

_BATCHES, _BATCH = 2, 16
_FEWEST_STEPS = 4
# Bounds the time by the work and not by a clock, so that every machine makes the same images. Two
# processors that multiply 24e9 times a second take two minutes, since a gradient costs twice what
# the scores do; EfficientNetB0 at 224 pixels is just below.
_MOST_MULTIPLICATIONS = 1e12
_RATE = 0.02
_LABEL_WEIGHT, _SMOOTHNESS_WEIGHT = 0.1, 1.0
_CERTAINTY = 0.98
_LEAST_VARIANCE = 1e-6  # added to variances, since the root of 0 has no gradient


def distill(
    model: Any, spec: ModelSpec, reporter: Reporter, *, steps: int = STEPS
) -> CalibrationImages:
    """Make calibration images.

    Args:
        model: the original ``keras.Model``.
        spec: its contract.
        reporter: shows progress.
        steps: of gradient descent for each batch of 16 images; fewer are taken for a network of
            more than 0.39e9 multiplications an image, so that it ends within a few minutes.

    Returns:
        32 images with the labels that they were distilled for; plain phantoms without labels if
        the network has no batch normalization, or no finite gradient.
    """
    graph = read_graph(model)
    inputs, statistics = [], []
    for node in graph.nodes:
        if isinstance(node.operation, Affine) and node.operation.input_statistics:
            inputs.append(node.inputs[0])
            statistics.append(node.operation.input_statistics)
    drawn = draw_pictures(spec, FIRST_PICTURE, _BATCHES * _BATCH)
    if not statistics:
        return CalibrationImages(Samples(drawn, None, ()), DRAWN_SOURCE)
    labels = np.arange(len(drawn)) % len(spec.labels)
    network = build_model(graph, inputs)
    affordable = affordable_steps(multiplications(graph, network))
    if affordable < steps:
        reporter.say(f"a large network: images are distilled in {affordable} steps, not {steps}")
        steps = affordable
    descent = _Descent(network, statistics, spec)
    batches = []
    with reporter.bar("distilling calibration images") as advance:
        for number in range(_BATCHES):
            part = slice(number * _BATCH, (number + 1) * _BATCH)
            images, step = descent.start(drawn[part], labels[part])
            for count in range(steps):
                if not step():
                    return CalibrationImages(Samples(drawn, None, ()), NO_GRADIENT_SOURCE)
                advance(number * steps + count + 1, _BATCHES * steps)
            batches.append(np.rint(np.asarray(images) * 255).astype(np.uint8))
    return CalibrationImages(Samples(np.concatenate(batches), labels, ()), SOURCE, in_bundle=True)


def multiplications(graph: Graph, model: Any) -> int:
    """How many multiplications the layers of a network do for an image.

    Args:
        graph: the network.
        model: what :func:`~cxr_edge.export.graph.graph.build_model` made of it.
    """
    total = 0
    for position, node in enumerate(graph.nodes):
        if isinstance(node.operation, Linear):
            layer = model.get_layer(linear_name(node.name, position))
            places = math.prod(layer.output.shape[1:-1])
            total += places * node.operation.kernel.size
    return total


def affordable_steps(work: int) -> int:
    """Steps for each batch that end within minutes, for a network of ``work`` multiplications."""
    most = _MOST_MULTIPLICATIONS / (_BATCHES * _BATCH * max(work, 1))
    return max(_FEWEST_STEPS, min(STEPS, int(most)))


class _Descent:
    """Gradient descent on images, float32 within 0..1."""

    def __init__(
        self, model: Any, statistics: Sequence[tuple[Weights, Weights, float]], spec: ModelSpec
    ) -> None:
        """Prepare it.

        Args:
            model: outputs the scores, then the input of each normalization.
            statistics: what each normalization stores; see ``Affine.input_statistics``.
            spec: the contract.
        """
        self._keras, self._tensorflow = require_tensorflow("export")
        # Sums in another order would give other images, and an export must give the same bytes.
        self._tensorflow.config.experimental.enable_op_determinism()
        self._spec, self._model = spec, model
        self._statistics = statistics

    def start(self, pixels: Pixels, labels: npt.NDArray[np.intp]) -> tuple[Any, Callable[[], Any]]:
        """A variable of images, and a function that moves them one step towards their labels.

        The function returns whether the gradient was finite; if not, the images are of no use.
        """
        tensorflow = self._tensorflow
        images = tensorflow.Variable(pixels.astype(np.float32) / 255)
        optimizer = self._keras.optimizers.Adam(_RATE)
        optimizer.build([images])
        wanted = self._targets(labels)

        @tensorflow.function  # type: ignore[untyped-decorator]
        def step() -> Any:
            with tensorflow.GradientTape() as tape:
                loss = self._loss(images, wanted)
            gradient = tape.gradient(loss, images)
            optimizer.apply([gradient], [images])
            images.assign(tensorflow.clip_by_value(images, 0.0, 1.0))
            return tensorflow.reduce_all(tensorflow.math.is_finite(gradient))

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
        if spec.channel_order == "bgr":
            images = images[..., ::-1]
        batch = images * np.float32(255 * spec.scale) + np.float32(spec.offset)
        batch = (batch - np.asarray(spec.mean or 0, np.float32)) / np.asarray(
            spec.std or 1, np.float32
        )
        scores, *values = self._model(batch, training=False)
        loss = 0.0
        for value, (mean, variance, added) in zip(values, self._statistics, strict=True):
            axes = list(range(len(value.shape) - 1))
            image_mean, image_variance = tensorflow.nn.moments(value, axes)
            # As the normalization scales: a channel that hardly varies need not vary exactly so.
            added = max(added, _LEAST_VARIANCE)
            scale = np.sqrt(variance + added).astype(np.float32)
            deviation = tensorflow.sqrt(image_variance + added)
            loss += tensorflow.reduce_mean(((image_mean - mean.astype(np.float32)) / scale) ** 2)
            loss += tensorflow.reduce_mean((deviation / scale - 1) ** 2)
        binary = self._spec.activation == "sigmoid"
        crossentropy = losses.binary_crossentropy if binary else losses.categorical_crossentropy
        variation = tensorflow.reduce_mean(tensorflow.image.total_variation(images))
        area = images.shape[1] * images.shape[2]
        loss += _LABEL_WEIGHT * tensorflow.reduce_mean(crossentropy(wanted, scores))
        return loss + _SMOOTHNESS_WEIGHT * variation / area
