from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.streams import (
    MODE_LOG_FIELDS,
    Bus,
    LoopStatus,
    ModeLog,
    PolicyStatus,
    ReferenceLog,
    SourceStatus,
    TickLog,
    tick_log_fields,
)
from teleopd.service.telemetry.report import RunCollector, RunIdentity
from teleopd.service.telemetry.report_output import print_report, write_report

S = 1_000_000_000
KEYS = {
    "schema", "robot", "source", "policy", "config_sha256", "duration_s", "upright", "fell_at_s", "frames", "source_hz",
    "source_health", "latency_ms", "lookahead", "force_limit_n", "tracking",
    "modes", "interventions", "link", "loop", "lost_rows", "recording",
}  # fmt: skip
START = 1000 * S
STEPS = ("not_finite", "blend", "box")


@pytest.fixture(scope="module")
def fresh():
    identity = RunIdentity("unitree_g1", "xsens", "twist2", "ab" * 32, STEPS)
    return lambda: RunCollector(MODEL, identity, START)


def modes(*changes):
    rows = [(START + round(t * S), mode, cause) for t, mode, cause in changes]
    return np.array(rows, dtype=np.dtype(MODE_LOG_FIELDS))


def tick_rows(times_s, mode, tilt=0.0):
    rows = np.zeros(len(times_s), dtype=np.dtype(tick_log_fields(MODEL.n)))
    rows["t_ns"] = [START + round(t * S) for t in times_s]
    rows["mode"] = mode
    rows["quat_w"] = [math.cos(tilt / 2), math.sin(tilt / 2), 0, 0]
    rows["reference_root_quat_w"] = [1, 0, 0, 0]
    return rows


def source(t_ns, rate_hz=120.0, **counts):
    found = dict(received=0, used=0, dropped=0, rejected=0, late=0) | counts
    return SourceStatus(t_ns, 1, rate_hz, **found, last_pose_ns=t_ns, last_rejection=np.zeros(240, np.uint8))


def safety(causes=(), gate=()):
    cause_counts, gate_counts = np.zeros(32, np.uint32), np.zeros(8, np.uint32)
    for cause, count in causes:
        cause_counts[cause] = count
    for step, count in gate:
        gate_counts[step] = count
    n = MODEL.n
    return SafetyStatus(
        0, 0, 5, 0, -1, 0, 0, cause_counts, gate_counts, np.zeros(n, np.uint32), False, False, -1, 0, np.zeros(n), 0
    )


def loop(t_s, ticks):
    return LoopStatus(START + round(t_s * S), 50.0, ticks, 3, 60.0, 900.0, 4000.0, 0.0, 0.0, 8.25)


def test_keys_are_exactly_those_of_the_schema_even_of_an_empty_run(fresh):
    report = fresh().report(START + 2 * S)
    assert set(report) == KEYS
    assert report["schema"] == "teleopd.run_report/1"
    assert report["duration_s"] == 2.0 and report["upright"] is True and report["fell_at_s"] is None
    assert set(report["frames"]) == {"received", "used", "dropped", "rejected", "late"}
    assert set(report["latency_ms"]) == {
        "receipt_to_reference", "receipt_to_target", "receipt_to_command", "policy", "retarget",
    }  # fmt: skip
    assert all(set(row) == {"p50", "p90", "p99", "max", "n"} for row in report["latency_ms"].values())
    assert report["tracking"] == {
        "joint_rmse_rad": None, "key_body_error_mm": {"median": None, "p95": None},
        "root_drift_m": None, "yaw_drift_deg": None,
    }  # fmt: skip


