from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

from cxr_edge.device.threads import importing_opencv, one_thread


def test_the_variable_is_gone_afterwards_and_the_user_s_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with one_thread():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with one_thread():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_an_inner_block_leaves_the_outer_one_limited() -> None:
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    try:
        with one_thread():
            with one_thread():
                pass
            cv2.setNumThreads(2)
            with importing_opencv():
                pass
            assert cv2.getNumThreads() == 1
        with importing_opencv():
            cv2.setNumThreads(2)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.skipif(sysconfig.get_platform()[:5] != "linux", reason="counts threads in /proc")
def test_numpy_and_opencv_start_no_thread() -> None:
    code = (
        "import os\n"
        "from cxr_edge.device.threads import importing_opencv, one_thread\n"
        "with one_thread():\n    import numpy\n    with importing_opencv():\n        import cv2\n"
        "print(len(os.listdir('/proc/self/task')), cv2.getNumThreads())"
    )
    environment = {name: text for name, text in os.environ.items() if "_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["1", "1"]
