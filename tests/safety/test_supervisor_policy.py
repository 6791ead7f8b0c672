"""Faults of the policy, and its warm twin."""

from __future__ import annotations

import numpy as np
import pytest
from tests.safety.conftest import targets, tilted

from teleopd.safety.words import Cause, Mode

MS = 1_000_000


def test_targets_late_then_lost(rig):
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    last, seen = rig.targets.t_ns, {}
    for _ in range(60):
        rig.step()
        for cause in rig.causes():
            seen.setdefault(cause, rig.now - last)
    assert 40 * MS < seen[Cause.TARGETS_LATE] <= 42 * MS
    assert 100 * MS < seen[Cause.TARGETS_LOST] <= 102 * MS
    assert rig.mode is Mode.DAMPED


@pytest.mark.parametrize(
    "bad",
    [
        {"healthy": False}, {"q": np.full(3, np.nan)}, {"kp": np.array([1.0, np.inf, 1.0])}, {"kd": np.zeros(4)},
        {"tilt_rp": np.array([0.0, np.nan])}, {"tilt_rp": np.zeros(3)},
    ],
)  # fmt: skip
@pytest.mark.parametrize("ticks, mode", [(2, Mode.ACTIVE), (3, Mode.DAMPED)])
def test_targets_invalid_three_times_damp(rig, bad, ticks, mode):
    rig.to(Mode.ACTIVE)
    rig.target_changes = bad
    last = rig.targets.seq
    rig.run(20 * ticks)
    assert rig.targets.seq - last == 10 * ticks
    assert rig.mode is mode and (Cause.TARGETS_INVALID in rig.causes()) == (mode is Mode.DAMPED)


@pytest.mark.parametrize("bad_of_ten, found", [(3, False), (4, True), (5, True)])
def test_a_policy_that_fails_again_and_again_is_found_though_never_thrice_in_a_row(rig, bad_of_ten, found):
    rig.to(Mode.ACTIVE)
    for tick in range(60):
        rig.target_changes = {"healthy": False} if tick % 10 in (0, 2, 4, 6, 8)[:bad_of_ten] else {}
        rig.run(20)
    assert (rig.mode is Mode.DAMPED) == found


def test_standby_takes_over_brings_back_to_stand_and_hands_back(rig):
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    last = rig.targets.t_ns
    while rig.mode is Mode.ACTIVE:
        rig.step()
        assert rig.now - last <= 82 * MS
    assert rig.mode is Mode.RETURN and rig.out.using_standby and rig.out.mode_cause == Cause.STANDBY_TOOK_OVER
    rig.run(5000)
    assert rig.mode is Mode.ARMED and not rig.damping() and rig.out.blocked_by == Cause.STANDBY_TOOK_OVER
    rig.policy_on = True
    rig.run(900)
    assert rig.out.using_standby
    rig.run(200)
    assert not rig.out.using_standby and rig.mode is Mode.ARMED
    rig.policy_on = rig.standby_on = False
    rig.run(200)
    assert rig.mode is Mode.DAMPED, "without a policy process nothing can balance"


@pytest.mark.parametrize("failure", ["silent", "broken"])
def test_a_standby_that_fails_hands_back_to_a_policy_that_is_well_again(rig, failure):
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    rig.run(100)
    assert rig.mode is Mode.RETURN and rig.out.using_standby
    rig.policy_on = True
    rig.run(40)
    assert rig.out.using_standby, "not in the middle of its work"
    if failure == "silent":
        rig.standby_on = False
        rig.run(200)
    else:
        for _ in range(10):
            rig.standby_on = False
            rig.standby = rig.standby._replace(t_ns=rig.now, q=np.full(3, np.nan))
            rig.run(20)
    assert rig.mode is Mode.RETURN and not rig.out.using_standby
    rig.policy_on = False
    rig.run(110)
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.TARGETS_LOST, "now no policy is left"


def test_a_tightened_loss_of_targets_still_lets_the_standby_come_first(rigs):
    rig = rigs(overrides={"targets_lost": 60.0})
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.policy_on = False
    rig.run(200)
    assert rig.mode is Mode.RETURN and rig.out.using_standby


@pytest.mark.parametrize("broken, twin_ms, stands", [(False, 30, True), (False, -10, False), (True, 0, True)])
def test_when_the_policy_is_lost_a_twin_that_is_only_late_still_takes_over(rig, broken, twin_ms, stands):
    """A slow host makes both late; damping is for the loss of every policy process."""
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.standby_on = rig.policy_on = False
    last, twin_ns = rig.targets, rig.targets.t_ns + twin_ms * MS
    while rig.mode is Mode.ACTIVE:
        if rig.standby.t_ns < twin_ns <= rig.now:
            rig.standby = targets(twin_ns, 999, reference_seq=0, t_reference_ns=0, t_content_ns=0)
        if broken and rig.now - rig.targets.t_ns >= 20 * MS:
            rig.targets = last._replace(t_ns=rig.now, healthy=False)
        rig.step()
    assert rig.mode is (Mode.RETURN if stands else Mode.DAMPED) and rig.out.using_standby == stands
    assert 40 * MS < rig.now - rig.standby.t_ns
    rig.run(80)
    assert rig.mode is Mode.DAMPED, "now both are lost"


@pytest.mark.parametrize("lean_deg, after_deg, trips", [(40, 40, False), (40, 0, False), (-40, -40, True)])
def test_a_robot_that_was_bent_over_may_straighten_when_the_twin_takes_over(rig, lean_deg, after_deg, trips):
    """The twin's reference is upright; the robot followed an operator who bends forward by 40 degrees."""
    rig.standby_on = True
    rig.to(Mode.ACTIVE)
    rig.target_changes = {"tilt_rp": np.array([0.0, np.radians(40.0)])}
    rig.run(20)
    rig.state_changes = {"quat_w": tilted(40.0)}
    rig.run(200)
    assert rig.mode is Mode.ACTIVE
    rig.policy_on = False
    while rig.mode is Mode.ACTIVE:
        rig.step()
    assert rig.mode is Mode.RETURN and rig.out.using_standby
    rig.state_changes = {"quat_w": tilted(lean_deg)}
    rig.run(100)
    assert (rig.mode is Mode.DAMPED) == trips
    rig.state_changes = {"quat_w": tilted(after_deg)}
    rig.run(800)
    assert (rig.mode is Mode.DAMPED) == trips
    rig.run(180)
    assert (rig.mode is Mode.DAMPED) == (after_deg != 0), "straightening does not take longer than a second"


def test_a_limb_that_is_held_is_told_and_stops_nobody(rig):
    rig.to(Mode.ACTIVE)
    rig.target_changes = {"limb_held": True}
    rig.run(40)
    assert rig.mode is Mode.ACTIVE and Cause.LIMB_HELD in rig.causes()
    rig.target_changes = {}
    rig.run(40)
    assert Cause.LIMB_HELD not in rig.causes()
