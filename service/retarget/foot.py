"""One foot of the person and what it means for the robot's foot: flat where theirs is, toe where theirs is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from teleopd.robots.model import Array
from teleopd.service.retarget.floor import SourceFloor, smoothstep
from teleopd.service.retarget.stance import LEAVES_M_S, Length, Point, Speed, Stance, forget_speed, forget_stance
from teleopd.service.retarget.toe_lock import LEASH_M, HeldTurn, ToeLock, forget_turn, hold_turn, release_toe

FLAT_LOW_M, FLAT_HIGH_M = 0.015, 0.05
TILT_LOW_RAD, TILT_HIGH_RAD = 0.25, 0.50
"""A foot is flattened fully below the low and not at all above the high height of toe and ankle, and tilt."""
AS_IT_IS = 1e-3
"""Less flattening is none."""
PIVOT_LOW_RAD, PIVOT_HIGH_RAD = 1.0, 1.4
"""Pitch of the foot up to which the toe, and from which on the ankle, is what is placed."""

SWING = 0.4
"""Of what the robot's foot is longer by, the share that counts as a foot pivots: with more an H1's foot slides in a
kick, with less it stays behind."""
PLANT_S = 0.06
"""Time constant of what is placed of a foot, its toe or its ankle [s]."""
LEVEL = 0.25
"""Squared horizontal part of a foot's axis below which it does not say where it points."""

Quat = tuple[float, float, float, float]


def _zeros(n: int) -> Any:
    return field(default_factory=lambda: [0.0] * n)


@dataclass(slots=True)
class RobotFoot:
    """Where the robot's own foot was in the frame before."""

    known: bool = False
    toe: Point = _zeros(2)
    """World xy [m]."""
    ahead: Point = _zeros(2)
    """The same from the origin of its body [m]."""
    low_m: float = 0.0
    """Its lowest sole corner above the origin of its body, as the foot is turned [m]; negative."""


@dataclass(slots=True)
class FootContact:
    """What is known of one foot."""

    row: int
    """In the targets."""
    body: int
    """Of the robot."""
    sole_points: list[Point]
    """Its sole corners in the body's frame [m]; in a record the last is repeated."""
    corners: int
    """How many they are."""
    radius_m: float
    """A corner is a ball of this size, which matters as the foot rolls over it: the H1's are 2 cm."""
    toe: Point
    """Between the front corners of the sole, in the body's frame [m]."""
    human_toe: Point
    """The person's toe joint from their ankle in the T-pose, at the robot's size [m]."""
    floor: SourceFloor
    lock: ToeLock
    stance: Stance = field(default_factory=Stance)
    turn: HeldTurn = field(default_factory=HeldTurn)
    toe_speed: Speed = field(default_factory=Speed)
    ankle_speed: Speed = field(default_factory=Speed)
    length: Length = field(default_factory=Length)
    robot: RobotFoot = field(default_factory=RobotFoot)
    flatness: float = 0.0
    planted: float = 0.0
    """1: the toe is what is placed, 0: the ankle."""
    pace_m_s: float = 0.0
    """`Stance.pace_m_s`, and what the robot's toe, which is farther ahead, swings about the person's [m/s]."""
    heading: Point = _zeros(2)
    """Where the person's foot points, low-passed, xy."""
    headed: bool = False
    """`heading` says something."""
    target_toe: Point = _zeros(2)
    wanted_toe: Point = _zeros(2)
    """Where the solver holds the toe while `lock.weight` > 0, world xy [m]."""
    left: Point = _zeros(2)
    """Where the foot is moved sideways, see `Contacts.sideways`."""
    faced: bool = False
    """`left` says something."""
    seen: bool = False
    """This frame's: toe and ankle are tracked."""
    human_toe_w: Point = _zeros(3)
    human_ankle_w: Point = _zeros(3)
    """This frame's toe joint and ankle of the person, source metres."""
    pos: Point = _zeros(3)
    quat: Point = _zeros(4)
    """This frame's target of the foot's body, which is corrected in place; world, wxyz."""
    ahead: Point = _zeros(2)
    """This frame's toe from there, xy [m]."""
    lacking_m: float = 0.0
    standing: bool = False

    @classmethod
    def of(
        cls, row: int, body: int, soles: Array, radius_m: float, human_toe: Array, floor: SourceFloor, size: float
    ) -> FootContact:
        """`size`: the robot's leg over the person's."""
        front = soles[soles[:, 0] > soles[:, 0].max() - 0.01]
        toe: Point = front.mean(axis=0).tolist()
        lock = ToeLock(LEASH_M * size)
        return cls(row, body, soles.tolist(), len(soles), radius_m, toe, human_toe.tolist(), floor, lock)


