from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from teleopd.drivers.source import SourceState
from teleopd.robots.ipc.session import Session, SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode
from teleopd.service.console.snapshot import next_act, read_snapshot, warnings
from teleopd.service.streams import Bus

MS = 1_000_000


def test_a_session_without_streams_reads_as_nothing(tmp_path: Path):
    snapshot = read_snapshot(Bus(Session("unitree_g1", tmp_path), MODEL.n), 5)
    assert snapshot.mode is None and snapshot.state is None and snapshot.loops == {}
    assert snapshot.source_state is SourceState.CONNECTING and snapshot.source_age_s is None


def test_reads_what_the_slots_hold(tmp_path: Path, monkeypatch, make):
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path))
    owner = SessionOwner("unitree_g1")
    try:
        bus = Bus(owner.session, MODEL.n, create=True)
        bus.slot("safety_status").write(make["status"](Mode.HOLD))
        bus.slot("source_status").write(make["source_status"](state=2))
        bus.slot("human").write(make["person"]())
        bus.slot("loop_control").write(make["loop_status"]())
        snapshot = read_snapshot(Bus(owner.session, MODEL.n), make["person"]().t_ns + 250 * MS)
    finally:
        owner.close()
    assert snapshot.mode is Mode.HOLD and snapshot.source_state is SourceState.STALE
    assert snapshot.source_age_s == pytest.approx(0.25)
    assert snapshot.loops["control"].missed == 4 and set(snapshot.loops) == {"control"}


@pytest.mark.parametrize(
    ("mode", "changes", "act"),
    [
        (Mode.CHECK, {}, "wait: the robot is being checked"),
        (Mode.CHECK, {"blocked_by": int(Cause.STATE_LOST)}, "blocked by state lost"),
        (Mode.IDLE, {}, "press ready"),
        (Mode.READY, {}, "wait: going to the stand pose"),
        (Mode.READY, {"ready_to_arm": True}, "press arm"),
        (Mode.READY, {"ready_to_arm": True, "blocked_by": int(Cause.TARGETS_LATE)}, "blocked by targets late"),
        (Mode.ARMED, {}, "hold to engage"),
        (Mode.ARMED, {"blocked_by": int(Cause.SOURCE_LOST)}, "blocked by source lost"),
        (Mode.ACTIVE, {}, "release to stop following"),
        (Mode.RETURN, {}, "wait: returning to stand, then engage anew"),
        (Mode.DAMPED, {}, "press reset once the robot is safe"),
        (Mode.DRYRUN, {}, "nothing is sent to the robot"),
    ],
)
def test_next_act(snapshot, make, mode, changes, act):
    assert next_act(snapshot._replace(safety=make["status"](mode, **changes))) == act


def test_every_mode_has_a_next_act(snapshot, make):
    assert all(next_act(snapshot._replace(safety=make["status"](mode))) for mode in Mode)


def test_a_healthy_run_has_no_warning(snapshot):
    assert warnings(snapshot) == []


def test_warnings_name_causes_silence_refusals_and_rejections(snapshot, make):
    text = np.zeros(240, np.uint8)
    sentence = b"datagram of 12 bytes is shorter than the header"
    text[: len(sentence)] = np.frombuffer(sentence, np.uint8)
    safety = make["status"](causes=1 << Cause.SOURCE_STALE | 1 << Cause.MOTOR_WARM, refused_commands=2)
    shown = snapshot._replace(
        now_ns=snapshot.now_ns + 1_500 * MS, safety=safety, notes=("source ended by SIGKILL; restarting it",),
        source=make["source_status"](rejected=1, last_rejection=text),
    )  # fmt: skip
    assert warnings(shown) == [
        "robot-io is silent for 1.5 s", "source stale", "motor warm", "2 operator commands refused",
        "1 frame rejected, last: datagram of 12 bytes is shorter than the header",
        "source ended by SIGKILL; restarting it",
    ]  # fmt: skip
