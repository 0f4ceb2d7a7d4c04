"""The process: signals, another bundle, another service, what ends it."""

import shutil
import signal
import socket
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from deliveries import wait_for_results
from service_process import ServiceProcess, wait_until, write_config

from cxr_edge.bundle.bundled import REFERENCE
from cxr_edge.bundle.reader import Bundle
from cxr_edge.bundle.upgrade import install_bundle, rollback_bundle
from cxr_edge.data.phantom import draw_phantom
from cxr_edge.errors import BundleError, UsageError
from cxr_edge.files import sha256
from cxr_edge.service.store.reader import StoreReader
from cxr_edge.service.store.rows import Delivery
from cxr_edge.service.store.writer import Store

pytestmark = pytest.mark.slow

OTHER = Path(__file__).parents[1] / "bundle/data/2.0"


@pytest.fixture(scope="module")
def png():
    return cv2.imencode(".png", draw_phantom(np.random.default_rng(3)))[1].tobytes()


@pytest.fixture
def start(tmp_path):
    services = []

    def start_service(config, **environment):
        services.append(ServiceProcess(config, **environment))
        return services[-1]

    yield start_service
    for service in services:
        if service.process.poll() is None:
            service.kill()


def test_one_service_a_store(tmp_path, start):
    config = write_config(tmp_path)
    first = start(config)
    first.wait_for_line("ready: bundle")
    second = start(config)
    assert second.process.wait(30) == 2
    assert "another cxr-edge serve uses it" in second.log.read_text()
    assert first.terminate() == 0
    assert first.log.read_text().splitlines()[-1] == "cxr-edge: stopped"


def test_settings_are_read_again(tmp_path, start, png):
    config = write_config(tmp_path)
    service = start(config)
    service.wait_for_line("ready")
    text = config.read_text()
    config.write_text(text.replace('failed = "failed"', 'failed = "set aside"'))
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: (tmp_path / "set aside").is_dir())
    config.write_text(text.replace("settle_s", "settel_s"))
    service.process.send_signal(signal.SIGHUP)
    line = service.wait_for_line("the new settings are not used")
    assert "unknown key 'inbox.settel_s', did you mean settle_s?" in line
    assert service.log.read_text().count("ready: ") == 2  # what cannot be read stops nothing
    (tmp_path / "inbox/a.png").write_bytes(b"no image")
    (tmp_path / "inbox/b.png").write_bytes(png)
    wait_until(lambda: list((tmp_path / "set aside").glob("a.*.png")))
    wait_for_results(tmp_path, 2)
    assert service.terminate() == 0
    for written in (tmp_path / "set aside", tmp_path / "results.db"):
        assert written.stat().st_mode & 0o007 == 0  # other users read neither images nor results


def test_another_bundle_is_taken_up_and_a_broken_one_is_not(tmp_path, start, png):
    for name in ("one", "broken"):
        shutil.copytree(REFERENCE, tmp_path / name)
    shutil.copytree(OTHER, tmp_path / "two")
    (tmp_path / "broken/manifest.json").write_bytes(b"{}")
    current = tmp_path / "current"
    current.symlink_to("one")
    config = write_config(tmp_path)
    config.write_text('bundle = "current"\n' + config.read_text())
    service = start(config)
    service.wait_for_line("ready")

    def point_to(name):
        (tmp_path / "next").symlink_to(name)
        (tmp_path / "next").rename(current)

    point_to("broken")
    service.wait_for_line("the new bundle is not used")
    (tmp_path / "inbox/a.png").write_bytes(png)
    wait_for_results(tmp_path, 1)
    point_to("two")
    service.wait_for_line("from now on")
    (tmp_path / "inbox/b.png").write_bytes(png)
    wait_for_results(tmp_path, 2)
    first, second = StoreReader(tmp_path / "results.db").after(0, 10)
    assert first.bundle == Bundle.open(REFERENCE).manifest.sha256
    assert second.bundle == Bundle.open(OTHER).manifest.sha256
    assert service.terminate() == 0


def test_a_model_that_does_not_work_does_not_start(tmp_path, start):
    shutil.copytree(REFERENCE, tmp_path / "bundle")
    (golden,) = (tmp_path / "bundle").glob("golden*.npz")
    golden.write_bytes(golden.read_bytes()[:-1])
    config = write_config(tmp_path)
    config.write_text('bundle = "bundle"\n' + config.read_text())
    service = start(config)
    assert service.process.wait(60) == 5
    (line,) = service.log.read_text().splitlines()
    assert "/bundle/golden." in line and "the file changed" in line


