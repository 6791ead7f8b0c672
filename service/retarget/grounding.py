"""Both feet of one frame on the ground: the targets corrected, the locks decided. See `contacts.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from teleopd.service.retarget.floor import (
    STANDING_CLEARANCE_M,
    Ground,
    clearance,
    follow_floor,
    lowest_of_seat,
    of_foot,
    smoothstep,
    whole_body,
)
from teleopd.service.retarget.foot import FootContact, Quat, flatten, keep_turn, lose_foot, pivot, place, plant
from teleopd.service.retarget.stance import STANDS_M_S, following, judge_stance, learn_noise, measure_speed
from teleopd.service.retarget.targets import levelled
from teleopd.service.retarget.toe_lock import followed, lock_toe

UPRIGHT_HEIGHT, UPRIGHT_UP = 0.35, 0.4
"""Upright: pelvis above this share of its standing height, and its up axis at least this far up."""
SHIFTED_BELOW, SHIFTED_ABOVE = 0.3, 0.6
"""The common ground shift fades out between these pelvis heights: lying bodies have no feet to stand on."""
SETTLES_M = 0.002
"""A sole that would enter the floor by less is left to the solver [m]."""
FLATTEN_S = 0.05
"""Time constant of the flattening [s]."""
CROUCHED = 0.5
"""Locks weaken below this share of the standing pelvis height, and are gone where a person is not upright: all at once
they would let go of a pelvis that a leg folded to its limit holds up."""
SEATED = 0.5
"""Below this share of its standing height a pelvis may touch the floor."""
SIDEWAYS_S = 0.08
"""Time constant of the direction in which a foot that does not stand is moved sideways [s]."""


def face(feet: Sequence[FootContact], pelvis: Quat, dt_s: float) -> None:
    """Turn `left` of the feet that do not stand towards the left of the pelvis, wxyz."""
    w, x, y, z = pelvis
    x, y = levelled(2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z))
    for foot in feet:
        if not foot.faced:
            foot.faced, foot.left[0], foot.left[1] = True, x, y
        free = followed(foot.stance.pace_m_s) if foot.stance.stands else 1.0
        share = free * (1.0 - math.exp(-dt_s / SIDEWAYS_S))
        foot.left[0] += share * (x - foot.left[0])
        foot.left[1] += share * (y - foot.left[1])


def stand(
    ground: Ground, feet: Sequence[FootContact], pelvis: Quat, pelvis_z: float, dt_s: float
) -> tuple[float, float]:
    """Correct `pos` and `quat` of the feet and decide their locks, given the targets' `pelvis`, wxyz, and its height.

    Returns what the whole body is moved up, and where the pelvis is then [m]: a pelvis thicker than the person's would
    lie in the floor where theirs lies on it.
    """
    height = pelvis_z / ground.standing_m
    face(feet, pelvis, dt_s)
    _, x, y, _ = pelvis
    ground.upright = height > UPRIGHT_HEIGHT and 1.0 - 2.0 * (x * x + y * y) > UPRIGHT_UP
    follow, flattening = following(dt_s), 1.0 - math.exp(-dt_s / FLATTEN_S)
    for foot in feet:
        foot.lacking_m, foot.standing = 0.0, False
        if foot.seen:
            judge_foot(foot, feet, ground, follow, flattening, dt_s)
        else:
            lose_foot(foot)
    left, right = feet[0], feet[1]
    shift = whole_body(ground, (left.lacking_m, right.lacking_m), (left.standing, right.standing), dt_s)
    shift *= smoothstep(height, SHIFTED_BELOW, SHIFTED_ABOVE)
    grip = smoothstep(height, UPRIGHT_HEIGHT, CROUCHED)
    for foot in feet:
        lock_foot(foot, grip, dt_s)
        foot.pos[2] += shift + (of_foot(foot.lacking_m, shift) if foot.seen else 0.0)
        if foot.robot.known:  # an ankle at its limits turns its foot otherwise: what is asked fits that too
            foot.pos[2] = max(foot.pos[2], -foot.robot.low_m - SETTLES_M)
    pelvis_z += shift
    return shift, max(pelvis_z, -lowest_of_seat(ground, pelvis)) if height < SEATED else pelvis_z


def judge_foot(
    foot: FootContact, feet: Sequence[FootContact], ground: Ground, follow: float, flattening: float, dt_s: float
) -> None:
    """One foot that is seen: its floor, its stance, its target in all but height."""
    toe, ankle, upright = foot.human_toe_w, foot.human_ankle_w, ground.upright
    toe_speed = measure_speed(foot.toe_speed, toe, follow, dt_s)
    ankle_speed = measure_speed(foot.ankle_speed, ankle, follow, dt_s)
    up = 1.0 - 2.0 * (foot.quat[1] * foot.quat[1] + foot.quat[2] * foot.quat[2])
    tilt = math.acos(-1.0 if up < -1.0 else 1.0 if up > 1.0 else up)
    follow_floor(foot.floor, (toe[2], ankle[2]), (toe_speed, ankle_speed), tilt, upright, dt_s)
    ankle_floor = min(feet[0].floor.ankle_z, feet[1].floor.ankle_z)  # a raised heel held still would pass for flat
    above = toe[2] - foot.floor.toe_z, ankle[2] - ankle_floor
    x, y, z = toe[0] - ankle[0], toe[1] - ankle[1], toe[2] - ankle[2]
    learn_noise(ground.noise, foot.length, math.sqrt(x * x + y * y + z * z), follow)
    judge_stance(foot.stance, foot.toe_speed, ground.noise, above[0], upright, dt_s)
    flat = flatten(foot, tilt, above, upright, flattening)
    pivot(foot, follow, dt_s)
    if foot.robot.known:  # a first frame tells no speed
        plant(foot, dt_s)
    low = place(foot, flat)
    keep_turn(foot, flat, dt_s)
    wanted = clearance(above[0], above[1], ground.scale)
    foot.lacking_m = wanted - foot.pos[2] - low
    foot.standing = toe_speed < STANDS_M_S and wanted < STANDING_CLEARANCE_M


def lock_foot(foot: FootContact, grip: float, dt_s: float) -> None:
    """One foot's lock, at most `grip` strong, from the toe of its target and the robot's toe of the frame before."""
    target = foot.target_toe[0], foot.target_toe[1]
    if foot.seen:
        target = foot.pos[0] + foot.ahead[0], foot.pos[1] + foot.ahead[1]
    stands = foot.stance.stands and foot.seen and foot.robot.known
    lock_toe(foot.lock, stands, target, (foot.robot.toe[0], foot.robot.toe[1]), dt_s, foot.pace_m_s)
    foot.lock.weight = min(foot.lock.weight, grip)
    foot.target_toe[0], foot.target_toe[1] = target
    foot.wanted_toe[0], foot.wanted_toe[1] = target[0] + foot.lock.x, target[1] + foot.lock.y
