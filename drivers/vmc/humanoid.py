"""Unity's humanoid bones <-> the 23 MVN segments in canonical frames, Z-up. Pure.

**Axes.** Unity is left-handed: X right, Y up, Z ahead. Ours follow as x = z, y = -x, z = y, a mirroring, so that the
vector part of a quaternion, which turns the other way in a mirror, gets the opposite sign: (-qz, qx, -qy).

**Frames.** The protocol's bones are those of a normalized VRM model: every rotation is the identity in the T-pose.

**Proportions.** Bones carry their offsets from their parents, so the person has the avatar's proportions. A bone sent
without an offset gets that of a 1.75 m adult. Optional bones that are not sent (Chest, UpperChest, Neck, Shoulders,
Toes) are derived: vertebrae by their height along the spine, collars from the arms, toes from the foot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_PARENTS, MVN_SEGMENTS, Array
from teleopd.drivers.motion_file.human import COLLAR_M, HALF_SHOULDERS_M, NECK_M, OFFSETS, SPINE_FRACTIONS, SPINE_M
from teleopd.drivers.plausible import EXTENT_M, NORM_TOLERANCE, check_body
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.vmc.wire import ROOT_KEY, Transform

Flags = npt.NDArray[np.bool_]
_LIMBS = {
    "Shoulder": "Shoulder", "UpperArm": "UpperArm", "LowerArm": "ForeArm", "Hand": "Hand",
    "UpperLeg": "UpperLeg", "LowerLeg": "LowerLeg", "Foot": "Foot", "Toes": "Toe",
}  # fmt: skip
SEGMENT_OF: dict[str, str] = {
    "Hips": "Pelvis", "Spine": "L5", "Chest": "T12", "UpperChest": "T8", "Neck": "Neck", "Head": "Head",
    **{side + bone: side + segment for side in ("Left", "Right") for bone, segment in _LIMBS.items()},
}  # fmt: skip
"""Humanoid bone -> the MVN segment that starts at it; parents first. Fingers, eyes and jaw have none."""
BONES = tuple(SEGMENT_OF)
PARENT_OF = {
    "Spine": "Hips", "Chest": "Spine", "UpperChest": "Chest", "Neck": "UpperChest", "Head": "Neck",
    **{
        side + bone: parent if parent in SEGMENT_OF else side + parent
        for side in ("Left", "Right")
        for bone, parent in (
            ("Shoulder", "UpperChest"), ("UpperArm", "Shoulder"), ("LowerArm", "UpperArm"), ("Hand", "LowerArm"),
            ("UpperLeg", "Hips"), ("LowerLeg", "UpperLeg"), ("Foot", "LowerLeg"), ("Toes", "Foot"),
        )
    },
}  # fmt: skip
OPTIONAL = ("Chest", "UpperChest", "Neck", "LeftShoulder", "RightShoulder", "LeftToes", "RightToes")
"""Bones that a VRM model need not have."""
NO_OFFSET_M = 1e-4
"""A bone nearer than this to its parent was sent without an offset."""
COLLAR_SHARE = (HALF_SHOULDERS_M - COLLAR_M[1]) / (2.0 * HALF_SHOULDERS_M)
"""Where a missing collar starts on the way from its own arm to the other one."""
HEIGHTS: dict[str, float] = {
    **dict(zip(("L5", "L3", "T12", "T8"), SPINE_FRACTIONS, strict=True)), "Neck": 1.0, "Head": 1.0 + NECK_M / SPINE_M,
}  # fmt: skip
"""Of a vertebra above the hips, as share of hips to neck."""

_INDEX = {name: i for i, name in enumerate(BONES)}
_SEGMENT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
_TO_WORLD = [2, 0, 1]
_POS_SIGNS: Array = np.array([1.0, -1.0, 1.0])
_QUAT_COLUMNS = [3, 2, 0, 1]
_QUAT_SIGNS: Array = np.array([1.0, -1.0, 1.0, -1.0])


class Person(NamedTuple):
    """23 segments; those that are not valid hold finite values without meaning."""

    pos_w: Array
    """[m], (23, 3), Z-up."""
    quat_w: Array
    """Unit, wxyz, (23, 4)."""
    valid: Flags
    """(23,)."""


class Plan(NamedTuple):
    """How the segments follow from the bones that are sent."""

    bones: frozenset[str]
    parents: tuple[int, ...]
    """Per bone of `BONES`: index of the nearest parent that is sent; -1 for the hips."""
    defaults: Array
    """Offset from that parent of a 1.75 m adult [m], (n, 3)."""
    near: npt.NDArray[np.intp]
    """Per segment: the bone it starts from ..."""
    far: npt.NDArray[np.intp]
    """... the bone towards which it lies ..."""
    share: Array
    """... and how far, (23, 1)."""
    turn: npt.NDArray[np.intp]
    """Per segment: the bone it turns with."""
    valid: Flags
    """(23,)."""


def to_world(transforms: Array) -> tuple[Array, Array]:
    """Positions (n, 3) and wxyz (n, 4) in our axes of Unity transforms (n, 7)."""
    return transforms[:, _TO_WORLD] * _POS_SIGNS, transforms[:, 3:][:, _QUAT_COLUMNS] * _QUAT_SIGNS


def to_unity(pos: Array, quat: Array) -> Array:
    """Unity transforms (n, 7) of positions (n, 3) and wxyz (n, 4) in our axes."""
    x, y, z = pos.T
    w, i, j, k = quat.T
    return np.stack((-y, z, x, j, -k, -i, w), axis=1)


def plan(names: frozenset[str]) -> Plan:
    """The plan for these bones.

    Raises:
        ProtocolError: missing_bones, when there are no hips.
    """
    if "Hips" not in names:
        raise ProtocolError("missing_bones", "no bone Hips is sent; choose a humanoid avatar in the sending program")
    parents: list[int] = []
    good: list[bool] = []
    for bone in BONES:
        parent, reached = PARENT_OF.get(bone), bone in names
        while parent is not None and parent not in names and parent in OPTIONAL:
            parent = PARENT_OF.get(parent)
        reached = reached and (parent is None or (parent in names and good[_INDEX[parent]]))
        good.append(reached)
        parents.append(-1 if parent is None else _INDEX[parent])
    rest = _rest()
    above = zip(BONES, parents, strict=True)
    defaults = np.array([rest[bone] - rest[BONES[p]] if p >= 0 else np.zeros(3) for bone, p in above])
    rows = [_origin(segment, {b for b in BONES if good[_INDEX[b]]}) for segment in MVN_SEGMENTS]
    valid: Flags = np.array([row[4] for row in rows], dtype=np.bool_)
    valid.setflags(write=False)
    near, far, share, turn = ([row[k] for row in rows] for k in range(4))
    return Plan(
        names, tuple(parents), defaults,
        np.array([_INDEX[str(name)] for name in near]), np.array([_INDEX[str(name)] for name in far]),
        np.array(share, dtype=np.float64)[:, None], np.array([_INDEX[str(name)] for name in turn]),
        valid,
    )  # fmt: skip


def _origin(segment: str, good: set[str]) -> tuple[str, str, float, str, bool]:
    """(near, far, share, turn, valid) of a segment, given the bones whose place is known."""
    own = next((bone for bone, s in SEGMENT_OF.items() if s == segment), None)
    if own in good and own is not None:
        return own, own, 0.0, own, True
    lost = ("Hips", "Hips", 0.0, "Hips", False)
    if segment in HEIGHTS:
        spine = [bone for bone in ("Spine", "Chest", "UpperChest", "Neck", "Head") if bone in good]
        below = [bone for bone in spine if HEIGHTS[SEGMENT_OF[bone]] < HEIGHTS[segment]]
        above = [bone for bone in spine if HEIGHTS[SEGMENT_OF[bone]] > HEIGHTS[segment]]
        if not below or not above or own == "Spine":
            return lost
        low, high = HEIGHTS[SEGMENT_OF[below[-1]]], HEIGHTS[SEGMENT_OF[above[0]]]
        return below[-1], above[0], (HEIGHTS[segment] - low) / (high - low), below[-1], True
    if segment.endswith("Shoulder"):
        chest = next((bone for bone in ("UpperChest", "Chest", "Spine") if bone in good), None)
        arm = segment.replace("Shoulder", "UpperArm")
        other = arm.replace("Left", "Right") if arm.startswith("Left") else arm.replace("Right", "Left")
        return (arm, other, COLLAR_SHARE, chest, True) if chest and {arm, other} <= good else lost
    foot = segment.replace("Toe", "Foot")
    if segment.endswith("Toe") and foot in good:  # forward kinematics puts it there
        return own or foot, own or foot, 0.0, foot, True
    return lost


def _rest() -> dict[str, Array]:
    """Where each bone starts in the T-pose of a 1.75 m adult, from the pelvis [m]."""
    at: dict[str, Array] = {}
    for segment in MVN_SEGMENTS:
        parent = MVN_PARENTS.get(segment)
        at[segment] = OFFSETS[_SEGMENT[segment]] + (at[parent] if parent is not None else 0.0)
    return {bone: at[segment] for bone, segment in SEGMENT_OF.items()}


def person(frame: Mapping[str, Transform], how: Plan) -> Person:
    """The person of a whole frame with the bones of the plan.

    Raises:
        ProtocolError: non_finite, quaternion_norm, implausible_position.
    """
    nothing: Transform = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    local = np.array([frame.get(ROOT_KEY, nothing), *(frame.get(bone, nothing) for bone in BONES)])
    offsets, turns = to_world(local)
    norms = np.hypot.reduce(turns, axis=1)
    worst = float(norms[np.argmax(np.abs(norms - 1.0))])
    if not abs(worst - 1.0) <= NORM_TOLERANCE:
        raise ProtocolError("quaternion_norm", f"a bone's quaternion has norm {worst:.3g}; 1 is expected")
    farthest = float(np.abs(offsets).max())
    if farthest > EXTENT_M:
        raise ProtocolError("implausible_position", f"a bone is {farthest:.3g} m from its parent")
    turns /= norms[:, None]
    without = np.abs(offsets[1:]).max(axis=1) < NO_OFFSET_M
    without[0] = False
    offsets[1:][without] = how.defaults[without]
    pos, quat = _forward(offsets.tolist(), turns.tolist(), how.parents)
    start = pos[how.near]
    result = Person(start + how.share * (pos[how.far] - start), quat[how.turn], how.valid)
    check_body(result.pos_w[how.valid], result.quat_w[how.valid])
    return result


def _forward(offsets: list[list[float]], turns: list[list[float]], parents: tuple[int, ...]) -> tuple[Array, Array]:
    """World positions and orientations of the bones; plain floats, for numpy costs ten times as much on one vector."""
    pos: list[tuple[float, float, float]] = []
    quat: list[tuple[float, float, float, float]] = []
    rx, ry, rz = offsets[0]
    rw, ri, rj, rk = turns[0]
    for (x, y, z), (b, c, d, e), parent in zip(offsets[1:], turns[1:], parents, strict=True):
        (px, py, pz), (w, i, j, k) = ((rx, ry, rz), (rw, ri, rj, rk)) if parent < 0 else (pos[parent], quat[parent])
        tx, ty, tz = 2.0 * (j * z - k * y), 2.0 * (k * x - i * z), 2.0 * (i * y - j * x)
        pos.append((
            px + x + w * tx + j * tz - k * ty, py + y + w * ty + k * tx - i * tz, pz + z + w * tz + i * ty - j * tx,
        ))  # fmt: skip
        quat.append((
            w * b - i * c - j * d - k * e, w * c + i * b + j * e - k * d,
            w * d - i * e + j * b + k * c, w * e + i * d - j * c + k * b,
        ))  # fmt: skip
    turned = np.array(quat)
    turned /= np.sqrt(np.vecdot(turned, turned))[:, None]
    return np.array(pos), turned
