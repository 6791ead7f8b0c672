"""Gait templates of our own: from a velocity to the joints of a walk, tick by tick, for a tracker that wants joints.

One cycle is two steps. Its phase runs from 0 to 1: in the middle of double support at 0 and 0.5, the left foot in the
air around 0.25 and the right around 0.75. In stance a foot goes back under the body with the body's velocity; in swing
it comes forward along the quintic that joins on to it without a jump in place, velocity or acceleration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy.legs import Legs

STILL = 1e-3
"""A velocity below this [m/s, rad/s] is none."""


@dataclass(frozen=True, slots=True)
class GaitShape:
    """Numbers of the template; those of a robot stand in its `gait.toml`."""

    cycle_s: float
    """Two steps [s]."""
    cycle_side_s: float
    """Two steps at the largest sideways speed [s]: shorter, because a sidestep is only half a stride."""
    swing: float
    """Share of the cycle in which a foot is in the air, below 0.5."""
    lift_m: float
    """Height of the foot in mid-swing."""
    sway_m: float
    """The pelvis goes so far over the stance foot."""
    drop_m: float
    """Walking rides so much lower than standing, so that the trailing leg reaches."""
    lean_rad_per_mps: float
    """Pelvis pitch for the forward velocity [rad s/m]."""
    arm_rad_per_mps: float
    """Swing of the shoulders for the forward velocity [rad s/m]."""
    apart_m: float
    """Feet come no closer than this much less than standing when stepping sideways."""
    start_s: float
    """From standing to full steps, and back."""


@dataclass(frozen=True, slots=True)
class GaitLimits:
    """What may be asked for, and how quickly it may change."""

    speed: tuple[float, float, float]
    """Forward or back, sideways [m/s], turn [rad/s]."""
    change: tuple[float, float, float]
    """[m/s^2], [m/s^2], [rad/s^2]"""


class GaitPose(NamedTuple):
    """One tick of the template, in the frame of the heading."""

    q: Array
    """Joints in motor order [rad], (n,); an array of its own."""
    height_m: float
    """Pelvis above the floor."""
    pitch_rad: float
    sway_m: float
    """Pelvis to the left of the line walked on."""
    velocity: tuple[float, float, float]
    """Forward, left [m/s], turn [rad/s]: what the steps are made for now."""


class Ramp:
    """A velocity (3,) that is bounded and changes at a bounded rate."""

    def __init__(self, limits: GaitLimits) -> None:
        self._speed, self._change = np.array(limits.speed), np.array(limits.change)
        self.now = np.zeros(3)
        """Forward, left [m/s], turn [rad/s]."""

    def bounded(self, forward: float, left: float, turn: float) -> Array:
        """What is asked for within the limits, its direction kept; zero where it is not finite, (3,)."""
        wanted = np.array((forward, left, turn))
        if not np.isfinite(wanted).all():
            return np.zeros(3)
        share = math.hypot(wanted[0] / self._speed[0], wanted[1] / self._speed[1])
        wanted[:2] /= max(share, 1.0)
        wanted[2] = min(max(wanted[2], -self._speed[2]), self._speed[2])
        wanted[np.abs(wanted) < STILL] = 0.0
        return wanted

    def approach(self, goal: Array, dt_s: float) -> None:
        """Move `now` towards `goal` (3,) as far as `dt_s` allows."""
        most = self._change * dt_s
        self.now += np.clip(goal - self.now, -most, most)


class Gait:
    """The walk of one robot: call `step` at a steady rate."""

    def __init__(self, model: RobotModel, shape: GaitShape, limits: GaitLimits) -> None:
        """Raises:
        NoLegs: the robot has not six joints a leg.
        """
        self._model, self._shape, self._limits = model, shape, limits
        self._legs = Legs(model)
        self._arms = [
            (model.joint_names.index(f"{side}_shoulder_pitch_joint"), sign)
            for side, sign in (("left", 1.0), ("right", -1.0))
            if f"{side}_shoulder_pitch_joint" in model.joint_names
        ]
        self._feet, self._yaw = np.zeros((2, 3)), np.zeros(2)
        self._still = np.zeros(3)
        self.reset()

    def reset(self) -> None:
        """Stand, at once."""
        self._phase, self._activity = 0.0, 0.0
        self._stopping, self._fading = False, False
        self._ramp = Ramp(self._limits)
        self._legs.reset()

    @property
    def standing(self) -> bool:
        """It stands exactly and takes no step."""
        return self._activity == 0.0

    @property
    def phase(self) -> float:
        """Of the cycle, 0 to 1."""
        return self._phase

    def step(self, forward: float, left: float, turn: float, dt_s: float) -> GaitPose:
        """One tick of `dt_s` towards the velocity asked for [m/s, m/s, rad/s], which is bounded; not finite is none."""
        wanted = self._ramp.bounded(forward, left, turn)
        # First the feet begin to lift, then the body goes.
        self._ramp.approach(wanted if self._activity > 0.5 else self._still, dt_s)
        self._stopping = not (wanted.any() or self._ramp.now.any())
        self._advance(dt_s)
        if self._activity == 0.0:
            return GaitPose(self._model.q_stand.copy(), self._model.stand_height_m, 0.0, 0.0, (0.0, 0.0, 0.0))
        return self._pose()

    def _advance(self, dt_s: float) -> None:
        """Phase, and how fully it steps: a stop lets the step in the air end, then the steps fade out."""
        before, after = self._phase, self._phase + dt_s / self._cycle_s()
        self._phase = after % 1.0
        rate = dt_s / self._shape.start_s
        if not self._stopping:
            self._fading = False
            self._activity = min(1.0, self._activity + rate)
            return
        # Both feet are down at phase 0 and 0.5.
        self._fading = self._fading or self._activity < 1.0 or math.floor(2.0 * after) > math.floor(2.0 * before)
        if self._fading:
            self._activity = max(0.0, self._activity - rate)
        if self._activity == 0.0:
            self._phase, self._fading = 0.0, False
            self._legs.reset()

    def _cycle_s(self) -> float:
        share = abs(float(self._ramp.now[1])) / self._limits.speed[1]
        return self._shape.cycle_s + share * (self._shape.cycle_side_s - self._shape.cycle_s)

    def _pose(self) -> GaitPose:
        shape, cycle_s = self._shape, self._cycle_s()
        forward, left, turn = self._ramp.now.tolist()
        ease = self._activity * self._activity * (3.0 - 2.0 * self._activity)
        sway = -shape.sway_m * ease * math.sin(2.0 * math.pi * self._phase)
        drop = shape.drop_m * ease
        pitch = shape.lean_rad_per_mps * forward * ease
        apart = max(0.0, abs(left) * cycle_s / 4.0 - 0.5 * shape.apart_m)
        for side, sign in ((0, 1.0), (1, -1.0)):
            travel, lifted = self._foot((self._phase + 0.5 * side) % 1.0)
            home = self._legs.home_b[side]
            angle = travel * turn * cycle_s
            c, s = math.cos(angle), math.sin(angle)
            x, y = home[0], home[1] + sign * apart * ease
            self._feet[side] = (
                c * x - s * y + travel * forward * cycle_s,
                s * x + c * y + travel * left * cycle_s - sway,
                home[2] + drop + shape.lift_m * ease * lifted,
            )
            self._yaw[side] = angle
        q = self._model.q_stand.copy()
        q[self._legs.indices] = self._legs.solve(self._feet, self._yaw, pitch)
        swing = shape.arm_rad_per_mps * forward * ease * math.cos(2.0 * math.pi * (self._phase - 0.5))
        for joint, sign in self._arms:
            q[joint] += sign * swing
        height = self._model.stand_height_m - drop
        return GaitPose(q, height, pitch, sway, (forward, left, turn))

    def _foot(self, phase: float) -> tuple[float, float]:
        """Place along the stride, in shares of what the body covers in a cycle, and lift, 0 to 1, of the foot that
        swings around 0.25."""
        swing = self._shape.swing
        reach = 0.5 * (1.0 - swing)
        into = (phase - 0.25 + 0.5 * swing) % 1.0
        if into >= swing:
            return reach - (into - swing), 0.0
        u = into / swing
        # From -reach to +reach with velocity -1 a cycle at both ends and no acceleration there.
        ease = u * u * u * (10.0 + u * (6.0 * u - 15.0))
        travel = -reach - into + (2.0 * reach + swing) * ease
        return travel, 64.0 * (u * (1.0 - u)) ** 3
