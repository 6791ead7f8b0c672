"""Figures of a run as one flat dictionary, name -> number: what exporters (Prometheus, MQTT) hand on. Pure.

Names follow Prometheus: `teleopd_<part>_<what>_<unit>`; counters end in `_total` and start again at zero with the
process that counts them.
"""

from __future__ import annotations

from collections.abc import Mapping

from teleopd.drivers.health import Content
from teleopd.drivers.source import SourceState
from teleopd.service.link_status import LinkStatus
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
    return {f"teleopd_link_{name}_total": float(getattr(status, name)) for name in LinkStatus._fields[2:]}
