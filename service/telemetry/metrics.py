"""Figures of a run as one flat dictionary, name -> number: what exporters (Prometheus, MQTT) hand on. Pure.

Names follow Prometheus: `teleopd_<part>_<what>_<unit>`; counters end in `_total` and start again at zero with the
process that counts them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from teleopd.drivers.health import Content
from teleopd.drivers.source import SourceState
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.capture.records import RecorderStatus
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.latency_status import STAGES, LatencyStatus
from teleopd.service.link_status import COUNTS, LinkStatus
from teleopd.service.streams import LoopStatus, SourceStatus


def source_metrics(status: SourceStatus, now_ns: int) -> dict[str, float]:
    """Health and counters of the source, and one 0/1 flag for each state and each kind of content."""
    silent_s = (now_ns - status.t_ns) / 1e9
    found: dict[str, float] = {
        "teleopd_source_status_age_seconds": silent_s,
        "teleopd_source_rate_hertz": float(status.rate_hz),
        "teleopd_source_delay_p50_seconds": status.delay_p50_ms / 1e3,
        "teleopd_source_delay_p99_seconds": status.delay_p99_ms / 1e3,
        "teleopd_source_jitter_seconds": status.jitter_ms / 1e3,
        "teleopd_source_loss_ratio": float(status.loss),
        "teleopd_source_resets_total": float(status.resets),
        "teleopd_source_lost_total": float(status.lost),
    }
    if status.age_ms >= 0.0:  # before the first pose there is none
        found["teleopd_source_age_seconds"] = float(status.age_ms / 1e3 + silent_s)
        found["teleopd_source_content_age_seconds"] = float(status.content_age_ms / 1e3 + silent_s)
    for name in ("received", "used", "dropped", "rejected", "late"):
        found[f"teleopd_source_{name}_total"] = float(getattr(status, name))
    for state in SourceState:
        found[f"teleopd_source_state_{state.name.lower()}"] = float(status.state == state)
    for content in Content:
        found[f"teleopd_source_content_{content.name.lower()}"] = float(status.content == content)
    return found


def loop_metrics(loops: Mapping[str, LoopStatus]) -> dict[str, float]:
    """Punctuality of every loop."""
    found: dict[str, float] = {}
    for name, loop in loops.items():
        found[f"teleopd_loop_{name}_rate_hertz"] = float(loop.rate_hz)
        found[f"teleopd_loop_{name}_late_p99_seconds"] = loop.late_p99_us / 1e6
        found[f"teleopd_loop_{name}_late_max_seconds"] = loop.late_max_us / 1e6
        found[f"teleopd_loop_{name}_missed_total"] = float(loop.missed)
        found[f"teleopd_loop_{name}_cpu_ratio"] = loop.cpu_percent / 100.0
    return found


def link_metrics(status: LinkStatus) -> dict[str, float]:
    """Counters of the link to the robot."""
    return {f"teleopd_link_{name}_total": float(getattr(status, name)) for name in COUNTS}


def safety_metrics(status: SafetyStatus, gate_steps: Sequence[str], now_ns: int) -> dict[str, float]:
    """The mode (one 0/1 flag each), causes in force and how often each came, interventions of the gate's steps."""
    found = {
        "teleopd_safety_status_age_seconds": (now_ns - status.t_ns) / 1e9,
        "teleopd_mode_age_seconds": (now_ns - status.mode_since_ns) / 1e9,
        "teleopd_engaged": float(status.engage_held),
        "teleopd_operator_refused_total": float(status.refused_commands),
    }
    for mode in Mode:
        found[f"teleopd_mode_{mode.name.lower()}"] = float(status.mode == mode)
    for cause in Cause:
        found[f"teleopd_cause_{cause.name.lower()}"] = float(status.causes >> cause & 1)
        found[f"teleopd_cause_{cause.name.lower()}_total"] = float(status.cause_counts[cause])
    for step, ticks in zip(gate_steps, status.gate_counts, strict=False):
        found[f"teleopd_gate_{step}_ticks_total"] = float(ticks)
    return found


def latency_metrics(status: LatencyStatus) -> dict[str, float]:
    """Recent latency of each stage; stages without a sample are left out."""
    found: dict[str, float] = {}
    for row, stage in enumerate(STAGES):
        for column, name in enumerate(("p50", "p90", "p99", "max")):
            value = float(status.recent_ms[row, column]) / 1e3
            if math.isfinite(value):
                found[f"teleopd_latency_{stage}_{name}_seconds"] = value
    return found


def recorder_metrics(status: RecorderStatus) -> dict[str, float]:
    """Episodes of this run, and what the episode lost."""
    return {
        "teleopd_recorder_episodes_total": float(status.episodes),
        "teleopd_recorder_lost_samples": float(status.lost),
    }


def all_metrics(
    snapshot: Snapshot, latency: LatencyStatus | None, gate_steps: Sequence[str]
) -> dict[str, float]:
    """Every figure there is now; what was not published yet is left out."""
    found = loop_metrics(snapshot.loops)
    if snapshot.source is not None:
        found |= source_metrics(snapshot.source, snapshot.now_ns)
    if snapshot.link is not None:
        found |= link_metrics(snapshot.link)
        if snapshot.link.battery >= 0:
            found["teleopd_battery_ratio"] = snapshot.link.battery / 100.0
    if snapshot.safety is not None:
        found |= safety_metrics(snapshot.safety, gate_steps, snapshot.now_ns)
    if latency is not None:
        found |= latency_metrics(latency)
    if snapshot.recorder is not None:
        found |= recorder_metrics(snapshot.recorder)
    if snapshot.state is not None:
        hottest = float(snapshot.state.temperature_c.max())
        found["teleopd_motor_temperature_max_celsius"] = hottest
        found["teleopd_motor_faults"] = float((snapshot.state.motor_fault != 0).sum())
    return {name: value for name, value in found.items() if math.isfinite(value)}
