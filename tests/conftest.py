"""What several tests share: the data folder, a drawn data set, a trained run, its bundle.

``make test`` runs the tests in several processes. What takes long to make is made by the first
that needs it and read by all (``build_once``); tests of one module stay in one process, so that its
fixtures are made once, and modules with many ``long`` and ``slow`` tests start first.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import functools
import gc
import importlib.abc
import importlib.machinery
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from cxr_edge.train.recipe import TrainingRecipe

ROOT = Path(__file__).parent.parent
IN_PARALLEL = "PYTEST_XDIST_WORKER" in os.environ

if IN_PARALLEL:  # one processor for each process; both are read when TensorFlow starts
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# The C library gives a large array's memory back to the system when the array is freed. Getting it
# again costs a page fault for every 4 KiB, a half of what numpy takes here; so it is kept.
if sys.platform == "linux":
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**30)
    ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**31 - 1)

# A million objects last as long as the process: TensorFlow's and the tests themselves. Looking for
# garbage among them takes a fifth of a second, and Keras does it for every model.
gc.set_threshold(50_000)


# --- which tests run, and where


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out long tests and Keras")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fast"):
        os.environ["KERAS_BACKEND"] = WithoutKeras.BACKEND
        sys.meta_path.insert(0, WithoutKeras())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        left_out = [item for item in items if estimated_seconds(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not estimated_seconds(item)]
    elif IN_PARALLEL:  # the longest module first: no process is left with one at the end
        modules: Counter[Path] = Counter()
        for item in items:
            modules[item.path] += estimated_seconds(item)
        items.sort(key=lambda item: -modules[item.path])


def pytest_collection_finish() -> None:
    gc.freeze()


def estimated_seconds(item: pytest.Item) -> int:
    """How long a test takes, by its marker; 0: it needs none."""
    if item.get_closest_marker("long"):
        return 12
    return 2 if item.get_closest_marker("slow") else 0


class WithoutKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Skips a test, fixture or module of tests as soon as it imports Keras or TensorFlow.

    A process that a test starts does not find Keras's backend, so such a test fails: it has to be
    marked ``long``.
    """

    BACKEND = "not_in_fast_tests"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname in ("keras", "tensorflow", self.BACKEND):
            return importlib.machinery.ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        pytest.skip("needs Keras", allow_module_level=True)


# --- what is made once


Build = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A folder by name for all processes of this run of the tests; the first to ask builds it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if IN_PARALLEL else base

    def folder_of(name: str, build: Callable[[Path], object]) -> Path:
        folder, built = shared / name, shared / f"{name}.built"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed in the middle
                folder.mkdir()
                build(folder)
                built.touch()
        return folder

    return folder_of


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
def drawn_data(build_once: Build) -> Path:
    """A data set with train/ and test/ that a network learns in seconds."""

    def draw(root: Path) -> None:
        draw_data_set(root / "train", {"PNEUMONIA": 40, "NORMAL": 40})
        draw_data_set(root / "test", {"PNEUMONIA": 8, "NORMAL": 8}, first_seed=1000)

    return build_once("drawn", draw)


@pytest.fixture(scope="session")
def short_recipe() -> TrainingRecipe:
    """The recipe of ``run_folder``: two epochs of the seed recipe on small images.

    Their side is odd after a pooling, as the seed's, so that windows are cut off at the border. A
    batch is one image: with so many steps the network decides both ways, and has a heat map.
    """
    from cxr_edge.spec import InputSpec
    from cxr_edge.train.recipe import SEED

    spec = dataclasses.replace(SEED.spec, input=InputSpec(height=50, width=50))
    return dataclasses.replace(SEED, spec=spec, epochs=2, batch_size=1)


@pytest.fixture(scope="session")
def run_folder(drawn_data: Path, short_recipe: TrainingRecipe, build_once: Build) -> Path:
    """A run folder of the real training code on drawn images.

    Batch normalization forgets its start after some hundred steps, which these epochs do not
    have; what the network answers matters little here, that every stage agrees on it does.
    """

    def train_run(root: Path) -> None:
        from cxr_edge import train_model

        train_model(drawn_data, root / "run", recipe=short_recipe, seed=3)

    return build_once("trained", train_run) / "run"


@pytest.fixture(scope="session")
def exported_bundle(run_folder: Path, build_once: Build) -> Path:
    """The bundle of that run, float32 and integers; tests that change it take a copy.

    The search tries one strength of equalization: the budget holds for each on this network. Half
    of the pictures is drawn, that golden inputs are chosen from.
    """

    def export_run(root: Path) -> None:
        from cxr_edge.export.artifacts import FP32, INT8, find_kinds
        from cxr_edge.export.pipeline import export, original_of_run
        from cxr_edge.export.request import ExportRequest
        from cxr_edge.original.run_folder import open_run
        from cxr_edge.reporting import Silent

        original = original_of_run(open_run(run_folder))
        kinds = find_kinds((*FP32, *INT8, "ncnn-fp32"))
        request = ExportRequest(strengths=(0.5,), golden_pool=128)
        export(original, root / "bundle", kinds, request, Silent())

    return build_once("exported", export_run) / "bundle"


@pytest.fixture(scope="session")
def pictures_drawn_once() -> Iterator[None]:
    """A golden input is the same picture in every export; drawing takes a third of a small one."""
    from cxr_edge.export.golden import drawn
    from cxr_edge.spec import SEED_SPEC, InputSpec, ModelSpec

    draw = drawn.draw_picture

    @functools.cache
    def picture(size: InputSpec, number: int, *, striped: bool) -> np.ndarray:
        made = draw(dataclasses.replace(SEED_SPEC, input=size), number, striped=striped)
        made.flags.writeable = False
        return made

    def draw_once(spec: ModelSpec, number: int, *, striped: bool) -> np.ndarray:
        return picture(spec.input, number, striped=striped)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "draw_picture", draw_once)
        yield


@pytest.fixture
def files_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converting the unchanged network too, only to compare times, takes a third of an export."""
    from cxr_edge.export.report import Speed

    def not_timed(stock: object, artifacts: Sequence[object], *_: object) -> list[Speed]:
        return [Speed(None, None, "not timed") for _ in artifacts]

    monkeypatch.setattr("cxr_edge.export.pipeline.measure_speed", not_timed)


@pytest.fixture
def bundle(exported_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the exported bundle, free to be damaged."""
    return Path(shutil.copytree(exported_bundle, tmp_path / "bundle"))
