"""The metrics endpoint over a real socket, the words of every metric, and the dashboard made of their names."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from teleopd.safety.gate import GATE_STEPS
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.telemetry.exposition import Endpoint, Figures
from teleopd.service.telemetry.grafana import dashboard
from teleopd.service.telemetry.metric_words import WORDS, words_of
from teleopd.service.telemetry.metrics import all_metrics

from .conftest import latency

ROOT = Path(__file__).resolve().parents[3]
BROKER = {
    "teleopd_mqtt_connected": 1.0, "teleopd_mqtt_connections_total": 1.0, "teleopd_mqtt_lost_events_total": 0.0,
}  # fmt: skip


def scrape(port: int) -> dict[str, float]:
    """Series of a scrape, as 'name' or 'name{le}', -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            assert (sample.labels["robot"], sample.labels["serial"]) == ("unitree_g1", "lab-7")
            found[sample.name + (f"{{{sample.labels['le']}}}" if "le" in sample.labels else "")] = sample.value
    return found


@pytest.fixture
def series(full: Snapshot) -> dict[str, float]:
    """Of a run in which everything was published."""
    figures = Figures("unitree_g1", "lab-7")
    endpoint = Endpoint(figures, "127.0.0.1", 0)
    try:
        assert scrape(endpoint.port) == {}
        figures.show(all_metrics(full, latency(), GATE_STEPS) | BROKER, latency())
        return scrape(endpoint.port)
    finally:
        endpoint.close()


def test_a_scrape_gives_mode_interventions_latency_loss_jitter(series: dict[str, float]):
    assert [name for name, value in series.items() if name.startswith("teleopd_mode_") and value == 1.0] == [
        "teleopd_mode_active"
    ]
    assert series["teleopd_gate_rate_ticks_total"] == 3.0
    assert series["teleopd_source_loss_ratio"] == 0.015
    assert series["teleopd_loop_control_late_p99_seconds"] == pytest.approx(0.00125)
    assert series["teleopd_latency_receipt_to_target_p99_seconds"] == pytest.approx(0.014)
    assert series["teleopd_motor_temperature_max_celsius"] == 71.25
    assert series["teleopd_battery_ratio"] == 0.81


def test_the_histogram_is_cumulative_and_in_seconds(series: dict[str, float]):
    name = "teleopd_latency_receipt_to_target_seconds"
    assert [series[f"{name}_bucket{{{edge}}}"] for edge in ("0.0075", "0.01", "0.015", "+Inf")] == [0, 90, 100, 100]
    assert (series[f"{name}_count"], series[f"{name}_sum"]) == (100.0, pytest.approx(0.95))


def test_before_anything_was_published_there_is_nothing_to_say():
    assert all_metrics(NOTHING_YET, None, GATE_STEPS) == {}


def test_a_taken_port_is_refused_with_its_reason():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Endpoint(Figures("unitree_g1", "lab-7"), "127.0.0.1", taken.getsockname()[1])


def test_every_metric_has_words_and_every_word_a_metric(series: dict[str, float]):
    names = {re.sub(r"(_bucket\{.*|_count|_sum)$", "", name) for name in series}
    meant = {words_of(name) for name in names}
    assert meant == set(WORDS.values())
    with pytest.raises(KeyError):
        words_of("teleopd_nothing")


def test_every_metric_the_dashboard_names_exists(series: dict[str, float]):
    names = {name.partition("{")[0] for name in series}
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    asked.append(dashboard()["templating"]["list"][1]["query"])
    for expression in asked:
        found = re.findall(r"teleopd_\w+", expression)
        assert found and set(found) <= names, expression


@pytest.mark.checkout
def test_the_documented_dashboard_is_that_of_the_code():
    documented = json.loads((ROOT / "docs" / "grafana_dashboard.json").read_text())
    assert documented == dashboard(), "run: make docs-generated"


def test_the_dashboards_panels_do_not_overlap_and_refer_to_queries_by_their_own_letters():
    panels = dashboard()["panels"]
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
