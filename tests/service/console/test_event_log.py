from __future__ import annotations

from teleopd.safety.words import Cause, Mode
from teleopd.service.console.event_log import KEPT, SHOWN, EventLog
from teleopd.service.console.snapshot import NOTHING_YET, cause_words

S = 1_000_000_000


def seen(log: EventLog, snapshot, t_s: int, mode: Mode, cause: int = -1, **counts: int) -> None:
    counted = snapshot.safety.cause_counts.copy()
    for name, count in counts.items():
        counted[Cause[name]] = count
    safety = snapshot.safety._replace(mode=int(mode), mode_cause=cause, cause_counts=counted)
    log.see(snapshot._replace(now_ns=t_s * S, safety=safety))


def words(log: EventLog) -> list[str]:
    return [event.words for event in log.events]


def test_a_change_of_mode_and_a_cause_are_each_one_line_newest_first(snapshot):
    log = EventLog()
    log.see(NOTHING_YET)
    seen(log, snapshot, 1, Mode.ARMED)
    seen(log, snapshot, 2, Mode.ARMED)
    seen(log, snapshot, 3, Mode.ACTIVE, POSE_MISMATCH=2)
    assert words(log) == [f"{cause_words(Cause.POSE_MISMATCH)} x2", "ACTIVE", "ARMED"]
    seen(log, snapshot, 4, Mode.HOLD, Cause.SOURCE_LOST, POSE_MISMATCH=2, SOURCE_LOST=1)
    assert words(log)[0] == f"HOLD: {cause_words(Cause.SOURCE_LOST)}", "its cause is not said twice"


def test_what_was_counted_before_anybody_looked_is_no_event(snapshot):
    log = EventLog()
    seen(log, snapshot, 1, Mode.ARMED, POSE_MISMATCH=7)
    assert words(log) == ["ARMED"]


def test_it_shows_the_newest_with_their_age_and_keeps_no_more_than_it_may(snapshot):
    log = EventLog()
    assert log.html(0) == ""
    for i in range(300):
        seen(log, snapshot, i, Mode.ARMED if i % 2 else Mode.ACTIVE)
    assert len(log.events) == KEPT
    html = log.html(301 * S)
    assert html.count("<div><span") == SHOWN and ">2 s<" in html
    assert ">5 min<" in log.html(600 * S)
