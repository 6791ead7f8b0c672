"""Ages without this host's own stalls: what is excused, how much of it, for how long."""

from __future__ import annotations

import pytest

from teleopd.safety.stalls import FUTURE_NS, NEVER_NS, Stalls
from teleopd.safety.thresholds import Thresholds

MS = 1_000_000
NOW = 100_000 * MS
SHORTEST, BUDGET, WINDOW = 10 * MS, 250 * MS, 1_000 * MS


@pytest.fixture
def stalls() -> Stalls:
    return Stalls(Thresholds(None))


def test_what_never_came_is_older_than_any_threshold(stalls):
    assert NEVER_NS > 10**18
    for stamp in (0, -1, NOW + FUTURE_NS + 1):
        assert stalls.age_ns(stamp, NOW) == NEVER_NS
    assert stalls.age_ns(1, NOW) == NOW - 1


def test_a_stamp_a_little_ahead_is_fresh_and_no_age_is_negative(stalls):
    assert FUTURE_NS == 50 * MS
    assert stalls.age_ns(NOW + FUTURE_NS, NOW) == 0
    assert stalls.age_ns(NOW, NOW) == 0


@pytest.mark.parametrize(("beyond_ns", "worth_the_name"), [(0, False), (1, True)])
def test_a_stall_is_longer_than_its_threshold(stalls, beyond_ns, worth_the_name):
    assert stalls.note(SHORTEST + beyond_ns, NOW) is worth_the_name
    assert stalls.age_ns(NOW - 50 * MS, NOW) == 50 * MS - (SHORTEST + 1) * worth_the_name


def test_only_the_part_that_an_age_spans_is_excused(stalls):
    assert stalls.note(100 * MS, NOW)
    assert stalls.age_ns(NOW - 300 * MS, NOW) == 200 * MS
    assert stalls.age_ns(NOW - 40 * MS, NOW) == 0, "it came while we stood still"
    assert stalls.age_ns(NOW + 5 * MS, NOW + 30 * MS) == 25 * MS, "after it"
    assert stalls.age_ns(NOW - 300 * MS, NOW - 50 * MS) == 200 * MS, "as seen in the middle of it"


def test_no_more_than_the_budget_is_excused_in_a_second(stalls):
    assert stalls.note(200 * MS, NOW) and stalls.note(100 * MS, NOW + 300 * MS)
    assert stalls.age_ns(NOW - 500 * MS, NOW + 300 * MS) == 800 * MS - BUDGET
    assert stalls.note(100 * MS, NOW + 500 * MS), "it is one all the same"
    assert stalls.age_ns(NOW - 500 * MS, NOW + 500 * MS) == 1000 * MS - BUDGET


@pytest.mark.parametrize(("later_ns", "excused_ns"), [(WINDOW, 0), (WINDOW + 1, 100 * MS)])
def test_the_budget_is_whole_again_a_second_after_the_stall(stalls, later_ns, excused_ns):
    stalls.note(BUDGET, NOW)
    stalls.note(100 * MS, NOW + later_ns)
    assert stalls.age_ns(NOW + later_ns - 150 * MS, NOW + later_ns) == 150 * MS - excused_ns


def test_each_stall_is_forgotten_in_its_own_time(stalls):
    stalls.note(200 * MS, NOW)
    stalls.note(50 * MS, NOW + 900 * MS)
    stalls.note(100 * MS, NOW + 1001 * MS)
    assert stalls.age_ns(NOW + 901 * MS, NOW + 1001 * MS) == 0, "the first no longer counts"


def test_a_stall_of_more_than_the_budget_is_excused_at_its_end(stalls):
    stalls.note(400 * MS, NOW)
    assert stalls.age_ns(NOW - 400 * MS, NOW) == 150 * MS
    assert stalls.age_ns(NOW - 200 * MS, NOW) == 0
