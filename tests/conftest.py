"""What several tests share: the data folder, a drawn data set, a trained run, its bundle."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody tuned on this machine is nothing to the tests, and the other way round."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real images; without it the test is skipped by name."""
    root = Path(os.environ.get("CXR_EDGE_DATA", ROOT / "../shared/data")).resolve()
    if not root.is_dir():
        pytest.skip(f"no real images: {root} is absent; CXR_EDGE_DATA names another folder")
    return root


def draw_data_set(root: Path, images: dict[str, int], first_seed: int = 0) -> Path:
    """Write class folders of phantoms: white disc: PNEUMONIA, dark one: NORMAL."""
    from cxr_edge.data.phantom import draw_phantom

    seed = first_seed
    for label, count in images.items():
        folder = root / label
        folder.mkdir(parents=True)
        for number in range(count):
            random = np.random.default_rng([7, seed])
            image = draw_phantom(random, height=120, width=150)
            cv2.circle(image, (75, 60), 28, 255 if label == "PNEUMONIA" else 0, -1)
            kind = (
                f"person{seed}_bacteria_{number}" if label == "PNEUMONIA" else f"IM-{seed:04}-0001"
            )
            (folder / f"{kind}.jpeg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
            seed += 1
    return root


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with train/ and test/ that a network learns in seconds."""
    root = tmp_path_factory.mktemp("drawn")
    draw_data_set(root / "train", {"PNEUMONIA": 40, "NORMAL": 40})
    draw_data_set(root / "test", {"PNEUMONIA": 8, "NORMAL": 8}, first_seed=1000)
    return root


@pytest.fixture(scope="session")
def run_folder(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of the real training code on drawn images: two short epochs of the seed recipe.

    Batch normalization forgets its start after some hundred steps, which these epochs do not
    have; what the network answers matters little here, that every stage agrees on it does.
    """
    from cxr_edge.data.patients import grouping
    from cxr_edge.reporting import Silent
    from cxr_edge.train.pipeline import train
    from cxr_edge.train.recipe import SEED

    out = tmp_path_factory.mktemp("run") / "run"
    recipe = dataclasses.replace(SEED, epochs=2, batch_size=8)
    train(
        drawn_data,
        out,
        recipe,
        seed=3,
        group_of=grouping(None),
        use_val_folder=False,
        reporter=Silent(),
    )
    return out


@pytest.fixture(scope="session")
def exported_bundle(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that run, float32 and integers; tests that change it take a copy.

    The search tries one strength of equalization: the budget holds for each on this network.
    """
    from cxr_edge.export.artifacts import FP32, INT8, find_kinds
    from cxr_edge.export.pipeline import export, original_of_run
    from cxr_edge.export.request import ExportRequest
    from cxr_edge.original.run_folder import open_run
    from cxr_edge.reporting import Silent

    out = tmp_path_factory.mktemp("export") / "bundle"
    original = original_of_run(open_run(run_folder))
    export(original, out, find_kinds((*FP32, *INT8)), ExportRequest(strengths=(0.5,)), Silent())
    return out


@pytest.fixture
def bundle(exported_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the exported bundle, free to be damaged."""
    return Path(shutil.copytree(exported_bundle, tmp_path / "bundle"))
