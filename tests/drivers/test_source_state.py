"""Where a source stands, by what came and when."""

from __future__ import annotations

import pytest

from teleopd.drivers.source import SourceState, state_of

PERIOD_NS = 10_000_000
HZ = 1e9 / PERIOD_NS


@pytest.mark.parametrize(
    ("is_open", "newest_ns", "now_ns", "state"),
    [
        (False, None, 0, SourceState.CLOSED),
        (False, 0, 1, SourceState.CLOSED),
        (True, None, 0, SourceState.CONNECTING),
        (True, None, 10**12, SourceState.CONNECTING),
        (True, 7, 7, SourceState.STREAMING),
        (True, 7, 7 + 3 * PERIOD_NS, SourceState.STREAMING),
        (True, 7, 8 + 3 * PERIOD_NS, SourceState.STALE),
        (True, 9, 7, SourceState.STREAMING),
    ],
)
def test_three_periods_without_a_pose_are_stale(is_open: bool, newest_ns: int | None, now_ns: int, state: SourceState):
    assert state_of(is_open=is_open, newest_ns=newest_ns, now_ns=now_ns, hz=HZ) is state
