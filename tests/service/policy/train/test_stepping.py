"""Gait templates: they go as fast as told, stand on feet that do not slide, and close."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.channels import JOINTS, VX, VY, WZ, Z, stand
from teleopd.service.policy.train.stepping import DUTY, LIFT_M, template, walk

COMMANDS = [(0.2, 0.0, 0.0), (0.6, 0.0, 0.0), (-0.2, 0.0, 0.0), (-0.6, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, -0.6, 0.0),
            (0.0, 0.0, 0.8), (0.3, 0.0, -0.5)]  # fmt: skip


def ankles(cycle):
    """World places of the ankles (ticks, 2, 3) with the root carried by the channels, and soles' lowest height."""
    m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
    d = mujoco.MjData(m)
    feet = [m.body(f"{side}_ankle_roll_link").id for side in ("left", "right")]
    soles = [m.site(name).id for name in MODEL.sole_sites]
    x = y = yaw = 0.0
    out, low = [], []
    for now, one, two in zip(cycle, np.roll(cycle, -1, axis=0), np.roll(cycle, -2, axis=0), strict=True):
        # Channels are differences over the last two ticks: half-way to the next one lie the next two's middles.
        vx, vy, wz = 0.5 * (one[[VX, VY, WZ]] + two[[VX, VY, WZ]])
        d.qpos[:] = x, y, now[Z], np.cos(yaw / 2), 0, 0, np.sin(yaw / 2), *now[JOINTS]
        mujoco.mj_kinematics(m, d)
        out.append(d.xpos[feet].copy())
        low.append(d.site_xpos[soles, 2].min())
        x, y = x + (np.cos(yaw) * vx - np.sin(yaw) * vy) / 50, y + (np.sin(yaw) * vx + np.cos(yaw) * vy) / 50
        yaw += wz / 50
    return np.array(out), np.array(low)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_template_goes_as_told(command):
    cycle = template(*command)
    np.testing.assert_allclose(cycle[:, [VX, VY, WZ]].mean(axis=0), command, atol=0.02)
    assert np.all(cycle[:, JOINTS] >= MODEL.limits.q_lower) and np.all(cycle[:, JOINTS] <= MODEL.limits.q_upper)
    step = np.diff(np.vstack((cycle, cycle[:1])), axis=0)[:, JOINTS]
    assert np.abs(step).max() * 50 < 12.0  # closed, and within what the motors can do


@pytest.mark.parametrize("command", COMMANDS)
def test_a_standing_foot_stays_where_it_is_and_the_other_is_lifted(command):
    places, low = ankles(template(*command))
    assert abs(low).max() < 0.012
    height = places[:, :, 2] - places[:, :, 2].min()
    np.testing.assert_allclose(height.max(axis=0), LIFT_M, atol=0.008)
    for foot in (0, 1):
        standing = height[:, foot] < 0.002
        assert abs(standing.mean() - DUTY) < 0.12
        together = np.flatnonzero(standing[1:] & standing[:-1])
        slid = np.linalg.norm(np.diff(places[:, foot, :2], axis=0)[together], axis=1) * 50
        assert np.median(slid) < 0.02


@pytest.mark.parametrize("speed", [0.2, 0.4, 0.6])
def test_feet_keep_apart_when_stepping_sideways(speed):
    places, _ = ankles(template(0.0, speed, 0.0))
    assert (places[:, 0, 1] - places[:, 1, 1]).min() > 0.15


def test_a_walk_without_a_command_stands_and_has_no_jump():
    commands = np.zeros((200, 3))
    commands[50:150, 0] = np.clip(np.arange(100) / 50, 0, 1) * np.clip((99 - np.arange(100)) / 50, 0, 1) * 0.5
    track = walk(commands)
    np.testing.assert_array_equal(track[:50], np.tile(stand(), (50, 1)))
    np.testing.assert_array_equal(track[160:], np.tile(stand(), (40, 1)))
    assert track[95:105, VX].mean() > 0.3
    assert np.abs(np.diff(track[:, JOINTS], axis=0)).max() * 50 < 16.0


def test_templates_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; from teleopd.service.policy.train import stepping, battery"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
