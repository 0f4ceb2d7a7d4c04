"""Draw the pictures of README and docs: ``python benchmarks/pictures.py``.

``benchmark.png`` is a chart of the page of benchmarks/report.json, ``heatmap.png`` what
``cxr-edge predict --heatmap`` writes for a drawn phantom: no patient's picture is ever committed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from cxr_edge.benchmark.report import parse_report
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.files import write_file
from cxr_edge.report.benchmark.page import report_figures
from cxr_edge.report.charts import png

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "benchmarks" / "report.json"
PICTURES = ROOT / "docs" / "pictures"
CHART = "latency"
PHANTOM_SEED = 34


def benchmark_picture() -> bytes:
    """The chart of latencies, as PNG."""
    report = parse_report(REPORT.read_bytes(), REPORT.name)
    (figure,) = [each for each in report_figures(report) if each.name == CHART]
    return png(figure.chart, width_px=760, scale=1.5)


def heatmap_picture() -> bytes:
    """A phantom's heat map, by the command that a user would call."""
    with tempfile.TemporaryDirectory() as folder:
        phantom = Path(folder) / "phantom.png"
        image = draw_phantom(np.random.default_rng(PHANTOM_SEED), height=256, width=320)
        write_file(phantom, cv2.imencode(".png", image)[1].tobytes())
        command = [sys.executable, "-m", "cxr_edge", "predict", phantom, "--heatmap", folder]
        subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
        return (Path(folder) / "phantom.heatmap.png").read_bytes()


def main(folder: Path = PICTURES) -> None:
    """Write both pictures."""
    write_file(folder / "benchmark.png", benchmark_picture())
    write_file(folder / "heatmap.png", heatmap_picture())


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "OUT", optional=1))
