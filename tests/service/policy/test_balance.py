"""Centre of mass over the feet from joint sensors: against MuJoCo's own, and against differences in time."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest

from teleopd.robots.unitree_h1.model import MODEL
from teleopd.service.policy.balance import Balance
from teleopd.service.policy.errors import NoBody

FEET = ("left_ankle_link", "right_ankle_link")
DOWN = np.array([0.0, 0.0, -1.0])


@pytest.fixture(scope="module")
def balance() -> Balance:
    return Balance(MODEL, FEET)


def test_standing_it_is_over_the_feet(balance: Balance):
    x, y, z, vx, vy, foot_x, foot_y = balance.read(DOWN, np.zeros(3), MODEL.q_stand, np.zeros(MODEL.n))
    assert abs(x) < 0.05 and abs(y) < 0.01
    assert 0.7 < z < 1.1
    assert (vx, vy) == (0.0, 0.0)
    assert abs(foot_x) < 1e-6 and 0.15 < foot_y < 0.25


def test_the_tilt_counts_and_the_heading_does_not(balance: Balance):
    upright = balance.read(DOWN, np.zeros(3), MODEL.q_stand, np.zeros(MODEL.n)).copy()
    forward = np.array([math.sin(0.1), 0.0, -math.cos(0.1)])  # gravity seen by a pelvis that leans forward by 0.1 rad
    leaning = balance.read(forward, np.zeros(3), MODEL.q_stand, np.zeros(MODEL.n))
    assert leaning[0] - upright[0] == pytest.approx(upright[2] * math.sin(0.1), abs=0.01)
    assert leaning[1] == pytest.approx(upright[1], abs=1e-3)


def test_velocities_are_the_differences_in_time_against_feet_that_stand(balance: Balance):
    rng, dt = np.random.default_rng(4), 1e-5
    for _ in range(10):
        q = MODEL.q_stand + rng.normal(0.0, 0.2, MODEL.n)
        dq = rng.normal(0.0, 1.0, MODEL.n)
        turn = rng.normal(0.0, 0.5)  # about the pelvis's own y axis, while it is upright
        now = balance.read(DOWN, np.array([0.0, turn, 0.0]), q, dq).copy()
        later_down = np.array([math.sin(turn * dt), 0.0, -math.cos(turn * dt)])
        later = balance.read(later_down, np.zeros(3), q + dq * dt, np.zeros(MODEL.n))
        assert now[3:5] == pytest.approx((later[:2] - now[:2]) / dt, abs=1e-3)


def test_the_place_is_mujocos_own(balance: Balance):
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    d = mujoco.MjData(m)
    q = MODEL.q_stand + np.random.default_rng(1).normal(0.0, 0.3, MODEL.n)
    d.qpos[3] = 1.0
    for name, value in zip(MODEL.joint_names, q, strict=True):
        d.joint(name).qpos[0] = value
    mujoco.mj_kinematics(m, d)
    mujoco.mj_comPos(m, d)
    left, right = (d.body(foot).xpos for foot in FEET)
    wanted = d.subtree_com[m.body("pelvis").id] - 0.5 * (left + right)
    found = balance.read(DOWN, np.zeros(3), q, np.zeros(MODEL.n))
    assert found[:3] == pytest.approx(wanted, abs=1e-9)
    assert found[5:] == pytest.approx(0.5 * (left - right)[:2], abs=1e-9)


def test_a_foot_the_robot_has_not_is_named():
    with pytest.raises(NoBody, match="unitree_h1 has no body 'left_hoof'.* Valid: pelvis, "):
        Balance(MODEL, ("left_hoof", "right_ankle_link"))
