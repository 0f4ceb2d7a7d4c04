"""A run on this machine: every image once, however often it is stopped."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from drawn_archive import DeadlyChoice, DeadOnArrival, draw_archive, read_rows, request

from cxr_edge.archive.local import run_locally
from cxr_edge.archive.request import ArchiveRequest, ArchiveResult, load_model
from cxr_edge.archive.rows import Row
from cxr_edge.archive.worker import ModelChoice
from cxr_edge.classifier import Classifier
from cxr_edge.errors import BundleError, EngineError, OutputError, UsageError
from cxr_edge.results import Failure, Prediction

IMAGES, BAD = 30, 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_archive(tmp_path_factory.mktemp("archive"), IMAGES, bad=BAD)


def run(
    order: ArchiveRequest, *, workers: int = 1, on_row: Any = None
) -> tuple[ArchiveResult, list[Row]]:
    rows: list[Row] = []

    def see(row: Row) -> None:
        rows.append(row)
        if on_row:
            on_row(row)

    outcome = run_locally(
        order,
        load_model(ModelChoice()),
        workers=workers,
        format="parquet",
        on_row=see,
        on_progress=lambda done, total: None,
    )
    return outcome, rows


@pytest.mark.slow
def test_rows_are_what_a_classifier_predicts_and_a_second_run_has_nothing_to_do(
    archive: Path, tmp_path: Path
) -> None:
    order = request(archive, tmp_path / "results")
    outcome, rows = run(order, workers=2)
    assert outcome == ArchiveResult(IMAGES, 0, settled=0, failures=BAD, touched=0)
    assert {row.path for row in rows} == {
        path.relative_to(archive).as_posix() for path in archive.rglob("*.jpeg")
    }
    classifier = Classifier.load()
    for row in rows:
        (expected,) = classifier.predict_many([archive / row.path])
        actual = row.result()
        if isinstance(expected, Failure):
            assert isinstance(actual, Failure)
            # The path in a row and its message is that below the archive.
            assert f"{archive}/{actual.message}" == expected.message
            assert (actual.error, row.ok) == (expected.error, False)
        else:
            assert actual == dataclasses.replace(expected, source=row.path)
    assert [dataclasses.asdict(row) | {"scores": None} for row in sorted(rows, key=_id)] == [
        row | {"scores": None} for row in read_rows(tmp_path / "results")
    ]
    assert run(order) == (ArchiveResult(IMAGES, 0, settled=IMAGES, failures=BAD, touched=0), [])


@pytest.mark.slow
def test_what_failed_is_tried_again_on_request_only(archive: Path, tmp_path: Path) -> None:
    broken = draw_archive(tmp_path / "archive", 4, bad=2)
    order = request(broken, tmp_path / "results")
    assert run(order)[0].failures == 2
    outcome, rows = run(dataclasses.replace(order, retry_failed=True))
    assert outcome == ArchiveResult(4, 0, settled=2, failures=2, touched=0)
    assert [(row.attempt, row.ok) for row in rows] == [(2, False)] * 2
    # The ids of an image's attempts are its own and differ.
    ids = [row["id"] for row in read_rows(tmp_path / "results")]
    assert len(set(ids)) == len(ids) == 6
    assert sorted(name for name in ids if name.endswith("-2")) == [
        f"{row.id}" for row in sorted(rows, key=_id)
    ]


@pytest.mark.slow
def test_a_mended_or_deleted_file_is_no_failure_any_more(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 4, bad=2)
    order = request(archive, tmp_path / "results")
    assert run(order)[0].failures == 2
    mended, deleted = (archive / f"000/image-0000{number}.jpeg" for number in (0, 2))
    mended.write_bytes((archive / "000/image-00001.jpeg").read_bytes())
    deleted.unlink()
    outcome, (row,) = run(order)
    assert outcome == ArchiveResult(3, 0, settled=2, failures=0, touched=0)
    assert (row.path, row.attempt, row.ok) == ("000/image-00000.jpeg", 2, True)


@pytest.mark.slow
def test_a_changed_file_is_a_new_row_and_a_touched_one_is_none(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 3)
    order = request(archive, tmp_path / "results")
    run(order)
    changed, touched, _ = sorted(archive.rglob("*.jpeg"))
    changed.write_bytes(
        draw_archive(tmp_path / "other", 5).joinpath("000/image-00004.jpeg").read_bytes()
    )
    os.utime(touched, ns=(1, 1))
    outcome, rows = run(order)
    assert outcome == ArchiveResult(3, 0, settled=1, failures=0, touched=1)
    assert [row.path for row in rows] == [changed.relative_to(archive).as_posix()]
    assert len(read_rows(tmp_path / "results")) == 4


def run_deadly(order: ArchiveRequest, on_row: Any) -> ArchiveResult:
    model = load_model(ModelChoice())
    choice = DeadlyChoice(artifact=model.choice.artifact, engine=model.choice.engine)
    return run_locally(
        order,
        dataclasses.replace(model, choice=choice),
        workers=1,
        format="parquet",
        on_row=on_row,
        on_progress=lambda done, total: None,
    )


def append(path: Path, data: bytes) -> str:
    with path.open("ab") as file:
        file.write(data)
    return path.name


@pytest.mark.slow
def test_an_image_that_kills_its_process_is_a_failure_and_the_others_are_classified(
    tmp_path: Path,
) -> None:
    archive = draw_archive(tmp_path / "archive", 12)
    deadly = append(archive / "000/image-00005.jpeg", b"kill me")
    surprising = append(archive / "000/image-00007.jpeg", b"surprise me")
    rows: list[Row] = []
    result = run_deadly(request(archive, tmp_path / "results"), rows.append)
    assert (result.images, result.failures, len(rows)) == (12, 2, 12)
    failures = {Path(row.path).name: row for row in rows if not row.ok}
    assert failures[deadly].error == "ProcessDied"
    assert "died of SIGKILL" in str(failures[deadly].message)
    assert failures[surprising].error == "ZeroDivisionError"
    assert str(failures[surprising].message).startswith(f"000/{surprising}: ZeroDivisionError: ")


@pytest.mark.slow
def test_a_process_that_is_stopped_does_not_outlive_the_run(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 8)
    append(archive / "000/image-00005.jpeg", b"stop me")

    def interrupt(row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_deadly(request(archive, tmp_path / "results"), interrupt)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_folder_that_is_replaced_ends_the_run(archive: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"

    def replace(row: Row) -> None:
        if results.exists():
            results.rename(tmp_path / "old")

    with pytest.raises(OutputError, match="results: cannot be written: No such file"):
        run(request(archive, results), on_row=replace)
    assert not results.exists()

    def make_another(row: Row) -> None:
        if not (tmp_path / "older").exists():
            results.rename(tmp_path / "older")
            results.mkdir()

    with pytest.raises(OutputError, match="is another folder than at the start"):
        run(request(archive, results), on_row=make_another)
    assert list(results.iterdir()) == []


@pytest.mark.slow
def test_a_bundle_that_is_replaced_ends_the_run(archive: Path, tmp_path: Path) -> None:
    model = load_model(ModelChoice())
    with pytest.raises(BundleError, match="was replaced during the run; start again"):
        run_locally(
            request(archive, tmp_path / "results"),
            dataclasses.replace(model, bundle_sha256="f" * 64),
            workers=1,
            format="parquet",
            on_row=lambda row: None,
            on_progress=lambda done, total: None,
        )


@pytest.mark.slow
def test_names_longer_than_a_pipe_holds(tmp_path: Path) -> None:
    deep = os.fsencode(tmp_path / "archive")
    for _ in range(12):
        deep = os.path.join(deep, b"\xff" * 240)  # noqa: PTH118 - no text
    small = draw_archive(tmp_path / "small", 60)
    os.makedirs(deep)  # noqa: PTH103
    for number, path in enumerate(sorted(small.rglob("*.jpeg"))):
        os.rename(path, os.path.join(deep, b"%d.jpeg" % number))  # noqa: PTH104, PTH118
    result, rows = run(request(tmp_path / "archive", tmp_path / "results"))
    assert (result.images, result.failures, len(rows)) == (60, 0, 60)


@pytest.mark.slow
def test_processes_that_die_whatever_they_do_end_the_run(tmp_path: Path) -> None:
    archive = draw_archive(tmp_path / "archive", 2)
    model = load_model(ModelChoice())
    with pytest.raises(EngineError, match="died one after another, the last with exit code 7"):
        run_locally(
            request(archive, tmp_path / "results"),
            dataclasses.replace(model, choice=DeadOnArrival()),
            workers=1,
            format="parquet",
            on_row=lambda row: None,
            on_progress=lambda done, total: None,
        )


@pytest.mark.slow
def test_an_interrupted_run_keeps_its_rows_and_leaves_no_process(
    archive: Path, tmp_path: Path
) -> None:
    order = request(archive, tmp_path / "results")
    seen: list[Row] = []

    def interrupt(row: Row) -> None:
        seen.append(row)
        if len(seen) == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(order, on_row=interrupt)
    kept = read_rows(tmp_path / "results")
    assert [row["id"] for row in kept] == sorted(row.id for row in seen[:8])
    outcome, rest = run(order)
    assert outcome.settled == 8
    assert len(rest) == IMAGES - 8


def _id(row: Row) -> str:
    return row.id


def killed_after(seconds: float, command: list[str]) -> int | None:
    """Run a command and kill it with SIGKILL; None: it was killed."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return None


