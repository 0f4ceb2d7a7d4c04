"""The runtime: one model file of a bundle on one engine, from images to predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, get_args

from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores, decide, positive_scores, probabilities, uncertain
from cxr_edge.device.batch import map_in_order
from cxr_edge.device.machine import check_workers
from cxr_edge.device.profile import find_profile
from cxr_edge.domain import Domain, facts_for
from cxr_edge.engines import Engine
from cxr_edge.errors import BundleError, ImageError, MissingExtraError, UsageError, unknown_name
from cxr_edge.image import ImageLimits
from cxr_edge.preprocess import normalize, resize_to_input
from cxr_edge.results import Explanation, Failure, Prediction
from cxr_edge.sources import Source, check_many, decode_loaded, load, name_of
from cxr_edge.spec import Decoding, ModelSpec

Stage = Literal["read", "decode", "preprocess", "infer", "post"]
"""The stages of a prediction, in order."""

Result = TypeVar("Result")

_MOST_COMMITS = 10
"""Exports into a bundle's folder, while it is being loaded, after which loading it gives up."""


class Classifier:
    """A loaded model that classifies images.

    Threads may share it. After a fork, load it again in the child, or start workers with ``spawn``,
    which OpenVINO needs.

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
        bundle: Path | None = None,
        bundle_sha256: str | None = None,
    ) -> None:
        if decode not in get_args(Decoding):
            raise unknown_name("decoding", decode, get_args(Decoding))
        self.spec = spec
        """Input, labels and decision rule."""
        self.artifact = artifact.name
        """Name of the model file that runs."""
        self.engine = engine.name
        """Name of the engine that runs the file."""
        self.threads = threads
        """Threads for one inference."""
        self.profile = profile
        """The profile that artifact, engine and threads were taken from; None: no profile."""
        self.bundle, self.bundle_sha256 = bundle, bundle_sha256
        """Folder of the bundle and SHA-256 of its manifest; None: the model is of no bundle."""
        self._engine, self._limits, self._domain = engine, limits, domain
        self.decode = decode
        """How JPEGs are decoded."""

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
        decode: Decoding | None = None,
        profile: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
    ) -> Classifier:
        """Load a model.

        Without ``artifact``, ``engine`` and ``heatmap``, the profile that ``cxr-edge tune`` wrote
        for this bundle on this machine chooses the file, the engine and the threads.

        Args:
            bundle: folder of an export, or the package's ``compact``; None: its reference.
            artifact: name of a model file; None: the one that this machine prefers
                (:mod:`cxr_edge.bundle.preference`).
            engine: name of an engine; None: the first installed one that the file was checked on.
            threads: for one inference, from 1 to the CPUs that this process may use; None: the
                profile's, or 1 without a profile.
            limits: largest file and image accepted; None: the defaults.
            heatmap: load a file that computes heat maps, for :meth:`explain`.
            decode: see :data:`Decoding`; None: the bundle's default, ``fast`` unless its export
                measured that this changes too much.
            profile: file of ``cxr-edge tune``; None: the one kept for this bundle, if any.
            key: file of the public key that the bundle must be signed for; None: it need not be
                signed.

        Raises:
            BundleError: the bundle is incomplete, was changed, or is not signed for ``key``.
            UsageError: the bundle has no such artifact or engine, or no file with heat maps;
                ``threads`` is out of range; or ``profile`` is given together with ``artifact``,
                ``engine`` or ``heatmap``.
            ProfileError: ``profile`` is malformed.
            MissingExtraError: the engine is not installed.
            EngineError: the engine refuses the file, or the file does not fit its spec.
        """
        commits = 0
        while True:
            opened = Bundle.open(bundle, key=key)
            try:
                return cls._load(
                    *(opened, artifact, engine, threads, limits or ImageLimits()),
                    *(heatmap, decode, None if profile is None else Path(profile)),
                )
            except BundleError:  # an export may have removed its files meanwhile
                commits += 1
                if commits == _MOST_COMMITS or not opened.is_replaced():
                    raise

    @classmethod
    def _load(
        cls,
        opened: Bundle,
        artifact: str | None,
        engine: str | None,
        threads: int | None,
        limits: ImageLimits,
        heatmap: bool,
        decode: Decoding | None,
        profile: Path | None,
    ) -> Classifier:
        """Load a model of a bundle that was opened; see :meth:`load`."""
        tuned = None
        if artifact is None and engine is None and not heatmap:
            tuned = find_profile(opened.manifest, profile)
        elif profile is not None:
            raise UsageError(
                "a profile chooses artifact and engine; give it without artifact, engine or heatmap"
            )
        if tuned:
            artifact, engine = tuned.profile.artifact, tuned.profile.engine
        if threads is None:
            threads = tuned.profile.threads if tuned else 1
        record, engine_name = opened.choose(artifact, engine, heatmap=heatmap)
        domain = opened.domain()  # every file is hashed before a session exists
        return cls(
            opened.manifest.spec,
            record,
            opened.load(record, engine_name, threads=threads),
            limits,
            domain,
            decode=opened.manifest.default_decoding if decode is None else decode,
            threads=threads,
            profile=tuned.path if tuned else None,
            bundle=opened.folder,
            bundle_sha256=opened.manifest.sha256,
        )

    def __repr__(self) -> str:
        bundle = None if self.bundle is None else str(self.bundle)
        return (
            f"Classifier(bundle={bundle!r}, artifact={self.artifact!r}, engine={self.engine!r}, "
            f"threads={self.threads})"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Classifier cannot be pickled or copied; load one in each process, and let threads "
            "share it"
        )

    def predict(self, source: Source) -> Prediction:
        """Classify one image.

        Args:
            source: a path, the bytes of a file, a file opened with ``"rb"``, an image of Pillow, or
                an array: uint8, (H, W) grey or (H, W, 3) with red first. See :data:`Source`.

        Raises:
            TypeError: it is none of these.
            ImageError: it cannot be read, exceeds a limit, or is damaged.
            MissingExtraError: reading it needs an optional package.
            EngineError: the engine failed, or its output is no probability.
        """
        return self.predict_in_stages(source, _ignore_stage)

    def predict_in_stages(self, source: Source, on_stage: Callable[[Stage], None]) -> Prediction:
        """Classify one image as :meth:`predict` does, errors too; report the end of each stage.

        Args:
            source: the image.
            on_stage: called with the name of each stage when it ends.
        """
        data = load(source, self._limits)
        on_stage("read")
        facts = facts_for(self._domain)
        image = decode_loaded(source, data, self.spec, self._limits, self.decode, facts)
        on_stage("decode")
        pixels = resize_to_input(image, self.spec.input)
        batch = normalize(pixels, self.spec.input)
        on_stage("preprocess")
        scores = self._engine.run(batch)
        on_stage("infer")
        outside = self._domain.marks(pixels, facts) if self._domain else None
        prediction = self._prediction(source, scores, outside)
        on_stage("post")
        return prediction

    def explain(self, source: Source) -> Explanation:
        """Classify one image and compute the heat map of what moved its score.

        Raises:
            ImageError, MissingExtraError: as :meth:`predict`.
            EngineError: the file computes no heat map (load with ``heatmap=True``), the engine
                failed, or its output is no probability.
        """
        data = load(source, self._limits)
        facts = facts_for(self._domain)
        image = decode_loaded(source, data, self.spec, self._limits, "exact", facts)
        pixels = resize_to_input(image, self.spec.input)
        scores, heatmaps = self._engine.explain(normalize(pixels, self.spec.input))
        outside = self._domain.marks(pixels, facts) if self._domain else None
        prediction = self._prediction(source, scores, outside)
        return Explanation(prediction, heatmaps[0], image, self.spec)

    def _prediction(self, source: Source, scores: Scores, outside: bool | None) -> Prediction:
        table = probabilities(scores, self.spec)
        return Prediction(
            source=name_of(source),
            label=self.spec.labels[decide(table, self.spec)[0]],
            score=float(positive_scores(table, self.spec)[0]),
            scores=dict(zip(self.spec.labels, table[0].tolist(), strict=True)),
            threshold=self.spec.threshold,
            uncertain=bool(uncertain(table, self.spec)[0]),
            out_of_domain=outside,
            engine=self.engine,
            artifact=self.artifact,
        )

    def predict_many(
        self, sources: Iterable[Source], *, workers: int = 1
    ) -> Iterator[Prediction | Failure]:
        """Classify images, in order.

        An image that cannot be read gives a :class:`Failure`, and the next one follows. An error
        of the model is raised, since every image would have it.

        Args:
            sources: images; several workers take some ahead of what is yielded.
            workers: images processed at the same time, from 1 to four for each CPU that this
                process may use.

        Raises:
            TypeError: ``sources`` is one image, or one of them is no image.
            EngineError: the engine failed, or its output is no probability.
            UsageError: ``workers`` is out of range.
        """
        check_workers(workers)
        check_many(sources)
        return map_in_order(_or_failure(self.predict), sources, workers)

    def explain_many(self, sources: Iterable[Source]) -> Iterator[Explanation | Failure]:
        """Explain images one at a time, in order, with failures as in :meth:`predict_many`.

        Raises:
            TypeError: as :meth:`predict_many`.
            EngineError: as :meth:`explain`.
        """
        check_many(sources)
        return map_in_order(_or_failure(self.explain), sources, 1)


def _ignore_stage(stage: Stage) -> None:
    """No-op stage callback."""


def _or_failure(classify: Callable[[Source], Result]) -> Callable[[Source], Result | Failure]:
    """Return a failure where ``classify`` raises because of the image."""

    def classify_or_fail(source: Source) -> Result | Failure:
        try:
            return classify(source)
        except (ImageError, MissingExtraError) as err:
            return Failure(name_of(source), type(err).__name__, str(err), err.exit_code)

    return classify_or_fail
