"""Time and peak memory of whole processes: the C++ example beside Python doing the same.

``python benchmarks/embedding.py PROGRAM [ARTIFACT] [STARTS]`` prints a table of medians. PROGRAM is
``replay_golden`` of ``examples/cpp``. The processes run in turn, on the bundled reference.
"""

# ru_maxrss survives exec, so nothing large is imported here.
from __future__ import annotations

import math
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

REFERENCE = Path(__file__).parent.parent / "cxr_edge/reference"
REPLAY = """
import sys, time
from cxr_edge import Bundle
from cxr_edge.bundle.parity import compare
from cxr_edge.preprocess import normalize

bundle = Bundle.open()
spec, golden = bundle.manifest.spec, bundle.golden()
model = bundle.load(bundle.artifact(sys.argv[1]), "onnxruntime")
batch = normalize(golden.pixels, spec.input)
start = time.perf_counter()
scores = model.run(batch)
ms = 1e3 * (time.perf_counter() - start) / len(batch)
print(compare(golden.scores, scores, spec), f"{ms} ms an image")
"""


def run(command: list[str]) -> tuple[float, float, float, float]:
    """Run a command.

    Returns:
        Time from start to exit and CPU time, ms; what it printed as ms an image; peak memory, 10**6
        bytes.
    """
    read, write = os.pipe()
    start = time.perf_counter()
    output = [(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)]
    child = os.posix_spawn(command[0], command, os.environ, file_actions=output)
    os.close(write)
    with os.fdopen(read) as lines:
        text = lines.read()
    _, status, usage = os.wait4(child, 0)
    ms = 1e3 * (time.perf_counter() - start)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)[:100]} failed")
    inference = re.search(r"(\S+) ms an image", text)
    inference_ms = float(inference[1]) if inference else float("nan")
    cpu_ms = 1e3 * (usage.ru_utime + usage.ru_stime)
    return ms, cpu_ms, inference_ms, usage.ru_maxrss * 1024 / 1e6


def main(program: str, artifact: str = "onnx-int8", starts: str = "15") -> None:
    """Print the medians of all processes."""
    image = Path("build/phantom.png")
    image.parent.mkdir(exist_ok=True)
    draw = [sys.executable, "-m", "cxr_edge.data.phantom", str(image)]
    subprocess.run(draw, check=True)
    commands = {
        "replay_golden (C++)": [program, str(REFERENCE), artifact],
        "the same in Python": [sys.executable, "-c", REPLAY, artifact],
        "cxr-edge predict": [
            sys.executable,
            "-m",
            "cxr_edge",
            "predict",
            "-a",
            artifact,
            str(image),
        ],
    }
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    for command in commands.values():
        run(command)  # reads the files into the page cache
    runs = [{name: run(command) for name, command in commands.items()} for _ in range(int(starts))]
    print("| process | ms | CPU, ms | ms an inference | peak, 10⁶ bytes |\n|---|---|---|---|---|")
    for name in commands:
        columns = zip(*(row[name] for row in runs), strict=True)
        ms, cpu_ms, inference, peak = map(statistics.median, columns)
        shown = "" if math.isnan(inference) else f"{inference:.2f}"
        print(f"| {name} | {ms:.0f} | {cpu_ms:.0f} | {shown} | {peak:.0f} |")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(f"usage: {Path(sys.argv[0]).name} PROGRAM [ARTIFACT] [STARTS]")
    main(*sys.argv[1:])
