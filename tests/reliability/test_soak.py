"""Long rows of the reliability table: ``make soak``, at most an hour."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from long_runs import resident_bytes
from page import read_report

from cxr_edge.bundle.reader import Bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.engines import installed_engines

pytestmark = pytest.mark.soak

HERE = Path(__file__).parent
MINUTES = float(os.environ.get("CXR_EDGE_SOAK_MINUTES", "60"))
"""How long all runs may take together; each is as long in proportion."""
SHARE = MINUTES / 60
PAIRS = [
    (artifact.name, record.engine)
    for artifact in Bundle.open().manifest.artifacts
    for record in artifact.engines
    if record.engine in installed_engines()
]
"""Each file of the reference on each engine."""


def long_run(*arguments: object) -> dict[str, float]:
    command = [sys.executable, HERE / "long_runs.py", *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG as large as that of a data set."""
    path = tmp_path_factory.mktemp("picture") / "picture.jpeg"
    image = draw_phantom(np.random.default_rng(1), height=224, width=224)
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("engine", sorted({engine for _, engine in PAIRS}))
def test_r1_predictions_in_one_process(
    engine: str, picture: Path, record_property: pytest.RecordProperty
) -> None:
    artifact = next(name for name, other in PAIRS if other == engine and "explain" not in name)
    count = int(100_000 * SHARE)
    grown = long_run("predictions", artifact, engine, count, picture)
    record_property(
        "figure",
        f"{engine}: {count:,} predictions, {grown['bytes'] / 1e6:+.1f} MB",
    )
    assert grown["bytes"] < 5e6
    assert grown["descriptors"] == 0 and grown["threads"] == 0


@pytest.mark.parametrize(("artifact", "engine"), PAIRS)
def test_b5_hashing_what_is_loaded(
    artifact: str, engine: str, record_property: pytest.RecordProperty
) -> None:
    times = long_run("hashing", artifact, engine)
    first, again = (times["hash"] / times[key] for key in ("first load", "load"))
    record_property(
        "figure",
        f"{artifact} on {engine}: {times['hash'] * 1e3:.2f} ms, {first:.1%} of the first load in a "
        f"process and {again:.1%} of a later one",
    )
    assert first < 0.1 or times["hash"] <= 2e-3


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder of images, one in twenty cut, and how many are cut."""
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(2)
    files = []
    for _ in range(200):
        image = cv2.resize(draw_phantom(random), (1280, 876))
        files.append(cv2.imencode(".jpeg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    count = int(10_000 * SHARE)
    for number in range(count):
        data = files[number % len(files)]
        name = folder / f"{number:05}.jpeg"
        name.write_bytes(data[: len(data) // 2] if number % 20 == 7 else data)
    return folder, sum(number % 20 == 7 for number in range(count))


def predict_folder(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start predicting a folder; results go to ``out``, the rest to a file beside it."""
    command = [sys.executable, "-m", "cxr_edge", "predict", folder, "--format", "jsonl", "-w", "2"]
    with out.open("wb") as stdout, out.with_suffix(".log").open("wb") as stderr:
        return subprocess.Popen(
            [*map(str, command)],
            stdout=stdout,
            stderr=stderr,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # of a background job
        )


