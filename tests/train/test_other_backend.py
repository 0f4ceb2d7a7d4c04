"""The training code uses nothing but Keras: another backend trains a model that answers alike."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_edge.data.folders import open_folder, read_folder
from cxr_edge.decision import positive_scores, probabilities
from cxr_edge.original.run_folder import open_run
from cxr_edge.train.evaluation.scorers import keras_model

TRAIN = """
import dataclasses, sys
sys.modules["tensorflow"] = None  # not even imported, which Keras would where it can
from pathlib import Path
from cxr_edge.report import charts, page
charts.png = lambda *given, **options: b""  # drawn by no backend, and a third of the time
page.javascript_bundle = lambda: ""
from cxr_edge.data.patients import grouping
from cxr_edge.reporting import Silent
from cxr_edge.spec import InputSpec
from cxr_edge.train.pipeline import train
from cxr_edge.train.recipe import SEED

spec = dataclasses.replace(SEED.spec, input=InputSpec(height=24, width=24))
# As many validation as test images: JAX compiles every shape anew.
recipe = dataclasses.replace(SEED, spec=spec, epochs=1, batch_size=16, validation_fraction=0.2)
train(Path(sys.argv[1]), Path(sys.argv[2]), recipe, seed=1, group_of=grouping(None),
      use_val_folder=False, reporter=Silent())
"""


@pytest.mark.long
@pytest.mark.thorough
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="no other backend: jax is not installed"
)
def test_a_model_trained_on_jax_answers_the_same_on_tensorflow(
    drawn_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN, str(drawn_data), str(out)],
        # Compiling takes longer than the training: without optimizations half as long.
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert trained.returncode == 0, trained.stderr
    assert open_run(out).provenance.tools["keras backend"] == "jax"
    with (out / "test-scores.csv").open(newline="") as file:
        on_jax = [float(row["score"]) for row in csv.DictReader(file)]
    assert len(on_jax) == 16
    assert max(on_jax) - min(on_jax) > 1e-3, "the answers do not depend on the image"
    model = keras_model(out, None)
    images = read_folder(open_folder(drawn_data / "test", model.spec.labels), model.spec.input)
    answers = probabilities(model.scorer(images.pixels), model.spec)
    on_tensorflow = positive_scores(answers, model.spec)
    assert on_tensorflow.tolist() == pytest.approx(on_jax, abs=1e-4)
