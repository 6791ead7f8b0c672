"""One foot of the person and what it means for the robot's foot: flat where theirs is, toe where theirs is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array
from teleopd.service.retarget.floor import SourceFloor, smoothstep
from teleopd.service.retarget.stance import Point, Speed, Stance
from teleopd.service.retarget.toe_lock import LEASH_M, HeldTurn, ToeLock

FLAT_LOW_M, FLAT_HIGH_M = 0.015, 0.05
TILT_LOW_RAD, TILT_HIGH_RAD = 0.25, 0.50
"""A foot is flattened fully below the low and not at all above the high height of toe and ankle, and tilt."""
PIVOT_LOW_RAD, PIVOT_HIGH_RAD = 1.0, 1.4
"""Pitch of the foot up to which the toe, and from which on the ankle, is what is placed."""


class RobotFoot(NamedTuple):
    """Where the robot's own foot is."""

    toe: tuple[float, float]
    """World xy [m]."""
    ahead: tuple[float, float]
    """The same from the origin of its body [m]."""
    low_m: float
    """Its lowest sole corner above the origin of its body, as the foot is turned [m]; negative."""


class FootContact:
    """What is known of one foot."""

    def __init__(
        self, row: int, body: int, soles: Array, radius_m: float, human_toe: Array, floor: SourceFloor, size: float
    ) -> None:
        """`row` in the targets, `body` of the robot, its sole corners (k, 3) in the body's frame [m].

        A corner is a ball of `radius_m`, which matters as the foot rolls over it: the H1's are 2 cm.
        `human_toe`: the person's toe joint from their ankle in the T-pose, at the robot's size [m], (3,). `size`: the
        robot's leg over the person's.
        """
        self.row, self.body, self.soles, self.radius_m = row, body, soles, radius_m
        self.sole_points: list[Point] = soles.tolist()
        ahead = soles[soles[:, 0] > soles[:, 0].max() - 0.01]
        self.toe: Point = ahead.mean(axis=0).tolist()
        """Between the front corners of the sole, in the body's frame [m]."""
        self._human_toe: Point = human_toe.tolist()
        self._longer: Point = (np.array(self.toe) - human_toe).tolist()
        self.floor, self.stance, self.lock, self.turn = floor, Stance(), ToeLock(LEASH_M * size), HeldTurn()
        self.toe_speed, self.ankle_speed = Speed(), Speed()
        self.flatness = 0.0
        self.target_toe = (0.0, 0.0)
        self.wanted_toe = (0.0, 0.0)
        """Where the solver holds the toe while `lock.weight` > 0, world xy [m]."""

    def reset(self) -> None:
        """Forget the motion; the floor stays."""
        for part in (self.stance, self.lock, self.turn, self.toe_speed, self.ankle_speed):
            part.reset()
        self.flatness = 0.0

    def flatten(self, quat: Point, tilt: float, above: tuple[float, float], upright: bool, follow: float) -> Point:
        """The orientation wxyz, its z axis turned towards the world's while toe and ankle are low (`above` [m]).

        `tilt` of that axis from the vertical [rad].
        """
        wanted = 0.0
        if upright and tilt < TILT_HIGH_RAD and max(above) < FLAT_HIGH_M:
            wanted = 1.0 - smoothstep(tilt, TILT_LOW_RAD, TILT_HIGH_RAD)
            for height in above:
                wanted *= 1.0 - smoothstep(height, FLAT_LOW_M, FLAT_HIGH_M)
        self.flatness += (wanted - self.flatness) * follow
        w, x, y, z = quat
        zx, zy = 2.0 * (x * z + w * y), 2.0 * (y * z - w * x)
        across = math.hypot(zx, zy)
        if self.flatness < 1e-3 or across < 1e-9:
            return quat
        half = 0.5 * self.flatness * tilt
        k = math.sin(half) / across
        tx, ty, tw = zy * k, -zx * k, math.cos(half)  # turn about (foot's z) x (world's z)
        return [
            tw * w - tx * x - ty * y, tw * x + tx * w + ty * z, tw * y + ty * w - tx * z, tw * z + tx * y - ty * x
        ]  # fmt: skip

    def hold_turn(self, toe: Point, quat: Point, robot: RobotFoot | None, dt_s: float) -> tuple[Point, Point]:
        """Toe from the ankle [m] and orientation wxyz of the target foot, turned as the standing foot stays turned."""
        half = 0.5 * self.toe[0]  # a foot on its tip or heel does not say where it points
        if robot is None or math.hypot(*robot.ahead) < half or math.hypot(toe[0], toe[1]) < half:
            self.turn.reset()
            return toe, quat
        (x, y, z), (a, b) = toe, robot.ahead
        missed = math.atan2(x * b - y * a, x * a + y * b)
        turn = self.turn.update(self.stance.stands, missed, self.stance.pace_m_s, dt_s)
        if turn == 0.0:
            return toe, quat
        c, s = math.cos(turn), math.sin(turn)
        toe = [c * x - s * y, s * x + c * y, z]
        c, s = math.cos(0.5 * turn), math.sin(0.5 * turn)
        w, x, y, z = quat
        return toe, [c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w]

    def place(self, quat: Point, flat: Point) -> tuple[float, Point, Point]:
        """The robot's foot turned to `flat`: height of its lowest corner, its toe, and its ankle's sideways move [m].

        Corner and toe are relative to the ankle. The ankle moves so that the robot's toe rests where the person's does
        while their foot, at `quat`, turns about it: a longer foot would push its toe along as the heel comes up.
        """
        m = matrix(flat)
        x, y, z = self.toe
        toe = [m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z]
        low = min([m[6] * x + m[7] * y + m[8] * z for x, y, z in self.sole_points]) - self.radius_m
        if quat is not flat:
            m = matrix(quat)
        ahead = math.hypot(m[0], m[3])
        share = 1.0 - smoothstep(math.acos(min(ahead, 1.0)), PIVOT_LOW_RAD, PIVOT_HIGH_RAD)
        if share == 0.0:
            return low, toe, [0.0, 0.0]
        x, y, z = self._human_toe
        p, q, _ = self._longer
        c, s = m[0] / ahead, m[3] / ahead
        across = m[0] * x + m[1] * y + m[2] * z + c * p - s * q - toe[0]
        along = m[3] * x + m[4] * y + m[5] * z + s * p + c * q - toe[1]
        return low, toe, [share * across, share * along]


def matrix(quat: Point) -> Point:
    """Rotation matrix of a unit quaternion wxyz, row by row; plain floats are five times as fast as numpy on so few."""
    w, x, y, z = quat
    xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
    return [
        1.0 - 2.0 * (yy + zz), 2.0 * (xy - wz), 2.0 * (xz + wy),
        2.0 * (xy + wz), 1.0 - 2.0 * (xx + zz), 2.0 * (yz - wx),
        2.0 * (xz - wy), 2.0 * (yz + wx), 1.0 - 2.0 * (xx + yy),
    ]  # fmt: skip