def forget_foot(foot: FootContact) -> None:
    """Forget the motion; the floor stays."""
    lose_foot(foot)
    release_toe(foot.lock)
    foot.flatness = foot.planted = 0.0
    foot.robot.known = foot.faced = False


def lose_foot(foot: FootContact) -> None:
    """The person's foot is not tracked: what speeds, stance and turn were says nothing of where it is seen again."""
    forget_stance(foot.stance)
    forget_turn(foot.turn)
    forget_speed(foot.toe_speed)
    forget_speed(foot.ankle_speed)
    foot.headed = foot.length.started = False


def flatten(foot: FootContact, tilt: float, above: tuple[float, float], upright: bool, follow: float) -> Quat:
    """The target's orientation, its z axis turned towards the world's while toe and ankle are low (`above` [m]).

    `tilt` of that axis from the vertical [rad].
    """
    wanted = 0.0
    if upright and tilt < TILT_HIGH_RAD and max(above[0], above[1]) < FLAT_HIGH_M:
        wanted = 1.0 - smoothstep(tilt, TILT_LOW_RAD, TILT_HIGH_RAD)
        wanted *= 1.0 - smoothstep(above[0], FLAT_LOW_M, FLAT_HIGH_M)
        wanted *= 1.0 - smoothstep(above[1], FLAT_LOW_M, FLAT_HIGH_M)
    foot.flatness += (wanted - foot.flatness) * follow
    w, x, y, z = foot.quat[0], foot.quat[1], foot.quat[2], foot.quat[3]
    zx, zy = 2.0 * (x * z + w * y), 2.0 * (y * z - w * x)
    across = math.hypot(zx, zy)
    if foot.flatness < AS_IT_IS or across < 1e-9:
        return w, x, y, z
    half = 0.5 * foot.flatness * tilt
    k = math.sin(half) / across
    tx, ty, tw = zy * k, -zx * k, math.cos(half)  # turn about (foot's z) x (world's z)
    return tw * w - tx * x - ty * y, tw * x + tx * w + ty * z, tw * y + ty * w - tx * z, tw * z + tx * y - ty * x


def pivot(foot: FootContact, follow: float, dt_s: float) -> None:
    """Update `pace_m_s`: a toe that is farther ahead swings about the person's, which may rest, as a foot pivots.

    `follow` as for `measure_speed`: frame by frame 1 degree of noise would pass for a pivot.
    """
    w, i, j, k = foot.quat[0], foot.quat[1], foot.quat[2], foot.quat[3]
    x, y, a, b, turned = 1.0 - 2.0 * (j * j + k * k), 2.0 * (i * j + w * k), foot.heading[0], foot.heading[1], 0.0
    level = x * x + y * y > LEVEL
    if level and foot.headed:
        x, y = a + follow * (x - a), b + follow * (y - b)
        turned = math.atan2(a * y - b * x, a * x + b * y)
    foot.headed, foot.heading[0], foot.heading[1] = level, x, y
    swing = SWING * (foot.toe[0] - foot.human_toe[0]) * turned / dt_s
    foot.pace_m_s = math.hypot(foot.stance.pace_m_s, swing)


def plant(foot: FootContact, dt_s: float) -> None:
    """Update `planted`: what is placed of a foot in the air is its ankle."""
    wanted = 1.0 - smoothstep(foot.stance.pace_m_s, LEAVES_M_S, 2.0 * LEAVES_M_S)
    foot.planted += (wanted - foot.planted) * (1.0 - math.exp(-dt_s / PLANT_S))