def test_modes_are_changes_with_time_and_cause(fresh):
    collector = fresh()
    collector.add_modes(modes((0.5, Mode.IDLE, -1), (3, Mode.ACTIVE, -1), (7, Mode.ACTIVE, Cause.TARGETS_LATE)))
    collector.add_modes(modes((8.25, Mode.HOLD, Cause.SOURCE_STALE)))
    assert collector.report(START + 9 * S)["modes"] == [
        [0.5, "IDLE", None], [3.0, "ACTIVE", None], [8.25, "HOLD", "SOURCE_STALE"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tilt_deg", "mode", "cause", "fell"),
    [
        (59.0, Mode.ACTIVE, -1, False),
        (61.0, Mode.ACTIVE, -1, True),
        (61.0, Mode.READY, -1, False),  # carried
        (61.0, Mode.DAMPED, Cause.TILT_ABSOLUTE, True),
        (61.0, Mode.DAMPED, Cause.OPERATOR_DAMP, False),
        (61.0, Mode.DAMPED, Cause.SHUTDOWN, False),
    ],
)
def test_a_fall_is_a_tilt_beyond_60_degrees_while_meant_to_stand(fresh, tilt_deg, mode, cause, fell):
    collector = fresh()
    collector.add_modes(modes((1, mode, cause)))
    collector.add_ticks(tick_rows([1.5], mode))
    collector.add_ticks(tick_rows([2.0, 2.02], mode, math.radians(tilt_deg)))
    report = collector.report(START + 3 * S)
    assert report["upright"] is not fell
    assert report["fell_at_s"] == (2.0 if fell else None)


def test_a_fall_before_the_wanted_damping_is_not_hidden_by_it(fresh):
    collector = fresh()
    collector.add_modes(modes((1, Mode.ACTIVE, -1), (4, Mode.DAMPED, Cause.SHUTDOWN)))
    collector.add_ticks(tick_rows([5.0], Mode.DAMPED, 1.5))
    assert collector.report(START + 6 * S)["upright"] is True
    collector.add_ticks(tick_rows([3.0], Mode.ACTIVE, 1.5))
    assert collector.report(START + 6 * S)["fell_at_s"] == 3.0


def test_ground_truth_counts_from_the_first_time_the_robot_was_meant_to_stand(fresh):
    collector = fresh()
    collector.add_modes(modes((0, Mode.READY, -1)))
    collector.note_fall(START + 1 * S)
    assert collector.report(START + 2 * S)["upright"] is True
    collector.add_modes(modes((2, Mode.ACTIVE, -1)))
    collector.note_fall(START + 4 * S)
    collector.note_fall(START + 5 * S)
    assert collector.report(START + 6 * S)["fell_at_s"] == 4.0


def test_interventions_name_causes_and_gate_steps_and_survive_a_restart(fresh):
    collector = fresh()
    collector.note_safety(safety([(Cause.SOURCE_STALE, 2)], [(2, 10), (7, 1)]))
    collector.note_safety(safety([(Cause.SOURCE_STALE, 3)], [(2, 12), (7, 1)]))
    collector.note_safety(safety([(Cause.RESTARTED, 1)], [(2, 1)]))  # counts begin anew
    assert collector.report(START)["interventions"] == {
        "SOURCE_STALE": 3, "RESTARTED": 1, "GATE_BOX": 13, "GATE_STEP_7": 1,
    }  # fmt: skip


def test_frames_survive_a_restart_and_the_rate_is_the_median(fresh):
    collector = fresh()
    for i, rate in enumerate((0.0, 118.0, 120.0, 121.0)):
        collector.note_source(source(START + i, rate, received=100 * i, used=99 * i, late=i))
    collector.note_source(source(START + 3, 121.0, received=300, used=297, late=3))  # the same status again
    collector.note_source(source(START + 9, 120.0, received=5, used=5))
    report = collector.report(START)
    assert report["frames"] == {"received": 305, "used": 302, "dropped": 0, "rejected": 0, "late": 3}
    assert report["source_hz"] == 120.0


def test_loop_rate_is_measured_between_first_and_newest_status(fresh):
    collector = fresh()
    collector.note_loop("control", loop(1.0, 10))
    collector.note_loop("control", loop(11.0, 505))
    assert collector.report(START)["loop"] == {"control": {
        "rate_hz": 49.5, "late_us": {"p50": 60.0, "p99": 900.0, "max": 4000.0}, "missed": 3, "cpu_percent": 8.2,
    }}  # fmt: skip


def test_collect_drains_a_session(tmp_path: Path, monkeypatch, fresh):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    owner = SessionOwner("unitree_g1")
    try:
        bus = Bus(owner.session, MODEL.n, create=True)
        q, up = MODEL.q_stand, np.array([1.0, 0, 0, 0])
        bus.ring("mode_log").push(ModeLog(START + S, Mode.ACTIVE, -1))
        bus.ring("reference_log").push(ReferenceLog(1, START, 450.0, START + 1_000_000))
        bus.ring("tick_log").push(TickLog(
            START + 2 * S, Mode.ACTIVE, 1, 1, START, START + 12_000_000, 1200.0, np.zeros(3), up, q, q + 0.01, up,
            True, np.zeros(3),
        ))  # fmt: skip
        bus.slot("source_status").write(source(START, received=7))
        bus.slot("policy_status").write(PolicyStatus(START, 3, 100.0, 100.0, 7.0, True))
        collector = fresh()
        drained = collector.collect(bus)
        assert len(drained["tick_log"]) == 1 and len(collector.collect(bus)["tick_log"]) == 0
        report = collector.report(START + 3 * S, recording="run.mcap")
    finally:
        owner.close()
    assert report["frames"]["received"] == 7
    assert report["latency_ms"]["receipt_to_target"]["p99"] == 112.0, "the lookahead's delay is in it"
    assert report["lookahead"] == {"way": "delay", "horizon_ms": 100.0, "delay_ms": 100.0}
    assert report["force_limit_n"] == 7.0
    printed = io.StringIO()
    print_report(Console(width=120, file=printed), report)
    assert re.search(r"lookahead +│ delay 100 ms, adds 100 ms", printed.getvalue())
    assert report["latency_ms"]["retarget"]["p50"] == pytest.approx(0.45)
    assert report["tracking"]["joint_rmse_rad"] == 0.01
    assert report["tracking"]["key_body_error_mm"]["median"] > 0.1
    assert report["recording"] == "run.mcap"


def test_written_as_json_and_nothing_else_is_left(tmp_path: Path, fresh):
    path = tmp_path / "r.json"
    path.write_text("old")
    report = fresh().report(START)
    write_report(path, report)
    assert json.loads(path.read_text()) == report
    assert [child.name for child in tmp_path.iterdir()] == ["r.json"]


def test_what_cannot_be_replaced_is_written_to(tmp_path: Path, fresh, monkeypatch: pytest.MonkeyPatch):
    """A report to /dev/stdout: nothing is made beside it, and it stays what it is."""
    file, link, theirs = tmp_path / "file", tmp_path / "link", tmp_path / "theirs"
    link.symlink_to(file)
    file.touch()
    theirs.touch()
    write_report(link, {"upright": True})
    assert link.is_symlink() and json.loads(file.read_text()) == {"upright": True}
    write_report(Path("/dev/null"), {"upright": True})
    assert Path("/dev/null").is_char_device()
    monkeypatch.setattr("os.access", lambda *_: False)
    inode = theirs.stat().st_ino
    write_report(theirs, {"upright": True})
    assert theirs.stat().st_ino == inode and json.loads(theirs.read_text()) == {"upright": True}


def test_a_report_that_is_not_json_leaves_the_old_file(tmp_path: Path, fresh):
    path = tmp_path / "r.json"
    path.write_text("old")
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_report(path, {**fresh().report(START), "duration_s": object()})
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_figure_that_is_no_number_is_null_and_costs_no_other(tmp_path: Path, fresh):
    path = tmp_path / "r.json"
    report = {**fresh().report(START), "duration_s": math.nan, "modes": [(math.inf, "ACTIVE", "")]}
    write_report(path, report)
    read = json.loads(path.read_text())
    assert read["duration_s"] is None and read["modes"] == [[None, "ACTIVE", ""]]
    assert read["frames"] == report["frames"]


def test_the_printed_table_says_what_matters(fresh):
    collector = fresh()
    collector.add_modes(modes((1, Mode.ACTIVE, -1)))
    collector.add_ticks(tick_rows([2.5], Mode.ACTIVE, 1.5))
    collector.note_safety(safety([(Cause.TILT_ABSOLUTE, 1)]))
    collector.note_loop("robot_io", loop(1.0, 10))
    console = Console(record=True, width=120, file=open("/dev/null", "w"))
    print_report(console, collector.report(START + 3 * S))
    text = console.export_text()
    for expected in ("fell at 2.5 s", "1.00 s  ACTIVE", "TILT_ABSOLUTE 1", "robot_io", "receipt_to_command", "twist2"):
        assert expected in text


def test_source_health_is_of_the_statuses_while_it_streamed(fresh):
    collector = fresh()
    for k, (age, jitter, content) in enumerate(((10.0, 1.0, 1), (20.0, 2.0, 1), (30.0, 3.0, 2), (99.0, 9.0, 0))):
        collector.note_source(
            source(START + k, received=100 * k, used=30 * k)._replace(
                age_ms=age, jitter_ms=jitter, content=content, delay_p99_ms=age / 2, loss=jitter / 100,
                lost=(4, 10, 9, 10)[k], resets=k,
            )
        )
    collector.note_source(source(START + 9)._replace(state=2, age_ms=5000.0, content=1, received=400, used=90, lost=10))
    health = collector.report(START + S)["source_health"]
    assert health["age_ms"] == {"p50": 20.0, "p90": 28.0, "p99": 29.8, "max": 30.0, "n": 3}
    assert health["jitter_ms"]["max"] == 3.0
    assert (health["delay_p99_ms"], health["worst_loss"]) == (15.0, 0.03)
    assert health["content"] == {"fresh": 0.6667, "frozen": 0.3333}
    assert health["lost"] == 10, "a late packet that fills a gap is no restart of the counter"
    assert health["loss"] == 0.1


def test_counts_of_a_restarted_source_process_add_up(fresh):
    collector = fresh()
    collector.note_source(source(START + 1, received=100, used=90, dropped=8)._replace(lost=7))
    collector.note_source(source(START + 2, received=110, used=99, dropped=6)._replace(lost=5))
    collector.note_source(source(START + 3, received=20, used=10, dropped=1)._replace(lost=1))
    report = collector.report(START + S)
    assert report["frames"] == {"received": 130, "used": 109, "dropped": 7, "rejected": 0, "late": 0}
    assert report["source_health"]["lost"] == 6
