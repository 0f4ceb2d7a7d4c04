"""The runtime: a bundle's model on one engine, from images to predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from cxr_edge.bundle import Bundle
from cxr_edge.decision import Scores, decide, positive_scores, probabilities, uncertain
from cxr_edge.domain import Domain
from cxr_edge.engines import Engine
from cxr_edge.errors import ImageError, MissingExtraError
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.manifest import ArtifactRecord
from cxr_edge.preprocess import Image, Pixels, fit, normalize
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.spec import ModelSpec

Source = str | os.PathLike[str] | bytes | Image
"""A file's path, a file's bytes, or a decoded image: (H, W) grey or (H, W, 3) RGB, uint8."""

T = TypeVar("T")


class Classifier:
    """One model, ready to classify images. Safe to share by threads; load it anew after a fork.

    >>> from cxr_edge import Classifier
    >>> classifier = Classifier.load()
    >>> classifier.predict("image.jpeg").label  # doctest: +SKIP
    'PNEUMONIA'
    """

    def __init__(
        self,
        spec: ModelSpec,
        artifact: ArtifactRecord,
        engine: Engine,
        limits: ImageLimits,
        domain: Domain | None = None,
    ) -> None:
        self.spec = spec
        """Input, labels and decision rule."""
        self.artifact = artifact.name
        """Name of the model file that runs."""
        self.engine = engine.name
        """Name of the engine that runs it."""
        self._engine, self._limits, self._domain = engine, limits, domain

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        artifact: str | None = None,
        engine: str | None = None,
        threads: int = 1,
        limits: ImageLimits | None = None,
        heatmap: bool = False,
    ) -> Classifier:
        """Load a model.

        Args:
            bundle: folder of an export; None: the reference model that the package carries.
            artifact: which of its files; None: the first that an installed engine runs.
            engine: which engine; None: the first installed one that the file was proven on.
            threads: threads for one inference.
            limits: largest files and images accepted; None: the defaults.
            heatmap: whether to take a file that answers heat maps, for :meth:`explain`.

        Raises:
            BundleError: the bundle is incomplete or was changed.
            UsageError: it has no such artifact or engine, or no file with heat maps, or
                ``threads`` is below 1.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or it does not fit its spec.
        """
        opened = Bundle.open(bundle)
        record, name = opened.choose(artifact, engine, heatmap=heatmap)
        loaded = opened.load(record, name, threads=threads)
        spec = opened.manifest.spec
        return cls(spec, record, loaded, limits or ImageLimits(), opened.domain())

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Raises:
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the engine failed or answered no probability.
        """
        pixels = read_pixels(source, self.spec, self._limits)
        scores = self._engine.run(normalize(pixels, self.spec.input))
        return self._prediction(source, pixels, scores)

    def explain(self, source: Source) -> Explanation:
        """Classify one image and say what moved its score.

        Raises:
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the file has no heat map (load with ``heatmap=True``), the engine failed,
                or answered no probability.
        """
        image = _read(source, self.spec, self._limits)
        pixels = fit(image, self.spec.input)
        scores, heatmaps = self._engine.explain(normalize(pixels, self.spec.input))
        return Explanation(self._prediction(source, pixels, scores), heatmaps[0], image)

    def _prediction(self, source: Source, pixels: Pixels, scores: Scores) -> Prediction:
        table = probabilities(scores, self.spec)
        labels = self.spec.labels
        return Prediction(
            source=_name(source),
            label=labels[decide(table, self.spec)[0]],
            score=float(positive_scores(table, self.spec)[0]),
            scores=dict(zip(labels, table[0].tolist(), strict=True)),
            threshold=self.spec.threshold,
            uncertain=bool(uncertain(table, self.spec)[0]),
            out_of_domain=bool(self._domain.outside(pixels)[0]) if self._domain else None,
            engine=self.engine,
            artifact=self.artifact,
        )

    def predict_many(self, sources: Iterable[Source]) -> Iterator[Prediction | Failure]:
        """Classify images one after the other, in order; one bad image never stops the rest.

        An error of the model itself does: it would strike every image.

        Raises:
            EngineError: the engine failed or answered no probability.
        """
        return _each(self.predict, sources)

    def explain_many(self, sources: Iterable[Source]) -> Iterator[Explanation | Failure]:
        """Explain images one after the other, as :meth:`predict_many` classifies them.

        Raises:
            EngineError: as :meth:`explain`.
        """
        return _each(self.explain, sources)


def read_pixels(source: Source, spec: ModelSpec, limits: ImageLimits | None = None) -> Pixels:
    """Read one image as the runtime does.

    Returns:
        (1, height, width, channels) uint8, the network's size.

    Raises:
        ImageError: it cannot be read, exceeds a limit, or is damaged.
        MissingExtraError: reading it needs an optional package.
    """
    return fit(_read(source, spec, limits or ImageLimits()), spec.input)


def _read(source: Source, spec: ModelSpec, limits: ImageLimits) -> Image:
    if isinstance(source, np.ndarray):
        return source
    return read_image(source, channels=spec.input.channels, limits=limits)


def _each(answer: Callable[[Source], T], sources: Iterable[Source]) -> Iterator[T | Failure]:
    """Answers in order; a failure for an image that cannot be read."""
    for source in sources:
        try:
            yield answer(source)
        except (ImageError, MissingExtraError) as err:
            yield Failure(_name(source), type(err).__name__, str(err))


def _name(source: Source) -> str | None:
    """The file as it was named; None for bytes and arrays."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else None
