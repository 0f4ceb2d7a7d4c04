"""Finds the fastest artifact, engine and number of threads on this machine by measuring them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Verdict, replay_golden
from cxr_edge.device.machine import usable_cpus
from cxr_edge.device.timing import time_in_turn
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter

SIMILAR = 1.05
"""Candidates within this factor of the fastest count as equally fast."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a bundle."""

    artifact: str
    """Name of the artifact."""
    engine: str
    """Name of the engine."""
    threads: int
    """Threads for one inference."""
    verdict: Verdict
    """Parity on this machine; only ``proven`` candidates are timed."""
    bytes: int
    """Size of the model file."""
    p50_ms: float | None = None
    """Median time of one inference, milliseconds; None: not timed."""
    p90_ms: float | None = None
    """90th percentile, milliseconds; None: not timed."""

    @property
    def mean_delta(self) -> float:
        """Mean |difference| from the original's scores on the golden inputs; 1 where unknown."""
        return self.verdict.parity.mean_abs_delta if self.verdict.parity else 1.0


def tune(
    bundle: Bundle,
    *,
    max_threads: int | None = None,
    rounds: int = 40,
    repeats: int = 3,
    reporter: Reporter,
) -> tuple[Candidate, ...]:
    """Check the parity of every artifact on every engine, then time those that pass in turn.

    Args:
        bundle: the bundle.
        max_threads: most threads for one inference; None: as many as this process may use.
        rounds: timing rounds; every candidate gets one turn in each.
        repeats: timed inferences in a turn.
        reporter: shows progress.

    Returns:
        A candidate for each artifact, engine and number of threads, in the manifest's order.

    Raises:
        BundleError: a file is missing or was changed.
    """
    golden = bundle.golden()
    candidates = list(_check_all(bundle, golden, max_threads or usable_cpus(), reporter))
    proven = [n for n, c in enumerate(candidates) if c.verdict.outcome == "proven"]
    batch = normalize(golden.pixels[:1], bundle.manifest.spec.input)
    steps = []
    for index in proven:
        candidate = candidates[index]
        artifact = bundle.artifact(candidate.artifact)
        engine = bundle.load(artifact, candidate.engine, threads=candidate.threads)
        steps.append(functools.partial(engine.run, batch))
    times = time_in_turn(steps, rounds=rounds, repeats=repeats, reporter=reporter)
    for index, times_ms in zip(proven, times, strict=True):
        p50, p90 = np.quantile(times_ms, (0.5, 0.9)).tolist()
        candidates[index] = dataclasses.replace(candidates[index], p50_ms=p50, p90_ms=p90)
    return tuple(candidates)


def fastest(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate to run; None: none was timed.

    Of those about as fast as the fastest, the one with the fewest threads; of those, the one
    whose scores are closest to the original's.
    """
    timed = [(c.p50_ms, c) for c in candidates if c.p50_ms is not None]
    if not timed:
        return None
    limit_ms = SIMILAR * min(p50_ms for p50_ms, _ in timed)
    similar = [candidate for p50_ms, candidate in timed if p50_ms <= limit_ms]
    return min(similar, key=lambda candidate: (candidate.threads, candidate.mean_delta))


def thread_counts(most: int) -> tuple[int, ...]:
    """Thread counts to try: the powers of two below ``most``, and ``most``."""
    powers = [1 << n for n in range(most.bit_length()) if 1 << n < most]
    return (*powers, most)


def _check_all(
    bundle: Bundle, golden: GoldenSet, most_threads: int, reporter: Reporter
) -> Iterator[Candidate]:
    pairs = [(artifact, r) for artifact in bundle.manifest.artifacts for r in artifact.engines]
    with reporter.bar("checking parity") as advance:
        for number, (artifact, record) in enumerate(pairs):
            for threads in thread_counts(most_threads):
                verdict = replay_golden(bundle, golden, artifact, record, threads=threads)
                yield Candidate(artifact.name, record.engine, threads, verdict, artifact.file.bytes)
                if verdict.outcome != "proven":
                    break  # it would not be right with more threads either
            advance(number + 1, len(pairs))
