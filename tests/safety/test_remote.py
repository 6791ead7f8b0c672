"""The vendor's remote, by its bytes alone: exactly two combinations mean anything."""

from __future__ import annotations

import numpy as np

from teleopd.safety.remote import RemoteStops
from teleopd.safety.words import Act

MS = 1_000_000
SELECT, L2, B = 1 << 3, 1 << 5, 1 << 1


def keys(first: int, second: int = 0) -> np.ndarray:
    remote = np.zeros(40, dtype=np.uint8)
    remote[2], remote[3] = first, second
    return remote


def test_of_all_keys_only_select_stops_and_only_l2_with_b_damps():
    remote = np.zeros(40, dtype=np.uint8)
    for first in range(256):
        for second in range(256):
            remote[2], remote[3] = first, second
            wanted = Act.DAMP if first & L2 and second & B else Act.STOP if first & SELECT else Act.NONE
            assert RemoteStops(800 * MS).read(remote, MS) is wanted, (first, second)


def test_other_bytes_mean_nothing():
    remote = np.full(40, 255, dtype=np.uint8)
    remote[2:4] = 0
    assert RemoteStops(800 * MS).read(remote, MS) is Act.NONE


def test_a_long_press_damps_once_from_its_very_nanosecond_on():
    for early_ns, wanted in ((1, Act.NONE), (0, Act.DAMP)):
        stops = RemoteStops(800 * MS)
        assert stops.read(keys(SELECT), 5 * MS) is Act.STOP
        assert stops.read(keys(SELECT), 805 * MS - early_ns) is wanted
    assert stops.read(keys(SELECT), 2000 * MS) is Act.NONE, "and no second time"


def test_a_bounce_is_no_second_press_and_does_not_end_a_long_one():
    stops = RemoteStops(800 * MS)
    assert stops.read(keys(SELECT), 0 + MS) is Act.STOP
    assert stops.read(keys(0), 100 * MS) is Act.NONE
    assert stops.read(keys(SELECT), 102 * MS) is Act.NONE
    assert stops.read(keys(SELECT), 801 * MS) is Act.DAMP


def test_select_beside_l2_and_b_is_their_damping_and_a_press_of_its_own_when_they_are_gone():
    stops = RemoteStops(800 * MS)
    assert stops.read(keys(SELECT), MS) is Act.STOP
    assert stops.read(keys(SELECT | L2, B), 10 * MS) is Act.DAMP
    assert stops.read(keys(SELECT | L2, B), 900 * MS) is Act.NONE
    assert stops.read(keys(SELECT), 910 * MS) is Act.STOP
