"""Where an inference's time goes: the slowest operations of a file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from cxr_edge.benchmark.report import Layer
from cxr_edge.errors import EngineError, first_line
from cxr_edge.preprocess import Batch

_RUNS = 30
_SHOWN = 12


def slowest_operations(model: bytes, batch: Batch) -> tuple[Layer, ...]:
    """The slowest operations by onnxruntime's own profiler, one thread, the slowest first.

    The profiler itself slows an inference down; shares say more than times.

    Args:
        model: an ONNX file.
        batch: an input of a size that the file takes.

    Raises:
        EngineError: onnxruntime refuses the file, or fails.
    """
    from cxr_edge.engines.onnxruntime import new_options, open_session

    options = new_options()
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="cxr-edge-") as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = open_session(model, 1, options)
        given = {session.get_inputs()[0].name: batch}
        try:
            for _ in range(_RUNS + 1):
                session.run(None, given)
        except Exception as err:  # its exceptions share no base class
            raise EngineError(f"onnxruntime failed: {first_line(err)}") from err
        events = json.loads(Path(session.end_profiling()).read_bytes())
    times: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name, operation = event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]
            label = name if operation in name else f"{name} ({operation})"
            times.setdefault(label, []).append(event["dur"] / 1e3)
    means = {label: sum(each[1:]) / _RUNS for label, each in times.items()}  # the first warms up
    whole = sum(means.values()) or 1.0
    slowest = sorted(means.items(), key=lambda pair: -pair[1])[:_SHOWN]
    return tuple(Layer(label, ms, ms / whole) for label, ms in slowest)
