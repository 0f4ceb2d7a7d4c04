"""The golden inputs of one export: drawn first, then moved to where the network works.

The rule, in this order:

1. Phantoms, as for every model. Nobody's image is in them.
2. Where a file with measured ranges is made and the calibration images are the user's: if a golden
   input drives an activation out of the ranges of those images, golden inputs are chosen among the
   drawn pictures that do not, after pictures with the statistics of those images have been drawn
   too (:mod:`cxr_edge.export.golden.alike`). A decision that would be lost keeps the pictures of
   it that are nearest to the ranges, as long as no file differs on them: they may prove a decision
   and never refuse a file.
3. Where recipes were chosen by the user's images: a golden input on which such a file differs by
   more than on those images is replaced, and if a decision would be left without inputs, the
   tolerance of that file becomes what was measured. A file that changes every input of a decision
   is not spared: the gate refuses it.

Inputs near a change of decision (:mod:`cxr_edge.export.golden.near`) are blended from what was
chosen, and obey the same three rules.

With ``keep_images`` they are the user's own images instead, which then are in the bundle; never
without being asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.data.samples import Samples
from cxr_edge.decision import Scores, decide, decision_margins, probabilities
from cxr_edge.export.golden import (
    COUNT,
    ROUNDING,
    choose_golden,
    describe_golden,
    draw_pictures,
)
from cxr_edge.export.golden.alike import draw_alike, measure
from cxr_edge.export.golden.near import draw_near
from cxr_edge.export.golden.reproduction import Reproduction
from cxr_edge.preprocess import Pixels
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

SLACK = 0.1
"""By how much an activation may leave the calibrated range, as a share of it."""
_ENOUGH = 8
"""Inputs of a decision below which more pictures are drawn."""

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Score = Callable[[Pixels], Scores]
"""The original model's scores of (N, height, width, channels) pixels."""


