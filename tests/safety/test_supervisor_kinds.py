"""Kinds of robot-io, and the table of causes as a whole."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from teleopd.safety.failsafe import TABLE, Clear
from teleopd.safety.supervisor import SupervisorConfig, SupervisorInputs
from teleopd.safety.words import Act, Action, Cause, Mode

MS = 1_000_000


def test_a_restarted_robot_io_damps_from_the_first_tick_and_for_good(rigs):
    rig = rigs(damp_only=True)
    rig.robot_on = False
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping() and rig.out.blocked_by == Cause.RESTARTED
    assert rig.out.new_causes >> Cause.RESTARTED & 1, "it is said in the first tick"
    rig.robot_on = True
    rig.run(3000)
    for act in (Act.RESET, Act.READY, Act.ARM):
        rig.write(act)
        rig.step()
    assert rig.mode is Mode.DAMPED and rig.damping()


def test_dry_run_climbs_the_same_ladder_and_is_mute(rigs):
    rig = rigs(dryrun=True).to(Mode.ACTIVE)
    assert rig.out.mute


def test_shutdown_damps(rig):
    rig.to(Mode.ACTIVE)
    rig.shutdown = True
    rig.step()
    assert rig.mode is Mode.DAMPED and rig.out.mode_cause == Cause.SHUTDOWN


def test_latched_engage_stays_until_disengage(rigs):
    rig = rigs(latched_engage=True).to(Mode.ACTIVE)
    rig.press(False)
    rig.run(1000)
    assert rig.mode is Mode.ACTIVE and rig.out.engage_held
    rig.write(Act.DISENGAGE)
    rig.run(2000)
    assert rig.mode is Mode.ARMED
    rig.press()
    rig.step()
    assert rig.mode is Mode.ACTIVE


def test_every_cause_of_the_table_is_counted_when_it_begins(rig):
    rig.to(Mode.ACTIVE)
    for _ in range(3):
        rig.target_changes = {"reference_valid": False}
        rig.run(40)
        rig.target_changes = {}
        rig.run(40)
    assert rig.supervisor.cause_counts[Cause.SOURCE_INVALID] == 3


def test_causes_that_damp_are_cleared_by_a_person_only():
    for row in TABLE:
        if row.action is Action.DAMP:
            assert row.clear in (Clear.ON_RESET, Clear.NEVER), row.cause


def test_what_nobody_says_is_the_plain_run_on_time():
    config = SupervisorConfig(7)
    assert (config.started_ns, config.damp_only, config.dryrun, config.latched_engage, config.joints) == (
        0, False, False, False, (),
    )  # fmt: skip
    assert SupervisorInputs(None, None) == (None, None, (), None, 0, False, 0)
    with pytest.raises(FrozenInstanceError):
        config.dryrun = True  # type: ignore[misc]
    assert not hasattr(config, "__dict__")
