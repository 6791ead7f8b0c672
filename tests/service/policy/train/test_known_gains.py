"""Labels for robots with other gains: the torque that was meant."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")

from teleopd.service.policy.train.bodies import WRISTS, Randomised
from teleopd.service.policy.train.channels import N, stand
from teleopd.service.policy.train.export import training_card
from teleopd.service.policy.train.features import ACTION_SCALE, DEFAULT
from teleopd.service.policy.train.known_gains import gains_of, same_torque
from teleopd.service.policy.train.world import World


def test_the_changed_answer_gives_the_torque_that_was_meant():
    rng = np.random.default_rng(0)
    action, q = rng.normal(0, 1, (3, N)).astype(np.float32), rng.normal(0, 0.3, (3, N)).astype(np.float32)
    kp = rng.uniform(0.65, 1.35, (3, N)).astype(np.float32)
    meant = 1.0 * (action * ACTION_SCALE + DEFAULT - q)
    given = kp * (same_torque(action, q, kp) * ACTION_SCALE + DEFAULT - q)
    np.testing.assert_allclose(given, meant, atol=1e-5)
    np.testing.assert_allclose(same_torque(action, q, np.ones_like(kp)), action, atol=1e-6)


def test_a_weak_robot_told_so_presses_as_hard_as_a_nominal_one():
    """In the simulated motors themselves: one tick's first actuator force, nominal and with half the gains."""
    world = World(2, training_card(), threads=1)
    track = np.tile(stand(), (50, 1))
    world.start(0, track, Randomised.nominal(world.nbody))
    world.start(1, track, Randomised.nominal(world.nbody, kp=np.full(N, 0.5)))
    kp = gains_of(world)
    assert kp[0].min() == 1.0
    np.testing.assert_array_equal(np.flatnonzero(kp[1] == 1.0), WRISTS)
    q = world.qpos[:, 7:].astype(np.float32)
    action = np.full((2, N), 0.1, dtype=np.float32)
    targets = same_torque(action, q, kp) * ACTION_SCALE + DEFAULT
    forces = []
    for body, target in zip(world.bodies, targets, strict=True):
        body.data.ctrl[:] = target
        body.data.qvel[:] = 0.0
        mujoco.mj_forward(body.m, body.data)
        forces.append(body.data.actuator_force.copy())
    others = np.setdiff1d(np.arange(N), WRISTS)
    np.testing.assert_allclose(forces[1][others], forces[0][others], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(forces[1][WRISTS], 0.5 * forces[0][WRISTS], rtol=1e-4, atol=1e-4)
    assert np.abs(forces[0][others]).min() > 0.1
    world.close()
