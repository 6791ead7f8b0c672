"""The reading end of the operator slots: an act is given once, and what is refused is counted."""

from __future__ import annotations

import pytest

from teleopd.safety.operator_inbox import OperatorInbox
from teleopd.safety.stalls import FUTURE_NS, Stalls
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


def test_an_inbox_to_which_nobody_wrote_holds_nothing():
    told = inbox()
    assert (told.held, told.heartbeat_lost, told.refused) == (False, False, 0)


def test_the_first_word_of_a_writer_counts_whatever_its_number_and_a_press_in_it():
    told = inbox()
    assert told.read([OperatorCommand(0, NOW, 77, int(Act.DAMP), True, 0, 1)], NOW) == [Act.DAMP]
    assert told.held and not told.heartbeat_lost
    assert inbox().read([OperatorCommand(-1, NOW, 77, int(Act.DAMP), False, 0, 1)], NOW) == [], "no act has that number"


@pytest.mark.parametrize(("beyond_ns", "acts"), [(0, [Act.DAMP]), (1, [])])
def test_a_word_from_further_ahead_than_clocks_jitter_is_refused(beyond_ns, acts):
    told = inbox()
    assert told.read([OperatorCommand(1, NOW + FUTURE_NS + beyond_ns, 77, int(Act.DAMP), False, 0, 1)], NOW) == acts
    assert told.refused == beyond_ns


def test_a_damp_that_was_given_is_not_given_again_with_the_next_act():
    told = inbox()
    assert told.read([OperatorCommand(1, NOW, 77, int(Act.DAMP), False, 0, 1)], NOW) == [Act.DAMP]
    assert told.read([OperatorCommand(2, NOW + MS, 77, int(Act.RESET), False, 0, 1)], NOW + 2 * MS) == [Act.RESET]


def test_an_act_in_the_instant_of_a_heartbeat_is_taken():
    told = inbox()
    assert told.read([OperatorCommand(0, NOW, 77, int(Act.NONE), True)], NOW) == []
    assert told.read([OperatorCommand(1, NOW, 77, int(Act.DISENGAGE), True)], NOW) == [Act.DISENGAGE]
    assert told.refused == 0


def test_of_many_stops_that_were_overwritten_two_are_given_which_is_as_good():
    assert inbox().read([OperatorCommand(9, NOW, 77, int(Act.NONE), False, 8, 0)], NOW) == [Act.STOP, Act.STOP]


def test_a_writer_whose_counts_go_back_gives_its_act_alone():
    told = inbox()
    assert told.read([OperatorCommand(1, NOW, 77, int(Act.READY), False, 5, 5)], NOW) == [
        Act.STOP, Act.STOP, Act.DAMP, Act.READY,
    ]  # fmt: skip
    assert told.read([OperatorCommand(2, NOW + MS, 77, int(Act.ARM), False, 1, 1)], NOW + MS) == [Act.ARM]
