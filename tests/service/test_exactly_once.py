"""Whatever dies when: each file that arrives has one result, and its file is where it belongs."""

from __future__ import annotations

import pytest
from deliveries import Arrivals, check_each_is_stored_once, finish, kill_while_they_arrive
from service_process import write_config

pytestmark = pytest.mark.long


def test_killed_again_and_again(tmp_path):
    config = write_config(tmp_path)
    arrivals = Arrivals(tmp_path / "inbox", 120, 0.05)
    service = finish(config, kill_while_they_arrive(config, arrivals, 4))
    assert service.terminate() == 0
    outcomes = check_each_is_stored_once(tmp_path, arrivals)
    assert outcomes == {"predicted": 113, "ImageError": 6, "EngineError": 1}
