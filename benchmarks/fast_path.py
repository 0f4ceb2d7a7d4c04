"""Compares ``predict`` with a plain script: ``python benchmarks/fast_path.py IMAGES``.

IMAGES is a folder of JPEGs at their original resolution. All steps take turns on every image, in
one process with one thread; figures are medians over images of the medians over rounds. The plain
script is what most people write: ``cv2.imdecode`` to grey, area resize, the original network's
float32 ONNX on onnxruntime. The script and Keras need the extra ``export``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from cxr_edge import Bundle, Classifier
from cxr_edge.device.machine import this_machine, usable_cpus
from cxr_edge.engines import installed_engines, open_engine, suits
from cxr_edge.export.convert.onnx import export_onnx
from cxr_edge.extras import require_tensorflow
from cxr_edge.image import ImageLimits, read_image
from cxr_edge.image.jpeg import inspect
from cxr_edge.image.libjpeg import decode_jpeg
from cxr_edge.original.keras_model import load_keras
from cxr_edge.preprocess import average_areas, normalize, resize_to_input

ROUNDS = 7

Step = Callable[[Path], object]


def main(folder: Path) -> None:
    """Print all tables."""
    cv2.setNumThreads(1)
    _, tensorflow = require_tensorflow("export")
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    paths = sorted(folder.rglob("*.jp*g"))
    bundle = Bundle.open()
    spec = bundle.manifest.spec
    model = load_keras(bundle.read(bundle.manifest.keras), spec)
    machine = this_machine()
    print(f"{machine.processor}; {', '.join(machine.instructions)}; {len(paths)} images")

    stock = open_engine("onnxruntime", export_onnx(model), spec)
    compiled = tensorflow.function(lambda image: model(image, training=False))
    pairs = {
        f"{artifact.name} on {record.engine}": (artifact, record.engine)
        for artifact in bundle.manifest.artifacts
        for record in artifact.engines
        if record.engine in installed_engines() and suits(artifact.target)
    }
    classifiers = {
        name: Classifier.load(artifact=artifact.name, engine=engine)
        for name, (artifact, engine) in pairs.items()
    }
    exact = Classifier.load(decode="exact")
    engines = {name: bundle.load(artifact, engine) for name, (artifact, engine) in pairs.items()}
    batches = {p: normalize(resize_to_input(read_image(p), spec.input), spec.input) for p in paths}
    headers = {p: inspect(p.read_bytes(), ImageLimits()) for p in paths}
    images = {p: read_image(p) for p in paths}
    files = {p: np.frombuffer(p.read_bytes(), np.uint8) for p in paths}

    def plain(path: Path) -> object:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        grey = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(
            grey, (spec.input.width, spec.input.height), interpolation=cv2.INTER_AREA
        )
        return stock.run(small.astype(np.float32).reshape(1, *spec.input_shape) / 255)

    steps: dict[str, Step] = {
        "plain script": plain,
        "its decoding": lambda p: cv2.imdecode(files[p], cv2.IMREAD_GRAYSCALE),
        "its inference": lambda p: stock.run(batches[p]),
        "Keras, compiled": lambda p: compiled(batches[p]),
        "strict decoding": lambda p: decode_jpeg(headers[p], 1),
        "resizing after it": lambda p: average_areas(images[p], spec.input),
        "exact decoding, default artifact": exact.predict,
    }
    for name in pairs:
        steps[f"{name}: inference"] = lambda p, engine=engines[name]: engine.run(batches[p])
        steps[f"{name}: predict"] = classifiers[name].predict
    ms = measure(steps, paths)

    print(f"\n{'ms':>7}  of plain")
    whole = ms["plain script"]
    for name, value in ms.items():
        print(f"{value:7.3f}  {value / whole:8.3f}  {name}")
    print(f"\n{'x plain':>7}  {'of decode+invoke':>16}  {'overhead ms':>11}  {'x Keras':>7}")
    for name in pairs:
        predict, invoke = ms[f"{name}: predict"], ms[f"{name}: inference"]
        limit = ms["strict decoding"] + invoke
        overhead = predict - limit - ms["resizing after it"]
        print(
            f"{whole / predict:7.2f}  {predict / limit:16.2f}  {overhead:11.3f}  "
            f"{ms['Keras, compiled'] / invoke:7.2f}  {name}"
        )
    throughput(paths)


def measure(steps: dict[str, Step], paths: list[Path]) -> dict[str, float]:
    """Time each step, milliseconds: the median over images of the median over rounds."""
    times: dict[str, list[list[float]]] = {name: [[] for _ in paths] for name in steps}
    for step in steps.values():
        step(paths[0])
    for _ in range(ROUNDS):
        for number, path in enumerate(paths):
            for name, step in steps.items():
                start = time.perf_counter()
                step(path)
                times[name][number].append(1e3 * (time.perf_counter() - start))
    return {
        name: statistics.median(map(statistics.median, by_image))
        for name, by_image in times.items()
    }


def throughput(paths: list[Path]) -> None:
    """Print how many images a second one worker and all CPUs classify."""
    classifier = Classifier.load()
    workers = (1, usable_cpus())
    rates: dict[int, list[float]] = {count: [] for count in workers}
    for _ in range(ROUNDS):
        for count in workers:
            start = time.perf_counter()
            results = list(classifier.predict_many(paths, workers=count))
            rates[count].append(len(results) / (time.perf_counter() - start))
    one, many = (statistics.median(rates[count]) for count in workers)
    print(f"\n{one:.0f} images a second with one worker")
    print(f"{many:.0f} with {workers[1]} workers, {many / one:.2f} times as many")


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "IMAGES"))
