"""Compares ``predict`` with a plain script, part by part: ``fast_path.py IMAGES [DICOM]``.

IMAGES is a folder of JPEGs at their original resolution. Four ways from a file to scores take turns
in one process with one thread:

- the plain script is what most people write: ``cv2.imdecode`` to grey, area resize, the original
  network's float32 ONNX on onnxruntime;
- the bare parts, whole: decoding by libjpeg-turbo, averaging, and inference of the default model;
- the bare parts, reduced: the same with decoding at a quarter of the size, which moves scores;
- ``predict``, once as a user calls it and once as the calls that it consists of.

Cold: ten images by one way, the next ten by the next way, until every way had every image. So each
way has different images one after the other, as on a device, and none of them in the cache. Warm: a
way repeats the same image. Figures are medians over images of the medians over rounds. The original
network needs the extra ``export``, and is exported in a process of its own. The last lines are
images a second with one worker and with one for each processor, for IMAGES and for the files in
DICOM.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
from fast_path_ways import (
    Infer,
    Way,
    bare,
    decode_quarter,
    decode_whole,
    in_parts,
    plain,
    resize_area,
    whole,
)

from cxr_edge import Bundle, Classifier
from cxr_edge.bundle.manifest import ArtifactRecord
from cxr_edge.device.machine import this_machine, usable_cpus
from cxr_edge.engines import Engine, installed_engines, suits
from cxr_edge.engines.onnxruntime import open_session
from cxr_edge.image import list_images
from cxr_edge.preprocess import average_areas

ROUNDS = 7
THROUGHPUT_ROUNDS = 5
IN_A_ROW = 10
WARM_IMAGES = 10
BARE = ("decode", "resize", "invoke")

Times = dict[str, dict[str, float]]
"""Way → part → milliseconds; the part ``all`` is the whole."""


class Watch:
    """Milliseconds of the parts of one call."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = defaultdict(float)
        self._began = self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part."""
        now = time.perf_counter()
        self.parts[part] += 1e3 * (now - self._last)
        self._last = now

    def end(self) -> dict[str, float]:
        """The parts, and the whole."""
        return {**self.parts, "all": 1e3 * (time.perf_counter() - self._began)}


def main(folder: Path, dicom: Path | None = None) -> None:
    """Print all tables."""
    cv2.setNumThreads(1)
    paths = sorted(folder.rglob("*.jp*g"))
    bundle = Bundle.open()
    spec = bundle.manifest.spec
    machine = this_machine()
    print(f"{machine.processor}; {', '.join(machine.instructions)}; {len(paths)} images")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        stock = open_session(pool.submit(export_stock).result(), 1)
    stock_input = stock.get_inputs()[0].name
    record, engine_name = bundle.choose(None, None)
    engine = bundle.load(record, engine_name)
    invoke = bare_inference(bundle, record, engine)
    classifiers = load_classifiers(bundle)
    ways: dict[str, Way] = {
        "plain script": plain(spec.input, lambda batch: stock.run(None, {stock_input: batch})),
        "bare parts, whole": bare(spec.input, decode_whole, average_areas, invoke),
        "bare parts, reduced": bare(spec.input, decode_quarter, resize_area, invoke),
        "predict, in parts": in_parts(spec, bundle, engine),
        **{name: whole(classifier) for name, classifier in classifiers.items()},
    }
    default = f"{record.name} on {engine_name}"
    for title, times in (("cold", measure_cold(ways, paths)), ("warm", measure_warm(ways, paths))):
        show(title, times, default, classifiers)
    sets = {folder.name: paths}
    if dicom:
        sets[dicom.name] = [*list_images(dicom).images] * 10
    for name, files in sets.items():
        throughput(name, files)


def export_stock() -> bytes:
    """The original network as float32 ONNX, by tf2onnx alone."""
    from cxr_edge.export.convert.onnx import export_onnx
    from cxr_edge.extras import require_tensorflow
    from cxr_edge.original.keras_model import load_keras

    require_tensorflow("export")
    bundle = Bundle.open()
    return export_onnx(load_keras(bundle.read(bundle.manifest.keras), bundle.manifest.spec))


def bare_inference(bundle: Bundle, record: ArtifactRecord, engine: Engine) -> Infer:
    """Run a file by its engine, without our calls around it where the engine is onnxruntime."""
    if engine.name != "onnxruntime":
        return engine.run
    session = open_session(bundle.read(record.file), 1)
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


def load_classifiers(bundle: Bundle) -> dict[str, Classifier]:
    """Every exported model on every engine that is installed."""
    return {
        f"{artifact.name} on {kept.engine}": Classifier.load(
            artifact=artifact.name, engine=kept.engine
        )
        for artifact in bundle.manifest.artifacts
        for kept in artifact.engines
        if kept.engine in installed_engines() and suits(artifact.target)
    }


def measure_cold(ways: dict[str, Way], paths: list[Path]) -> Times:
    """Every image once a round, some in a row by each way."""
    names = list(ways)
    watched: dict[str, list[list[dict[str, float]]]] = {n: [[] for _ in paths] for n in names}
    for turn in range(-len(names), ROUNDS * len(names)):
        for number, path in enumerate(paths):
            name = names[(number // IN_A_ROW + turn) % len(names)]
            watch = Watch()
            ways[name](path, watch.lap)
            if turn >= 0:
                watched[name][number].append(watch.end())
    return medians(watched)


def measure_warm(ways: dict[str, Way], paths: list[Path]) -> Times:
    """Some images, each by every way several times without a break."""
    chosen = paths[:: max(len(paths) // WARM_IMAGES, 1)]
    watched: dict[str, list[list[dict[str, float]]]] = {n: [[] for _ in chosen] for n in ways}
    for number, path in enumerate(chosen):
        for name, way in ways.items():
            for turn in range(ROUNDS + 1):
                watch = Watch()
                way(path, watch.lap)
                if turn:
                    watched[name][number].append(watch.end())
    return medians(watched)


def medians(watched: dict[str, list[list[dict[str, float]]]]) -> Times:
    """Over images, of the medians over rounds."""
    return {
        name: {
            part: statistics.median(
                statistics.median(round[part] for round in rounds) for rounds in by_image
            )
            for part in by_image[0][0]
        }
        for name, by_image in watched.items()
    }


def show(title: str, times: Times, default: str, classifiers: dict[str, Classifier]) -> None:
    """Print the parts of each way, and how every exported model compares."""
    parts = ["read", "markers", *BARE, "normalize", "decide", "domain", "all"]
    print(f"\n{title + ', ms':24}" + "".join(f"{part:>10}" for part in parts))
    for name, by_part in times.items():
        if name not in classifiers or name == default:
            cells = (f"{by_part[p]:10.3f}" if p in by_part else " " * 10 for p in parts)
            print(f"{name:24}" + "".join(cells))
    whole_script = times["plain script"]["all"]
    print("\nx the plain script")
    for name in classifiers:
        print(f"{whole_script / times[name]['all']:7.2f}  {name}")
    predict = times[default]["all"]
    for kind in ("whole", "reduced"):
        limit = sum(times[f"bare parts, {kind}"][part] for part in BARE)
        print(
            f"{predict / limit:.2f} of decode + resize + invoke, {kind}: {limit:.3f} ms, "
            f"which is {whole_script / limit:.2f} x the plain script"
        )
    inside = times["predict, in parts"]
    beyond = sum(ms for part, ms in inside.items() if part not in (*BARE, "all"))
    print(f"{beyond:.3f} ms beyond decode, resize and invoke, {inside['read']:.3f} of it reading")


def throughput(name: str, paths: list[Path]) -> None:
    """Print how many images a second one worker and all CPUs classify."""
    classifier = Classifier.load()
    workers = (1, usable_cpus())
    rates: dict[int, list[float]] = {count: [] for count in workers}
    for _ in range(THROUGHPUT_ROUNDS):
        for count in workers:
            start = time.perf_counter()
            results = list(classifier.predict_many(paths, workers=count))
            rates[count].append(len(results) / (time.perf_counter() - start))
    one, many = (statistics.median(rates[count]) for count in workers)
    print(
        f"{name}: {one:.0f} images a second with one worker, {many:.0f} with {workers[1]}: "
        f"{many / one:.2f} times as many"
    )


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "IMAGES", "DICOM", optional=1))
