"""The slowest operations of an ONNX model, by onnxruntime's profiler."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cxr_edge.benchmark.report import Layer
from cxr_edge.device.temporary import temporary_folder
from cxr_edge.errors import EngineError, first_line
from cxr_edge.preprocess import Batch

# onnxruntime's profiler appends this to the name of a node in the event of its computation.
_KERNEL_EVENT = "_kernel_time"


def slowest_operations(
    model: bytes, batch: Batch, *, runs: int = 30, most: int = 12
) -> tuple[Layer, ...]:
    """Profile a model on one thread.

    The profiler itself slows an inference down: shares are more reliable than times.

    Args:
        model: an ONNX file.
        batch: an input of a size that the model takes.
        runs: profiled inferences, after one that is left out.
        most: number of operations returned.

    Returns:
        The slowest operations, the slowest first.

    Raises:
        EngineError: onnxruntime refuses the model or fails.
    """
    from cxr_edge.engines.onnxruntime import new_options, open_session

    options = new_options()
    options.enable_profiling = True
    with temporary_folder() as folder:
        options.profile_file_prefix = str(folder / "profile")
        # The profiler's records keep freed tensors from being used again: without an arena, the
        # reference's first convolution took 1.57 ms instead of .15, all of it page faults.
        session = open_session(model, 1, options, arena=True)
        inputs = {session.get_inputs()[0].name: batch}
        try:
            for _ in range(runs + 1):
                session.run(None, inputs)
            events = json.loads(Path(session.end_profiling()).read_bytes())
        except Exception as err:  # onnxruntime's exceptions share no base class
            raise EngineError(f"onnxruntime's profiler failed: {first_line(err)}") from err
    # The first run warms up.
    means = {name: sum(times[1:]) / runs for name, times in _operation_times(events).items()}
    total = sum(means.values()) or 1.0
    slowest = sorted(means.items(), key=lambda item: -item[1])[:most]
    return tuple(Layer(name, ms, ms / total) for name, ms in slowest)


def _operation_times(events: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """Milliseconds of every run, by layer and operation."""
    times: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL_EVENT):
            layer, operation = event["name"].removesuffix(_KERNEL_EVENT), event["args"]["op_name"]
            name = layer if operation in layer else f"{layer} ({operation})"
            times.setdefault(name, []).append(event["dur"] / 1e3)
    return times
