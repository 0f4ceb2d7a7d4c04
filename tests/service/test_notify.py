import os
import socket

from cxr_edge.service.notify import notify, watchdog_s


def test_systemd_is_told(tmp_path, monkeypatch):
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "socket"))
    receiver.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "socket"))
    notify("READY=1", "STATUS=ready")
    assert receiver.recv(100) == b"READY=1\nSTATUS=ready"
    receiver.close()
    notify("READY=1")  # nobody listens any more


def test_an_abstract_socket(monkeypatch):
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = f"cxr-edge-test-{os.getpid()}"
    receiver.bind(f"\0{name}")
    receiver.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    notify("WATCHDOG=1")
    assert receiver.recv(100) == b"WATCHDOG=1"
    receiver.close()


def test_without_systemd_nothing_is_said(monkeypatch):
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    notify("READY=1")
    assert watchdog_s() is None


def test_the_watchdog_of_this_process(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None
    monkeypatch.delenv("WATCHDOG_PID")
    monkeypatch.setenv("WATCHDOG_USEC", "many")
    assert watchdog_s() is None
