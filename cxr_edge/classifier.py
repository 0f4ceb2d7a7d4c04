"""The runtime: a bundle's model on one engine, from images to predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np

from cxr_edge.batch import in_order
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores, decide, positive_scores, probabilities, uncertain
from cxr_edge.device.profile import find_profile
from cxr_edge.domain import Domain
from cxr_edge.engines import Engine
from cxr_edge.errors import ImageError, MissingExtraError, UsageError, unknown_name
from cxr_edge.files import read_file
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.preprocess import Image, Pixels, normalize, resize_to_input
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.spec import InputSpec, ModelSpec

Source = str | os.PathLike[str] | bytes | Image
"""A file's path, a file's bytes, or a decoded image: (H, W) grey or (H, W, 3) RGB, uint8."""

Decoding = Literal["fast", "exact"]
"""``fast`` decodes a JPEG only as large as the network needs; ``exact`` reads every pixel, as
training and export do. Other formats and arrays are always exact."""

Stage = Literal["read", "decode", "preprocess", "infer", "post"]
"""What a prediction goes through, in order."""

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
        *,
        decode: Decoding = "fast",
        threads: int = 1,
        profile: Path | None = None,
    ) -> None:
        if decode not in get_args(Decoding):
            raise unknown_name("decoding", decode, get_args(Decoding))
        self.spec = spec
        """Input, labels and decision rule."""
        self.artifact = artifact.name
        """Name of the model file that runs."""
        self.engine = engine.name
        """Name of the engine that runs it."""
        self.threads = threads
        """Threads for one inference."""
        self.profile = profile
        """Where the choice of artifact, engine and threads comes from; None: no profile."""
        self._engine, self._limits, self._domain = engine, limits, domain
        self._shrink_for = spec.input if decode == "fast" else None

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        artifact: str | None = None,
        engine: str | None = None,
        threads: int | None = None,
        limits: ImageLimits | None = None,
        heatmap: bool = False,
        decode: Decoding = "fast",
        profile: str | os.PathLike[str] | None = None,
    ) -> Classifier:
        """Load a model.

        What ``cxr-edge tune`` found fastest for this bundle on this machine is what runs, unless
        ``artifact``, ``engine`` or ``heatmap`` ask for something else.

        Args:
            bundle: folder of an export; None: the reference model that the package carries.
            artifact: which of its files; None: the first that an installed engine runs.
            engine: which engine; None: the first installed one that the file was proven on.
            threads: threads for one inference; None: the profile's, 1 without any.
            limits: largest files and images accepted; None: the defaults.
            heatmap: whether to take a file that answers heat maps, for :meth:`explain`.
            decode: ``exact`` to read all of a JPEG's pixels, as the export's parity was proven.
            profile: what ``cxr-edge tune`` wrote; None: what it keeps for this bundle, if anything.

        Raises:
            BundleError: the bundle is incomplete or was changed.
            UsageError: it has no such artifact or engine, or no file with heat maps, or
                ``threads`` is below 1, or a profile is given beside what it would choose.
            ProfileError: the file ``profile`` is malformed.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or it does not fit its spec.
        """
        opened = Bundle.open(bundle)
        kept = None
        if artifact is None and engine is None and not heatmap:
            kept = find_profile(opened.manifest, None if profile is None else Path(profile))
        elif profile is not None:
            raise UsageError("a profile names artifact and engine; do not give them or heatmap too")
        if kept:
            artifact, engine = kept.profile.artifact, kept.profile.engine
        if threads is None:
            threads = kept.profile.threads if kept else 1
        record, name = opened.choose(artifact, engine, heatmap=heatmap)
        return cls(
            opened.manifest.spec,
            record,
            opened.load(record, name, threads=threads),
            limits or ImageLimits(),
            opened.domain(),
            decode=decode,
            threads=threads,
            profile=kept.path if kept else None,
        )

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Raises:
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the engine failed or answered no probability.
        """
        return self.predict_in_stages(source, _unmarked)

    def predict_in_stages(self, source: Source, mark: Callable[[Stage], None]) -> Prediction:
        """Classify one image as :meth:`predict` does, and say when each stage is over.

        Args:
            source: the image.
            mark: is called with the name of a stage at its end, in the order of :data:`Stage`.

        Raises:
            ImageError, MissingExtraError, EngineError: as :meth:`predict`.
        """
        found = _read_file(source, self._limits)
        mark("read")
        image = _decode(found, source, self.spec, self._limits, self._shrink_for)
        mark("decode")
        pixels = resize_to_input(image, self.spec.input)
        batch = normalize(pixels, self.spec.input)
        mark("preprocess")
        scores = self._engine.run(batch)
        mark("infer")
        prediction = self._prediction(source, pixels, scores)
        mark("post")
        return prediction

    def explain(self, source: Source) -> Explanation:
        """Classify one image and say what moved its score.

        Raises:
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the file has no heat map (load with ``heatmap=True``), the engine failed,
                or answered no probability.
        """
        image = _read(source, self.spec, self._limits)
        pixels = resize_to_input(image, self.spec.input)
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

    def predict_many(
        self, sources: Iterable[Source], *, workers: int = 1
    ) -> Iterator[Prediction | Failure]:
        """Classify images, in order; one bad image never stops the rest.

        An error of the model itself does: it would strike every image.

        Args:
            sources: images; with several workers some are taken ahead of what is yielded.
            workers: images worked on at the same time.

        Raises:
            EngineError: the engine failed or answered no probability.
            UsageError: ``workers`` is below 1.
        """
        return in_order(_attempt(self.predict), sources, workers)

    def explain_many(self, sources: Iterable[Source]) -> Iterator[Explanation | Failure]:
        """Explain images one after the other, as :meth:`predict_many` classifies them.

        Raises:
            EngineError: as :meth:`explain`.
        """
        return in_order(_attempt(self.explain), sources, 1)


def read_pixels(source: Source, spec: ModelSpec, limits: ImageLimits | None = None) -> Pixels:
    """Read one image exactly, as training, calibration and export do.

    Returns:
        (1, height, width, channels) uint8, the network's size.

    Raises:
        ImageError: it cannot be read, exceeds a limit, or is damaged.
        MissingExtraError: reading it needs an optional package.
    """
    return resize_to_input(_read(source, spec, limits or ImageLimits()), spec.input)


def _read(source: Source, spec: ModelSpec, limits: ImageLimits) -> Image:
    """Read and decode, at full size."""
    return _decode(_read_file(source, limits), source, spec, limits, None)


def _read_file(source: Source, limits: ImageLimits) -> bytes | Image:
    if isinstance(source, bytes | np.ndarray):
        return source
    return read_file(source, max_bytes=limits.max_bytes, error=ImageError)


def _decode(
    found: bytes | Image,
    source: Source,
    spec: ModelSpec,
    limits: ImageLimits,
    shrink_for: InputSpec | None,
) -> Image:
    if not isinstance(found, bytes):
        return found
    return read_image(
        found,
        channels=spec.input.channels,
        limits=limits,
        name=_name(source),
        shrink_for=shrink_for,
    )


def _unmarked(stage: Stage) -> None:
    """Nobody wants to know."""


def _attempt(answer: Callable[[Source], T]) -> Callable[[Source], T | Failure]:
    """The answer, or a failure for an image that cannot be read."""

    def attempt(source: Source) -> T | Failure:
        try:
            return answer(source)
        except (ImageError, MissingExtraError) as err:
            return Failure(_name(source), type(err).__name__, str(err))

    return attempt


def _name(source: Source) -> str | None:
    """The file as it was named; None for bytes and arrays."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else None
