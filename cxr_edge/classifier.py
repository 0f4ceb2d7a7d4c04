"""The runtime: a bundle's model on one engine, from images to predictions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from cxr_edge.bundle import Bundle
from cxr_edge.decision import decide, positive_scores, probabilities, uncertain
from cxr_edge.engines import Engine
from cxr_edge.errors import ImageError, MissingExtraError
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.manifest import ArtifactRecord
from cxr_edge.preprocess import Image, Pixels, fit, normalize
from cxr_edge.results import Failure, Prediction
from cxr_edge.spec import ModelSpec

Source = str | os.PathLike[str] | bytes | Image
"""A file's path, a file's bytes, or a decoded image: (H, W) grey or (H, W, 3) RGB, uint8."""


class Classifier:
    """One model, ready to classify images. Safe to share by threads; load it anew after a fork.

    >>> from cxr_edge import Classifier
    >>> classifier = Classifier.load()
    >>> classifier.predict("image.jpeg").label  # doctest: +SKIP
    'PNEUMONIA'
    """

    def __init__(
        self, spec: ModelSpec, artifact: ArtifactRecord, engine: Engine, limits: ImageLimits
    ) -> None:
        self.spec = spec
        """Input, labels and decision rule."""
        self.artifact = artifact.name
        """Name of the model file that runs."""
        self.engine = engine.name
        """Name of the engine that runs it."""
        self._engine, self._limits = engine, limits

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        artifact: str | None = None,
        engine: str | None = None,
        threads: int = 1,
        limits: ImageLimits | None = None,
    ) -> Classifier:
        """Load a model.

        Args:
            bundle: folder of an export; None: the reference model that the package carries.
            artifact: which of its files; None: the first that an installed engine runs.
            engine: which engine; None: the first installed one that the file was proven on.
            threads: threads for one inference.
            limits: largest files and images accepted; None: the defaults.

        Raises:
            BundleError: the bundle is incomplete or was changed.
            UsageError: it has no such artifact or engine, or ``threads`` is below 1.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or it does not fit its spec.
        """
        opened = Bundle.open(bundle)
        record, name = opened.choose(artifact, engine)
        loaded = opened.load(record, name, threads=threads)
        return cls(opened.manifest.spec, record, loaded, limits or ImageLimits())

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Raises:
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the engine failed or answered no probability.
        """
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
        pixels = read_pixels(source, self.spec, self._limits)
        table = probabilities(self._engine.run(normalize(pixels, self.spec.input)), self.spec)
        labels = self.spec.labels
        return Prediction(
            source=name,
            label=labels[decide(table, self.spec)[0]],
            score=float(positive_scores(table, self.spec)[0]),
            scores=dict(zip(labels, table[0].tolist(), strict=True)),
            threshold=self.spec.threshold,
            uncertain=bool(uncertain(table, self.spec)[0]),
            out_of_domain=None,
            engine=self.engine,
            artifact=self.artifact,
        )

    def predict_many(self, sources: Iterable[Source]) -> Iterator[Prediction | Failure]:
        """Classify images one after the other, in order; one bad image never stops the rest.

        An error of the model itself does: it would strike every image.

        Raises:
            EngineError: the engine failed or answered no probability.
        """
        for source in sources:
            try:
                yield self.predict(source)
            except (ImageError, MissingExtraError) as err:
                name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
                yield Failure(name, type(err).__name__, str(err))


def read_pixels(source: Source, spec: ModelSpec, limits: ImageLimits | None = None) -> Pixels:
    """Read one image as the runtime does.

    Returns:
        (1, height, width, channels) uint8, the network's size.

    Raises:
        ImageError: it cannot be read, exceeds a limit, or is damaged.
        MissingExtraError: reading it needs an optional package.
    """
    if isinstance(source, np.ndarray):
        return fit(source, spec.input)
    image = read_image(source, channels=spec.input.channels, limits=limits or ImageLimits())
    return fit(image, spec.input)
