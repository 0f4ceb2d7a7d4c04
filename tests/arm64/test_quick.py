"""The quick half of `make test-arm64`, for `make test-system`: one processor, one engine."""

from __future__ import annotations

import json

import pytest
from machines import PI_5
from sysroot import install

pytestmark = pytest.mark.system

PROVE = """
import json
from cxr_edge import Bundle
from cxr_edge.bundle.verify import replay_golden

bundle = Bundle.open()
artifact, engine = bundle.choose(None, None)
(record,) = (record for record in artifact.engines if record.engine == engine)
verdict = replay_golden(bundle, bundle.golden(), artifact, record)
print(json.dumps([artifact.name, engine, verdict.outcome, verdict.parity.flips]))
"""


def test_the_default_on_a_raspberry_pi_5_is_proven_there() -> None:
    output = install(PI_5).python("-c", PROVE, timeout_s=600)
    assert json.loads(output) == ["tflite-int8-dynamic", "litert", "proven", 0]
