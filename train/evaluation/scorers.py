"""Models that can be evaluated: the original Keras model, or an exported file on an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_edge.bundle.manifest import Provenance
from cxr_edge.bundle.reader import Bundle
from cxr_edge.classifier import Classifier
from cxr_edge.decision import Scores
from cxr_edge.domain import Domain, parse_domain
from cxr_edge.errors import EngineError, MissingExtraError, ModelError
from cxr_edge.files import printable, read_file
from cxr_edge.metrics.evaluation import ModelSource
from cxr_edge.original.keras_model import keras_scores
from cxr_edge.original.opening import load_original
from cxr_edge.original.run_folder import UNKNOWN, open_run
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Reporter, notice
from cxr_edge.spec import ModelSpec

KERAS = "Keras"
"""Engine of an original model."""

Scorer = Callable[[Pixels], Scores]
"""From (N, height, width, channels) uint8 to (N, spec.outputs) float32."""

_MAX_DOMAIN_BYTES = 2**24


@dataclass(frozen=True, slots=True)
class Explainer:
    """The file of a bundle that outputs heat maps."""

    source: str
    """The file and what runs it, in words."""
    load: Callable[[], Classifier]
    """Loads it, ready to explain images."""


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """A model with its contract."""

    source: ModelSource
    """Which file of which model, run by what, under which spec."""
    scorer: Scorer
    domain: Domain | None = None
    """What the training images look like; None: unknown."""
    explainer: Explainer | None = None
    """None: the model has no heat maps."""

    @property
    def name(self) -> str:
        """Name of the run folder, file or bundle."""
        return self.source.name

    @property
    def spec(self) -> ModelSpec:
        """Input, labels and decision rule."""
        return self.source.spec


def keras_model(model: Path, spec: Path | None, reporter: Reporter | None = None) -> ScoredModel:
    """The original Keras model of a run folder or of a Keras file, as an export makes it.

    Raises:
        ModelError: the model, its spec or its domain is absent or malformed.
        MissingExtraError: Keras is not installed.
    """
    run = open_run(model, spec)
    original = load_original(run.model, run.spec, reporter=reporter)
    domain = None
    if run.domain:
        data = read_file(run.domain, max_bytes=_MAX_DOMAIN_BYTES, error=ModelError)
        domain = parse_domain(data, printable(run.domain), ModelError)

    def scorer(pixels: Pixels) -> Scores:
        return keras_scores(original.model, pixels, original.spec)

    source = ModelSource(
        name=printable(model.resolve().name),
        artifact=printable(run.model.resolve().name),
        engine=KERAS,
        spec=original.spec,
        recipe=_known_recipe(run.provenance),
    )
    return ScoredModel(source, scorer, domain)


def exported_model(
    bundle: Path | None, artifact: str | None, engine: str | None, threads: int
) -> ScoredModel:
    """An exported file; names as in :meth:`cxr_edge.Classifier.load`.

    Raises:
        CxrEdgeError: as :meth:`cxr_edge.Classifier.load` does.
    """
    opened = Bundle.open(bundle)
    spec = opened.manifest.spec
    record, runs_on = opened.choose(artifact, engine)
    domain = opened.domain()  # hashed before a session exists
    loaded = opened.load(record, runs_on, threads=threads)

    def scorer(pixels: Pixels) -> Scores:
        # One at a time: as float32 a whole folder would be four times as large.
        rows = [loaded.run(normalize(pixels[i : i + 1], spec.input)) for i in range(len(pixels))]
        return np.concatenate(rows)

    name = printable(bundle.resolve().name) if bundle else "the bundled reference"
    recipe = _known_recipe(opened.manifest.provenance)
    source = ModelSource(name, record.name, runs_on, spec, recipe)
    return ScoredModel(source, scorer, domain, _explainer(opened, threads))


def _known_recipe(provenance: Provenance) -> str | None:
    return None if provenance.recipe == UNKNOWN.recipe else provenance.recipe


def _explainer(bundle: Bundle, threads: int) -> Explainer | None:
    if not any(record.has_heatmap for record in bundle.manifest.artifacts):
        return None
    try:
        record, engine = bundle.choose(None, None, heatmap=True)
    except (MissingExtraError, EngineError) as err:
        notice(f"the gallery will have no heat maps: {err}")
        return None
    return Explainer(
        f"{record.name}, run by {engine}",
        lambda: Classifier.load(
            bundle.folder, artifact=record.name, engine=engine, threads=threads, heatmap=True
        ),
    )
