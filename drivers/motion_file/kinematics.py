"""A parsed BVH -> `MotionClip`: joints to MVN segments, rest pose to T-pose, Y-up to Z-up, units, heading and floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.bvh import Bvh, joint_motion
from teleopd.drivers.motion_file.clip import BALL_HEIGHT_M, SEGMENT, MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.families import Family, Origin, detect_family

TO_Z_UP: Array = rot.from_matrix(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
"""BVH (Y up, person faces +Z, left is +X) -> world (Z up, faces +X, left is +Y)."""
LEG_FRACTION = 0.491
"""Thigh + shank over body height: 0.245 + 0.246 (Drillis & Contini 1966, in Winter, Biomechanics, figure 4.1)."""
MIN_HEIGHT_M, MAX_HEIGHT_M = 1.2, 2.2
UNITS_M = {"m": 1.0, "mm": 0.001, "cm": 0.01, "inch": 0.0254, "CMU unit (0.056444 m)": 0.056444}
"""Units a BVH may be written in; no two give a plausible height for one file, except by being the same."""
MAX_DISTANCE_M = 1000.0
RESTING_M_S = 0.2
"""A toe slower than this may be standing on the floor."""
FLOOR_QUANTILE = 0.1
"""The floor lies under this quantile of the lower toe's height while that toe rests (skeletons dip at push-off)."""


def clip_from_bvh(bvh: Bvh, name: str, *, align: bool = True, unit_m: float | None = None) -> MotionClip:
    """The person in a BVH.

    Args:
        bvh: parsed file.
        name: for messages and for the clip.
        align: turn the first frame's heading to +X, put its pelvis over the origin and the floor at z = 0.
        unit_m: metres per file unit; None: that of the skeleton family.

    Raises:
        MotionFileError: unknown skeleton, a body height that only another unit explains, no motion frame.
    """
    bvh = _without_namespaces(bvh)
    family = detect_family({j.name for j in bvh.joints}, name)
    if family.rest_first:
        if len(bvh.values) < 2:
            raise MotionFileError(f"{name}: its only frame is the rest pose of the {family.name} skeleton")
        bvh = replace(bvh, values=bvh.values[1:])
    if unit_m is None:
        unit_m = family.unit_m
    joint_pos, joint_quat = joint_motion(bvh)
    _check_height(_body_height(bvh, joint_pos, family), unit_m, family, name)
    joint_pos = rot.rotate(TO_Z_UP, joint_pos * unit_m)
    _check_distance(joint_pos, name)
    joint_quat = rot.multiply(TO_Z_UP, joint_quat)

    pos_w = np.empty((len(joint_pos), len(MVN_SEGMENTS), 3))
    quat_w = np.empty((len(joint_pos), len(MVN_SEGMENTS), 4))
    frames = segment_frames(bvh, family)
    for i, (segment, origin) in enumerate(_resolved_origins(bvh, family).items()):
        j = bvh.index(origin.joint)
        pos_w[:, i] = joint_pos[:, j]
        if origin.towards:
            pos_w[:, i] += origin.fraction * (joint_pos[:, bvh.index(origin.towards)] - joint_pos[:, j])
        elif origin.fraction:  # the tip of its End Site
            end = bvh.joints[j].end
            assert end is not None
            pos_w[:, i] += rot.rotate(joint_quat[:, j], end * unit_m)
        quat_w[:, i] = rot.multiply(joint_quat[:, j], frames[segment])
    rate = _rate(bvh.frame_time_s)
    if align:
        pos_w, quat_w = _aligned(pos_w, quat_w, rate)
    return MotionClip(name, rate, pos_w, rot.continuous(quat_w), family.name)


def segment_frames(bvh: Bvh, family: Family) -> dict[str, Array]:
    """Per MVN segment the quaternion that takes canonical (T-pose) axes into its joint's own frame: constant, (4,)."""
    if family.axes:
        return {s: _bone_axis_frame(family, s) for s in MVN_SEGMENTS}
    return _upright_frames(bvh, family)


