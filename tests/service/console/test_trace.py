from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.console import trace as module
from teleopd.service.console.errors import NothingToDraw
from teleopd.service.console.trace import Trace, TraceRecorder
from teleopd.service.streams import tick_log_fields

MS = 1_000_000
START = 50_000_000_000


def ticks(count: int, first: int = 0, mode: Mode = Mode.ACTIVE, bend: float = 0.0) -> np.ndarray:
    """Rows 20 ms apart; joint 3 of the robot holds the row's number."""
    rows = np.zeros(count, dtype=np.dtype(tick_log_fields(MODEL.n)))
    rows["t_ns"] = START + 20 * MS * (first + np.arange(count))
    rows["mode"], rows["reference_seq"], rows["has_odometry"] = mode, 1, True
    rows["quat_w"][:, 0] = rows["reference_root_quat_w"][:, 0] = 1.0
    rows["q"][:, 3] = first + np.arange(count)
    rows["reference_q"][:, 0] = bend
    return rows


def test_the_newest_tick_of_the_time_asked_for(make):
    trace = Trace()
    trace.add_ticks(ticks(10))
    trace.add_ticks(ticks(10, 10))
    assert len(trace) == 20 and trace.duration_s == pytest.approx(0.38)
    assert trace.at(0.0).q[3] == 0 and trace.at(0.039).q[3] == 1 and trace.at(0.04).q[3] == 2
    assert trace.at(9.0).q[3] == 19 and trace.at(0.21).t_s == pytest.approx(0.2)


def test_the_person_of_the_time_asked_for_and_none_when_too_old(make):
    trace = Trace()
    trace.add_ticks(ticks(100))
    person = make["person"]()
    trace.add_human(person._replace(t_ns=START + 100 * MS))
    trace.add_human(person._replace(t_ns=START + 100 * MS, pos_w=person.pos_w + 5))  # the same pose again
    assert trace.at(0.05).human_pos_w is None
    assert trace.at(0.2).human_pos_w == pytest.approx(person.pos_w[:23], abs=1e-6)
    assert trace.at(1.08).human_pos_w is not None and trace.at(1.2).human_pos_w is None


def test_no_reference_no_ghost_and_no_odometry_no_place():
    rows = ticks(1)
    rows["reference_seq"], rows["has_odometry"] = 0, False
    trace = Trace()
    trace.add_ticks(rows)
    assert trace.at(0).reference_q is None and trace.at(0).root_pos_w is None


def test_an_empty_trace_says_so():
    with pytest.raises(NothingToDraw, match="held no robot pose"):
        Trace().at(0.0)
    with pytest.raises(NothingToDraw):
        TraceRecorder(keep=True).still()


def test_length_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_TICKS", 15)
    trace = Trace()
    for i in range(4):
        trace.add_ticks(ticks(10, 10 * i))
    assert len(trace) == 15 and trace.at(9.0).q[3] == 14


def test_the_still_is_the_active_instant_furthest_from_the_first(make):
    recorder = TraceRecorder(keep=False)
    person = make["person"]()._replace(t_ns=START)
    recorder.add(ticks(1, 0, Mode.ARMED, bend=9.0), person)
    assert recorder.still().mode is Mode.ARMED
    for i, bend in enumerate((0.1, 0.8, 0.3)):
        recorder.add(ticks(1, 1 + i, bend=bend), person)
    recorder.add(ticks(1, 4, Mode.RETURN, bend=5.0), person)
    still = recorder.still()
    assert still.reference_q[0] == 0.8 and still.mode is Mode.ACTIVE and still.t_s == pytest.approx(0.04)
    assert still.human_pos_w.shape == (23, 3)
    assert len(recorder.trace()) == 0


def test_everything_is_kept_for_a_video(make):
    recorder = TraceRecorder(keep=True)
    recorder.add(ticks(3), make["person"]()._replace(t_ns=START))
    recorder.add(ticks(3, 3), None)
    assert len(recorder.trace()) == 6 and recorder.trace().at(0.1).human_pos_w is not None


def test_a_preview_records_the_reference_as_the_robot(make):
    recorder = TraceRecorder(keep=True)
    none = ticks(0)
    for i in range(3):
        reference = make["reference"](t_ns=START + i * 20 * MS, q=MODEL.q_stand + 0.1 * i)
        recorder.add(none, None, reference)
        recorder.add(none, None, reference)
    still = recorder.still()
    assert len(recorder.trace()) == 3
    assert still.mode is None and still.reference_q is None and still.q == pytest.approx(MODEL.q_stand + 0.2)
    assert still.root_pos_w == pytest.approx([0, 0, 0.79])
