"""Compares networks of several widths with the reference: ``python benchmarks/widths.py RUNS``.

RUNS holds run folders of ``cxr-edge train`` with the same validation images, each perhaps with its
bundle in ``RUN/bundle``. Prints a table of figures on validation and on its shifted copies with
95 % intervals over patients, and a table of latencies; writes the chart to ``build/widths.png``.
The test images are not opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np

from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.patients import kermany_patient
from cxr_edge.data.samples import Samples, read_samples
from cxr_edge.device.timing import time_in_turn
from cxr_edge.engines import installed_engines
from cxr_edge.errors import DataError
from cxr_edge.files import write_file
from cxr_edge.metrics import Interval, Resamples, interval
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import normalize
from cxr_edge.report.charts import png, records
from cxr_edge.reporting import Silent
from cxr_edge.spec import ModelSpec
from cxr_edge.train.evaluation.figures import SampledFigures, compute_figures, resample_labelled
from cxr_edge.train.evaluation.scored import Scored
from cxr_edge.train.evaluation.shifts import shifted

FIGURES = {"auc": "AUC", "accuracy": "accuracy", "specificity": "recall NORMAL"}
"""Figure → what the tables call it."""
REFERENCE = "reference"
PICTURE = Path("build/widths.png")
ROUNDS, REPEATS = 40, 5


@dataclass(frozen=True, slots=True)
class Network:
    """A Keras model under its frozen decision rule."""

    name: str
    model: Any
    spec: ModelSpec
    bundle: Path | None
    """Its export; None: there is none."""

    @property
    def macs(self) -> int:
        """Multiplications of one inference."""
        total = 0
        for layer in self.model.layers:
            kernel = getattr(layer, "kernel", None)
            if kernel is not None:
                places = math.prod(layer.output.shape[1:-1])  # 1 for a dense layer
                total += places * math.prod(kernel.shape)
        return total


@dataclass(frozen=True, slots=True)
class Measured:
    """A network's figures."""

    network: Network
    plain: dict[str, Interval]
    """On validation."""
    shifted: dict[str, Interval]
    """Mean over the shifted copies."""
    worst: str
    """The shift that costs most accuracy, and how much."""


def read_networks(folder: Path) -> tuple[list[Network], Samples]:
    """The reference and every run of a folder, the widest first, with their validation images."""
    runs = [open_run(path) for path in sorted(folder.iterdir()) if (path / "model.keras").exists()]
    if not runs:
        raise DataError(f"{folder}: holds no run folder")
    bundle = Bundle.open()
    spec = bundle.manifest.spec
    networks = [
        Network(REFERENCE, load_keras(bundle.read(bundle.manifest.keras), spec), spec, None)
    ]
    samples = []
    for run in runs:
        assert run.validation is not None
        samples.append(read_samples(run.validation, run.spec))
        path = run.model.parent
        exported = path / "bundle"
        model = load_keras(run.model, run.spec)
        network = Network(path.name, model, run.spec, exported if exported.exists() else None)
        networks.append(network)
    for other in samples[1:]:
        if not np.array_equal(other.pixels, samples[0].pixels):
            raise DataError(f"{folder}: its runs were validated on different images")
    return sorted(networks, key=lambda network: -network.macs), samples[0]


def measure(networks: Sequence[Network], images: Samples) -> list[Measured]:
    """Score validation and its shifted copies with every network."""
    assert images.labels is not None
    patients = [kermany_patient(Path(name)) for name in images.names]
    resamples = resample_labelled(images.labels, patients)
    copies = dict(shifted(images.pixels))
    measured = []
    for network in networks:
        plain = _figures(network, images.pixels, images, resamples)
        by_shift = {
            name: _figures(network, pixels, images, resamples) for name, pixels in copies.items()
        }
        means = {}
        for figure in FIGURES:
            samples = [result.samples[figure] for result in by_shift.values()]
            mean = interval(np.mean(samples, axis=0))
            assert mean is not None
            means[figure] = mean
        accuracy = plain.intervals["accuracy"].value
        changes = {
            name: result.intervals["accuracy"].value - accuracy for name, result in by_shift.items()
        }
        name = min(changes, key=lambda shift: changes[shift])
        measured.append(Measured(network, plain.intervals, means, f"{changes[name]:+.3f} ({name})"))
    return measured