def _bone_axis_frame(family: Family, segment: str) -> Array:
    """From the family's table of axes; feet and toes are pitched so that they are level in flat stance."""
    forward, up = (_axis(a) for a in family.axes[segment])
    drop_deg = 0.0
    if segment.endswith(("Foot", "Toe")):
        drop_deg = family.sole_drop_deg if segment.endswith("Foot") else family.toe_drop_deg
    # The bone (local forward) lies below the level by the drop: the canonical frame is pitched back up by it.
    return rot.multiply(rot.from_axes(forward, up, keep="up"), rot.about(1, -np.deg2rad(drop_deg)))


def _axis(word: str) -> Array:
    """'-z' -> (0, 0, -1)."""
    v = np.zeros(3)
    v["xyz".index(word[1])] = 1.0 if word[0] == "+" else -1.0
    return v


def _upright_frames(bvh: Bvh, family: Family) -> dict[str, Array]:
    """From the OFFSETs of an upright zero pose with identity joint frames.

    Trunk, neck, head and collars: as they are. Arms: the bone goes to +-Y, forward stays forward (arms hanging with
    thumbs forward become the T-pose with palms down). Legs: the bone goes straight down, the knee's hinge stays in the
    frontal plane. Feet: the sole is perpendicular to the leg's frontal line, the ball straight ahead of the ankle.
    """
    upright = rot.conjugate(TO_Z_UP)
    frames = {segment: upright for segment in MVN_SEGMENTS}
    ahead = np.array([0.0, 0.0, 1.0])  # of the rest pose, in BVH axes, as are all directions below
    origins = family.origins()
    for side, across in (("Left", 1.0), ("Right", -1.0)):
        bone = {s: _rest_bone(bvh, origins[side + s].joint, origins[side + e].joint) for s, e in _BONES}
        roll = rot.about(1, -np.deg2rad(family.elbow_roll_deg))
        for segment in ("UpperArm", "ForeArm", "Hand"):
            along = across * bone["ForeArm" if segment == "Hand" else segment]
            arm = rot.from_axes(ahead - along * (ahead @ along), np.cross(ahead, along), keep="forward")
            frames[side + segment] = arm if segment == "Hand" else rot.multiply(arm, roll)
        for segment in ("UpperLeg", "LowerLeg"):
            frames[side + segment] = rot.from_axes(ahead, -bone[segment], keep="up")
        leg = bone["UpperLeg"] + bone["LowerLeg"]
        sole_up = -np.array([leg[0], leg[1], 0.0])
        toe = origins[side + "Toe"].joint
        end = bvh.joints[bvh.index(origins[side + "Foot"].joint)].end
        ball = _rest_bone(bvh, origins[side + "Foot"].joint, toe) if _has(bvh, toe) else (ahead if end is None else end)
        frames[side + "Foot"] = frames[side + "Toe"] = rot.from_axes(ball, sole_up, keep="up")
    return frames


_BONES = (("UpperArm", "ForeArm"), ("ForeArm", "Hand"), ("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"))


def _rest_bone(bvh: Bvh, joint: str, below: str) -> Array:
    """Unit direction from a joint to one below it in the zero pose, BVH axes."""
    v = np.zeros(3)
    i, stop = bvh.index(below), bvh.index(joint)
    while i not in (stop, -1):
        v = v + bvh.joints[i].offset
        i = bvh.joints[i].parent
    norm = float(np.linalg.norm(v))
    if i == -1 or norm < 1e-9:
        raise MotionFileError(f"joint {below} is not a bone's length below {joint} in the hierarchy")
    return v / norm


def _has(bvh: Bvh, name: str) -> bool:
    return any(j.name == name for j in bvh.joints)


def _resolved_origins(bvh: Bvh, family: Family) -> dict[str, Origin]:
    """The family's origins, with missing collars put on the chest and missing toes on the foot's End Site."""
    origins = family.origins()
    for side in ("Left", "Right"):
        if not _has(bvh, origins[side + "Shoulder"].joint):
            origins[side + "Shoulder"] = Origin(origins["T8"].joint, origins[side + "UpperArm"].joint, 0.2)
        if not _has(bvh, origins[side + "Toe"].joint):
            foot = origins[side + "Foot"].joint
            if bvh.joints[bvh.index(foot)].end is None:
                raise MotionFileError(f"joint {foot} has neither a toe joint nor an End Site")
            origins[side + "Toe"] = Origin(foot, "", 1.0)
    return origins


