"""The speed of exported files on this machine, compared with the unchanged network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.device.timing import time_in_turn
from cxr_edge.engines import Engine, open_engine, why_unsuited
from cxr_edge.errors import CxrEdgeError, EngineError
from cxr_edge.export.drafts import BuiltArtifact
from cxr_edge.export.report import Speed
from cxr_edge.preprocess import normalize
from cxr_edge.reporting import Reporter
from cxr_edge.spec import ModelSpec

_ROUNDS, _REPEATS = 30, 2


def measure_speed(
    stock_onnx: Callable[[], bytes],
    artifacts: Sequence[BuiltArtifact],
    golden: GoldenSet,
    spec: ModelSpec,
    reporter: Reporter,
) -> list[Speed]:
    """Time every file on its preferred engine, one thread, all in turn so that drift cancels.

    A time that cannot be measured is None, with the reason: the files are proven nevertheless.

    Args:
        stock_onnx: converts the original network as it is, to compare with.
        artifacts: the exported files.
        golden: its first input is timed.
        spec: the contract.
        reporter: shows progress.

    Returns:
        The speed of each file, in the same order.
    """
    reasons: dict[int, CxrEdgeError] = {}
    opened = [
        functools.partial(_open, "onnxruntime", stock_onnx, spec),
        *(functools.partial(_open_artifact, artifact, spec) for artifact in artifacts),
    ]
    engines: dict[int, Engine] = {}
    for number, open_one in enumerate(opened):
        try:
            engines[number] = open_one()
        except CxrEdgeError as err:
            reasons[number] = err
    batch, failed = normalize(golden.pixels[:1], spec.input), dict[int, CxrEdgeError]()
    times = time_in_turn(
        [functools.partial(engine.run, batch) for engine in engines.values()],
        rounds=_ROUNDS,
        repeats=_REPEATS,
        reporter=reporter,
        failed=failed,
    )
    places = list(engines)
    reasons |= {places[place]: err for place, err in failed.items()}
    measured = {n: ms for n, ms in zip(places, times, strict=True) if n not in reasons}
    speeds = []
    for number in range(1, len(opened)):
        error = reasons.get(number) or reasons.get(0)
        why = "" if error is None else str(error)
        ms = measured.get(number)
        if ms is None:
            speeds.append(Speed(None, None, why))
        elif 0 not in measured:
            why = f"the unchanged network cannot be compared with: {why}"
            speeds.append(Speed(float(np.median(ms)), None, why))
        else:
            speeds.append(Speed(float(np.median(ms)), float(np.median(ms / measured[0])), ""))
    return speeds


def _open(engine: str, data: Callable[[], bytes], spec: ModelSpec) -> Engine:
    return open_engine(engine, data(), spec)


def _open_artifact(artifact: BuiltArtifact, spec: ModelSpec) -> Engine:
    engine = artifact.proofs[0].engine
    if reason := why_unsuited(artifact.kind.target):
        raise EngineError(reason)
    return open_engine(engine, artifact.data, spec, outputs=artifact.kind.outputs)
