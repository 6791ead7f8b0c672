"""Reconnect: when the next attempt is due, on injected time."""

from __future__ import annotations

import pytest

from teleopd.drivers.reconnect import Backoff, Phase, Reconnect

MS = 1_000_000


def machine(**changes):
    return Reconnect(Backoff(**{"first_ns": 100 * MS, "longest_ns": 500 * MS, "settled_ns": 2000 * MS, **changes}))


def test_the_first_attempt_is_due_at_once():
    reconnect = machine()
    assert (reconnect.phase, reconnect.wait_ns(7 * MS), reconnect.attempts) == (Phase.WAITING, 0, 0)


def test_waits_grow_to_the_longest():
    reconnect, now, waits = machine(), 0, []
    for _ in range(6):
        reconnect.begin(now)
        reconnect.failed(now, "refused")
        waits.append(reconnect.wait_ns(now) // MS)
        now += reconnect.wait_ns(now)
    assert waits == [100, 200, 400, 500, 500, 500]
    assert (reconnect.attempts, reconnect.connections, reconnect.last_failure) == (6, 0, "refused")


def test_the_wait_counts_down_to_zero():
    reconnect = machine()
    reconnect.begin(0)
    reconnect.failed(10 * MS, "refused")
    assert [reconnect.wait_ns(t * MS) // MS for t in (10, 60, 110, 999)] == [100, 50, 0, 0]


@pytest.mark.parametrize(("held_ms", "next_wait_ms"), [(1999, 400), (2000, 100)])
def test_only_a_connection_that_held_starts_the_waits_anew(held_ms, next_wait_ms):
    reconnect = machine()
    for _ in range(2):
        reconnect.begin(0)
        reconnect.failed(0, "refused")
    reconnect.begin(0)
    reconnect.connected(5 * MS)
    assert (reconnect.phase, reconnect.wait_ns(9**18), reconnect.connections) == (Phase.CONNECTED, 0, 1)
    reconnect.failed((5 + held_ms) * MS, "gone")
    assert reconnect.wait_ns((5 + held_ms) * MS) == next_wait_ms * MS


def test_an_attempt_that_hangs_long_is_no_connection():
    reconnect = machine()
    reconnect.begin(0)
    reconnect.failed(60_000 * MS, "timed out")
    reconnect.begin(61_000 * MS)
    reconnect.failed(120_000 * MS, "timed out")
    assert reconnect.wait_ns(120_000 * MS) == 200 * MS


def test_steps_out_of_order_are_mistakes():
    reconnect = machine()
    with pytest.raises(ValueError, match="^no attempt is under way while WAITING$"):
        reconnect.connected(0)
    with pytest.raises(ValueError, match="^nothing was tried that could fail$"):
        reconnect.failed(0, "?")
    reconnect.begin(0)
    with pytest.raises(ValueError, match="^an attempt cannot begin while TRYING$"):
        reconnect.begin(0)


@pytest.mark.parametrize("wrong", [{"first_ns": 0}, {"longest_ns": 1}, {"factor": 0.5}, {"settled_ns": -1}])
def test_impossible_waits_are_refused(wrong):
    with pytest.raises(ValueError, match="give 0 < first <= longest and a factor of at least 1$"):
        machine(**wrong)
