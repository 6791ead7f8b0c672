"""The Prometheus endpoint: every figure of `metrics.py`, and a histogram of each stage's latency."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from teleopd.service.latency_status import BUCKETS_MS, STAGES, LatencyStatus
from teleopd.service.telemetry.metric_words import words_of

LABELS = ("robot", "serial")
"""Every series carries them."""


class Figures(Collector):
    """What a scrape is answered with: the newest figures, replaced by the sampler, read by the server's threads."""

    def __init__(self, robot: str, serial: str) -> None:
        self._labels = (robot, serial)
        self._newest: tuple[dict[str, float], LatencyStatus | None] = ({}, None)

    def show(self, metrics: dict[str, float], latency: LatencyStatus | None) -> None:
        """Replace the figures; a tuple changes hands at once, so that a scrape sees one look or the next."""
        self._newest = (metrics, latency)

    def collect(self) -> Iterator[Any]:
        """One family a figure."""
        metrics, latency = self._newest
        for name, value in metrics.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name.removesuffix("_total"), words_of(name), labels=LABELS)
            family.add_metric(self._labels, value)
            yield family
        if latency is not None:
            for row, stage in enumerate(STAGES):
                yield self._histogram(stage, latency, row)

    def _histogram(self, stage: str, latency: LatencyStatus, row: int) -> HistogramMetricFamily:
        name = f"teleopd_latency_{stage}_seconds"
        family = HistogramMetricFamily(name, words_of(name), labels=LABELS)
        below = latency.counts[row].cumsum()
        edges = [*(f"{edge / 1e3:g}" for edge in BUCKETS_MS), "+Inf"]
        buckets = [(edge, float(count)) for edge, count in zip(edges, below, strict=True)]
        family.add_metric(self._labels, buckets, float(latency.sum_ms[row]) / 1e3)
        return family


class Endpoint:
    """`http://HOST:PORT/metrics`, on threads of its own."""

    def __init__(self, figures: Figures, host: str, port: int) -> None:
        """
        Raises:
            OSError: the address cannot be bound.
        """
        registry = CollectorRegistry(auto_describe=False)
        registry.register(figures)
        self._server: WSGIServer
        self._thread: threading.Thread
        self._server, self._thread = start_http_server(port, host, registry)
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)
