"""Who of the experts moves a robot's legs: standing until a push or a command, walking until the feet are square."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.policy.train.decoupled.walker import ACTION_SCALE, DT_S, HEIGHT, WALKS
from teleopd.service.policy.train.decoupled.world import Balance, Bools, Float32, World
from teleopd.service.policy.train.experts.standing import GRAVITY, Gains, StandingExpert
from teleopd.service.policy.train.experts.walking import Obeyed, WalkingExpert

LARGEST_WAY_M_S = 0.5
GIVES_WAY_S = 1.2
BENT_M = 0.03


class Handover(NamedTuple):
    """When one takes over from the other."""

    step_ahead: float = 0.08
    step_back: float = -0.07
    step_aside: float = 0.15
    """Capture point beyond these [m] from where the standing robot keeps its centre of mass: it steps."""
    square_m: float = 0.07
    """It stands again with the feet no further apart lengthways,"""
    lifted_m: float = 0.015
    """both on the floor,"""
    calm_ahead: float = 0.05
    calm_aside: float = 0.11
    """and the capture point within these."""
    march_s: float = 0.3
    """Shortest time of stepping."""
    squat_m: float = 0.064
    """No step is begun so far below its full height: a bent robot has no time for it."""
    give_way: float = 0.8
    """It steps where it is going: share of the velocity of its centre of mass that is commanded."""


class BothExperts:
    """Labels of a whole world: what to do, and whether that is to step. Who steps now is in the world."""

    def __init__(
        self, world: World, teacher: Path, gains: Gains | None = None, handover: Handover = Handover(),
        obeyed: Obeyed | None = None,
    ) -> None:  # fmt: skip
        self._world = world
        self.walking, self.standing = WalkingExpert(teacher, world, obeyed), StandingExpert(world, gains)
        self.handover = handover
        self._ankles = [i for i, name in enumerate(world.walker.legs) if "ankle" in name]
        self._tall_m = world.walker.model.stand_height_m - handover.squat_m
        self.stands: Bools = np.ones(world.count, dtype=np.bool_)
        self._since = np.zeros(world.count)

    def reset(self, which: Bools) -> None:
        """These robots start anew, standing."""
        self.stands[which] = True
        self._since[which] = 1e3
        self.standing.begin(which)

    def __call__(self, command: Array | None = None) -> Float32:
        """Raw actions (k, legs) for this tick; call once a tick. `steps` then says whether they are steps."""
        world = self._world
        self._follow(world.steps < 0.5)
        command = world.command if command is None else command
        b = world.balance()
        self._decide(command, b)
        share = self.handover.give_way * np.clip(1.0 - self._since / GIVES_WAY_S, 0.0, 1.0)
        given_way = np.clip(share[:, None] * b.com_velocity, -LARGEST_WAY_M_S, LARGEST_WAY_M_S)
        given_way[:, 2] = 0.0
        walked = self.walking(np.where(command[:, WALKS : WALKS + 1] > 0.5, command[:, :3], given_way), b)
        stood = self.standing(command, b)
        return self._same_torque(np.where(self.stands[:, None], stood, walked))

    def _same_torque(self, action: Float32) -> Float32:
        """What gives with each robot's own gains the position torque that was meant: kp (x' - q) = x - q.

        In the simulation the gains are known; the student has to find them in how its joints obey. An ankle that walks
        may be made up for less: it turns far within a tick, in which the torque told at its begin is out of date.
        """
        world, legs = self._world, action.shape[1]
        kp = np.tile([[errors.kp] for errors in world.errors], (1, legs)).astype(np.float32)
        share = np.where(self.stands, 1.0, self.walking.obeyed.ankle_share)[:, None]
        kp[:, self._ankles] = 1.0 + share * (kp[:, self._ankles] - 1.0)
        zero = ((world.qpos[:, 7 : 7 + legs] - world.walker.default[:legs]) / ACTION_SCALE).astype(np.float32)
        return np.asarray(zero + (action - zero) / kp, dtype=np.float32)

    @property
    def steps(self) -> Float32:
        """Whether this tick's answer steps, 0 or 1, (k,)."""
        return (~self.stands).astype(np.float32)

    def _follow(self, stands: Bools) -> None:
        """Who drove has decided otherwise than asked: go on from there."""
        changed = stands != self.stands
        self.stands = stands
        self._since[changed] = 0.0
        if (changed & stands).any():
            self.standing.begin(changed & stands)
        if (changed & ~stands).any():
            self.walking.reset(changed & ~stands)

    def _decide(self, command: Array, b: Balance) -> None:
        h = self.handover
        omega = np.sqrt(GRAVITY / np.maximum(b.com[:, 2], 0.3))
        ahead = b.com[:, 0] + b.com_velocity[:, 0] / omega - self.standing.gains.ahead_m
        aside = np.abs(b.com[:, 1] + b.com_velocity[:, 1] / omega)
        asked, world_height = command[:, WALKS] > 0.5, self._world.qpos[:, 2]
        pushed = (ahead > h.step_ahead) | (ahead < h.step_back) | (aside > h.step_aside)
        tall = (command[:, HEIGHT] > self._tall_m) & (world_height > self._tall_m)
        go = self.stands & tall & (asked | pushed)
        square = (np.abs(b.foot[:, 0]) * 2.0 < h.square_m) & (b.lifted.max(axis=1) < h.lifted_m)
        calm = (ahead < h.calm_ahead) & (ahead > -h.calm_ahead) & (aside < h.calm_aside)
        stop = ~self.stands & ~asked & square & calm & (self._since > h.march_s)
        # Bent, it stands whatever was decided: nobody walks like that, and stepping it would fall.
        stop |= ~self.stands & ~asked & (world_height < self._tall_m - BENT_M)
        self._since += DT_S
        self.stands = np.where(go, False, np.where(stop, True, self.stands))
        self._since[go | stop] = 0.0
        if go.any():
            self.walking.reset(go)
        if stop.any():
            self.standing.begin(stop)
