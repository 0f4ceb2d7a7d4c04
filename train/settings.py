"""What a recipe is made of: augmentation, schedule, goals, and learning from a teacher."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_edge.documents import since


@dataclass(frozen=True, slots=True)
class Acquisition:
    """Random changes of exposure, sharpness, noise and compression, uniform within their ranges."""

    probability: float
    """Probability of each of corner, drift, black, noise and quality for an image."""
    corner: float
    """Largest side of an erased corner, as a share of the image's side."""
    drift: float
    """Largest brightness ramp: 1 - drift at one end, 1 + drift at the other."""
    gamma: float
    """Largest absolute value of the logarithm of gamma."""
    contrast: float
    """Largest relative change of contrast, either way."""
    brightness: float
    """Largest change of brightness either way, as a share of white."""
    black: float
    """Highest level that black is lifted to, as a share of white."""
    blur: float
    """Largest sigma of a Gaussian blur, pixels; for a sixth of the images."""
    sharpen: float
    """Largest strength of an unsharp mask; for a sixth of the images."""
    resample: float
    """Smallest share of its sides that an image is shrunk to before it is enlarged again; for a
    sixth of the images."""
    noise: float
    """Largest standard deviation of noise, grey levels."""
    quality: int
    """Lowest quality of a JPEG compression, 1..95."""
    speckle: float = since("2.1", 0.0)
    """Largest standard deviation of noise that is proportional to brightness, as a share of it."""
    quanta: float = since("2.1", 0.0)
    """Fewest quanta at white of Poisson noise; above 0. 0: no such noise."""
    salt: float = since("2.1", 0.0)
    """Largest share of pixels that become black or white."""
    exposure: float = since("2.1", 0.0)
    """Probability that an image takes the exposure of an image of another label: its histogram, or
    the amplitudes of its lowest frequencies."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of each training image, drawn anew every epoch."""

    rotation_degrees: float = 0.0
    """Largest rotation either way."""
    zoom: float = 0.0
    """Each axis is sampled in steps of 1 - zoom to 1 + zoom pixels; above 1 the picture shrinks."""
    shift: float = 0.0
    """Largest shift either way along each axis, as a share of its side."""
    horizontal_flip: bool = False
    """Whether half of the images are mirrored."""
    crop_area: float = 1.0
    """Smallest area of a random crop, as a share of the image's; 1: no crop."""
    crop_stretch: float = 1.0
    """Largest change of a crop's aspect ratio, as a factor."""
    acquisition: Acquisition | None = None
    """Changes of exposure, sharpness, noise and compression; None: no such changes."""


@dataclass(frozen=True, slots=True)
class OnPlateau:
    """Reduces the learning rate when validation accuracy stops improving."""

    patience: int
    """Epochs without improvement before each reduction."""
    factor: float
    """Factor of each reduction, 0..1."""
    min_learning_rate: float
    """Lower bound of the learning rate."""


@dataclass(frozen=True, slots=True)
class Cosine:
    """Linear warm-up, then cosine decay to zero (Loshchilov, Hutter 2017)."""

    warmup_epochs: int
    """Epochs of warm-up."""


@dataclass(frozen=True, slots=True)
class Target:
    """Goals of the decision threshold and the uncertainty band."""

    recall: float
    """Recall of the positive label on validation images and on their shifted copies, 0..1."""
    error: float
    """Share of each label's images that may be wrong outside the uncertainty band, 0..1."""


@dataclass(frozen=True, slots=True)
class Block:
    """A second set of validation images: the patients with the lowest numbers.

    Numbers follow time where a hospital gave them out in order. These images then differ from the
    training images as those of another year do, which randomly chosen patients cannot show.
    """

    series: tuple[str, ...]
    """Series of :func:`cxr_edge.data.patients.kermany_series` to take them from; a label that has
    none of them gives the lowest numbers of all its images."""
    images: int
    """Images of each series, and the rest of the last patient's."""
    share: float
    """Most images of each series, as a share of its label's, 0..1."""
    fewest: int
    """Images of each label below which there is no block."""


@dataclass(frozen=True, slots=True)
class Averaging:
    """An average of the weights instead of the last ones (Izmailov et al. 2018)."""

    window: float
    """Share of the training's steps that the moving average spans, 0..1; 0: the last weights."""
    norm_batches: int
    """Augmented batches that the statistics of every BatchNormalization are measured on again at
    the end; 0: those of the training."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """Learning a teacher's scores of the augmented images instead of their labels.

    The teacher scores every augmented image, so that both see the same view of it (Hinton, Vinyals,
    Dean 2015, arXiv:1503.02531; Beyer et al. 2022, arXiv:2106.05237).
    """

    temperature: float
    """The teacher's logits are divided by this: above 1, its scores tell its doubts apart."""