def place(foot: FootContact, flat: Quat) -> float:
    """Move the target's ankle for the robot's foot turned to `flat`; height of its lowest corner above the ankle [m].

    As far as the foot is `planted`, the ankle moves so that the robot's toe rests where the person's does while their
    foot turns about it: a longer foot would push its toe along as the heel comes up.
    """
    a, b, c, d, e, f, g, h, i = matrix(flat)
    x, y, z = foot.toe[0], foot.toe[1], foot.toe[2]
    foot.ahead[0], foot.ahead[1] = a * x + b * y + c * z, d * x + e * y + f * z
    low = lowest(foot, g, h, i)
    if foot.flatness >= AS_IT_IS:
        a, b, c, d, e, f, g, h, i = matrix((foot.quat[0], foot.quat[1], foot.quat[2], foot.quat[3]))
    level = math.hypot(a, d)
    share = foot.planted * (1.0 - smoothstep(math.acos(min(level, 1.0)), PIVOT_LOW_RAD, PIVOT_HIGH_RAD))
    if share > 0.0:
        p, q, r = foot.human_toe[0], foot.human_toe[1], foot.human_toe[2]
        cosine, sine, x, y = a / level, d / level, x - p, y - q
        foot.pos[0] += share * (a * p + b * q + c * r + cosine * x - sine * y - foot.ahead[0])
        foot.pos[1] += share * (d * p + e * q + f * r + sine * x + cosine * y - foot.ahead[1])
    return low


def see_robot(foot: FootContact, at: Point, turn: Sequence[float]) -> None:
    """Where the robot's foot is: its body at `at` [m], turned by the matrix `turn`, row by row."""
    robot, x, y, z = foot.robot, foot.toe[0], foot.toe[1], foot.toe[2]
    robot.known = True
    robot.ahead[0] = turn[0] * x + turn[1] * y + turn[2] * z
    robot.ahead[1] = turn[3] * x + turn[4] * y + turn[5] * z
    robot.toe[0], robot.toe[1] = at[0] + robot.ahead[0], at[1] + robot.ahead[1]
    robot.low_m = lowest(foot, turn[6], turn[7], turn[8])


def lowest(foot: FootContact, g: float, h: float, i: float) -> float:
    """The sole's lowest point above its body's origin [m] where the third row of the foot's rotation is (g, h, i)."""
    low = math.inf
    for point in foot.sole_points:
        low = min(low, g * point[0] + h * point[1] + i * point[2])
    return low - foot.radius_m


def keep_turn(foot: FootContact, quat: Quat, dt_s: float) -> None:
    """Turn the target, of orientation `quat`, as the standing foot stays turned."""
    x, y, a, b = foot.ahead[0], foot.ahead[1], foot.robot.ahead[0], foot.robot.ahead[1]
    half = 0.5 * foot.toe[0]  # a foot on its tip or heel does not say where it points
    if not foot.robot.known or math.hypot(a, b) < half or math.hypot(x, y) < half:
        forget_turn(foot.turn)
        turn = 0.0
    else:
        missed = math.atan2(x * b - y * a, x * a + y * b)
        turn = hold_turn(foot.turn, foot.stance.stands, missed, foot.pace_m_s, dt_s)
    w, i, j, k = quat
    if turn != 0.0:
        c, s = math.cos(turn), math.sin(turn)
        foot.ahead[0], foot.ahead[1] = c * x - s * y, s * x + c * y
        c, s = math.cos(0.5 * turn), math.sin(0.5 * turn)
        w, i, j, k = c * w - s * k, c * i - s * j, c * j + s * i, c * k + s * w
    foot.quat[0], foot.quat[1], foot.quat[2], foot.quat[3] = w, i, j, k


def matrix(quat: Quat) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Rotation matrix of a unit quaternion wxyz, row by row; plain floats are five times as fast as numpy on so few."""
    w, x, y, z = quat
    xx, yy, zz, xy, xz, yz, wx, wy, wz = x * x, y * y, z * z, x * y, x * z, y * z, w * x, w * y, w * z
    return (
        1.0 - 2.0 * (yy + zz), 2.0 * (xy - wz), 2.0 * (xz + wy),
        2.0 * (xy + wz), 1.0 - 2.0 * (xx + zz), 2.0 * (yz - wx),
        2.0 * (xz - wy), 2.0 * (yz + wx), 1.0 - 2.0 * (xx + yy),
    )  # fmt: skip