def test_r5_ten_thousand_images(
    many: tuple[Path, int], tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    folder, bad = many
    start = time.perf_counter()
    process = predict_folder(folder, tmp_path / "all.jsonl")
    peaks: list[int] = []
    while process.poll() is None:
        statm = Path(f"/proc/{process.pid}/statm").read_text().split()
        if statm:
            peaks.append(int(statm[1]) * os.sysconf("SC_PAGE_SIZE"))
        time.sleep(0.2)
    seconds = time.perf_counter() - start
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    count = len(list(folder.iterdir()))
    assert len(rows) == count
    assert sum("error" in row for row in rows) == bad
    scores = {row["source"][-10:]: row.get("score") for row in rows}
    again = {row.get("score") for name, row in zip(scores, rows, strict=True) if row.get("score")}
    assert len(again) <= 200, "the same image has several scores"
    third = len(peaks) // 3
    growth = max(peaks[2 * third :]) - max(peaks[third : 2 * third])

    stopped = predict_folder(folder, tmp_path / "part.jsonl")
    while stopped.poll() is None and not (tmp_path / "part.jsonl").stat().st_size:
        time.sleep(0.05)
    time.sleep(seconds / 10)
    stopped.send_signal(signal.SIGINT)
    stopped.wait(timeout=30)
    part, errors = ((tmp_path / name).read_text() for name in ("part.jsonl", "part.log"))
    assert stopped.returncode == 130, errors
    assert "Traceback" not in errors
    assert part.endswith("\n") and part.splitlines() == lines[: len(part.splitlines())]
    record_property(
        "figure",
        f"{count:,} images, {bad} bad, in {seconds:.0f} s; peak {max(peaks) / 1e6:.0f} MB, last "
        f"third {growth / 1e6:+.1f} MB; Ctrl-C left {len(part.splitlines()):,} whole lines",
    )
    assert growth < 25e6


@pytest.mark.parametrize("engine", installed_engines())
@pytest.mark.parametrize("threads", [1, 2])
def test_r3_processes(engine: str, threads: int, record_property: pytest.RecordProperty) -> None:
    """Forks of an idle and of a busy process, and pools; tests/device/forking.py says which."""
    count = max(1, int(50 * SHARE))
    script = HERE.parent / "device/forking.py"
    scenarios = ["idle", "busy"] if threads == 1 else ["idle", "busy", "pools"]
    command = [sys.executable, script, engine, threads, count, *scenarios]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    seen = {outcome for counts in outcomes.values() for outcome in counts}
    total = sum(sum(counts.values()) for counts in outcomes.values())
    record_property(
        "figure", f"{engine}, {threads} threads: {total} children, {', '.join(sorted(seen))}"
    )
    assert seen <= {"works", "EngineError"}, outcomes


def test_e1_killed_commits(record_property: pytest.RecordProperty) -> None:
    count = max(5, int(200 * SHARE))
    test = "test_killed_at_random_moments_it_leaves_the_old_bundle_or_the_new_one_whole"
    file = HERE.parent / "export/test_commit.py"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "alone", f"{file}::{test}"]
    environment = {**os.environ, "CXR_EDGE_MOMENTS": str(count)}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    record_property("figure", f"{count} commits killed, the old bundle or the new one each time")


def test_r13_killed_upgrades(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    test = "test_killed_before_any_system_call_the_old_or_the_new_bundle_is_current"
    file = HERE.parent / "bundle/test_upgrade.py"
    report = tmp_path / "report.xml"
    options = ["-q", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, f"{file}::{test}"]
    environment = {**os.environ, "CXR_EDGE_UPGRADE_REPLAYS": "1"}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    for outcome in read_report(report):
        for figure in outcome.figures:
            record_property("figure", figure)


def test_fuzz_every_reader(record_property: pytest.RecordProperty) -> None:
    pytest.importorskip("atheris", reason="atheris is not installed (extra soak)")
    from fuzz_seeds import dicom_seeds, seeds

    corpus = HERE.parents[1] / "build/reliability/corpus"  # kept: the next run goes on from it
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in (seeds() | dicom_seeds()).items():
        (corpus / name).write_bytes(data)
    seconds = int(20 * 60 * SHARE)
    command = [sys.executable, HERE / "fuzz.py", corpus, seconds]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    log = done.stderr
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{log[-1000:]}"
    runs = re.findall(r"Done (\d+) runs in (\d+) second", log)
    assert runs, log[-3000:]
    coverage = re.findall(r"cov: (\d+)", log)
    record_property(
        "figure", f"{int(runs[0][0]):,} files in {runs[0][1]} s, {coverage[-1]} edges, 0 findings"
    )


def test_memory_is_read_from_the_kernel() -> None:
    """What the figures above rest on."""
    before = resident_bytes()
    block = np.ones(50_000_000, np.uint8)
    assert 40e6 < resident_bytes() - before < 60e6
    del block
