"""One iteration's experience: what was seen, done, rewarded, and what it was worth (generalised advantages)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.policy.train.channels import Float32, N
from teleopd.service.policy.train.features import COLUMNS, PROPRIOCEPTION
from teleopd.service.policy.train.rewards import Rewards, heading_velocity
from teleopd.service.policy.train.world import World

PRIVILEGED = 4 + 3 + 9 + PROPRIOCEPTION
"""Numbers that only the critic sees."""


class Batch(NamedTuple):
    """Samples in any order."""

    used: Float32
    """(k, 537)"""
    privileged: Float32
    """(k, 108)"""
    action: Float32
    mean: Float32
    """What the actor answered before noise."""
    log_prob: Float32
    advantage: Float32
    value: Float32
    """The return: what the critic should have said."""
    label: Float32
    """The teacher's answer; zero where it was not asked."""
    taught: Float32
    """1 where it was."""

    def finite(self) -> Batch:
        """Without the samples that hold a number that is none."""
        good: npt.NDArray[np.bool_] = np.ones(len(self.used), dtype=np.bool_)
        for values in self:
            good &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        return Batch(*(values[good] for values in self))


class Rollout:
    """`ticks` ticks of `count` robots."""

    def __init__(self, ticks: int, count: int) -> None:
        def room(width: int) -> Float32:
            return np.zeros((ticks, count, width), dtype=np.float32)

        self.used, self.privileged = room(len(COLUMNS)), room(PRIVILEGED)
        self.action, self.mean, self.label = room(N), room(N), room(N)
        self.log_prob, self.reward, self.taught, self.value = (room(1)[:, :, 0] for _ in range(4))
        self.ended: npt.NDArray[np.bool_] = np.zeros((ticks, count), dtype=np.bool_)

    def batch(self, last_value: Float32, gamma: float, lam: float) -> Batch:
        """Everything flat; `last_value` (count,) is the critic's word on the state after the last tick."""
        advantage = advantages(self.reward, self.value, self.ended, last_value, gamma, lam)
        returns = (advantage + self.value).astype(np.float32)
        spread = float(advantage.std()) + 1e-8
        scaled = ((advantage - advantage.mean()) / spread).astype(np.float32)

        def flat(values: Float32) -> Float32:
            return values.reshape(-1, values.shape[2]) if values.ndim == 3 else values.reshape(-1)

        return Batch(
            flat(self.used), flat(self.privileged), flat(self.action), flat(self.mean), flat(self.log_prob),
            flat(scaled), flat(returns), flat(self.label), flat(self.taught),
        ).finite()  # fmt: skip


def advantages(
    reward: Float32, value: Float32, ended: npt.NDArray[np.bool_], last_value: Float32, gamma: float, lam: float
) -> Float32:
    """GAE (Schulman et al. 2016), (ticks, count). `ended`: the robot started anew after the tick, nothing follows."""
    out = np.zeros_like(reward)
    ahead, after = np.zeros_like(last_value), last_value
    for t in range(len(reward) - 1, -1, -1):
        goes_on = 1.0 - ended[t]
        delta = reward[t] + gamma * after * goes_on - value[t]
        ahead = (delta + gamma * lam * goes_on * ahead).astype(np.float32)
        out[t], after = ahead, value[t]
    return out


def privileged(world: World, rewards: Rewards, clean: Float32, forces_w: Array) -> Float32:
    """What the critic sees beside the student's observation, each of order one, (k, 108).

    True velocity and height; commanded minus obtained low-passed velocity; the robot's errors and the push on it; the
    clean proprioception (k, 92).
    """
    speed = heading_velocity(world)
    parameters = np.array([
        (e.delay / 8.0, 3.0 * (float(e.kp.mean()) - 1.0), 3.0 * (e.kd - 1.0), e.torso_kg / 3.0, e.armature - 1.0,
         e.friction - 1.0, e.noise)
        for e in world.errors
    ])  # fmt: skip
    off = rewards.wanted - rewards.moving
    height = world.qpos[:, 2:3] - 0.75
    out = np.hstack((speed[:, :3], 5.0 * height, 3.0 * off, parameters, forces_w[:, :2] / 100.0, clean))
    return np.clip(np.nan_to_num(out), -20.0, 20.0).astype(np.float32)