def _without_namespaces(bvh: Bvh) -> Bvh:
    """'Character:Hips' -> 'Hips'."""
    return replace(bvh, joints=tuple(replace(j, name=j.name.rpartition(":")[2]) for j in bvh.joints))


def _body_height(bvh: Bvh, joint_pos: Array, family: Family) -> float:
    """Body height in file units, from thigh and shank in the first frame."""
    origins = family.origins()
    lengths = []
    for side in ("Left", "Right"):
        hip, knee, ankle = (joint_pos[0, bvh.index(origins[side + s].joint)] for s in ("UpperLeg", "LowerLeg", "Foot"))
        lengths.append(float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)))
    return sum(lengths) / 2.0 / LEG_FRACTION


def _check_height(height: float, unit_m: float, family: Family, name: str) -> None:
    """Refuse a body that is not 1.2 to 2.2 m tall, and name the unit that would make it so: never guess for a robot."""
    if MIN_HEIGHT_M <= height * unit_m <= MAX_HEIGHT_M:
        return
    told = f"{name}: with {unit_m:g} m a unit (skeleton {family.name}) the person would be {height * unit_m:.3g} m tall"
    for unit, metres in UNITS_M.items():
        if MIN_HEIGHT_M <= height * metres <= MAX_HEIGHT_M:
            raise MotionFileError(
                f"{told}; the file seems to be written in {unit} ({height * metres:.2f} m): "
                f"say so with unit_m={metres:g} or rescale it"
            )
    raise MotionFileError(f"{told}; {MIN_HEIGHT_M} to {MAX_HEIGHT_M} m is believed, and no usual unit gives that")


def _check_distance(joint_pos: Array, name: str) -> None:
    """Refuse a frame that is kilometres away: a broken channel, not a person."""
    farthest = np.abs(joint_pos).max(axis=(1, 2))
    if not (farthest <= MAX_DISTANCE_M).all():
        i = int(np.argmax(~(farthest <= MAX_DISTANCE_M)))
        raise MotionFileError(
            f"{name}: frame {i} puts a joint {farthest[i]:.3g} m from the origin; {MAX_DISTANCE_M:g} m is believed"
        )


def _aligned(pos_w: Array, quat_w: Array, rate_hz: float) -> tuple[Array, Array]:
    """First heading to +X, first pelvis over the origin, floor at z = 0."""
    turn = rot.about(2, -rot.heading(quat_w[0, 0]))
    pos_w = rot.rotate(turn, pos_w)
    pos_w = pos_w - np.array([pos_w[0, 0, 0], pos_w[0, 0, 1], _floor_height(pos_w, rate_hz)])
    return pos_w, rot.multiply(turn, quat_w)


def _floor_height(pos_w: Array, rate_hz: float) -> float:
    """Height of the floor [m]: a flat foot's ball is BALL_HEIGHT_M above it."""
    toes = pos_w[:, [SEGMENT["LeftToe"], SEGMENT["RightToe"]]]
    lower = np.argmin(toes[..., 2], axis=1)[:, None, None]
    height = np.take_along_axis(toes, lower, axis=1)[:, 0, 2]
    if len(pos_w) > 2:
        speed = np.linalg.norm(np.gradient(toes, 1.0 / rate_hz, axis=0), axis=-1)
        resting = np.take_along_axis(speed, lower[..., 0], axis=1)[:, 0] < RESTING_M_S
        if resting.sum() >= 0.05 * len(pos_w):
            height = height[resting]
    return float(np.quantile(height, FLOOR_QUANTILE)) - BALL_HEIGHT_M


def _rate(frame_time_s: float) -> float:
    """Frames per second; a whole number where the written time is one to 0.1 % (writers round to six digits)."""
    rate = 1.0 / frame_time_s
    whole = float(round(rate))
    return whole if whole > 0 and abs(rate - whole) <= 1e-3 * whole else rate
