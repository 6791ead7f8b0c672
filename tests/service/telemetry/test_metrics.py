"""The metrics dictionary: names and values, from one status worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.health import Content
from teleopd.drivers.source import SourceState
from teleopd.service.latency_status import STAGES
from teleopd.service.link_status import LinkStatus
from teleopd.service.streams import LoopStatus, SourceStatus
from teleopd.service.telemetry.latency import StageLatencies
from teleopd.service.telemetry.metrics import latency_metrics, link_metrics, loop_metrics, source_metrics

NOW = 5 * 10**9


def status(**changes: object) -> SourceStatus:
    return SourceStatus(
        NOW, int(SourceState.STREAMING), 119.5, 1000, 990, 7, 3, 2, NOW, np.zeros(240, np.uint8), age_ms=12.0,
        delay_p50_ms=1.0, delay_p99_ms=9.0, jitter_ms=2.5, loss=0.25, content=int(Content.FROZEN),
        content_age_ms=300.0, resets=4, lost=5,
    )._replace(**changes)  # type: ignore[arg-type]  # fmt: skip


def test_source_figures_are_in_base_units_and_age_with_the_status():
    found = source_metrics(status(), NOW + 500_000_000)
    assert found["teleopd_source_status_age_seconds"] == 0.5
    assert found["teleopd_source_age_seconds"] == pytest.approx(0.512)
    assert found["teleopd_source_content_age_seconds"] == pytest.approx(0.8)
    assert found["teleopd_source_delay_p99_seconds"] == pytest.approx(0.009)
    assert found["teleopd_source_jitter_seconds"] == pytest.approx(0.0025)
    assert found["teleopd_source_loss_ratio"] == 0.25
    counts = {name: found[f"teleopd_source_{name}_total"] for name in
              ("received", "used", "dropped", "rejected", "late", "lost", "resets")}  # fmt: skip
    assert counts == {"received": 1000, "used": 990, "dropped": 7, "rejected": 3, "late": 2, "lost": 5, "resets": 4}


def test_one_state_and_one_content_flag_is_up():
    found = source_metrics(status(), NOW)
    for part, up in (("state", "streaming"), ("content", "frozen")):
        flags = {name: value for name, value in found.items() if name.startswith(f"teleopd_source_{part}_")
                 and not name.endswith("_seconds")}  # fmt: skip
        assert len(flags) > 3
        assert [name for name, value in flags.items() if value] == [f"teleopd_source_{part}_{up}"]


def test_before_the_first_pose_there_is_no_age():
    found = source_metrics(status(age_ms=-1.0, content_age_ms=-1.0, content=0), NOW)
    assert "teleopd_source_age_seconds" not in found and "teleopd_source_content_age_seconds" not in found


def test_every_value_is_a_plain_float_whatever_the_slot_gave():
    slot = status(rate_hz=np.float64(60.0), lost=np.int64(3), loss=np.float64(0.1))
    assert all(type(value) is float for value in source_metrics(slot, NOW).values())
    assert all(type(value) is float for value in loop_metrics(
        {"control": LoopStatus(NOW, 50.0, 10, np.int64(2), 1.0, 2000.0, 4000.0, 0.0, 0.0, 25.0)}
    ).values())  # fmt: skip


def test_loops():
    found = loop_metrics({"control": LoopStatus(NOW, 50.0, 10, 2, 1.0, 2000.0, 4000.0, 0.0, 0.0, 25.0)})
    assert found == {
        "teleopd_loop_control_rate_hertz": 50.0, "teleopd_loop_control_late_p99_seconds": 0.002,
        "teleopd_loop_control_late_max_seconds": 0.004, "teleopd_loop_control_missed_total": 2.0,
        "teleopd_loop_control_cpu_ratio": 0.25,
    }  # fmt: skip


def test_link_counters():
    found = link_metrics(LinkStatus(7, 5, *range(10, 19)))
    assert found["teleopd_link_received_total"] == 10.0 and found["teleopd_link_hardware_changes_total"] == 18.0
    assert len(found) == 10 and all(type(value) is float for value in found.values())


def test_latencies_come_from_the_logs_and_stages_without_a_sample_are_left_out():
    latencies = StageLatencies()
    rows = np.zeros(100, dtype=[("t_ns", "<i8"), ("t_published_ns", "<i8"), ("retarget_us", "<f8")])
    rows["t_published_ns"] = np.arange(1, 101) * 100_000  # 0.1 to 10 ms
    rows["retarget_us"] = 400.0
    latencies.add_references(rows)
    status = latencies.status(NOW)
    found = latency_metrics(status)
    assert found["teleopd_latency_retarget_p50_seconds"] == pytest.approx(0.0004)
    assert found["teleopd_latency_receipt_to_reference_max_seconds"] == pytest.approx(0.01)
    assert not any("_policy_" in name or "_to_target_" in name for name in found)
    reference, retarget = STAGES.index("receipt_to_reference"), STAGES.index("retarget")
    assert status.counts[reference, :7].tolist() == [5, 5, 10, 10, 20, 25, 25]
    assert status.counts[retarget].tolist() == [100] + [0] * 16
    assert status.sum_ms[reference] == pytest.approx(505.0)