@pytest.mark.long
@pytest.mark.parametrize(
    ("images", "bad", "seconds"),
    [
        pytest.param(600, 20, (1.0, 1.6, 3.2), id="600"),
        pytest.param(20_000, 625, (3.1,) * 20, id="20000", marks=pytest.mark.thorough),
    ],
)
def test_killed_and_started_again_every_image_is_there_once(
    tmp_path: Path, data_root: Path, images: int, bad: int, seconds: tuple[float, ...]
) -> None:
    natives = [*(data_root / "native").rglob("*.jp*g")][: images // 50]
    archive = draw_archive(tmp_path / "archive", images - len(natives), bad=bad)
    (archive / "native").mkdir()
    for native in natives:
        (archive / "native" / native.name).symlink_to(native)

    def command(to: Path) -> list[str]:
        call = [sys.executable, "-m", "cxr_edge", "predict", str(archive), "--to", str(to), "-q"]
        return [*call, "--workers", "2"]

    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    assert subprocess.run(command(undisturbed), stderr=subprocess.DEVNULL).returncode == 1
    survived = [killed_after(pause, command(disturbed)) for pause in seconds]
    assert survived.count(None) > len(seconds) // 2, "the run was over too soon to be killed"
    time.sleep(0.2)
    assert subprocess.run(command(disturbed), stderr=subprocess.DEVNULL).returncode == 1
    rows = read_rows(undisturbed)
    assert len(rows) == images
    drawn = images - len(natives)
    assert sum(not row["ok"] for row in rows) == len(range(0, drawn, drawn // bad))
    assert read_rows(disturbed) == rows
    print(f"killed {survived.count(None)} times, {len([*disturbed.glob('part-*')])} parts")


@pytest.mark.slow
def test_two_runs_into_one_folder(archive: Path, tmp_path: Path) -> None:
    order = request(archive, tmp_path / "results")

    def try_another(row: Row) -> None:
        with pytest.raises(UsageError, match="another run writes there"):
            run(order)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(order, on_row=try_another)


def test_prediction_has_the_columns_of_a_row() -> None:
    of_prediction = {field.name for field in dataclasses.fields(Prediction)}
    of_row = {field.name for field in dataclasses.fields(Row)}
    assert of_prediction - of_row == {"source", "heatmap"}
