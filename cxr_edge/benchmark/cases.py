"""The rows of a benchmark while they are measured."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cxr_edge.benchmark.report import Answers, Kind, Row
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.bundle.reader import Bundle
from cxr_edge.engines import Engine, installed_engines, why_unsuited
from cxr_edge.errors import CxrEdgeError


@dataclass(slots=True)
class BenchmarkCase:
    """One row of the report, which each pass extends, and the model behind it."""

    row: Row
    """The row of the report, as far as it is measured."""
    load: Callable[[], Engine]
    """Opens the model."""
    artifact: ArtifactRecord | None = None
    """The artifact that is run; None: a baseline."""
    stock_file: Callable[[], bytes] | None = None
    """Makes the file of a stock conversion; None: an artifact, or Keras."""
    is_baseline: bool = False
    """Whether all rows are compared with this one."""
    engine: Engine | None = None
    """The loaded model; None: not loaded yet, or the row failed."""
    answers: Answers | None = None
    """Scores for the plots; only of artifacts run with one thread."""

    @property
    def runs(self) -> bool:
        """Whether the row can still be measured."""
        return self.row.outcome == "measured"

    @property
    def uses_integers(self) -> bool:
        """Whether it computes in integers, rather than only storing weights as such."""
        quantization = self.artifact.quantization if self.artifact else None
        return quantization is not None and quantization.arithmetic != "weights"

    def fail(self, err: CxrEdgeError) -> None:
        """End the measurement of this row, and record why."""
        self.engine = None
        self.row = dataclasses.replace(self.row, outcome="failed", reason=str(err))

    @contextlib.contextmanager
    def failing_alone(self) -> Iterator[None]:
        """Let an error in the block end the measurement of this row, not the benchmark."""
        try:
            yield
        except CxrEdgeError as err:
            self.fail(err)

    @contextlib.contextmanager
    def noting_errors(self, figures: str) -> Iterator[None]:
        """Let an error in the block cost this row some figures only, and record why.

        Args:
            figures: what the block measures.
        """
        try:
            yield
        except CxrEdgeError as err:
            problem = f"{figures} not measured: {err}"
            self.row = dataclasses.replace(self.row, problems=(*self.row.problems, problem))


def new_row(
    name: str,
    kind: Kind,
    engine: str,
    *,
    artifact: ArtifactRecord | None = None,
    threads: int = 1,
    skip_reason: str = "",
) -> Row:
    """A row without any figures; it counts as measured until a pass fails.

    Args:
        name: unique name.
        kind: artifact or baseline.
        engine: the engine that runs it.
        artifact: the artifact; None: a float32 baseline.
        threads: threads for one inference.
        skip_reason: why it cannot run on this machine; empty: it can.
    """
    return Row(
        name=name,
        kind=kind,
        artifact=artifact.name if artifact else None,
        engine=engine,
        threads=threads,
        precision=artifact.precision if artifact else "fp32",
        bytes=artifact.file.bytes if artifact else None,
        outcome="skipped" if skip_reason else "measured",
        reason=skip_reason,
        problems=(),
        parity=None,
        start=None,
        latency=None,
        of_limit=None,
        of_baseline=None,
        end_to_end=None,
    )


def exported_cases(bundle: Bundle, threads: tuple[int, ...]) -> Iterator[BenchmarkCase]:
    """Every artifact of a bundle on every engine it was proven on.

    Args:
        bundle: the bundle.
        threads: thread counts to try; a case that is skipped gets one row only.
    """
    for artifact in bundle.manifest.artifacts:
        for record in artifact.engines:
            skip_reason = _skip_reason(artifact, record.engine)
            for count in threads[:1] if skip_reason else threads:
                suffix = "" if count == 1 else f", {count} threads"
                yield BenchmarkCase(
                    new_row(
                        f"{artifact.name}, {record.engine}{suffix}",
                        "exported",
                        record.engine,
                        artifact=artifact,
                        threads=count,
                        skip_reason=skip_reason,
                    ),
                    functools.partial(bundle.load, artifact, record.engine, threads=count),
                    artifact,
                )


def _skip_reason(artifact: ArtifactRecord, engine: str) -> str:
    """Why an artifact cannot run here; empty: it can."""
    if engine not in installed_engines():
        return "the engine is not installed"
    if unsuited := why_unsuited(artifact.target):
        return f"made for {artifact.target}: {unsuited}"
    return ""
