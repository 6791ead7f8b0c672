"""Gait templates: continuous, bounded, symmetric, feet that lift, and standing exactly at rest."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.service.policy.gait import Gait, GaitPose
from teleopd.service.policy.gait_table import gait_table
from teleopd.service.policy.legs import Legs, NoLegs

DT_S = 0.02
TABLE = gait_table(MODEL)
assert TABLE is not None
SHAPE, LIMITS = TABLE.shape, TABLE.limits
GAIT = Gait(MODEL, SHAPE, LIMITS)
speeds = st.floats(-1.0, 1.0)
Command = tuple[float, float, float]


@pytest.fixture
def gait() -> Gait:
    GAIT.reset()
    return GAIT


def run(gait: Gait, *legs: tuple[float, Command]) -> list[GaitPose]:
    """Poses of commands, each given for so many seconds."""
    return [gait.step(*command, DT_S) for seconds, command in legs for _ in range(round(seconds / DT_S))]


def soles(poses: list[GaitPose]) -> tuple[Array, Array]:
    """Lowest sole point of both feet above the floor (T, 2), and places of the ankles by the heading (T, 2, 3)."""
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    d = mujoco.MjData(m)
    joints = [m.joint(name).qposadr[0] for name in MODEL.joint_names]
    points = [[m.site(f"{side}_sole_{i}").id for i in (1, 2, 3, 4)] for side in ("left", "right")]
    feet = [m.body(f"{side}_ankle_roll_link").id for side in ("left", "right")]
    low, place = np.zeros((len(poses), 2)), np.zeros((len(poses), 2, 3))
    for i, pose in enumerate(poses):
        d.qpos[:7] = 0.0, pose.sway_m, pose.height_m, np.cos(pose.pitch_rad / 2), 0.0, np.sin(pose.pitch_rad / 2), 0.0
        d.qpos[joints] = pose.q
        mujoco.mj_kinematics(m, d)
        low[i] = [d.site_xpos[sites, 2].min() for sites in points]
        place[i] = d.xpos[feet]
    return low, place


def test_without_a_command_it_stands_bit_for_bit(gait: Gait):
    for pose in run(gait, (1.0, (0.0, 0.0, 0.0))):
        assert (pose.q == MODEL.q_stand).all()
        assert (pose.height_m, pose.pitch_rad, pose.sway_m, pose.velocity) == (
            MODEL.stand_height_m, 0.0, 0.0, (0.0, 0.0, 0.0),
        )  # fmt: skip
    assert gait.standing


@settings(deadline=None, max_examples=8)
@given(st.lists(st.tuples(st.floats(0.1, 1.5), st.tuples(speeds, speeds, speeds)), min_size=1, max_size=4))
def test_any_commands_give_continuous_bounded_motion_and_end_in_the_exact_stand(legs: list[tuple[float, Command]]):
    GAIT.reset()
    poses = run(GAIT, *legs, (4.5, (0.0, 0.0, 0.0)))
    q = np.array([MODEL.q_stand, *(pose.q for pose in poses)])
    assert (q >= MODEL.limits.q_lower).all() and (q <= MODEL.limits.q_upper).all()
    rate = np.diff(q, axis=0) / DT_S
    assert np.abs(rate).max() < 15.0  # the reference guard's bound: nothing of it is cut off
    velocity = np.array([(0.0, 0.0, 0.0), *(pose.velocity for pose in poses)])
    assert (np.abs(velocity) <= np.array(LIMITS.speed) + 1e-12).all()
    assert (np.abs(np.diff(velocity, axis=0)) <= np.array(LIMITS.change) * DT_S + 1e-12).all()
    for what in ([p.height_m for p in poses], [p.sway_m for p in poses], [p.pitch_rad for p in poses]):
        assert np.abs(np.diff(what)).max() / DT_S < 0.6
    assert (poses[-1].q == MODEL.q_stand).all() and poses[-1].height_m == MODEL.stand_height_m
    assert GAIT.standing


@pytest.mark.parametrize("command", [(0.6, 0.0, 0.0), (-0.4, 0.0, 0.0), (0.0, 0.4, 0.0), (0.0, 0.0, 0.8)])
def test_feet_lift_and_the_other_one_stays_on_the_floor(gait: Gait, command: Command):
    low, _ = soles(run(gait, (4.0, command))[100:])
    assert low.max(axis=0) == pytest.approx([SHAPE.lift_m] * 2, abs=0.012)
    assert (low.min(axis=1) < 0.002).all(), "both feet in the air"
    assert low.min() > -0.002, "a sole under the floor"
    both_down = (low < 1e-3).all(axis=1).mean()
    assert both_down > 0.5 * (1.0 - 2.0 * SHAPE.swing)


@pytest.mark.parametrize("command", [(0.5, 0.0, 0.0), (-0.3, 0.0, 0.0), (0.0, 0.4, 0.0), (0.0, 0.0, 0.6)])
def test_a_foot_on_the_floor_stays_where_it_is(gait: Gait, command: Command):
    """The body goes over the stance foot: in the world the foot stands still."""
    poses = run(gait, (4.0, command))[100:]
    low, place = soles(poses)
    forward, left, turn = command
    slip = []
    for i in range(len(poses) - 1):
        for foot in (0, 1):
            if max(low[i, foot], low[i + 1, foot]) < 1e-4:
                c, s = np.cos(turn * DT_S), np.sin(turn * DT_S)
                x, y, _ = place[i + 1, foot]
                moved = np.array((c * x - s * y + forward * DT_S, s * x + c * y + left * DT_S))
                slip.append(np.linalg.norm(moved - place[i, foot, :2]) / DT_S)
    assert len(slip) > 50
    assert max(slip) < 0.02  # [m/s]


def test_left_and_right_are_mirror_images_half_a_cycle_apart(gait: Gait):
    names = MODEL.joint_names
    other = [names.index(n.replace("left", "R").replace("right", "left").replace("R", "right")) for n in names]
    sign = np.array([-1.0 if ("roll" in n or "yaw" in n) else 1.0 for n in names])
    cycles = replace(SHAPE, cycle_s=0.8, cycle_side_s=0.8)  # half a cycle is 20 ticks
    gait = Gait(MODEL, cycles, LIMITS)
    ahead = run(gait, (6.0, (0.3, 0.2, 0.4)))
    gait.reset()
    mirrored = run(gait, (6.0, (0.3, -0.2, -0.4)))
    for i in range(200, 260):
        np.testing.assert_allclose(mirrored[i + 20].q, sign * ahead[i].q[other], atol=2e-6)


def test_sidesteps_never_bring_the_feet_into_each_other(gait: Gait):
    for command in ((0.0, 0.6, 0.0), (0.0, -0.6, 0.0)):
        _, place = soles(run(gait, (4.0, command)))
        assert (place[:, 0, 1] - place[:, 1, 1]).min() > 2.0 * 0.1185 - SHAPE.apart_m - 0.01


def test_a_change_of_command_keeps_the_phase(gait: Gait):
    run(gait, (2.0, (0.4, 0.0, 0.0)))
    before = gait.phase
    gait.step(-0.4, 0.0, 0.5, DT_S)
    assert (gait.phase - before) % 1.0 == pytest.approx(DT_S / SHAPE.cycle_s)


def test_a_stop_finishes_the_step_before_it_stands(gait: Gait):
    run(gait, (2.0, (0.4, 0.0, 0.0)))
    stopping = run(gait, (3.0, (0.0, 0.0, 0.0)))
    low, _ = soles(stopping)
    speed = np.array([pose.velocity[0] for pose in stopping])
    assert (speed[0], speed[-1]) == (pytest.approx(0.4 - LIMITS.change[0] * DT_S), 0.0)
    assert low[speed > 0.05].max() > 0.9 * SHAPE.lift_m
    assert (stopping[-1].q == MODEL.q_stand).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_no_command(gait: Gait, bad: float):
    assert all((pose.q == MODEL.q_stand).all() for pose in run(gait, (0.5, (bad, 0.0, 0.0))))
    run(gait, (1.0, (0.4, 0.0, 0.0)))
    assert np.isfinite(gait.step(0.4, bad, 0.0, DT_S).q).all()


def test_both_axes_at_once_stay_within_the_speed(gait: Gait):
    velocity = run(gait, (4.0, (5.0, 5.0, 5.0)))[-1].velocity
    assert velocity == pytest.approx((0.6 / 2**0.5, 0.6 / 2**0.5, 0.8))


def test_poses_do_not_share_an_array(gait: Gait):
    first, second = run(gait, (0.04, (0.4, 0.0, 0.0)))
    assert not np.shares_memory(first.q, second.q) and not np.shares_memory(first.q, MODEL.q_stand)


def test_legs_find_the_stand_pose_and_refuse_other_robots():
    legs = Legs(MODEL)
    np.testing.assert_allclose(legs.solve(legs.home_b, np.zeros(2), 0.0), MODEL.q_stand[legs.indices], atol=1e-9)
    with pytest.raises(NoLegs) as error:
        Legs(H1)
    assert str(error.value) == "unitree_h1 has no joint 'left_ankle_pitch_joint'; gait templates need six joints a leg"
