"""How an exported file answers the inputs that golden ones are chosen from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.decision import decide, probabilities
from cxr_edge.engines import open_engine
from cxr_edge.errors import EngineError
from cxr_edge.export.artifacts import ArtifactKind
from cxr_edge.export.machine import proving_engines
from cxr_edge.preprocess import normalize
from cxr_edge.spec import ModelSpec


@dataclass(frozen=True, slots=True, eq=False)
class Reproduction:
    """How a file answers the pool of golden inputs, the worst of its engines."""

    name: str
    """The file's kind."""
    flipped: npt.NDArray[np.bool_]
    """(N,) whether a decision changes."""
    delta: npt.NDArray[np.float64]
    """(N,) largest |difference| of an output, 0..1."""
    allowed: float
    """What its budget allows."""


def reproduce(
    data: bytes, kind: ArtifactKind, pool: GoldenSet, spec: ModelSpec, allowed: float
) -> Reproduction | None:
    """Run a file on a pool of inputs; None: an engine refuses it, which the gate will say."""
    batch, before = (
        normalize(pool.pixels, spec.input),
        decide(probabilities(pool.scores, spec), spec),
    )
    flipped, delta = np.zeros(len(batch), np.bool_), np.zeros(len(batch))
    try:
        for engine in proving_engines(kind.name, kind.format):
            scores = open_engine(engine, data, spec).run(batch)
            flipped |= decide(probabilities(scores, spec), spec) != before
            delta = np.maximum(delta, np.abs(scores - pool.scores).max(axis=1))
    except EngineError:
        return None
    return Reproduction(kind.name, flipped, delta, allowed)
