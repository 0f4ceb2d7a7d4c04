"""Forked children use a model, load one, or get a typed error: none hangs or dies of a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cxr_edge.device import forks
from cxr_edge.engines import ENGINES, installed_engines
from cxr_edge.errors import EngineError

LOADING = ("load_anew", "collect_and_load", "fork pool")
KEEPING_THREADS = ("openvino", "ncnn")
"""Engines whose threads belong to the process and do not survive a fork."""


def outcomes(*arguments: object) -> dict[str, dict[str, int]]:
    """What tests/device/forking.py prints."""
    script = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counted: dict[str, dict[str, int]] = json.loads(done.stdout)
    return counted


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_children_of_a_process_with_a_loaded_model(engine: str) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    scenarios = ("idle", "busy", "pools") if engine == "onnxruntime" else ("idle", "busy")
    counted = outcomes(engine, 2, 1, *scenarios)
    assert len(counted) == (13 if engine == "onnxruntime" else 10)
    for scenario, ends in counted.items():
        action = scenario.removesuffix(", busy")
        refused = action == "use" or (engine in KEEPING_THREADS and action in LOADING)
        assert ends == {"EngineError" if refused else "works": 1}, scenario


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_a_fork_waits_until_a_model_is_loaded() -> None:
    released, inside = threading.Event(), threading.Event()

    def load() -> None:
        with forks.without_forks():
            inside.set()
            time.sleep(0.2)
            released.set()

    thread = threading.Thread(target=load)
    thread.start()
    inside.wait(5)
    child = os.fork()
    if child == 0:
        os._exit(0 if released.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_a_fork_inside_the_block_does_not_wait_for_itself() -> None:
    with forks.without_forks():
        child = os.fork()
        if child == 0:
            with forks.without_forks():
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of Python 3.12
def test_the_child_of_a_fork_that_waited_too_long_loads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would wait for a lock that nobody in it holds."""
    monkeypatch.setattr(forks, "_LONGEST_WAIT", 0.05)
    inside, done = threading.Event(), threading.Event()

    def load() -> None:
        with forks.without_forks():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=load)
    thread.start()
    inside.wait(5)
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        try:
            with forks.without_forks():
                os._exit(1)
        except EngineError as err:
            os._exit(0 if "was forked while" in str(err) else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    done.set()
    thread.join()
    with forks.without_forks():
        pass


def test_logging_is_imported_only_where_another_thread_may_fork() -> None:
    code = (
        "import os, sys, threading\n"
        "from cxr_edge.device import forks\n"
        "with forks.without_forks(): pass\n"
        "alone = 'logging' in sys.modules\n"
        "threading.Thread(target=threading.Event().wait, args=(0.5,), daemon=True).start()\n"
        "with forks.without_forks(): pass\n"  # registers the hooks again, behind those of logging
        "child = os.fork()\n"
        "free = forks._lock.acquire(blocking=False)\n"
        "with forks.without_forks(): pass\n"
        "if child == 0: os._exit(0 if free else 1)\n"
        "print(alone, 'logging' in sys.modules, os.waitpid(child, 0)[1], free, forks._held)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "True", "0", "True", "0"]
