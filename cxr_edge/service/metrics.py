"""Figures for Prometheus, with a registry of their own."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from cxr_edge.service.dicom.figures import Figures
from cxr_edge.service.health import Health, HealthReport
from cxr_edge.service.store.rows import StoredResult

__all__ = ["CONTENT_TYPE", "Metrics", "MqttState"]

BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a small network on a PC to a large image on a Raspberry Pi."""


class MqttState(Protocol):
    """What is known of the connection to a broker."""

    @property
    def connected(self) -> bool:
        """Whether there is one."""

    @property
    def dropped(self) -> int:
        """Messages that had no room while there was none."""


class Metrics(Collector):
    """Counts new results, and adds the service's state when it is asked for."""

    def __init__(
        self,
        health: Health,
        *,
        mqtt: MqttState | None = None,
        dicom: Figures | None = None,
        last_finished: str | None = None,
    ) -> None:
        """Begin to count at 0.

        Args:
            health: asked for the state at every scrape.
            mqtt: the connection to the broker; None: there is none.
            dicom: counts of DICOM; None: it is turned off.
            last_finished: when the newest stored result was finished; None: there is none.
        """
        self._health, self._mqtt, self._dicom = health, mqtt, dicom
        self._last_finished = last_finished
        self._lock = threading.Lock()
        self._labels: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._uncertain = self._outside = 0
        self._latencies = [0] * (len(BUCKETS_S) + 1)
        self._latency_sum_s = 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def observe(self, result: StoredResult) -> None:
        """Count a new result; any thread may call this."""
        document, latency_s = result.document, result.latency_ms / 1000
        with self._lock:
            if document["ok"]:
                self._labels[str(document["label"])] += 1
                self._uncertain += bool(document["uncertain"])
                self._outside += bool(document["out_of_domain"])
            else:
                self._errors[str(document["error"])] += 1
            self._latencies[bisect_left(BUCKETS_S, latency_s)] += 1
            self._latency_sum_s += latency_s
            self._last_finished = result.finished

    def text(self) -> bytes:
        """All figures in Prometheus's text format (:data:`CONTENT_TYPE`)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All figures."""
        report = self._health.report()
        yield from self._counts(report.labels)
        yield from _state(report)
        if self._last_finished is not None:
            yield GaugeMetricFamily(
                "cxr_edge_last_result_age_seconds",
                "Time since the newest result.",
                value=_age_s(self._last_finished),
            )
        if self._mqtt is not None:
            yield GaugeMetricFamily(
                "cxr_edge_mqtt_connected",
                "Whether the broker is connected.",
                value=self._mqtt.connected,
            )
            yield CounterMetricFamily(
                "cxr_edge_mqtt_dropped",
                "Messages dropped while the broker was away.",
                value=self._mqtt.dropped,
            )

        if self._dicom is not None:
            yield from _dicom_counts(self._dicom)

    def _counts(self, labels: Iterable[str]) -> Iterator[Metric]:
        with self._lock:
            predictions = CounterMetricFamily(
                "cxr_edge_predictions", "Images classified, by decision.", labels=["label"]
            )
            for label in dict.fromkeys([*labels, *self._labels]):
                predictions.add_metric([label], self._labels[label])
            failures = CounterMetricFamily(
                "cxr_edge_failures", "Images not classified, by type of error.", labels=["error"]
            )
            for error, count in self._errors.items():
                failures.add_metric([error], count)
            cumulative, buckets = 0, []
            for bound, count in zip([*BUCKETS_S, "+Inf"], self._latencies, strict=True):
                cumulative += count
                buckets.append((str(bound), float(cumulative)))
            yield from (predictions, failures)
            yield CounterMetricFamily(
                "cxr_edge_uncertain", "Predictions in the uncertainty band.", value=self._uncertain
            )
            yield CounterMetricFamily(
                "cxr_edge_out_of_domain",
                "Predictions for images unlike the training images.",
                value=self._outside,
            )
            yield HistogramMetricFamily(
                "cxr_edge_latency_seconds",
                "From a file's bytes to its result.",
                buckets=buckets,
                sum_value=self._latency_sum_s,
            )


def _dicom_counts(figures: Figures) -> Iterator[Metric]:
    with figures.lock:
        yield GaugeMetricFamily(
            "cxr_edge_dicom_associations", "That are open now.", value=figures.associations
        )
        yield CounterMetricFamily(
            "cxr_edge_dicom_associations_accepted", "Since the start.", value=figures.accepted
        )
        tables = (
            ("refusals", "Connections refused or cut.", "reason", figures.refusals),
            ("objects", "Objects by DIMSE status.", "status", figures.objects),
            ("reports", "Attempts to deliver reports.", "outcome", figures.deliveries),
        )
        for name, text, label, counts in tables:
            family = CounterMetricFamily(f"cxr_edge_dicom_{name}", text, labels=[label])
            for key, count in counts.items():
                family.add_metric([f"{key:04X}" if isinstance(key, int) else key], count)
            yield family
        for name, text, value in (
            ("waiting", "Reports that wait for their archive.", figures.reports_waiting),
            ("dead", "Reports that could not be delivered.", figures.reports_dead),
        ):
            yield GaugeMetricFamily(f"cxr_edge_dicom_reports_{name}", text, value=value)


def _state(report: HealthReport) -> Iterator[Metric]:
    facts = {
        "version": report.version,
        "bundle": report.bundle,
        "artifact": report.artifact,
        "engine": report.engine,
    }
    yield InfoMetricFamily("cxr_edge", "The software and the model.", value=facts)
    gauges: dict[str, tuple[str, float | None]] = {
        "healthy": ("Whether everything works.", report.ok),
        "paused": ("Whether no work is taken.", bool(report.paused)),
        "waiting": ("Images not yet classified.", report.waiting),
        "threads": ("Threads for one image.", report.threads),
        "free_disk_bytes": ("Free space of the disk.", report.free_disk_mb * 10**6),
        "temperature_celsius": ("Of the hottest part.", report.temperature_c),
        "throttled": ("Whether the processor is slowed down.", report.throttled),
        "start_time_seconds": ("When the service started, Unix time.", _unix_s(report.started)),
        "last_check_age_seconds": (
            "Time since a golden input went through the whole path.",
            _age_s(report.last_check) if report.last_check else None,
        ),
    }
    for name, (text, value) in gauges.items():
        if value is not None:
            yield GaugeMetricFamily(f"cxr_edge_{name}", text, value=float(value))


def _unix_s(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _age_s(moment: str) -> float:
    """Time since a moment; 0 if the clock was set back."""
    return max(0.0, time.time() - _unix_s(moment))
