"""Fault plans: exact at the ends, near the wanted share between, the same for the same seed."""

from __future__ import annotations

import pytest

from teleopd.drivers.faults import FaultError, FaultPlan, Faults

PERIOD = 8_000_000


def leaves(seed=1, n=2000, **faults):
    plan = FaultPlan(Faults(**faults), seed)
    return [plan.departures(k * PERIOD, PERIOD) for k in range(n)]


def test_no_fault_changes_nothing():
    assert leaves() == [[k * PERIOD] for k in range(2000)]


def test_certain_faults():
    assert leaves(loss=1.0, n=20) == [[]] * 20
    assert leaves(dup=1.0, n=20) == [[k * PERIOD] * 2 for k in range(20)]
    assert leaves(reorder=1.0, n=2) == [[12_000_000], [20_000_000]], "one and a half periods late"


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_share_is_met_within_four_deviations(share):
    margin = 4 * (2000 * share * (1 - share)) ** 0.5
    assert abs(sum(not times for times in leaves(loss=share)) - 2000 * share) < margin
    assert abs(sum(len(times) == 2 for times in leaves(dup=share)) - 2000 * share) < margin
    held = sum(times[0] != k * PERIOD for k, times in enumerate(leaves(reorder=share)))
    assert abs(held - 2000 * share) < margin


def test_jitter_is_spread_up_to_its_bound():
    delays = [times[0] - k * PERIOD for k, times in enumerate(leaves(jitter_ms=5.0))]
    assert min(delays) >= 0 and 4_900_000 < max(delays) <= 5_000_000


def test_one_fault_does_not_move_the_others_and_a_seed_repeats():
    lost = [k for k, times in enumerate(leaves(loss=0.1)) if not times]
    assert lost == [k for k, times in enumerate(leaves(loss=0.1, dup=0.5, jitter_ms=3.0)) if not times]
    assert lost != [k for k, times in enumerate(leaves(loss=0.1, seed=2)) if not times]


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        ({"loss": 1.01}, "loss is 1.01; give a share between 0 and 1"),
        ({"dup": -0.1}, "dup is -0.1; give a share between 0 and 1"),
        ({"reorder": float("nan")}, "reorder is nan; give a share between 0 and 1"),
        ({"jitter_ms": -1.0}, "jitter is -1.0 ms; give 0 to 10000"),
    ],
)
def test_out_of_range_is_refused(faults, sentence):
    with pytest.raises(FaultError) as error:
        FaultPlan(Faults(**faults), 0)
    assert str(error.value) == sentence
