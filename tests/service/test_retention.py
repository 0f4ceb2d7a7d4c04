import os
import time
import tracemalloc

import pytest
from test_store import fill, new

from cxr_edge.service import clock
from cxr_edge.service.config import StoreSettings
from cxr_edge.service.store import retention as retention_module
from cxr_edge.service.store.retention import FileRetention, ResultRetention
from cxr_edge.service.store.writer import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results.db")
    yield store
    store.close()


def test_results_go_by_age(store):
    fill(store, 30)
    store.record(new("now.png", finished=clock.stamp()))
    ResultRetention(store, StoreSettings(keep_days=0.001)).tidy_if_due()
    assert [row.path for row in store.newest(100)] == ["now.png"]
    assert store.audit().problem == ""


def test_results_go_by_size_a_part_at_a_time(store):
    for number in range(1_200):
        store.record(new(f"{number}.png", finished=clock.stamp(), note="x" * 2000))
    retention = ResultRetention(store, StoreSettings(keep_mb=1))
    for _ in range(5):
        retention.tidy_if_due()
    assert store.size_bytes() <= 1e6
    assert store.newest(1)[0].path == "1199.png"


@pytest.mark.parametrize("now", [0, 1_600_000_000])
def test_a_clock_that_was_set_back_deletes_nothing(store, monkeypatch, now):
    fill(store, 5)
    monkeypatch.setattr(time, "time", lambda: now)
    ResultRetention(store, StoreSettings(keep_days=0.001)).tidy_if_due()
    assert len(store.newest(10)) == 5


@pytest.mark.parametrize("at_a_time", [1, 1_000])
def test_kept_files_go_by_age_and_size(tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr(retention_module, "_FILES", at_a_time)
    folder = tmp_path / "processed"
    (folder / "sub").mkdir(parents=True)
    for number in range(10):
        (folder / "sub" / f"{number}.png").write_bytes(os.urandom(100_000))
        time.sleep(0.02)
    retention = FileRetention([folder], StoreSettings(keep_images_mb=1), lambda: "")
    retention.tidy()
    left = sorted(path.name for path in (folder / "sub").iterdir())
    assert left == [f"{number}.png" for number in range(10 - len(left), 10)]
    assert 0 < len(left) < 10
    retention = FileRetention([folder], StoreSettings(keep_images_days=1e-9), lambda: "")
    retention.tidy()
    assert folder.is_dir() and not list(folder.iterdir())


def test_the_memory_of_a_round_does_not_grow_with_the_files(tmp_path):
    def peak(count: int) -> int:
        for number in range(count):
            (tmp_path / f"{number}.png").touch()
        retention = FileRetention([tmp_path], StoreSettings(), lambda: "")
        tracemalloc.start()
        try:
            retention.tidy()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(100), peak(3_000)
    assert many < few + 20_000  # bytes; a listed path takes over 100


def test_kept_files_stay_while_the_clock_cannot_be_right(tmp_path):
    folder = tmp_path / "processed"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    later = clock.stamp(time.time() + 3600)
    FileRetention([folder], StoreSettings(keep_images_days=1e-9), lambda: later).tidy()
    assert (folder / "a.png").exists()


def test_the_thread_tidies_and_stops(tmp_path):
    folder = tmp_path / "processed"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    settings = StoreSettings(keep_images_days=1e-9)
    retention = FileRetention([folder], settings, lambda: "", every_s=0.01)
    retention.start()
    end = time.monotonic() + 10
    while (folder / "a.png").exists() and time.monotonic() < end:
        time.sleep(0.01)
    retention.stop()
    assert not (folder / "a.png").exists()
