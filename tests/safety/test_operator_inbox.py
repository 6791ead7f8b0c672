"""The reading end of the operator slots: an act is given once, and what is refused is counted."""

from __future__ import annotations

from teleopd.safety.operator_inbox import OperatorInbox
from teleopd.safety.stalls import Stalls
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Act, OperatorCommand

MS = 1_000_000
NOW = 10_000 * MS


def inbox() -> OperatorInbox:
    return OperatorInbox(77, NOW - 1000 * MS, Thresholds(None), Stalls(Thresholds(None)))


def test_a_stop_or_damp_that_was_not_overwritten_is_given_once():
    for act, counts in ((Act.DAMP, (0, 1)), (Act.STOP, (1, 0))):
        told = inbox()
        word = OperatorCommand(1, NOW, 77, int(act), False, *counts)
        assert told.read([word], NOW) == [act]
        assert told.read([word], NOW + 2 * MS) == []


def test_those_that_a_later_act_overwrote_are_given_before_it():
    assert inbox().read([OperatorCommand(3, NOW, 77, int(Act.READY), False, 1, 1)], NOW) == [
        Act.STOP, Act.DAMP, Act.READY,
    ]  # fmt: skip


def test_an_act_that_raises_and_comes_late_is_refused_and_counted():
    told = inbox()
    assert told.read([OperatorCommand(1, NOW, 77, int(Act.READY), False)], NOW + 5000 * MS) == []
    assert told.read([None, OperatorCommand(1, NOW, 76, int(Act.DAMP), False)], NOW + 5000 * MS) == []
    assert told.refused == 2
