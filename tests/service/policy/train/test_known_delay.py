"""A teacher that sees ahead: each robot as it will be when the answer of this tick reaches its motors."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.bodies import SUBSTEPS, Randomised
from teleopd.service.policy.train.channels import N, stand
from teleopd.service.policy.train.features import PROPRIOCEPTION, WIDTH
from teleopd.service.policy.train.world import World

STILL = np.tile(stand(), (200, 1))
DELAYS = (0, SUBSTEPS, 2 * SUBSTEPS, 3 * SUBSTEPS)
"""Whole ticks: a robot is looked at once a tick."""


def lively(card, ahead: bool) -> World:
    """A robot of each delay, falling about: what is foreseen is no standing still."""
    world = World(len(DELAYS), card, threads=2, ahead=ahead)
    for i, delay in enumerate(DELAYS):
        world.start(i, STILL, Randomised.nominal(world.nbody, delay=delay), joint_noise=0.05, velocity=0.3)
    return world


def played(world: World, ticks: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Where the robots were, where the teacher saw them, and what it saw, tick by tick."""
    rng, was, seen, told = np.random.default_rng(3), [], [], []
    for _ in range(ticks):
        told.append(world.see(np.random.default_rng(0)).teacher.copy())
        was.append(np.hstack((world.qpos, world.qvel)))
        seen.append(np.hstack((world.seen_qpos, world.seen_qvel)))
        world.act(rng.normal(0.0, 0.5, (world.count, N)).astype(np.float32))
    world.close()
    return was, seen, told


def test_what_the_teacher_sees_is_where_the_robot_is_when_the_answer_arrives(card):
    was, seen, told = played(lively(card, ahead=True), 12)
    for i, delay in enumerate(DELAYS):
        late = delay // SUBSTEPS
        for tick in range(len(was) - late):
            np.testing.assert_array_equal(seen[tick][i], was[tick + late][i], err_msg=f"delay {delay}, tick {tick}")
    gyro = slice(WIDTH, WIDTH + 3)
    np.testing.assert_allclose(told[5][2][gyro], 0.25 * was[7][2][7 + N + 3 : 7 + N + 6], rtol=1e-5, atol=1e-6)
    assert np.abs(told[5][2][gyro] - 0.25 * was[5][2][7 + N + 3 : 7 + N + 6]).max() > 1e-3
    assert told[0].shape[1] > PROPRIOCEPTION


def test_looking_ahead_moves_nothing(card):
    plain, ahead = played(lively(card, ahead=False), 12), played(lively(card, ahead=True), 12)
    np.testing.assert_array_equal(plain[0], ahead[0])
    np.testing.assert_array_equal(plain[0], plain[1], "without it the teacher sees what is")
