"""How good calibration images without patients are: ``python benchmarks/calibration.py RUN DATA``.

RUN is a run folder with calibration.npz and validation.npz, DATA its data set with train/.
For real, distilled and merely drawn images, prints how far the int8 models differ from Keras on the
validation images; then how similar each distilled image is to the nearest training image.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from cxr_edge.bundle.embedded import Embedded
from cxr_edge.bundle.golden import GoldenSet
from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.export.artifacts import KINDS, QuantizedConversion
from cxr_edge.export.golden import draw_pictures
from cxr_edge.export.graph.lowering import lower
from cxr_edge.export.graph.reader import read_graph
from cxr_edge.export.pipeline import original_of_run
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.quantize.distill import FIRST_PICTURE, distill
from cxr_edge.export.quantize.quantizer import calibrate
from cxr_edge.export.quantize.search import Search, SelectionImages
from cxr_edge.files import sha256
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
    correlations = tables[0] @ tables[1].T
    if apart:
        np.fill_diagonal(correlations, -1)
    return correlations.max(axis=1)


def main(run: Path, data: Path) -> None:
    """Print both tables."""
    original = original_of_run(open_run(run))
    assert original.calibration and original.validation, "the run kept no images"
    spec = original.spec
    model = load_keras(original.data, spec)
    graph = lower(read_graph(model))
    distilled = distill(model, spec, Silent()).samples
    drawn = draw_pictures(spec, FIRST_PICTURE, len(distilled.pixels))
    real = original.calibration.samples.pixels
    every = len(real) // len(drawn)
    golden = draw_pictures(spec, 0, 8)
    embedded = Embedded(sha256(original.data), spec)
    selection = SelectionImages(
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
        network = calibrate(graph, normalize(pixels, spec.input))
        for name, engine in FILES.items():
            conversion = KINDS[name].conversion
            assert isinstance(conversion, QuantizedConversion)
            conversion = dataclasses.replace(
                conversion, ranges=conversion.ranges[:1], may_leave_layers=False
            )
            result = Search(
                dataclasses.replace(KINDS[name], conversion=conversion),
                network,
                selection,
                embedded,
                engine=engine,
                budget=Budget(999, 1, 1),
                reporter=Silent(),
            ).run()
            parity = result.trials[result.taken].parity
            assert parity
            print(
                f"{source:28}  {name:20}  {parity.flips:5}  "
                f"{parity.max_abs_delta:7.4f}  {parity.mean_abs_delta:9.5f}  "
                f"{result.recipe}",
                flush=True,
            )
    train = read_folder(open_folder(data / "train", spec.labels), spec.input).pixels
    ours = similarity(distilled.pixels, train, apart=False)
    others = similarity(train, train, apart=True)
    print(
        f"largest correlation with any of {len(train)} training images: distilled images median "
        f"{np.median(ours):.3f}, maximum {ours.max():.3f}; training images with another one "
        f"median {np.median(others):.3f}, 99 % below {np.quantile(others, 0.99):.3f}"
    )


if __name__ == "__main__":
    from arguments import paths

    main(*paths(__doc__, "RUN", "DATA"))
