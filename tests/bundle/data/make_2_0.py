"""Made ``2.0/``: a whole bundle of format 2.0 in a few kilobytes, which every reader must open.

Do not run it again to replace the folder: it would write the exporter's newest format, and the
folder would stop proving that old bundles open. When the format grows, keep the folder, change the
name below, and add the result beside it.

    python tests/bundle/data/make_2_0.py FOLDER

All pictures in it are drawn by the project.
"""

from __future__ import annotations

import dataclasses
import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from cxr_edge.bundle.manifest import Provenance
from cxr_edge.bundle.model_card import CARD_NAME
from cxr_edge.data.samples import Samples
from cxr_edge.domain import Domain, detail, standardize
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.golden import draw_pictures
from cxr_edge.export.pipeline import export
from cxr_edge.export.quantize.budget import Budget
from cxr_edge.export.request import ExportRequest, OriginalModel
from cxr_edge.extras import require_keras
from cxr_edge.preprocess import Pixels, normalize
from cxr_edge.reporting import Silent
from cxr_edge.spec import SEED_SPEC, InputSpec

SPEC = dataclasses.replace(
    SEED_SPEC,
    name="a tiny network that knows nothing",
    input=InputSpec(height=12, width=12),
    uncertain_band=(0.45, 0.55),
)
PROVENANCE = Provenance(
    recipe="none, random weights",
    seed=11,
    data="drawn by the project",
    limits="a test of the bundle format; its labels mean nothing",
    data_sha256="0" * 64,
    train_images={"PNEUMONIA": 1, "NORMAL": 1},
    validation={"auc": 0.5, "auc low": 0.4, "auc high": 0.6},
    test={},
    tools={"python": "3.11"},
)


def keras_file() -> bytes:
    """A network whose weights spread the scores of drawn pictures over both decisions."""
    keras = require_keras("train")
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input(SPEC.input_shape),
            layers.Conv2D(2, 3, strides=2, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flatten"),
            layers.Dense(1, activation="sigmoid", name="scores"),
        ],
        name="tiny",
    )
    random = np.random.default_rng(11)
    shapes = [weights.shape for weights in network.get_weights()]
    network.set_weights([random.normal(0, 0.3, shape) for shape in shapes])
    scores = np.float64(network(normalize(draw_pictures(SPEC, 0, 64, striped=True), SPEC.input)))
    logits = np.log(scores / (1 - scores))
    kernel, bias = network.get_layer("scores").get_weights()
    scale = 2 / logits.std()
    network.get_layer("scores").set_weights([kernel * scale, (bias - np.median(logits)) * scale])
    with tempfile.NamedTemporaryFile(suffix=".keras") as file:
        network.save(file.name)
        return deflated(Path(file.name))


def deflated(path: Path) -> bytes:
    """The same zip archive, compressed, without dates: Keras stores 20 kB, mostly zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(buffer, "w") as packed:
        for name in stored.namelist():
            packed.writestr(zipfile.ZipInfo(name), stored.read(name), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def domain_of(pixels: Pixels) -> Domain:
    """What the drawn pictures look like, in one component."""
    rows, _ = standardize(pixels)
    mean = rows.mean(axis=0)
    _, strengths, components = np.linalg.svd(rows - mean, full_matrices=False)
    variances = np.square(strengths) / len(rows)
    residual = float(variances[1:].sum() / (rows.shape[1] - 1))
    floats = [np.asarray(a, np.float32) for a in (mean, components[:1], variances[:1])]
    loose = Domain(*floats, residual=residual, limit=1.0, least_detail=0.0)
    return dataclasses.replace(
        loose,
        limit=1.5 * float(loose.distances(pixels).max()),
        least_detail=float(detail(pixels).min()) / 2,
    )


def main(out: Path) -> None:
    """Export the network into ``out``."""
    pixels = draw_pictures(SPEC, 10_000, 8, striped=True)
    original = OriginalModel(
        keras_file(),
        SPEC,
        PROVENANCE,
        "tiny.keras",
        calibration=Samples(pixels, np.arange(8) % 2, ()),
        calibration_source="drawn by the project",
        carries_calibration=True,
        domain=domain_of(draw_pictures(SPEC, 20_000, 32, striped=True)),
    )
    kinds = find_kinds(("onnx-int8", "onnx-fp32", "tflite-fp32"))
    budget = Budget(max_flips=12, max_delta_p=0.2, max_auc_drop=0.1)
    export(original, out, kinds, ExportRequest(budget=budget), Silent())
    (out / CARD_NAME).unlink()  # it follows from the manifest, in the words of the day


if __name__ == "__main__":
    main(Path(sys.argv[1]))
