"""8-bit models run only on CPUs whose sums of 8-bit products do not saturate."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from cxr_edge.engines import onnxruntime as engine
from cxr_edge.engines import suits, why_unsuited

CPU = Path("/proc/cpuinfo")
VNNI = {"avx512_vnni", "avx_vnni"}


def test_the_constant_is_the_model_that_it_is_said_to_be() -> None:
    def value(name: str, element_type: int, shape: list[int]) -> object:
        return helper.make_tensor_value_info(name, element_type, shape)

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "w"], ["y"])],
        "saturation",
        [value("a", TensorProto.UINT8, [1, 64]), value("w", TensorProto.INT8, [64, 16])],
        [value("y", TensorProto.INT32, [1, 16])],
    )
    model = helper.make_model(
        graph,
        producer_name="cxr-edge",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    assert model.SerializeToString(deterministic=True).hex() == engine._PRODUCT.hex()


def test_what_is_found_agrees_with_what_the_cpu_says_of_itself() -> None:
    lines = CPU.read_text().splitlines() if CPU.is_file() else []
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), None)
    if flags is None or platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip(f"{CPU} lists no flags of an x86 CPU")
    assert engine.sums_are_exact.__wrapped__() is bool(VNNI & set(flags))


def test_the_answer_is_found_once() -> None:
    engine.sums_are_exact()
    before = engine.sums_are_exact.cache_info().misses
    assert engine.sums_are_exact() is engine.sums_are_exact()
    assert engine.sums_are_exact.cache_info().misses == before


@pytest.mark.parametrize("target", ["any", "portable"])
def test_files_for_any_machine_suit_this_one_without_trying(target: str) -> None:
    code = (
        "import sys; from cxr_edge.engines import suits; print(suits(sys.argv[1]),"
        "[m for m in ('onnxruntime', 'cxr_edge.engines.onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, target], capture_output=True, timeout=60, check=True
    )
    assert done.stdout.strip() == b"True []"


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("target", ["x86-vnni", "arm64"])
def test_files_with_8_bit_weights_suit_a_machine_that_sums_exactly(
    monkeypatch: pytest.MonkeyPatch, target: str, exact: bool
) -> None:
    monkeypatch.setattr(engine, "sums_are_exact", lambda: exact)
    assert suits(target) is exact


def test_a_machine_that_does_not_sum_exactly_still_runs_files_for_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "sums_are_exact", lambda: False)
    assert suits("any") and suits("portable")


@pytest.mark.parametrize(("arm64", "reason"), [(True, ""), (False, "this CPU is not arm64")])
def test_a_file_in_16_bit_arithmetic_is_for_arm64_whether_or_not_the_core_has_it(
    monkeypatch: pytest.MonkeyPatch, arm64: bool, reason: str
) -> None:
    monkeypatch.setattr("cxr_edge.engines.is_arm64", lambda: arm64)
    monkeypatch.setattr(engine, "sums_are_exact", lambda: not arm64)
    assert why_unsuited("arm64-fp16").startswith(reason)
    assert suits("arm64-fp16") is arm64
