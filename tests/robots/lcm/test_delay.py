"""Old news told from new without a common clock."""

from __future__ import annotations

from teleopd.robots.links.lcm.delay import LATE_US, WINDOW_US, DelayWatch

MS = 1000
APART = -123_456_789
"""Difference of the two clocks [us]: nobody knows it."""


def test_a_steady_stream_is_accepted_and_a_queue_is_not():
    watch = DelayWatch()
    assert all(watch.accepts(t, t + APART + 2 * MS) for t in range(0, 1000 * MS, 20 * MS))
    last = 1000 * MS
    assert watch.accepts(last, last + APART + 2 * MS + LATE_US)
    assert not watch.accepts(last + 20 * MS, last + 20 * MS + APART + 3 * MS + LATE_US)
    assert watch.accepts(last + 40 * MS, last + 40 * MS + APART + 5 * MS), "and once the queue is gone, again"


def test_repeated_and_older_messages_are_not_accepted():
    watch = DelayWatch()
    assert watch.accepts(10 * MS, 0)
    assert not watch.accepts(10 * MS, MS) and not watch.accepts(9 * MS, 2 * MS)
    assert watch.accepts(11 * MS, 3 * MS)


def test_clocks_that_drift_apart_and_a_longer_way_are_got_used_to():
    watch, accepted = DelayWatch(), []
    for i in range(0, 60_000, 100):  # a minute, 200 ppm
        accepted.append(watch.accepts(i * MS, round(i * MS * 1.0002) + APART))
    assert all(accepted)
    longer = [watch.accepts((60_000 + i) * MS, (60_000 + i) * MS + APART + 300 * MS) for i in range(0, 30_000, 100)]
    assert not longer[0] and all(longer[2 * WINDOW_US // MS // 100 :])
