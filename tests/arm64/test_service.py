"""The service on emulated Raspberry Pis: it starts, answers and stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from machines import PIS, RaspberryPi
from sysroot import install

from cxr_edge.data.phantom import draw_phantom

pytestmark = pytest.mark.arm64

CONFIG = """
[inbox]
folder = "{folder}/inbox"
processed = "{folder}/processed"
failed = "{folder}/failed"

[store]
file = "{folder}/results.db"

[http]
host = "127.0.0.1"
port = {port}
"""
START_S, STOP_S = 300, 120


def wait_until_healthy(url: str, service: subprocess.Popen[str]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert service.poll() is None, service.communicate()[1]
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=60) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass  # not yet
        time.sleep(1)
    pytest.fail(f"the service was not healthy after {START_S} s")


@pytest.mark.parametrize("pi", PIS, ids=lambda pi: pi.cpu)
def test_the_service_starts_answers_and_stops(pi: RaspberryPi, tmp_path: Path) -> None:
    machine = install(pi)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("inbox", "processed", "failed"):
        (tmp_path / name).mkdir()
    config = tmp_path / "cxr-edge.toml"
    config.write_text(CONFIG.format(folder=tmp_path, port=port), encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    _, image = cv2.imencode(".png", draw_phantom(np.random.default_rng(1)))
    service = subprocess.Popen(
        machine.command("-m", "cxr_edge", "serve", "--config", config),
        env=machine.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_healthy(url, service)
        request = urllib.request.Request(
            f"{url}/v1/predictions", image.tobytes(), {"Content-Type": "image/png"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            prediction = json.load(answer)
        assert prediction["label"] in ("NORMAL", "PNEUMONIA") and 0 <= prediction["score"] <= 1
        service.send_signal(signal.SIGTERM)
        assert service.wait(STOP_S) == 0
    finally:
        service.kill()
        service.communicate()
