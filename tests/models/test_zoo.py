"""Strangers' models: each exports within the tolerance, or is refused in one line.

``make test`` exports the small ones to float32. ``make test-models`` also trains each for some
seconds, in a process of its own, tries integers, and writes the table docs/models.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from prepared import save
from sweep import FLOAT, ROOT, is_current, read, row_of
from table import models_page
from zoo import Case, kinds

from cxr_edge.errors import CxrEdgeError
from cxr_edge.export.artifacts import find_kinds
from cxr_edge.export.pipeline import export, original_of_run
from cxr_edge.export.request import ExportRequest
from cxr_edge.extras import require_tensorflow
from cxr_edge.original.run_folder import UNKNOWN, Run
from cxr_edge.reporting import Silent

require_tensorflow("export")

TOLERANCE = 5e-5
ROWS = ROOT / "build/models"
ALL = [
    pytest.param(kind, case, id=f"{kind}: {case.name}")
    for kind, cases in kinds().items()
    for case in cases
]
SWEEP_ONLY = {
    *("Normalization with mean and variance", "Normalization with one mean"),
    *("preprocess_input of densenet", "multiplied by a vector", "a product with a matrix"),
    *("channels first inside", "integers as input", "a batch of three", "any height"),
    *("quantized by Keras: int4", "spectral normalization", "noise as in training"),
    *("Conv2D in groups, padded and strided", "Conv2D in a group a channel"),
    *("a normalization as in training", "a nested model as in training"),
    *("Normalization with a mean for each channel", "Conv2D with groups", "PReLU"),
    *("Conv2DTranspose", "UpSampling2D bicubic", "GRU", "atan2 and sinh", "log1p and expm1"),
    *("gelu by hand", "saved under mixed_bfloat16", "saved under float16 with its head"),
    *("attention under mixed_float16", "LoRA enabled", "a vector plus BatchNormalization"),
    *("Rescaling plus a number", "one minus BatchNormalization", "a number divided by a map"),
    *("padding and concatenation along rows", "merges that broadcast"),
    "Resizing to 12x20 interpolation=bilinear pad_to_aspect_ratio=True",
}
"""Small, but others in ``make test`` are of the same kind."""
SMALL = [
    pytest.param(*p.values[1:], id=p.id)
    for p in ALL
    if not p.values[1].large and p.values[1].name not in SWEEP_ONLY
]
LIMIT_S = 3600
"""A network that needs longer fails."""


@pytest.mark.slow
@pytest.mark.usefixtures("pictures_drawn_once", "files_not_timed")
@pytest.mark.parametrize("case", SMALL)
def test_a_strangers_model_exports_or_is_refused_by_name(case: Case, tmp_path: Path) -> None:
    path, spec, _ = save(case, tmp_path)
    names = ("onnx-fp32", "tflite-fp32") if case.tflite else ("onnx-fp32",)
    request = ExportRequest(named=frozenset(names), golden_pool=32)
    try:
        original = original_of_run(Run(path, spec, UNKNOWN))
        manifest, report = export(
            original, tmp_path / "bundle", find_kinds(names), request, Silent()
        )
    except CxrEdgeError as err:
        assert not (tmp_path / "bundle").exists()
        written, refusals = set(), [str(err)]
    else:
        written = {artifact.name for artifact in manifest.artifacts}
        refusals = [missing.why for missing in report.failed]
        for artifact in manifest.artifacts:
            for engine in artifact.engines:
                assert engine.golden.max_abs_delta <= TOLERANCE, engine.name
    if case.refusal is None:
        assert (written, refusals) == ({*names}, [])
    else:
        assert refusals, "it was exported"
    for refusal in refusals:
        assert re.search(case.refusal, refusal), refusal
        assert "\n" not in refusal and len(refusal) <= 300


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for cases in kinds().values() for case in cases]
    assert sorted(set(names)) == sorted(names)
    assert {*names} >= SWEEP_ONLY


def make_rows(cases: Sequence[Case]) -> None:
    """Make the outcomes of some networks in one process, where there are none of this code."""
    paths = {case.name: row_of(ROWS, case.name) for case in cases}
    stale = [n for n, path in paths.items() if not ((row := read(path)) and is_current(row))]
    if not stale:
        return
    for name in stale:
        paths[name].unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    script = [sys.executable, str(Path(__file__).parent / "sweep.py"), str(ROWS), *stale]
    done = subprocess.run(
        script, env=environment, timeout=LIMIT_S, capture_output=True, text=True, check=False
    )
    missing = [name for name in stale if not paths[name].exists()]
    assert not missing, f"the process ended with {done.returncode}: {done.stderr[-500:]}"


@pytest.fixture(scope="module")
def small_rows() -> None:
    """The outcomes of all small networks: a process takes ten seconds to start."""
    make_rows([case for cases in kinds().values() for case in cases if not case.large])


@pytest.mark.models
@pytest.mark.usefixtures("small_rows")
@pytest.mark.parametrize("case", [pytest.param(p.values[1], id=p.id) for p in ALL])
def test_every_model_of_the_sweep_exports_or_is_refused_in_a_line(case: Case) -> None:
    make_rows([case])
    outcome = read(row_of(ROWS, case.name))
    assert outcome is not None and not outcome.failure, outcome
    for line in outcome.refusals.values():
        assert "\n" not in line and len(line) <= 300
    if case.refusal is None:
        assert not {"all", *FLOAT} & {*outcome.refusals}, outcome.refusals
    else:
        assert re.search(case.refusal, " ".join(outcome.refusals.values()))
    float_deltas = [d for key, d in outcome.deltas.items() if key.startswith(FLOAT)]
    assert max(float_deltas, default=0.0) <= TOLERANCE


@pytest.mark.models
def test_the_table_of_all_models_is_written() -> None:
    outcomes = [outcome for p in ALL if (outcome := read(row_of(ROWS, p.values[1].name)))]
    assert outcomes, "no network was exported"
    (ROOT / "docs/models.md").write_text(models_page(outcomes))
