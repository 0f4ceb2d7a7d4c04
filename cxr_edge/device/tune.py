"""Which artifact, engine and number of threads is fastest here: measured, not guessed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.manifest import ArtifactRecord, EngineRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Verdict, replay_golden
from cxr_edge.device.machine import usable_cpus
from cxr_edge.device.timing import time_in_turn
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

ROUNDS = 40
"""How often each candidate gets its turn."""
_REPEATS = 3
ALIKE = 1.05
"""Candidates up to this factor of the fastest count as equally fast."""


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate."""

    artifact: str
    """The file."""
    engine: str
    """The engine."""
    threads: int
    """Threads for one inference."""
    verdict: Verdict
    """Whether it decides like the original here; only ``proven`` ones are timed."""
    bytes: int
    """Size of the file."""
    p50_ms: float | None
    """Median time of one inference, milliseconds; None: not timed."""
    p90_ms: float | None
    """Time that 90 % of the inferences stay below or at; None: not timed."""

    @property
    def mean_delta(self) -> float:
        """Mean difference from the original's scores on the golden inputs; 1 where unknown."""
        return self.verdict.parity.mean_abs_delta if self.verdict.parity else 1.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    artifact: ArtifactRecord
    record: EngineRecord
    threads: int
    verdict: Verdict


def tune(
    bundle: Bundle,
    *,
    max_threads: int | None = None,
    rounds: int = ROUNDS,
    reporter: Reporter,
) -> tuple[Row, ...]:
    """Prove every artifact on every installed engine here, then time those that hold, in turn.

    Args:
        bundle: what to run.
        max_threads: most threads for one inference; None: as many as this process may use.
        rounds: how often each candidate gets its turn.
        reporter: shows progress.

    Returns:
        A row for each artifact, engine and number of threads, in the order of the manifest.

    Raises:
        BundleError: a file is absent or changed.
    """
    golden = bundle.golden()
    candidates = _prove_all(bundle, golden, max_threads or usable_cpus(), reporter)
    timed = [c for c in candidates if c.verdict.outcome == "proven"]
    engines = [bundle.load(c.artifact, c.record.engine, threads=c.threads) for c in timed]
    batch = normalize(golden.pixels[:1], bundle.manifest.spec.input)
    steps = [functools.partial(engine.run, batch) for engine in engines]
    found = time_in_turn(steps, rounds=rounds, repeats=_REPEATS, reporter=reporter)
    times = dict(zip(map(id, timed), found, strict=True))

    def row(candidate: _Candidate) -> Row:
        found = times.get(id(candidate))
        p50, p90 = (None, None) if found is None else np.quantile(found, (0.5, 0.9)).tolist()
        return Row(
            candidate.artifact.name,
            candidate.record.engine,
            candidate.threads,
            candidate.verdict,
            candidate.artifact.file.bytes,
            p50,
            p90,
        )

    return tuple(row(candidate) for candidate in candidates)


def fastest(rows: Sequence[Row]) -> Row | None:
    """The row to run; None where nothing was proven.

    Of those about as fast as the fastest the one with the fewest threads, then the one nearest to
    the original.
    """
    timed = [(row.p50_ms, row) for row in rows if row.p50_ms is not None]
    if not timed:
        return None
    limit = ALIKE * min(p50 for p50, _ in timed)
    alike = [row for p50, row in timed if p50 <= limit]
    return min(alike, key=lambda row: (row.threads, row.mean_delta))


def _prove_all(
    bundle: Bundle, golden: GoldenSet, most_threads: int, reporter: Reporter
) -> list[_Candidate]:
    pairs = [(a, r) for a in bundle.manifest.artifacts for r in a.engines]
    candidates = []
    with reporter.bar("proving each file") as advance:
        for number, (artifact, record) in enumerate(pairs):
            for threads in thread_counts(most_threads):
                verdict = replay_golden(bundle, golden, artifact, record, threads=threads)
                candidates.append(_Candidate(artifact, record, threads, verdict))
                if verdict.outcome != "proven":
                    break  # more threads would not make it right
            advance(number + 1, len(pairs))
    return candidates


def thread_counts(most: int) -> tuple[int, ...]:
    """The numbers of threads worth trying: powers of two, and the most."""
    powers = [1 << n for n in range(most.bit_length()) if 1 << n < most]
    return (*powers, most)
