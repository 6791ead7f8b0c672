"""The Grafana dashboard, made from the names of our metrics. `docs/grafana_dashboard.json` is `dashboard()`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Cause, Mode
from teleopd.service.latency_status import STAGES
from teleopd.service.streams import LOOPS

UID = "teleopd"
PICK = '{serial=~"$serial"}'
"""Of every query: the robots chosen at the top of the page."""


class Panel(NamedTuple):
    """One plot: its title, unit, and the queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def _each(pattern: str, names: tuple[str, ...], *, rate: bool = False) -> tuple[tuple[str, str], ...]:
    made = ((pattern.format(name), f"{{{{serial}}}} {name.replace('_', ' ')}") for name in names)
    return tuple((f"rate({metric}{PICK}[1m])" if rate else f"{metric}{PICK}", legend) for metric, legend in made)


def _one(*metrics: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{metric}{PICK}", f"{{{{serial}}}} {words}") for metric, words in metrics)


MODES = tuple(mode.name.lower() for mode in Mode)
CAUSES = tuple(cause.name.lower() for cause in Cause)
PANELS = (
    Panel("Mode (1 where it stands)", "short", _each("teleopd_mode_{}", MODES), "state-timeline"),
    Panel("Causes in force", "short", _each("teleopd_cause_{}", CAUSES), "state-timeline"),
    Panel("Receipt to motor command, of all runs", "s", tuple(
        (f"histogram_quantile({q}, sum by (le, serial) (rate(teleopd_latency_receipt_to_command_seconds_bucket{PICK}"
         "[1m])))", f"{{{{serial}}}} p{100 * q:.0f}") for q in (0.5, 0.99)
    )),
    Panel("Latency of each stage, p99", "s", _each("teleopd_latency_{}_p99_seconds", STAGES)),
    Panel("Source: rate", "hertz", _one(("teleopd_source_rate_hertz", "rate"))),
    Panel("Source: age and jitter", "s", _one(
        ("teleopd_source_age_seconds", "age"), ("teleopd_source_jitter_seconds", "jitter"),
        ("teleopd_source_content_age_seconds", "age of content"),
    )),
    Panel("Source: loss", "percentunit", _one(("teleopd_source_loss_ratio", "loss"))),
    Panel("Gate: ticks with an intervention, a second", "short", _each("teleopd_gate_{}_ticks_total", GATE_STEPS,
                                                                       rate=True)),
    Panel("Loops: lateness p99", "s", _each("teleopd_loop_{}_late_p99_seconds", LOOPS)),
    Panel("Loops: missed deadlines, a second", "short", _each("teleopd_loop_{}_missed_total", LOOPS, rate=True)),
    Panel("Loops: share of a core", "percentunit", _each("teleopd_loop_{}_cpu_ratio", LOOPS)),
    Panel("Link: reports and commands, a second", "short", _each(
        "teleopd_link_{}_total", ("received", "sent", "held_back", "send_failed", "foreign_commands"), rate=True)),
    Panel("Hottest motor", "celsius", _one(("teleopd_motor_temperature_max_celsius", "hottest"))),
    Panel("Battery", "percentunit", _one(("teleopd_battery_ratio", "charge"))),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": UID, "title": "teleopd", "tags": ["teleopd"], "schemaVersion": 39, "version": 1, "editable": True,
        "refresh": "5s", "time": {"from": "now-15m", "to": "now"},
        "templating": {"list": [
            {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
            {"name": "serial", "type": "query", "label": "Robot", "multi": True, "includeAll": True,
             "current": {"text": "All", "value": "$__all"},
             "datasource": {"type": "prometheus", "uid": "${source}"}, "refresh": 2,
             "query": "label_values(teleopd_safety_status_age_seconds, serial)"},
        ]},
        "panels": list(_panels()),
    }  # fmt: skip


def _panels() -> Iterator[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${source}"}
    for number, panel in enumerate(PANELS):
        yield {
            "id": number + 1, "type": panel.kind, "title": panel.title, "datasource": source,
            "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
            "options": {},
            "targets": [
                {"refId": _letters(index), "expr": expression, "legendFormat": legend, "datasource": source}
                for index, (expression, legend) in enumerate(panel.queries)
            ],
        }  # fmt: skip


def _letters(index: int) -> str:
    """A, B, ... Z, AA, ..."""
    return ("" if index < 26 else chr(64 + index // 26)) + chr(65 + index % 26)
