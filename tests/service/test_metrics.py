"""Figures for Prometheus, read back by its own parser."""

from __future__ import annotations

import runpy
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cxr_edge.service.metrics import Metrics

FAKE: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "http/fake.py"))


@pytest.fixture
def service() -> Any:
    return FAKE["FakeService"]()


def read(metrics: Metrics) -> dict[str, float]:
    """Samples by name and labels, as they are written."""
    samples = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def test_counts_start_at_0_for_every_label(service):
    figures = read(service.metrics)
    assert figures["cxr_edge_predictions_total{label=PNEUMONIA}"] == 0
    assert figures["cxr_edge_predictions_total{label=NORMAL}"] == 0
    assert figures["cxr_edge_latency_seconds_count"] == 0
    assert "cxr_edge_last_result_age_seconds" not in figures


def test_results_are_counted_by_outcome(service):
    unlike = bytes([255, 1])
    for name, data in enumerate((b"\xff\0", b"\x80\0", b"\0\0", unlike, b"bad", b"bad")):
        service.submit(str(name), data).result()
    figures = read(service.metrics)
    assert figures["cxr_edge_predictions_total{label=PNEUMONIA}"] == 3
    assert figures["cxr_edge_predictions_total{label=NORMAL}"] == 1
    assert figures["cxr_edge_failures_total{error=ImageError}"] == 2
    assert figures["cxr_edge_uncertain_total"] == 1
    assert figures["cxr_edge_out_of_domain_total"] == 1
    assert figures["cxr_edge_latency_seconds_count"] == 6
    assert figures["cxr_edge_latency_seconds_sum"] == pytest.approx(6 * 0.00725)
    assert figures["cxr_edge_latency_seconds_bucket{le=0.005}"] == 0
    assert figures["cxr_edge_latency_seconds_bucket{le=0.01}"] == 6
    assert figures["cxr_edge_latency_seconds_bucket{le=+Inf}"] == 6
    assert 0 <= figures["cxr_edge_last_result_age_seconds"] < 60


def test_the_state_is_that_of_now(service):
    figures = read(service.metrics)
    info = "artifact=tflite-int8-dynamic,bundle={},engine=litert,version=0.1.0"
    assert figures[f"cxr_edge_info{{{info.format(FAKE['BUNDLE'])}}}"] == 1
    assert (figures["cxr_edge_healthy"], figures["cxr_edge_paused"]) == (1, 0)
    assert figures["cxr_edge_free_disk_bytes"] == 21_480e6
    assert figures["cxr_edge_temperature_celsius"] == 51.6
    assert figures["cxr_edge_throttled"] == 0
    service.problems, service.paused, service.waiting = ("broken",), "disk full", 12
    figures = read(service.metrics)
    assert (figures["cxr_edge_healthy"], figures["cxr_edge_paused"]) == (0, 1)
    assert figures["cxr_edge_waiting"] == 12


def test_the_age_of_the_last_result_outlives_a_restart(service):
    metrics = Metrics(service, last_finished="2001-01-01T00:00:00.000Z")
    assert read(metrics)["cxr_edge_last_result_age_seconds"] > 3e8
    metrics = Metrics(service, last_finished="2999-01-01T00:00:00.000Z")  # the clock was set back
    assert read(metrics)["cxr_edge_last_result_age_seconds"] == 0


def test_the_broker_is_named_only_where_there_is_one(service):
    assert "cxr_edge_mqtt_connected" not in read(service.metrics)
    metrics = Metrics(service, mqtt=SimpleNamespace(connected=True, dropped=3))
    figures = read(metrics)
    assert (figures["cxr_edge_mqtt_connected"], figures["cxr_edge_mqtt_dropped_total"]) == (1, 3)


def test_nothing_is_put_into_the_registry_of_the_process(service):
    text = prometheus_client.generate_latest()
    assert b"cxr_edge" not in text
    assert "cxr_edge_healthy" in read(service.metrics)


def test_threads_count_together(service):
    service.submit("a", b"\xff\0").result()
    (result,) = service.results

    def observe() -> None:
        for _ in range(500):
            service.metrics.observe(result)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(service.metrics)["cxr_edge_predictions_total{label=PNEUMONIA}"] == 2001
