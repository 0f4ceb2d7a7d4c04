"""How good calibration images without patients are: ``python benchmarks/calibration.py RUN DATA``.

RUN is a run folder with calibration.npz and validation.npz, DATA its data set with train/.
Prints, for real, distilled and merely drawn images, how far the int8 files lie from Keras on the
validation images; then how near each distilled image comes to any training image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.export.artifacts import KINDS, Quantized
from cxr_edge.export.golden import draw_pictures
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.pipeline import original_of_run
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.distill import distill
from cxr_edge.export.quantize.quantizer import Quantizer
from cxr_edge.export.quantize.search import Choice, Method, Search
from cxr_edge.original.keras_model import keras_scores, load_keras
from cxr_edge.original.run_folder import open_run
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Silent

FILES = {"onnx-int8": "onnxruntime", "tflite-int8-dynamic": "litert"}


def similarity(images: Pixels, others: Pixels, *, apart: bool) -> np.ndarray:
    """For each image the largest correlation with another one, on a grid of about 50 x 50."""
    tables = []
    for pixels in (images, others):
        flat = pixels[:, ::3, ::3].reshape(len(pixels), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        tables.append(flat / np.linalg.norm(flat, axis=1, keepdims=True))
    found = tables[0] @ tables[1].T
    if apart:
        np.fill_diagonal(found, -1)
    return found.max(axis=1)


def main(run: Path, data: Path) -> None:
    """Print both tables."""
    original = original_of_run(open_run(run))
    assert original.calibration and original.validation, "the run kept no images"
    spec = original.spec
    model = load_keras(original.data, spec)
    graph = lower(read_graph(model))
    distilled, _ = distill(model, spec, Silent())
    drawn = draw_pictures(spec, 10_000, len(distilled.pixels))
    real = original.calibration.pixels
    every = len(real) // len(drawn)
    golden = draw_pictures(spec, 0, 8)
    choice = Choice(
        "validation",
        normalize(original.validation.pixels, spec.input),
        keras_scores(model, original.validation.pixels, spec),
        original.validation.labels,
        GoldenSet(golden, keras_scores(model, golden, spec)),
    )
    print("calibrated on                 file                  flips  max |d|   mean |d|  recipe")
    sources = {
        f"{len(real)} training images": real,
        f"{len(drawn)} training images": real[::every][: len(drawn)],
        f"{len(drawn)} distilled images": distilled.pixels,
        f"{len(drawn)} drawn phantoms": drawn,
    }
    for source, pixels in sources.items():
        quantizer = Quantizer(graph, normalize(pixels, spec.input))
        for name, engine in FILES.items():
            kind = KINDS[name]
            how = kind.how
            assert isinstance(how, Quantized)
            method = Method(
                lambda recipe, how=how, quantizer=quantizer: how.convert(quantizer, recipe),
                lambda converted: converted,
                kind.format,
                engine,
                how.start(graph),
                (),
                may_leave_layers=False,
            )
            found = Search(
                name, method, graph, choice, Budget(999, 1, 1), spec,
                pairs=quantizer.pairs, thorough=False, reporter=Silent(),
            ).run()  # fmt: skip
            trial = next(t for t in found.trials if t.recipe == found.recipe)
            assert trial.parity
            print(
                f"{source:28}  {name:20}  {trial.parity.flips:5}  "
                f"{trial.parity.max_abs_delta:7.4f}  {trial.parity.mean_abs_delta:9.5f}  "
                f"{found.recipe}",
                flush=True,
            )
    train = read_folder(open_folder(data / "train", spec.labels), spec.input).pixels
    ours = similarity(distilled.pixels, train, apart=False)
    theirs = similarity(train, train, apart=True)
    print(
        f"largest correlation with any of {len(train)} training images: distilled images median "
        f"{np.median(ours):.3f}, maximum {ours.max():.3f}; training images with another one "
        f"median {np.median(theirs):.3f}, 99 % below {np.quantile(theirs, 0.99):.3f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
