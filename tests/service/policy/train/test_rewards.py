"""The tracking reward: what it prefers, and its measurements against independent ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.policy.train.bodies import Randomised
from teleopd.service.policy.train.channels import JOINTS, PITCH, ROLL, VX, Z, quaternion, stand
from teleopd.service.policy.train.rewards import FILTER_S, Rewards, heading_velocity, key_distance
from teleopd.service.policy.train.world import World
from teleopd.service.telemetry.tracking import KeyBodyError


@pytest.fixture
def world(card):
    """One robot that has stood for half a second."""
    made = World(1, card, threads=1, measure=True)
    made.start(0, np.tile(stand(), (100, 1)), Randomised.nominal(made.nbody))
    for _ in range(25):
        made.act(np.zeros((1, 29), np.float32))
    yield made
    made.close()


def scored(world, reference):
    rewards = Rewards(1)
    for _ in range(100):  # until the low-pass has settled
        out = rewards.score(world, reference[None].astype(np.float32), np.zeros((1, 29), np.float32))
    return out


def test_standing_as_told_is_worth_nearly_everything(world):
    reference = stand()
    reference[Z], reference[JOINTS] = world.qpos[0, 2], world.qpos[0, 7:]
    good = scored(world, reference)
    assert 0.10 < good.total[0] < 0.14
    assert good.terms["joints"] > 0.99 and good.terms["height"] > 0.99 and good.terms["slip"] < 0.1


@pytest.mark.parametrize("channel, by, term", [
    (VX, 0.3, "velocity"), (Z, 0.1, "height"), (PITCH, 0.3, "tilt"), (JOINTS.start + 3, 1.5, "joints"),
])  # fmt: skip
def test_every_departure_costs(world, channel, by, term):
    asked = stand()
    best = scored(world, asked)
    asked[channel] += by
    other = scored(world, asked)
    assert other.total[0] < best.total[0] and other.terms[term] < best.terms[term] - 0.03


def test_a_velocity_is_compared_after_the_low_pass(world):
    rewards, reference = Rewards(1), stand()[None].astype(np.float32)
    rewards.score(world, reference, np.zeros((1, 29), np.float32))
    reference[0, VX] = 1.0
    for _ in range(20):
        rewards.score(world, reference, np.zeros((1, 29), np.float32))
    np.testing.assert_allclose(rewards.wanted[0, 0], 1.0 - (1.0 - 0.02 / FILTER_S) ** 20, rtol=1e-6)


def test_key_distance_is_the_project_s_key_body_error(world):
    """Against the telemetry's own kinematics, with another reference, after turning the robot's heading."""
    track = np.tile(stand(), (10, 1))
    track[:, JOINTS.start + 15] += 0.5
    track[:, [ROLL, PITCH]] = 0.1, -0.05
    world.start(0, track, Randomised.nominal(world.nbody))
    world.bodies[0].data.qpos[3:7] = np.cos(0.6), 0, 0, np.sin(0.6)
    world.act(np.zeros((1, 29), np.float32))
    wanted = quaternion(np.array([0.1]), np.array([-0.05]), np.zeros(1))
    q, quat = world.qpos[:, 7:], world.qpos[:, 3:7]
    error = KeyBodyError(MODEL).errors(track[:1, JOINTS], wanted, q, quat).mean()
    np.testing.assert_allclose(key_distance(world)[0], error, atol=0.003)  # sites are a physics step older
    assert error > 0.02


def test_velocity_is_in_the_robot_s_heading(world):
    world.qpos[0, 3:7] = np.cos(np.pi / 4), 0, 0, np.sin(np.pi / 4)
    world.qvel[0, :6] = 0.0, 0.5, 0.1, 0.0, 0.0, 0.7
    np.testing.assert_allclose(heading_velocity(world)[0], (0.5, 0.0, 0.1, 0.7), atol=1e-12)
