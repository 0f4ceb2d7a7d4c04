"""Tuning takes the fastest of what was proven here, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.proofs import Parity
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.verify import Outcome, Verdict
from cxr_edge.device.tune import Candidate, fastest, thread_counts, tune
from cxr_edge.reporting import Silent

pytestmark = pytest.mark.slow


def candidate(
    name: str, p50: float | None, *, threads: int = 1, mean: float = 0.001, outcome: Outcome
) -> Candidate:
    parity = Parity(32, 2 * mean, mean, 2 * mean, 0)
    verdict = Verdict(name, "onnxruntime", outcome, 0.05, parity, "")
    return Candidate(name, "onnxruntime", threads, verdict, 1000, p50, p50)


def proven(name: str, p50: float, *, threads: int = 1, mean: float = 0.001) -> Candidate:
    return candidate(name, p50, threads=threads, mean=mean, outcome="proven")


def test_the_fastest_proven_one_is_taken() -> None:
    candidates = [
        proven("slow", 3.0),
        proven("fast", 1.0),
        candidate("wrong and not timed", None, outcome="failed"),
    ]
    assert fastest(candidates) is candidates[1]
    assert fastest(candidates[2:]) is None
    assert fastest([]) is None


def test_of_equally_fast_ones_fewer_threads_win_then_fidelity() -> None:
    candidates = [
        proven("two threads", 1.00, threads=2),
        proven("coarse", 1.03, mean=0.002),
        proven("faithful", 1.04, mean=0.001),
        proven("slower", 1.06, mean=0.0),
    ]
    assert fastest(candidates) is candidates[2]
    twice_as_fast = dataclasses.replace(candidates[0], p50_ms=0.5)
    assert fastest([twice_as_fast, *candidates[1:]]) is twice_as_fast


@pytest.mark.parametrize(
    ("most", "counts"), [(1, (1,)), (2, (1, 2)), (4, (1, 2, 4)), (6, (1, 2, 4, 6))]
)
def test_thread_counts(most: int, counts: tuple[int, ...]) -> None:
    assert thread_counts(most) == counts


def test_every_file_on_every_engine_is_proven_and_timed() -> None:
    opened = Bundle.open()
    candidates = tune(opened, max_threads=2, rounds=2, reporter=Silent())
    pairs = [(a.name, r.engine) for a in opened.manifest.artifacts for r in a.engines]
    expected = [(*pair, threads) for pair in pairs for threads in (1, 2)]
    assert [(r.artifact, r.engine, r.threads) for r in candidates] == expected
    for row in candidates:
        assert row.verdict.outcome == "proven"
        assert row.p50_ms and row.p90_ms and 0 < row.p50_ms <= row.p90_ms
    assert fastest(candidates) in candidates


def test_what_is_outside_the_budget_is_shown_but_neither_timed_nor_taken() -> None:
    """Every int8 file claims that it may not differ at all, so each breaks its promise here."""
    opened = Bundle.open()

    def promise_too_much(artifact: ArtifactRecord) -> ArtifactRecord:
        if artifact.quantization is None:
            return artifact
        records = (dataclasses.replace(r, tolerance=1e-9) for r in artifact.engines)
        return dataclasses.replace(artifact, engines=tuple(records))

    artifacts = tuple(map(promise_too_much, opened.manifest.artifacts))
    manifest = dataclasses.replace(opened.manifest, artifacts=artifacts)
    candidates = tune(Bundle(opened.folder, manifest), max_threads=2, rounds=1, reporter=Silent())
    outside = [row for row in candidates if "int8" in row.artifact]
    assert len(outside) == 3  # each pair once: more threads would not make it right
    for row in outside:
        assert row.verdict.outcome == "failed" and "max |Δ|" in row.verdict.reason
        assert row.p50_ms is None
    chosen = fastest(candidates)
    assert chosen is not None and "int8" not in chosen.artifact


def test_a_file_that_is_not_for_this_cpu_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cxr_edge.bundle.verify.why_unsuited",
        lambda target: "" if target == "any" else "it saturates",
    )
    candidates = tune(Bundle.open(), max_threads=1, rounds=1, reporter=Silent())
    passed_over = [r for r in candidates if r.verdict.outcome == "not-for-this-cpu"]
    assert {r.artifact for r in passed_over} == {"onnx-int8", "tflite-int8-dynamic"}
    chosen = fastest(candidates)
    assert chosen is not None and chosen.artifact not in {r.artifact for r in passed_over}
