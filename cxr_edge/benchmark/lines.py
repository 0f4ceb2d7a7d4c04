"""The rows in the making: each pass adds one kind of figure, and takes out what fails."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_edge.benchmark.candidates import Answer, Candidate
from cxr_edge.benchmark.images import Inputs
from cxr_edge.benchmark.report import EndToEnd, FirstAnswer, Latency, Roofline, Row, RowParity
from cxr_edge.benchmark.starts import measure_start
from cxr_edge.bundle.parity import compare
from cxr_edge.bundle.reader import Bundle
from cxr_edge.decision import Scores
from cxr_edge.device.timing import Times, time_in_turn
from cxr_edge.engines import Engine
from cxr_edge.errors import CxrEdgeError
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

REPEATS = 3
"""Counted inferences of a turn."""


@dataclass(slots=True)
class Line:
    """A row in the making."""

    candidate: Candidate
    """What it is."""
    opened: Engine | Answer | None = None
    """Ready to run; None: not possible here, or it failed."""
    failure: str = ""
    """Why it failed; empty: it did not."""
    scores: Scores | None = None
    """What it answers to the inputs."""
    parity: RowParity | None = None
    """How far that is from the original."""
    start: FirstAnswer | None = None
    """A first answer."""
    times: Times | None = None
    """Steady inferences."""
    end_to_end: EndToEnd | None = None
    """From a file."""

    @property
    def answer(self) -> Answer:
        """Runs the network."""
        assert self.opened is not None  # noqa: S101 - callers look at `opened` first
        return self.opened.run if isinstance(self.opened, Engine) else self.opened

    def fail(self, err: CxrEdgeError) -> None:
        """Take it out of what follows, and say why."""
        self.opened, self.failure = None, str(err)


def start_all(lines: Sequence[Line], bundle: Bundle, reporter: Reporter) -> None:
    """Let each file answer once in processes of its own; the first to notice an engine's crash."""
    ours = [line for line in lines if line.candidate.artifact and not line.candidate.absent]
    found: dict[tuple[str, str], FirstAnswer | CxrEdgeError] = {}
    with reporter.bar("starting each file") as advance:
        for number, line in enumerate(ours):
            pair = _artifact(line), line.candidate.engine
            if pair not in found:
                try:
                    found[pair] = measure_start(bundle, *pair)
                except CxrEdgeError as err:
                    found[pair] = err
            outcome = found[pair]
            if isinstance(outcome, CxrEdgeError):
                line.fail(outcome)
            elif line.candidate.threads == 1:
                line.start = outcome
            advance(number + 1, len(ours))


def answer_all(lines: Sequence[Line], inputs: Inputs, spec: ModelSpec, reporter: Reporter) -> None:
    """Load each row and compare its answers with the original's."""
    able = [line for line in lines if not line.failure and not line.candidate.absent]
    batch = normalize(inputs.pixels, spec.input)
    with reporter.bar("comparing answers") as advance:
        for number, line in enumerate(able):
            try:
                line.opened = line.candidate.open()
                if isinstance(line.opened, Engine):
                    line.scores = line.opened.run(batch)
                    found = compare(inputs.scores, line.scores, spec)
                    line.parity = RowParity(
                        found.inputs,
                        inputs.source,
                        found.max_abs_delta,
                        found.mean_abs_delta,
                        found.p99_abs_delta,
                        found.flips,
                    )
            except CxrEdgeError as err:
                line.fail(err)
            advance(number + 1, len(able))


def time_all(
    lines: Sequence[Line], inputs: Inputs, spec: ModelSpec, rounds: int, reporter: Reporter
) -> None:
    """Time one image on every row that runs, all in turn."""
    running = [line for line in lines if line.opened is not None]
    batch = normalize(inputs.pixels[:1], spec.input)
    steps = [functools.partial(line.answer, batch) for line in running]
    failed: dict[int, CxrEdgeError] = {}
    times = time_in_turn(steps, rounds=rounds, repeats=REPEATS, reporter=reporter, failed=failed)
    for number, (line, found) in enumerate(zip(running, times, strict=True)):
        if number in failed:
            line.fail(failed[number])
        else:
            line.times = found


def headline_of(lines: Sequence[Line]) -> Line | None:
    """What the others are compared with: compiled Keras, else the stock ONNX."""
    baselines = [line for line in lines if line.times is not None and not line.candidate.artifact]
    return baselines[0] if baselines else None


def finish(line: Line, headline: Line | None, limits: Roofline) -> Row:
    """The row as the report has it."""
    candidate, latency = line.candidate, _latency(line.times)
    ratio = None
    if headline and headline.times is not None and line.times is not None:
        by_round = np.median(line.times, axis=1) / np.median(headline.times, axis=1)
        ratio = float(np.median(by_round))
    limit = limits.int8_ms if "int8" in candidate.precision else limits.float32_ms
    return Row(
        name=candidate.name,
        kind=candidate.kind,
        artifact=candidate.artifact.name if candidate.artifact else None,
        engine=candidate.engine,
        threads=candidate.threads,
        precision=candidate.precision,
        bytes=candidate.bytes,
        outcome="skipped" if candidate.absent else "failed" if line.failure else "measured",
        reason=candidate.absent or line.failure,
        problems=(),
        parity=line.parity,
        start=line.start,
        latency=latency,
        of_limit=latency.p50_ms / limit if latency and limit and candidate.threads == 1 else None,
        of_headline=ratio,
        end_to_end=line.end_to_end,
    )


def _latency(times: Times | None) -> Latency | None:
    if times is None:
        return None
    lower, p50, upper, p90, p99 = np.quantile(times, (0.25, 0.5, 0.75, 0.9, 0.99)).tolist()
    return Latency(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        max_ms=float(times.max()),
        mean_ms=float(times.mean()),
        jitter_ms=upper - lower,
        rounds_ms=tuple(np.median(times, axis=1).round(5).tolist()),
        samples_ms=tuple(times.ravel().round(5).tolist()),
    )


def _artifact(line: Line) -> str:
    assert line.candidate.artifact is not None  # noqa: S101 - callers look first
    return line.candidate.artifact.name
