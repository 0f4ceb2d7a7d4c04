"""Starts ``cxr-edge serve`` for tests, and the program itself: ``python service_process.py TOML``.

The program ends by SIGABRT, as native code does, while it classifies a file that holds
:data:`POISON`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

POISON = b"this file ends the engine"


def write_config(folder: Path, text: str = "", *, http: bool = False) -> Path:
    """Settings with everything below ``folder``; ``text`` adds tables or keys of the last one."""
    file = folder / "cxr-edge.toml"
    file.write_text(
        f"""\
[http]
enabled = {str(http).lower()}
port = 0
[health]
check_s = 1
[inbox]
folder = "inbox"
processed = "processed"
failed = "failed"
settle_s = 0.2
sweep_s = 1
[store]
file = "results.db"
{text}
"""
    )
    return file


class ServiceProcess:
    """A running service, whose messages go to a file."""

    def __init__(self, config: Path, **environment: str) -> None:
        self.log = config.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def wait_for_line(self, text: str, *, timeout_s: float = 60) -> str:
        """Wait until a line of the log holds ``text``, and return that line."""
        lines: list[str] = []

        def is_there() -> bool:
            lines[:] = [line for line in self.log.read_text().splitlines() if text in line]
            return bool(lines) or self.process.poll() is not None

        wait_until(is_there, timeout_s=timeout_s)
        assert lines, f"no line with {text!r}:\n{self.log.read_text()}"
        return lines[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, *, timeout_s: float = 30) -> int:
        self.process.terminate()
        return self.process.wait(timeout_s)


def wait_until(is_so: Callable[[], bool], *, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, f"not within {timeout_s} s"
        time.sleep(0.02)


def main(config: str) -> None:
    from cxr_edge import classifier
    from cxr_edge.__main__ import main as run

    predict = classifier.Classifier.predict

    def predict_or_abort(self, source):  # type: ignore[no-untyped-def]
        if POISON in getattr(source, "getvalue", bytes)():
            os.abort()
        return predict(self, source)

    classifier.Classifier.predict = predict_or_abort  # type: ignore[method-assign]
    sys.argv = ["cxr-edge", "serve", "--config", config]
    run()


if __name__ == "__main__":
    main(sys.argv[1])