def test_systemd_hears_that_it_is_ready_and_alive(tmp_path, start):
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "notify"))
    receiver.settimeout(30)
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    service = start(write_config(tmp_path), **environment)
    assert receiver.recv(500).startswith(b"READY=1\nSTATUS=ready: bundle")
    started = time.monotonic()
    assert [receiver.recv(500) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    assert time.monotonic() - started < 6  # systemd waits for two seconds each
    service.process.terminate()
    messages = set()
    while b"STOPPING=1" not in messages:
        messages.add(receiver.recv(500))
    assert service.process.wait(30) == 0
    receiver.close()


def test_a_picture_that_ends_the_engine_does_not_stop_the_device(tmp_path, start, png):
    from service_process import POISON

    config = write_config(tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/a.png").write_bytes(png + POISON)
    (tmp_path / "inbox/b.png").write_bytes(png)
    ends = 0
    for _ in range(6):  # as systemd does
        service = start(config)
        wait_until(lambda: service.process.poll() is not None or both_are_stored(tmp_path))  # noqa: B023
        if service.process.poll() is None:
            break
        assert service.process.returncode == -signal.SIGABRT
        ends += 1
    assert ends == 3
    assert service.terminate() == 0
    assert list((tmp_path / "failed").glob("a.*.png"))
    assert list((tmp_path / "processed").glob("b.*.png"))


def both_are_stored(folder):
    try:
        return len(StoreReader(folder / "results.db").newest(2)) == 2
    except UsageError:  # it is not there yet
        return False


def test_an_upgrade_while_it_runs(tmp_path, start, png):
    """The installer waits for what the service says; a service that says nothing is rolled back."""
    folder = tmp_path / "bundles"
    install_bundle(REFERENCE, into=folder)
    config = write_config(tmp_path)
    config.write_text('bundle = "bundles/current"\n' + config.read_text())
    service = start(config)
    service.wait_for_line("ready")
    changed = install_bundle(OTHER, into=folder)
    assert changed.checked_by == "service"
    service.wait_for_line("from now on")
    (tmp_path / "inbox/a.png").write_bytes(png)
    wait_for_results(tmp_path, 1)
    assert rollback_bundle(into=folder).checked_by == "service"
    (tmp_path / "inbox/b.png").write_bytes(png)
    wait_for_results(tmp_path, 2)
    bundles = [row.bundle for row in StoreReader(tmp_path / "results.db").after(0, 10)]
    assert bundles == [changed.sha256, Bundle.open(REFERENCE).manifest.sha256]
    service.process.send_signal(signal.SIGSTOP)
    with pytest.raises(BundleError, match="service"):
        install_bundle(OTHER, into=folder, wait=1)
    service.process.send_signal(signal.SIGCONT)
    assert Bundle.open(folder / "current").manifest.sha256 == bundles[1]
    assert service.terminate() == 0


def test_a_reload_that_fails_late_keeps_the_old_settings_and_leaks_nothing(tmp_path, start):
    """The port of the new settings is taken; the old bundle is not there any more."""
    folder = tmp_path / "bundles"
    install_bundle(REFERENCE, into=folder)
    config = write_config(tmp_path, http=True)
    config.write_text('bundle = "bundles/current"\n' + config.read_text())
    service = start(config)
    service.wait_for_line("ready")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    text = config.read_text()
    port = taken.getsockname()[1]
    config.write_text(text.replace("port = 0", f"port = {port}"))
    descriptors = []
    for number in range(1, 5):
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.log.read_text().count("not used") == number)  # noqa: B023
        wait_until(lambda: service.log.read_text().count("ready: ") == number + 1)  # noqa: B023
        descriptors.append(len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())))
    assert "http.port in line" in service.wait_for_line("not used")
    assert descriptors[-1] == descriptors[0]
    shutil.move(folder, tmp_path / "away")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for_line("bundle in line 1: ")
    wait_until(lambda: service.log.read_text().count("ready: ") == 6)
    service.wait_for_line("the bundle is not there any more")
    assert service.terminate() == 0
    taken.close()


def test_the_end_of_the_process_counts_only_where_it_was_not_asked_to_end(tmp_path, start, png):
    config = write_config(tmp_path)
    delivery = Delivery("inbox", "a.png", sha256(png))
    store = Store(tmp_path / "results.db")
    for _ in range(9):
        store.begin(delivery)
    store.close()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/a.png").write_bytes(png)
    service = start(config)
    wait_for_results(tmp_path, 1)
    (row,) = StoreReader(tmp_path / "results.db").newest(1)
    assert row.document["ok"]
    assert (tmp_path / "results.db.running").exists()
    assert service.terminate() == 0
    assert not (tmp_path / "results.db.running").exists()


def test_a_database_that_is_deleted_ends_the_process(tmp_path, start):
    service = start(write_config(tmp_path))
    service.wait_for_line("ready")
    (tmp_path / "results.db").unlink()
    assert service.process.wait(30) == 6
    assert "was deleted or replaced" in service.log.read_text().splitlines()[-1]


def test_a_bundle_that_changes_with_a_reload_is_served(tmp_path, start):
    """Also where the settings do not work, and the old ones go on with the old model."""
    folder = tmp_path / "bundles"
    install_bundle(REFERENCE, into=folder)
    config = write_config(tmp_path)
    text = 'bundle = "bundles/current"\n' + config.read_text()
    config.write_text(text)
    service = start(config)
    service.wait_for_line("ready")
    service.process.send_signal(signal.SIGSTOP)
    config.write_text(text.replace("settle_s", "settel_s"))
    shutil.copytree(OTHER, folder / "0123456789abcdef")
    (folder / "next").symlink_to("0123456789abcdef")
    (folder / "next").rename(folder / "current")
    service.process.send_signal(signal.SIGHUP)
    service.process.send_signal(signal.SIGCONT)
    service.wait_for_line("the new settings are not used")
    service.wait_for_line("from now on")
    assert service.terminate() == 0


def test_a_start_that_fails_forgets_no_attempts(tmp_path, start):
    config = write_config(tmp_path, http=True)
    store = Store(tmp_path / "results.db")
    store.begin(Delivery("inbox", "a.png", "0" * 64))
    store.close()
    (tmp_path / "results.db.running").touch()
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    text = config.read_text()
    config.write_text(text.replace("port = 0", f"port = {taken.getsockname()[1]}"))
    assert start(config).process.wait(60) == 2
    taken.close()
    store = Store(tmp_path / "results.db")
    assert (tmp_path / "results.db.running").exists()
    assert store.begin(Delivery("inbox", "a.png", "0" * 64)) == 2
    store.close()
