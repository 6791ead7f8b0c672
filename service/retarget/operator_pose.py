"""An operator's calibration from about one second in a T-pose or an N-pose: held still, whole, and recognised.

The median over the second is measured, so that noise of a few millimetres and single bad frames leave no trace. Scales
per limb, rotation offsets, heading and floor follow from it as they do from a single frame (`calibration.py`); what the
second adds is that a person who moved, or who stands in neither pose, is refused in one sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from teleopd.drivers.human_pose import Array, HumanPose
from teleopd.service.retarget import quaternions as quat
from teleopd.service.retarget.calibration import Calibration, CalibrationError
from teleopd.service.retarget.tables import HumanBodies

Wanted = Literal["t", "n", "auto"]
MVN_BODIES = HumanBodies(
    "Pelvis", ("LeftUpperLeg", "RightUpperLeg"), ("LeftFoot", "RightFoot"), ("LeftToe", "RightToe")
)
MIN_FRAMES = 10
"""Fewer whole frames give no median worth the name."""
MIN_SHARE = 0.8
"""Of the frames must show every body."""
STILL_M = 0.03
"""Nobody holds a hand stiller than 1 cm for a second; beyond 3 cm from the median it moves."""
NEARER = 90.0
"""Percentage of the frames that must lie nearer: single bad frames are no motion."""
ARM_RAD = math.radians(25.0)
"""An arm may point this far from where the pose has it: real T-poses droop by 10 to 15 degrees."""
STRAIGHT = 0.95
"""Shortest distance between the ends of a straight limb over its two bones: bent by 36 degrees."""
TRUNK_RAD = math.radians(20.0)
"""Largest lean of the line from the pelvis to the head."""
TURNED_RAD = math.radians(40.0)
"""Largest difference between a segment's orientation and what the pose gives it."""
LIMBS = {
    "arm": ("UpperArm", "ForeArm", "Hand"),
    "leg": ("UpperLeg", "LowerLeg", "Foot"),
}
POSES = {"t": "T-pose", "n": "N-pose"}


class Operator(NamedTuple):
    """What a second of standing gave."""

    calibration: Calibration
    pose: str
    """'t' or 'n'."""
    frames: int
    """Whole frames the median was taken over."""
    arm_m: float
    """Shoulder to wrist, straight, mean of both [m]."""
    moved_m: float
    """Distance of 90 % of the least still body's positions from their median [m]."""


def calibrate(poses: Sequence[HumanPose], table: HumanBodies = MVN_BODIES, wanted: Wanted = "auto") -> Operator:
    """Measure the operator from consecutive frames.

    Raises:
        CalibrationError: too few whole frames, the person moved, or the pose is not the one that is wanted (or, with
            'auto', neither of the two).
    """
    if not poses:
        raise CalibrationError("no frame arrived to calibrate from")
    names = poses[0].skeleton.body_names
    whole = [p for p in poses if p.valid.all() and np.isfinite(p.pos_w).all() and np.isfinite(p.quat_w).all()]
    if len(whole) < max(MIN_FRAMES, MIN_SHARE * len(poses)):
        lost = [n for n, seen in zip(names, np.all([p.valid for p in poses], axis=0), strict=True) if not seen]
        which = f"; not tracked throughout: {', '.join(lost)}" if lost else ""
        raise CalibrationError(
            f"{len(whole)} of {len(poses)} frames show every body; calibration needs at least {MIN_FRAMES}, and "
            f"{MIN_SHARE:.0%} of them{which}"
        )
    pose, moved = median_pose(whole)
    worst = int(np.argmax(moved))
    if moved[worst] > STILL_M:
        raise CalibrationError(
            f"the operator moved: {names[worst]} by {100.0 * moved[worst]:.1f} cm, at most "
            f"{100.0 * STILL_M:.0f} cm is still; hold the pose and try again"
        )
    found = recognise(pose, wanted)
    made = Calibration.from_pose(pose, table)
    at = {name: i for i, name in enumerate(names)}
    arm = float(np.mean([_bones(pose, at, [side + part for part in LIMBS["arm"]]) for side in ("Left", "Right")]))
    return Operator(made, found, len(whole), arm, float(moved[worst]))


def median_pose(poses: Sequence[HumanPose]) -> tuple[HumanPose, Array]:
    """The median of whole frames, and the distance of 90 % of each body's positions from their median [m], (n,)."""
    pos = np.array([p.pos_w for p in poses])
    turns = np.array([p.quat_w for p in poses])
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    turns *= np.where(np.vecdot(turns, turns[:1]) < 0.0, -1.0, 1.0)[..., None]
    middle, turn = np.median(pos, axis=0), np.median(turns, axis=0)
    turn /= np.linalg.norm(turn, axis=-1, keepdims=True)
    moved: Array = np.percentile(np.linalg.norm(pos - middle, axis=-1), NEARER, axis=0)
    return poses[-1]._replace(pos_w=middle, quat_w=turn), moved


