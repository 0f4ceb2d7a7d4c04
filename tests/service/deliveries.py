"""Many images arrive while the service is killed; afterwards each has one result."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from service_process import POISON, ServiceProcess, wait_until

from cxr_edge.data.phantom import draw_phantom
from cxr_edge.service.store.reader import StoreReader


class Arrivals(threading.Thread):
    """Delivers images: some written slowly, some renamed in, 5 % cut, one that ends the engine."""

    def __init__(self, inbox: Path, count: int, pause_s: float, *, poison: bool = True) -> None:
        super().__init__(daemon=True)
        self.inbox, self.count, self.pause_s, self.poison = inbox, count, pause_s, poison
        generator = np.random.default_rng(5)
        pictures = [draw_phantom(generator, height=120, width=160) for _ in range(20)]
        self.files = [cv2.imencode(".jpeg", picture)[1].tobytes() for picture in pictures]
        self.bad: set[str] = set()
        self._may_go_on = threading.Event()
        self._may_go_on.set()

    def hold(self) -> None:
        """Deliver nothing until :meth:`go_on`."""
        self._may_go_on.clear()
        time.sleep(1.5)  # what is being written slowly is whole then

    def go_on(self) -> None:
        self._may_go_on.set()

    def run(self) -> None:
        choice = random.Random(7)
        slow: list[threading.Thread] = []
        for number in range(self.count):
            self._may_go_on.wait()
            name = f"{number % 7}/image {number:05}.jpeg"
            # Each file is another one: a comment with its number follows JPEG's first marker.
            note = f"{number:08}".encode()
            data = self.files[number % len(self.files)]
            data = data[:2] + b"\xff\xfe\x00\x0a" + note + data[2:]
            if number % 20 == 3:
                data = data[: len(data) // 2]
                self.bad.add(name)
            if self.poison and number == self.count // 2:
                data += POISON
                self.bad.add(name)
            path = self.inbox / name
            path.parent.mkdir(parents=True, exist_ok=True)
            way = choice.random()
            if way < 0.1:
                slow.append(threading.Thread(target=self._write_slowly, args=(path, data)))
                slow[-1].start()
            elif way < 0.5:
                hidden = path.with_name(f".{path.name}")
                hidden.write_bytes(data)
                hidden.rename(path)
            else:
                path.write_bytes(data)
            time.sleep(self.pause_s)
        for thread in slow:
            thread.join()

    @staticmethod
    def _write_slowly(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            for start in range(0, len(data), len(data) // 8 + 1):
                file.write(data[start : start + len(data) // 8 + 1])
                file.flush()
                time.sleep(0.08)


def kill_while_they_arrive(config: Path, arrivals: Arrivals, kills: int) -> ServiceProcess:
    """Kill and start the service at random moments until all has arrived; leave it running."""
    choice = random.Random(11)
    arrivals.start()
    for _ in range(kills):
        service = ServiceProcess(config)
        # From before it is ready to well into its work.
        end = time.monotonic() + choice.uniform(0.3, 3.0)
        while time.monotonic() < end and service.process.poll() is None:
            time.sleep(0.02)
        service.kill()
    arrivals.join()
    return ServiceProcess(config)


def finish(config: Path, service: ServiceProcess, *, timeout_s: float = 600) -> ServiceProcess:
    """Wait until the inbox is empty; start the service again where the poison ended it."""
    inbox = config.parent / "inbox"
    end = time.monotonic() + timeout_s
    while any(path.is_file() for path in inbox.rglob("*")):
        assert time.monotonic() < end, service.log.read_text()[-2000:]
        if service.process.poll() is not None:
            service = ServiceProcess(config)
        time.sleep(0.1)
    return service


def check_each_is_stored_once(folder: Path, arrivals: Arrivals) -> Counter[str]:
    """Compare the store and the folders with what arrived.

    Returns:
        How many were predicted, and how many failed by error.
    """
    reader = StoreReader(folder / "results.db")
    rows = reader.after(0, 10**6)
    names = [f"{number % 7}/image {number:05}.jpeg" for number in range(arrivals.count)]
    assert sorted(row.path for row in rows) == sorted(names), "lost, or stored twice"
    assert {row.path for row in rows if not row.document["ok"]} == arrivals.bad
    for kind, is_kind in (("processed", True), ("failed", False)):
        kept = {path.relative_to(folder / kind).as_posix() for path in (folder / kind).rglob("*.*")}
        assert kept == {row.kept for row in rows if row.document["ok"] is is_kind}
    assert not list((folder / "inbox").rglob(".cxr-edge*"))
    audit = reader.audit()
    assert not audit.problem and audit.results == len(rows)
    left = sqlite3.connect(folder / "results.db").execute("SELECT * FROM attempts").fetchall()
    assert left == []
    return Counter(str(row.document.get("error", "predicted")) for row in rows)


def wait_for_results(folder: Path, count: int, *, timeout_s: float = 120) -> None:
    reader = StoreReader(folder / "results.db")
    wait_until(lambda: len(reader.after(0, 10**6)) >= count, timeout_s=timeout_s)