def _figures(
    network: Network, pixels: Any, images: Samples, resamples: Resamples
) -> SampledFigures:
    scores = keras_scores(network.model, pixels, network.spec)
    assert images.labels is not None
    return compute_figures(
        Scored.from_scores(scores, images.labels, network.spec), network.spec, resamples
    )


def print_figures(measured: Sequence[Measured]) -> None:
    """A row a network; in brackets the 95 % interval over patients."""
    head = [f"{part}{name}" for part in ("", "shifted: ") for name in FIGURES.values()]
    print("| " + " | ".join(["network", "10⁶ MAC", *head, "worst shift"]) + " |")
    print("|---" * (len(head) + 3) + "|")
    for result in measured:
        cells = [
            f"{figures[name].value:.4f} ({figures[name].low:.4f} to {figures[name].high:.4f})"
            for figures in (result.plain, result.shifted)
            for name in FIGURES
        ]
        macs = f"{result.network.macs / 1e6:.1f}"
        print("| " + " | ".join([result.network.name, macs, *cells, result.worst]) + " |")


def print_latencies(networks: Sequence[Network], images: Samples) -> dict[tuple[str, str], float]:
    """Median time of every artifact on every engine, all in turn on one thread.

    Returns:
        (network, artifact on engine) → ms.
    """
    steps: dict[tuple[str, str], Callable[[], object]] = {}
    for network in networks:
        if network.bundle is None and network.name != REFERENCE:
            continue
        bundle = Bundle.open(network.bundle)
        batch = normalize(images.pixels[:1], network.spec.input)
        for record in bundle.manifest.artifacts:
            for engine in installed_engines():
                if engine in {proof.engine for proof in record.engines}:
                    loaded = bundle.load(record, engine, threads=1)
                    step = _step(loaded.run, batch)
                    steps[network.name, f"{record.name} on {engine}"] = step
    times = time_in_turn([*steps.values()], rounds=ROUNDS, repeats=REPEATS, reporter=Silent())
    medians = {key: float(np.median(each)) for key, each in zip(steps, times, strict=True)}
    rows = list(dict.fromkeys(row for _, row in medians))
    names = list(dict.fromkeys(name for name, _ in medians))
    print("| " + " | ".join(["ms", *names]) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row in rows:
        base = medians.get((REFERENCE, row))
        cells = []
        for name in names:
            value = medians.get((name, row))
            share = f" ({value / base:.2f})" if value and base and name != REFERENCE else ""
            cells.append(f"{value:.3f}{share}" if value else "")
        print("| " + " | ".join([row, *cells]) + " |")
    return medians


def _step(run: Callable[[Any], object], batch: Any) -> Callable[[], object]:
    return lambda: run(batch)


def draw(measured: Sequence[Measured]) -> bytes:
    """AUC against multiplications, as PNG: validation and its shifted copies."""
    rows = [
        {
            "network": result.network.name,
            "macs": round(result.network.macs / 1e6, 1),
            "images": part,
            "auc": round(figures["auc"].value, 5),
            "low": round(figures["auc"].low, 5),
            "high": round(figures["auc"].high, 5),
        }
        for result in measured
        for part, figures in (("validation", result.plain), ("shifted copies", result.shifted))
    ]
    base = alt.Chart(records(rows)).encode(
        x=alt.X(
            "macs:Q", title="million multiplications", scale=alt.Scale(type="log", domain=[5, 300])
        ),
        color=alt.Color("images:N", title=None, legend=alt.Legend(orient="bottom")),
    )
    scale = alt.Scale(zero=False)
    points = base.mark_line(point=True).encode(y=alt.Y("auc:Q", title="AUC", scale=scale))
    ends = base.mark_rule(opacity=0.5).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    names = (
        alt.Chart(records([row for row in rows if row["images"] == "validation"]))
        .mark_text(dy=-14)
        .encode(x="macs:Q", y=alt.Y("high:Q", scale=scale), text="network:N")
    )
    return png(alt.layer(ends, points, names).properties(height=260), width_px=760, scale=1.5)


def main(runs: Path) -> None:
    """Print both tables and write the chart."""
    networks, images = read_networks(runs)
    measured = measure(networks, images)
    print_figures(measured)
    print()
    print_latencies(networks, images)
    write_file(PICTURE, draw(measured))


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "RUNS"))
