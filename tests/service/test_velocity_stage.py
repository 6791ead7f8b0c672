"""Velocity commands become references, and walk the virtual robot in lock step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from teleopd.drivers.velocity import VelocityCommand
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.safety.words import Mode
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.gait_table import Said, gait_table
from teleopd.service.policy.library import resolve
from teleopd.service.velocity_stage import NoGait, VelocityStage, VelocityStream

MS = 1_000_000
PLAIN = gait_table(MODEL)
assert PLAIN is not None
PLAIN = replace(PLAIN, said={})


def command(tick: int, **changes: Any) -> VelocityCommand:
    return VelocityCommand(tick, 10**9 + tick * 20 * MS, 0.0, 0.0, 0.0, True, False, 0, frozenset())._replace(**changes)


def stage(**settings: Any) -> VelocityStage:
    return VelocityStage(MODEL, 7, **{"table": PLAIN, **settings})


def references(made: VelocityStage, first: int, count: int, **changes: Any) -> list[Any]:
    return [made.on_command(command(i, **changes)).reference for i in range(first, first + count)]


def test_at_rest_it_is_the_stand_pose_with_the_commands_stamps():
    reference = stage().on_command(command(4)).reference
    assert reference is not None
    assert (reference.seq, reference.source_id, reference.t_ns, reference.t_content_ns) == (
        5, 7, 10**9 + 80 * MS, 10**9 + 80 * MS,
    )  # fmt: skip
    assert (reference.valid, reference.deadman, reference.nominal_hz) == (True, True, 50.0)
    assert (reference.q == MODEL.q_stand).all() and not reference.dq.any()
    assert reference.root_pos_w.tolist() == [0.0, 0.0, MODEL.stand_height_m]
    assert reference.root_quat_w.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert not reference.root_lin_vel_w.any() and not reference.root_ang_vel_w.any()


def test_without_the_deadman_nothing_walks_and_a_walk_ends():
    made = stage()
    assert all((r.q == MODEL.q_stand).all() for r in references(made, 0, 50, forward=0.5, deadman=False))
    references(made, 50, 100, forward=0.5)
    assert not made.standing
    last = references(made, 150, 150, forward=0.5, deadman=False)[-1]
    assert made.standing and not last.deadman and (last.q == MODEL.q_stand).all()


def test_the_root_goes_where_the_velocity_says_and_turns():
    made = stage()
    walked = references(made, 0, 200, forward=0.5, turn=0.4)
    yaw = [2.0 * np.arctan2(r.root_quat_w[3], r.root_quat_w[0]) for r in walked]
    turned = np.unwrap(yaw)
    assert (turned[-1] - turned[-51]) == pytest.approx(0.4, abs=1e-6)  # one second
    where = np.array([r.root_pos_w[:2] for r in walked])
    step = np.linalg.norm(np.diff(where[-36:], axis=0).sum(axis=0))
    assert step == pytest.approx(0.5 * 0.7, rel=0.02)
    speed = np.array([r.root_lin_vel_w[:2] @ (np.cos(a), np.sin(a)) for r, a in zip(walked, yaw, strict=True)])
    assert speed[-50:] == pytest.approx(0.5)


def test_what_is_said_to_the_policy_comes_from_its_rows():
    said = Said("test", forward=((0.5, 0.9, 0.2),))
    made = stage(policy="mine", table=replace(PLAIN, said={"mine": said}))
    mean = np.mean([r.root_lin_vel_w for r in references(made, 0, 236, forward=0.5)[-36:]], axis=0)  # one cycle
    assert mean == pytest.approx((0.9, 0.2, 0.0), abs=0.01)
    other = stage(policy="another", table=replace(PLAIN, said={"mine": said}))
    assert references(other, 0, 200, forward=0.5)[-1].root_lin_vel_w[0] == pytest.approx(0.5)


def test_joint_speeds_are_those_of_the_joints():
    walked = references(stage(), 0, 100, forward=0.4)
    for before, after in zip(walked, walked[1:], strict=False):
        np.testing.assert_allclose(after.dq, (after.q - before.q) / 0.02, atol=1e-9)


@pytest.mark.parametrize("change", ["gap", "device", "backwards"])
def test_a_gap_or_another_device_begins_from_standing_and_says_so(change: str):
    made = stage()
    before = references(made, 0, 100, forward=0.5)[-1]
    again = {"gap": command(113, forward=0.5), "device": command(100, forward=0.5, resets=1),
             "backwards": command(98, forward=0.5)}[change]  # fmt: skip
    after = made.on_command(again).reference
    assert after is not None
    assert after.resets == before.resets + 1
    np.testing.assert_allclose(after.q, MODEL.q_stand, atol=0.1)
    assert abs(after.root_pos_w[:2]).max() < 0.01


def test_a_late_command_is_no_gap():
    made = stage()
    before = references(made, 0, 100, forward=0.5)[-1]
    after = made.on_command(command(111, forward=0.5)).reference
    assert after is not None and after.resets == before.resets


def test_a_velocity_policy_gets_the_bare_velocity_and_no_steps():
    made = VelocityStage(H1, 1, drive="direct")
    walked = [made.on_command(command(i, forward=0.5, left=-0.2, turn=0.3)).reference for i in range(200)]
    first, last = walked[0], walked[-1]
    assert first is not None and last is not None
    assert first.root_lin_vel_w[0] == pytest.approx(0.6 * 0.02, abs=1e-4)
    assert (last.q == H1.q_stand).all()
    yaw = 2.0 * np.arctan2(last.root_quat_w[3], last.root_quat_w[0])
    assert last.root_lin_vel_w[:2] @ (np.cos(yaw), np.sin(yaw)) == pytest.approx(0.5)
    assert last.root_lin_vel_w[:2] @ (-np.sin(yaw), np.cos(yaw)) == pytest.approx(-0.2)
    assert last.root_ang_vel_w.tolist() == [0.0, 0.0, pytest.approx(0.3)]


def test_a_robot_without_a_table_is_not_walked_by_templates():
    with pytest.raises(NoGait) as error:
        VelocityStage(H1, 1)
    assert str(error.value) == (
        "unitree_h1 has no gait.toml, so no tracker can be walked by a velocity; choose a velocity policy"
    )


@pytest.mark.slow
@pytest.mark.parametrize("speed", [0.3, 0.5])
def test_the_default_policy_walks_forward_as_told_and_stands_when_the_stick_is_let_go(speed: float):
    resolved = resolve("default", MODEL)
    assert resolved is not None
    lock, asked = Lockstep(MODEL, resolved), [0.0]
    stream = VelocityStream(VelocityStage(MODEL, 1, policy="default"), lambda _now_ns: (asked[0], 0.0, 0.0))
    lock.arm(stream)
    assert lock.engage(stream)
    stream.held = True
    lock.run(stream, 1.0)
    asked[0] = speed
    lock.run(stream, 2.0)
    from_m = lock.ticks["root_pos_w"][-1].copy()
    lock.run(stream, 4.0)
    to_m = lock.ticks["root_pos_w"][-1].copy()
    asked[0] = 0.0
    lock.run(stream, 2.5)
    assert lock.fell_at_s is None and lock.mode is Mode.ACTIVE
    assert np.linalg.norm(to_m[:2] - from_m[:2]) / 4.0 == pytest.approx(speed, rel=0.25)
    np.testing.assert_allclose(lock.ticks["reference_q"][-1], MODEL.q_stand)
    stopped = lock.ticks["root_pos_w"][-1].copy()
    lock.run(stream, 1.0)
    assert np.linalg.norm(lock.ticks["root_pos_w"][-1][:2] - stopped[:2]) < 0.05
