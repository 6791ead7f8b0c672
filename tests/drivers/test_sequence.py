"""Order of samples: tables of (counter, device ms, receive ms) against the expected judgement."""

from __future__ import annotations

import pytest

from teleopd.drivers.sequence import GAP, WINDOW, Order, SampleOrder

N, R, D, L = Order.NEXT, Order.RESTART, Order.DUPLICATE, Order.REORDERED


def judge_all(counters, order=None, *, period_ms=8):
    """Judge counters arriving one period apart, device time following the counter."""
    order = order or SampleOrder()
    return [order.judge(c, 100_000 + c * period_ms, k * period_ms * 1_000_000) for k, c in enumerate(counters)], order


@pytest.mark.parametrize(
    ("counters", "expected", "lost"),
    [
        ([7, 8, 9], [N, N, N], 0),
        ([7, 9, 12], [N, N, N], 3),
        ([7, 8, 8, 9, 9], [N, N, D, N, D], 0),
        ([7, 9, 8, 10], [N, N, L, N], 0),
        ([7, 9, 8, 8, 7, 10], [N, N, L, D, D, N], 0),
        ([7, 10, 9, 11], [N, N, L, N], 1),
        ([7, 6, 8], [N, L, N], 0),
        ([7, 9, 5, 6, 10], [N, N, L, L, N], 1),
    ],
    ids=[
        "in order",
        "gaps",
        "duplicates",
        "late",
        "late twice",
        "half filled",
        "before the first",
        "gap not filled by older",
    ],
)
def test_order_and_losses(counters, expected, lost):
    judged, order = judge_all(counters)
    assert (judged, order.lost) == (expected, lost)


def test_counter_wraps_at_32_bits():
    judged, order = judge_all([2**32 - 2, 2**32 - 1, 0, 1])
    order_of_wrapped = SampleOrder()
    assert [order_of_wrapped.judge(c, 5, 0) for c in (2**32 - 2, 2**32 - 1, 0, 2, 1)] == [N, N, N, N, L]
    assert order_of_wrapped.lost == 0
    assert judged[:2] == [N, N] and order.newest == 1


@pytest.mark.parametrize(("back", "expected"), [(WINDOW - 1, L), (WINDOW, R), (WINDOW + 1, R)])
def test_edge_of_the_late_window(back, expected):
    order = SampleOrder()
    assert order.judge(1000, 0, 0) is N
    assert order.judge(1000 - back, 0, 1) is expected


@pytest.mark.parametrize(("jump", "expected", "lost"), [(GAP, N, GAP - 1), (GAP + 1, R, 0)])
def test_edge_of_a_forward_gap(jump, expected, lost):
    order = SampleOrder()
    order.judge(10, 0, 0)
    assert (order.judge(10 + jump, 0, 1), order.lost) == (expected, lost)


@pytest.mark.parametrize(("device_ms", "expected"), [(800, N), (799, R), (0, R)])
def test_device_clock_going_back_is_a_restart(device_ms, expected):
    order = SampleOrder()
    order.judge(10, 1000, 0)
    assert order.judge(11, device_ms, 1) is expected


@pytest.mark.parametrize(
    ("device_ms", "receive_ms", "expected"),
    [(5010, 5010, N), (10, 1010, N), (10, 1011, R), (1010, 10, N), (1011, 10, R)],
    ids=["outage", "edge of a pause", "pause", "edge of a jump", "jump"],
)
def test_device_and_receive_time_must_advance_together(device_ms, receive_ms, expected):
    order = SampleOrder()
    order.judge(10, 0, 0)
    assert order.judge(11, device_ms, receive_ms * 1_000_000) is expected


def test_restart_inside_the_late_window_is_believed_after_a_run():
    """A recording of 20 samples starts anew: not reordered for ever."""
    judged, order = judge_all([*range(20), *range(8)])
    assert judged[20:] == [D, D, D, D, R, N, N, N]
    assert order.newest == 7


def test_late_packets_between_new_ones_are_no_restart():
    counters = [c for pair in ((k + 1, k) for k in range(0, 60, 2)) for c in pair]
    judged, order = judge_all(counters)
    assert R not in judged and order.lost == 0


@pytest.mark.parametrize(("silence_ms", "expected"), [(500, L), (501, R)])
def test_an_older_sample_after_silence_is_a_restart(silence_ms, expected):
    order = SampleOrder()
    order.judge(10, 0, 0)
    order.judge(12, 0, 0)
    assert order.judge(11, 0, silence_ms * 1_000_000) is expected


def test_a_frozen_sender_stays_a_duplicate():
    order = SampleOrder()
    order.judge(10, 0, 0)
    assert {order.judge(10, 0, k * 10**9) for k in range(20)} == {D}