class GoldenInputs:
    """Chooses golden inputs from a pool that may grow."""

    def __init__(
        self, spec: ModelSpec, score: Score, allowed: float, count: int, reporter: Reporter
    ) -> None:
        """Draw phantoms and choose among them.

        Args:
            spec: the contract.
            score: the original model.
            allowed: the change of a score that the budget allows, 0..1.
            count: pictures to draw.
            reporter: shows progress.
        """
        self._spec, self._score, self._allowed, self._count = spec, score, allowed, count
        self._labels = len(spec.labels)
        with reporter.bar("drawing golden inputs") as advance:
            pictures = draw_pictures(spec, 0, count, advance, striped=True)
        self._source = describe_golden(count)
        self._outside: Callable[[Pixels], Floats] | None = None
        self._near: tuple[GoldenSet, GoldenSet | None] | None = None
        self._borrowed: set[int] = set()
        self.tolerances: dict[str, float] = {}
        """Largest |difference| that is accepted on them, by kind of file, where it is not the
        budget's."""
        self._start(GoldenSet(pictures, score(pictures)))

    @property
    def source(self) -> str:
        """What they are, for the manifest."""
        if self.near is None:
            alike = len(np.unique(self._decisions(self.chosen))) == 1
            why = "since all have one label" if alike else "which the model jumps over"
            return f"{self._source}; none near a change of decision, {why}"
        return f"{self._source}; {len(self.near.scores)} more near a change of decision"

    @property
    def near(self) -> GoldenSet | None:
        """Pairs of inputs on either side of a decision; None: the original has none.

        They are drawn when they are asked for, and again after golden inputs were exchanged.
        """
        if self._near is None or self._near[0] is not self.chosen:
            self._near = (
                self.chosen,
                draw_near(
                    self.chosen, self._score, self._spec, self._is_inside if self._outside else None
                ),
            )
        return self._near[1]

    @property
    def whole(self) -> GoldenSet:
        """What a bundle keeps: the golden inputs, and those near a change of decision."""
        return dataclasses.replace(self.chosen, near=self.near)

    def spare_near(self, files: Sequence[Reproduction]) -> None:
        """Leave out pairs near a decision on which files differ by more than on the user's images.

        Args:
            files: how those that hold their budget on the user's images answer :attr:`near`.
        """
        near = self.near
        if near is None or not files:
            return
        close = np.all(
            [file.delta <= self.tolerances.get(file.name, file.allowed) for file in files], axis=0
        )
        kept = np.repeat(close.reshape(-1, 2).all(axis=1), 2)
        self._near = self.chosen, _take(near, kept) if kept.any() else None

    def _is_inside(self, pixels: Pixels) -> Flags:
        """Whether inputs leave the calibrated ranges no further than golden inputs do."""
        assert self._outside is not None  # noqa: S101 - asked for only then
        limit = max(SLACK, float(self._outside(self.chosen.pixels).max()))
        return np.asarray(self._outside(pixels) <= limit)

    def keep(self, samples: Samples, scores: Scores) -> None:
        """Take them from the user's images, which will be in the bundle."""
        self._source = (
            f"up to {COUNT} of {len(scores)} images of the user, kept in the bundle as asked"
        )
        self._start(GoldenSet(samples.pixels, scores))

    def _start(self, pool: GoldenSet) -> None:
        self.pool = pool
        """All inputs that golden ones may be chosen from."""
        self.chosen, self.margin = choose_golden(pool, self._spec, self._allowed)
        """The golden inputs, and the smallest margin of their decisions."""

    def move_inside(
        self,
        excess: Callable[[Pixels], Floats],
        calibration: Samples,
        *,
        keep_decisions: bool = False,
    ) -> None:
        """Choose inputs whose activations stay within the calibrated ranges.

        Args:
            excess: (N,) by how much activations leave the ranges, as a share of them.
            calibration: the user's images that the ranges were measured on.
            keep_decisions: whether inputs outside are kept of a decision that has none inside;
                :meth:`replace` is to be called then.
        """
        self._outside = excess
        everything = len(np.unique(self._decisions(self.chosen))) == self._labels
        if everything and (excess(self.chosen.pixels) <= SLACK).all():
            return
        outside, pool = excess(self.pool.pixels), self.pool
        counts = np.bincount(self._decisions(pool)[outside <= SLACK], minlength=self._labels)
        statistics = measure(calibration)
        if statistics and (counts.min() < _ENOUGH or counts.sum() < COUNT):
            pixels = draw_alike(statistics, self._spec, 0, self._count)
            pool = _join(pool, GoldenSet(pixels, self._score(pixels)))
            outside = np.concatenate([outside, excess(pixels)])
        clear, where = self._is_clear(pool), "within the range of"
        inside = clear & (outside <= SLACK)
        if inside.sum() < _ENOUGH * self._labels:
            where = "nearest to the range of"
            inside = clear & (outside <= np.quantile(outside[clear], 0.25))
        decisions = self._decisions(pool)
        lost = np.setdiff1d(decisions[clear], decisions[inside]) if keep_decisions else ()
        for decision in lost:
            candidates = np.flatnonzero(clear & (decisions == decision))
            nearest = candidates[np.argsort(outside[candidates], kind="stable")]
            inside[nearest[: COUNT // self._labels]] = True
        self._borrowed = {int(decision) for decision in lost}
        before = len(self.pool.scores)
        self.pool = _take(pool, inside)
        self.chosen, self.margin = choose_golden(self.pool, self._spec, self._allowed)
        alike = int(inside[before:].sum())
        textures = "textures with the average grey levels and frequencies of the calibration images"
        kinds = {"phantoms": len(self.pool.scores) - alike, textures: alike}
        drawn = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        self._source = (
            f"{len(self.chosen.scores)} of {drawn}, drawn and kept because the network's values on "
            f"them stay {where} those on the calibration images"
        )
        if self._borrowed:
            labels = ", ".join(self._spec.labels[decision] for decision in sorted(self._borrowed))
            self._source += f"; those of {labels} are outside it, since none is within"

    def _return_borrowed(self, files: Sequence[Reproduction]) -> Sequence[Reproduction]:
        """Give up what was kept outside the ranges where a file differs on it.

        Returns:
            How the files answer the pool that is left.
        """
        outside = np.isin(self._decisions(self.pool), list(self._borrowed))
        close = np.all([~f.flipped & (f.delta <= f.allowed) for f in files], axis=0)
        kept = ~outside | close
        if kept.all():
            return files
        self.pool = _take(self.pool, kept)
        self.chosen, self.margin = choose_golden(self.pool, self._spec, self._allowed)
        return [dataclasses.replace(f, flipped=f.flipped[kept], delta=f.delta[kept]) for f in files]

    def replace(self, files: Sequence[Reproduction]) -> None:
        """Replace inputs on which files differ though they hold their budget on the user's images.

        Args:
            files: how each answers :attr:`pool`.
        """
        if files and self._borrowed:
            files = self._return_borrowed(files)
        decisions, clear = self._decisions(self.pool), self._is_clear(self.pool)
        spared = [f for f in files if _keeps_every_decision(f.flipped, decisions, clear)]
        if not spared:
            return
        steady = ~np.any([f.flipped for f in spared], axis=0)
        close = steady & np.all([f.delta <= f.allowed for f in spared], axis=0)
        golden = self._is_chosen()
        wanted = np.unique(decisions[golden])
        if close[golden].all() or not np.isin(wanted, decisions[steady & clear]).all():
            return
        usable = close if np.isin(wanted, decisions[close & clear]).all() else steady
        replaced = int(np.sum(golden & ~usable))
        kept = _take(self.pool, usable)
        self.chosen, self.margin = choose_golden(kept, self._spec, self._allowed)
        self.pool, golden = kept, self._is_chosen_of(kept)
        for file in spared:
            worst = float(file.delta[usable][golden].max())
            if worst > file.allowed:
                self.tolerances[file.name] = min(1.0, float(f"{1.1 * worst:.2g}"))
        if replaced:
            self._source += (
                f"; {replaced} were replaced on which a quantized file differed by more than on "
                "the user's images"
            )

    def _decisions(self, inputs: GoldenSet) -> npt.NDArray[np.intp]:
        return decide(probabilities(inputs.scores, self._spec), self._spec)

    def _is_clear(self, inputs: GoldenSet) -> Flags:
        table = probabilities(inputs.scores, self._spec)
        return np.asarray(decision_margins(table, self._spec) > ROUNDING)

    def _is_chosen(self) -> Flags:
        return self._is_chosen_of(self.pool)

    def _is_chosen_of(self, pool: GoldenSet) -> Flags:
        chosen = {image.tobytes() for image in self.chosen.pixels}
        return np.asarray([image.tobytes() in chosen for image in pool.pixels], np.bool_)


def _keeps_every_decision(flipped: Flags, decisions: npt.NDArray[np.intp], clear: Flags) -> bool:
    return all((~flipped & clear)[decisions == d].any() for d in np.unique(decisions[clear]))


def _join(one: GoldenSet, other: GoldenSet) -> GoldenSet:
    return GoldenSet(
        np.concatenate([one.pixels, other.pixels]), np.concatenate([one.scores, other.scores])
    )


def _take(inputs: GoldenSet, which: Flags) -> GoldenSet:
    return GoldenSet(inputs.pixels[which], inputs.scores[which])
