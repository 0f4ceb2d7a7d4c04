"""Inputs near a change of decision: what a file does there, golden inputs do not show.

Golden inputs lie away from the threshold, so that a quantized file may move their scores without
changing a decision. A file whose scores are mirrored or constant close to the threshold would pass
on them. So pairs of inputs are drawn that lie on either side of a decision, close to it and to each
other: golden inputs of two labels are blended until the original's score is where it is wanted.
How files are judged on them says :mod:`cxr_edge.bundle.parity`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.decision import Probabilities, Scores, decide, decision_margins, probabilities
from cxr_edge.preprocess import Pixels
from cxr_edge.spec import ModelSpec

DISTANCES = {0.012: 4, 0.035: 2}
"""Distances from a change of decision that are aimed at, 0..1, and the pairs wanted at each."""
_LEAST, _MOST = 0.5, 1.5
"""What is taken, as a share of the distance aimed at."""
_PATHS = 6
"""Pairs of golden inputs that are blended; a network may jump over the decision of some."""
_OF_EACH = 16
_STEPS = 10
"""A blend is found to 1/1024 of the way between two inputs."""


def draw_near(
    golden: GoldenSet,
    score: Callable[[Pixels], Scores],
    spec: ModelSpec,
    is_usable: Callable[[Pixels], npt.NDArray[np.bool_]] | None = None,
    *,
    times: int = 1,
) -> GoldenSet | None:
    """Draw pairs of inputs on either side of a decision, about 100 inputs being scored.

    Args:
        golden: inputs to blend, with the original's scores.
        score: the original model.
        spec: the decision rule.
        is_usable: (N,) whether inputs may be used; None: all.
        times: how many times as many pairs as a bundle keeps.

    Returns:
        Rows 2k and 2k + 1 are a pair of one blend, on one side each; None: the original has no such
        inputs. It decides all golden inputs alike, or jumps from one label to the other.
    """
    paths = _choose_paths(golden, spec, times * _PATHS)
    for _ in range(_STEPS):
        blends = [blend for path in paths for blend in path.next_blends()]
        if not blends:
            break
        pixels = np.stack([path.blend(share) for path, share in blends])
        scores = score(pixels)
        table = probabilities(scores, spec)
        decisions, margins = decide(table, spec), decision_margins(table, spec)
        for row, (path, share) in enumerate(blends):
            distance = path.distance(int(decisions[row]), float(margins[row]))
            path.points.append(_Point(share, distance, pixels[row], scores[row]))
    pairs = []
    for distance, wanted in DISTANCES.items():
        drawn = [pair for path in paths if (pair := path.pair(distance))]
        if is_usable and drawn:
            both = is_usable(np.stack([point.pixels for pair in drawn for point in pair]))
            drawn = [pair for pair, ok in zip(drawn, both.reshape(-1, 2), strict=True) if ok.all()]
        pairs += drawn[: times * wanted]
    if not pairs:
        return None
    points = [point for pair in pairs for point in pair]
    return GoldenSet(np.stack([p.pixels for p in points]), np.stack([p.scores for p in points]))


def some_of_each(images: GoldenSet, spec: ModelSpec) -> GoldenSet:
    """At most :data:`_OF_EACH` images of every decision, evenly spaced, to blend."""
    decisions = decide(probabilities(images.scores, spec), spec)
    chosen: list[int] = []
    for decision in np.unique(decisions):
        rows = np.flatnonzero(decisions == decision)
        chosen += rows[:: -(-len(rows) // _OF_EACH)].tolist()
    return GoldenSet(images.pixels[chosen], images.scores[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """A blend of two inputs."""

    share: float
    """Of the second input, 0..1."""
    distance: float
    """From the change of decision, negative on the first input's side; NaN: of a third label."""
    pixels: Pixels
    scores: Scores


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """The way from an input of one label to an input of another."""

    first: Pixels
    second: Pixels
    labels: tuple[int, int]
    points: list[_Point]
    """Those that were scored."""

    def distance(self, decision: int, margin: float) -> float:
        """The signed distance of a point with this decision and margin."""
        signs = dict(zip(self.labels, (-1.0, 1.0), strict=True))
        return signs.get(decision, np.nan) * margin

    def blend(self, share: float) -> Pixels:
        """The input at a share of the way."""
        values = (1 - share) * self.first.astype(np.float64) + share * self.second
        return np.asarray(np.rint(values), np.uint8)

    def next_blends(self) -> list[tuple[_Path, float]]:
        """Where to look next for what is still missing."""
        points = sorted(self.points, key=lambda point: point.share)
        shares: dict[float, None] = {}
        for target in _targets():
            if self._nearest(target) is None:
                for before, after in pairwise(points):
                    if before.distance < target <= after.distance:
                        shares[(before.share + after.share) / 2] = None
                        break
        return [(self, share) for share in shares]

    def pair(self, distance: float) -> tuple[_Point, _Point] | None:
        """Points on either side at about this distance."""
        before, after = self._nearest(-distance), self._nearest(distance)
        return (before, after) if before and after else None

    def _nearest(self, target: float) -> _Point | None:
        close = [
            point
            for point in self.points
            if _LEAST <= point.distance / target <= _MOST and 0 < point.share < 1
        ]
        return min(close, key=lambda point: abs(point.distance - target), default=None)


def _targets() -> list[float]:
    return [sign * distance for distance in DISTANCES for sign in (-1.0, 1.0)]


def _choose_paths(golden: GoldenSet, spec: ModelSpec, count: int) -> list[_Path]:
    """Ways between inputs of different labels; each label and input is used as rarely as can be."""
    table: Probabilities = probabilities(golden.scores, spec)
    decisions = decide(table, spec).tolist()
    margins = decision_margins(table, spec).tolist()
    pairs = [
        p for p in combinations(range(len(decisions)), 2) if len({decisions[i] for i in p}) > 1
    ]
    used: Counter[object] = Counter()
    paths = []
    for _ in range(min(count, len(pairs))):
        i, j = min(
            pairs,
            key=lambda p: (used[frozenset(decisions[i] for i in p)], used[p[0]] + used[p[1]], p),
        )
        pairs.remove((i, j))
        used.update((i, j, frozenset((decisions[i], decisions[j]))))
        path = _Path(golden.pixels[i], golden.pixels[j], (decisions[i], decisions[j]), [])
        path.points.extend(
            _Point(
                share, path.distance(decisions[n], margins[n]), golden.pixels[n], golden.scores[n]
            )
            for share, n in ((0.0, i), (1.0, j))
        )
        paths.append(path)
    return paths