def recognise(pose: HumanPose, wanted: Wanted = "auto") -> str:
    """Which pose it is, 't' or 'n'.

    Raises:
        CalibrationError: it is neither, or not the wanted one; says what is wrong with the nearer one.
    """
    at = {name: i for i, name in enumerate(pose.skeleton.body_names)}
    missing = [s + part for parts in LIMBS.values() for s in ("Left", "Right") for part in parts if s + part not in at]
    if missing:
        raise CalibrationError(
            f"skeleton '{pose.skeleton.family}' has no {missing[0]}; a T- or N-pose is told by arms and legs"
        )
    wrong = {kind: _wrong_with(pose, at, kind) for kind in POSES}
    for kind in POSES if wanted == "auto" else (wanted,):
        if not wrong[kind]:
            return kind
    nearer = wanted if wanted != "auto" else min(POSES, key=lambda kind: _off(pose, at, kind))
    head = f"this is no {POSES[nearer]}" if wanted != "auto" else "this is neither a T-pose nor an N-pose"
    raise CalibrationError(f"{head}: {wrong[nearer]}")


def _directions(pose: HumanPose, at: dict[str, int], kind: str) -> list[tuple[str, float]]:
    """How far each arm points from where the pose has it [rad]."""
    yaw = quat.yaw(pose.quat_w[at["Pelvis"]]) if "Pelvis" in at else 0.0
    left = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
    found = []
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        arm = pose.pos_w[at[side + "Hand"]] - pose.pos_w[at[side + "UpperArm"]]
        wanted = sign * left if kind == "t" else np.array([0.0, 0.0, -1.0])
        cosine = float(arm @ wanted) / max(float(np.linalg.norm(arm)), 1e-9)
        found.append((side.lower(), math.acos(min(max(cosine, -1.0), 1.0))))
    return found


def _off(pose: HumanPose, at: dict[str, int], kind: str) -> float:
    return max(angle for _, angle in _directions(pose, at, kind))


def _wrong_with(pose: HumanPose, at: dict[str, int], kind: str) -> str:
    """What keeps it from being that pose; '' when nothing does."""
    for side, angle in _directions(pose, at, kind):
        if angle > ARM_RAD:
            where = "straight out to the side" if kind == "t" else "straight down"
            return f"the {side} arm points {math.degrees(angle):.0f} degrees away from {where}"
    for limb, parts in LIMBS.items():
        for side in ("Left", "Right"):
            names = [side + part for part in parts]
            span = math.dist(pose.pos_w[at[names[0]]], pose.pos_w[at[names[2]]])
            if span < STRAIGHT * _bones(pose, at, names):
                return f"the {side.lower()} {limb} is bent"
    if {"Pelvis", "Head"} <= at.keys():
        up = pose.pos_w[at["Head"]] - pose.pos_w[at["Pelvis"]]
        lean = math.acos(min(max(float(up[2]) / max(float(np.linalg.norm(up)), 1e-9), -1.0), 1.0))
        if lean > TRUNK_RAD:
            return f"the trunk leans by {math.degrees(lean):.0f} degrees"
    return _turned(pose, at, kind)


def _turned(pose: HumanPose, at: dict[str, int], kind: str) -> str:
    """A segment of trunk, arms or legs whose orientation is not what the pose gives it; '' when there is none."""
    if "Pelvis" not in at:
        return ""
    facing = quat.about_z(quat.yaw(pose.quat_w[at["Pelvis"]]))
    for name in ("Pelvis", "T8", *(s + p for s in ("Left", "Right") for p in ("UpperArm", "UpperLeg", "LowerLeg"))):
        if name not in at:
            continue
        expected = facing
        if kind == "n" and name.endswith("UpperArm"):  # hanging: the T-pose's arm turned about X by a right angle
            half = math.radians(-45.0 if name.startswith("Left") else 45.0)
            expected = quat.multiply(facing, np.array([math.cos(half), math.sin(half), 0.0, 0.0]))
        cosine = abs(float(pose.quat_w[at[name]] @ expected))
        angle = 2.0 * math.acos(min(cosine, 1.0))
        arm_turns = name.endswith("UpperArm") and angle <= 2.0 * TURNED_RAD  # people turn palms and elbows freely
        if angle > TURNED_RAD and not arm_turns:
            return (
                f"the orientation of {name} is {math.degrees(angle):.0f} degrees from what the {POSES[kind]} gives it; "
                "calibrate the capture system first"
            )
    return ""


def _bones(pose: HumanPose, at: dict[str, int], names: Sequence[str]) -> float:
    """Length of a chain of bodies [m]."""
    return sum(math.dist(pose.pos_w[at[a]], pose.pos_w[at[b]]) for a, b in zip(names, names[1:], strict=False))
