"""An operator of whom only head and hands, and perhaps pelvis and feet, are tracked -> a whole body to retarget.

What is not tracked is built, not measured: an adult's proportions at the operator's size, elbows and knees by two-bone
inverse kinematics with the elbow hanging down and a little out. Without a pelvis the trunk stands upright below the
head. Without both feet the legs stand: place and heading of the operator are taken out, so that the robot stays where
it is and only arms, trunk and height follow.
"""

from __future__ import annotations

import math

import numpy as np

from teleopd.drivers.human_pose import MVN, MVN_SEGMENTS, Array, HumanPose
from teleopd.drivers.motion_file import human
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import SEGMENT, to_world
from teleopd.drivers.motion_file.leads import neutral_turns

NEEDED = ("Head", "LeftHand", "RightHand")
TRACKED = (*NEEDED, "Pelvis", "LeftFoot", "RightFoot")
"""The bodies such an operator may have; any other one means a whole body."""
SIZE = (0.75, 1.3)
"""Believed size against the adult of 1.75 m."""
LEAN_RAD = math.radians(45.0)
"""Most that the trunk bends from the pelvis towards the head [rad]."""
LOWEST = 0.6
"""Lowest pelvis, as a share of its height while standing."""
HIGHEST = 1.2
"""Highest pelvis where the feet are tracked, which may leave the floor; else it is that of standing."""
HEADING_S = 0.5
"""Without a pelvis the trunk turns after the head with this time constant [s]: people look around."""
MAX_STEP_S = 0.1
REACH = 0.9995
"""Longest limb over its two bones: elbows and knees never lock."""
_ARM = {side: [SEGMENT[side + part] for part in ("UpperArm", "ForeArm", "Hand")] for side in ("Left", "Right")}
_LEG = {side: [SEGMENT[side + part] for part in ("UpperLeg", "LowerLeg", "Foot", "Toe")] for side in ("Left", "Right")}
_TRACKED = np.array([name in TRACKED for name in MVN_SEGMENTS])
_HEAD, _PELVIS = SEGMENT["Head"], SEGMENT["Pelvis"]
_BENDS_AT = SEGMENT["L5"]
_LOWER = {_PELVIS, *(row for rows in _LEG.values() for row in rows)}
_UPPER = [row for row in range(len(MVN_SEGMENTS)) if row not in _LOWER]
_REST_POS, _REST_QUAT = (part[0] for part in to_world(human.OFFSETS[None], neutral_turns()[None]))
"""Relaxed standing of the adult of 1.75 m, pelvis at the origin."""
STANDING_HEAD_M = human.STANDING_M + float(_REST_POS[_HEAD, 2])
"""Height of the head segment of that adult."""


class SparseBody:
    """Completes the poses of one source; whole bodies go through unchanged. Holds the operator's size and heading."""

    def __init__(self) -> None:
        self._whole = False
        self._size: float | None = None
        self._feet = self._pelvis = False
        self._yaw: float | None = None
        self._last_ns = 0
        self._quat: Array | None = None

    def complete(self, pose: HumanPose) -> HumanPose:
        """The pose itself where it is a whole body's, or cannot be completed; else with every segment.

        Segments of a hand or foot that is lost for a moment are marked as not tracked.
        """
        self._whole |= pose.skeleton != MVN or bool(pose.valid[~_TRACKED].any())
        if self._whole:
            return pose
        seen = {name: bool(pose.valid[SEGMENT[name]]) for name in TRACKED}
        if self._size is None:
            if not all(seen[name] for name in NEEDED):
                return pose
            self._measure(pose, seen)
        if not seen["Head"] or (self._pelvis and not seen["Pelvis"]):
            return pose  # there is no telling where the trunk is: the checks refuse it
        if not (np.isfinite(pose.pos_w[pose.valid]).all() and np.isfinite(pose.quat_w[pose.valid]).all()):
            return pose._replace(valid=np.ones_like(pose.valid))  # for the checks to name
        return self._build(pose, seen)

    def _measure(self, pose: HumanPose, seen: dict[str, bool]) -> None:
        """The operator stands upright in the first frame with head and hands."""
        self._pelvis = seen["Pelvis"]
        self._feet = seen["LeftFoot"] and seen["RightFoot"]
        self._size = min(max(float(pose.pos_w[_HEAD, 2]) / STANDING_HEAD_M, SIZE[0]), SIZE[1])

    def _build(self, pose: HumanPose, seen: dict[str, bool]) -> HumanPose:
        assert self._size is not None
        pos, quat, yaw = pose.pos_w / self._size, pose.quat_w, self._heading(pose)
        if not self._feet:  # the operator's own place and heading
            pos = pos - pos[_PELVIS if self._pelvis else _HEAD] * (1.0, 1.0, 0.0)
            pos = pos @ _matrix(_about_z(yaw))  # rows turned by -yaw
            quat = quat @ _left_product(_about_z(-yaw)).T
            yaw = 0.0
        made_pos, made_quat = self._trunk(pos, quat, yaw)
        made_quat[_HEAD] = quat[_HEAD]
        valid = np.ones(len(MVN_SEGMENTS), dtype=np.bool_)
        trunk = _matrix(made_quat[SEGMENT["T8"]])
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            hand = _ARM[side][2]
            if seen[side + "Hand"]:
                _arm(made_pos, made_quat, _ARM[side], (pos[hand], quat[hand]), trunk, sign)
            else:
                valid[_ARM[side]] = False
            if self._feet and not seen[side + "Foot"]:
                valid[_LEG[side]] = False
            else:
                self._leg(made_pos, made_quat, _LEG[side], (pos, quat), sign, yaw)
        if self._quat is not None:
            made_quat[np.vecdot(made_quat, self._quat) < 0.0] *= -1.0
        self._quat = made_quat
        return pose._replace(pos_w=made_pos * self._size, quat_w=made_quat, valid=valid)

    def _heading(self, pose: HumanPose) -> float:
        """Of the pelvis, or of the head, slowly [rad]."""
        if self._pelvis:
            return float(rot.heading(pose.quat_w[_PELVIS]))
        wanted = float(rot.heading(pose.quat_w[_HEAD]))
        step_s = min(max((pose.t_source_ns - self._last_ns) / 1e9, 0.0), MAX_STEP_S)
        self._last_ns = pose.t_source_ns
        if self._yaw is None:
            self._yaw = wanted
        away = math.remainder(wanted - self._yaw, 2.0 * math.pi)
        self._yaw += away * (1.0 - math.exp(-step_s / HEADING_S))
        return self._yaw

    def _trunk(self, pos: Array, quat: Array, yaw: float) -> tuple[Array, Array]:
        """Everything as in relaxed standing, pelvis where it is, bent above it so that the trunk points at the head."""
        if self._pelvis:
            at, turn = pos[_PELVIS].copy(), quat[_PELVIS]
        else:
            at, turn = pos[_HEAD] - (0.0, 0.0, STANDING_HEAD_M - human.STANDING_M), _about_z(yaw)
        at[2] = min(max(at[2], LOWEST * human.STANDING_M), human.STANDING_M * (HIGHEST if self._feet else 1.0))
        made_pos, made_quat = at + _REST_POS @ _matrix(turn).T, _REST_QUAT @ _left_product(turn).T
        if self._pelvis:
            root = made_pos[_BENDS_AT]
            bend = _shortest(made_pos[_HEAD] - root, pos[_HEAD] - root, LEAN_RAD)
            made_pos[_UPPER] = root + (made_pos[_UPPER] - root) @ _matrix(bend).T
            made_quat[_UPPER] = made_quat[_UPPER] @ _left_product(bend).T
        return made_pos, made_quat

    def _leg(
        self, made_pos: Array, made_quat: Array, rows: list[int], tracked: tuple[Array, Array], sign: float, yaw: float
    ) -> None:
        """Hip to ankle with the knee ahead; `tracked`: positions and orientations of the tracked bodies."""
        hip, knee, ankle, toe = rows
        if self._feet:
            end, turn = tracked[0][ankle], tracked[1][ankle]
        else:
            end, turn = np.array([0.0, sign * human.HALF_HIPS_M, human.ANKLE_M]), _about_z(yaw)
        front = np.array([math.cos(yaw), math.sin(yaw), 0.0])
        knee_w, ankle_w = _two_bones(made_pos[hip], end, human.THIGH_M, human.SHANK_M, front)
        for row, upwards in ((hip, made_pos[hip] - knee_w), (knee, knee_w - ankle_w)):
            made_quat[row] = _of_axes(_cross(upwards, front), upwards)
        made_pos[knee], made_pos[ankle] = knee_w, ankle_w
        made_quat[ankle] = made_quat[toe] = turn
        made_pos[toe] = ankle_w + _matrix(turn) @ human.OFFSETS[toe]


def _arm(
    made_pos: Array, made_quat: Array, rows: list[int], hand: tuple[Array, Array], trunk: Array, sign: float
) -> None:
    """Shoulder to wrist, the elbow hanging down, back and a little out; `sign`: +1 left, -1 right."""
    upper, fore, wrist = rows
    shoulder = made_pos[upper]
    pole = trunk @ np.array([-0.4, 0.5 * sign, -1.0])
    elbow, end = _two_bones(shoulder, hand[0], human.UPPER_ARM_M, human.FOREARM_M, pole)
    made_pos[fore], made_pos[wrist], made_quat[wrist] = elbow, end, hand[1]
    hinge = _cross(end - elbow, elbow - shoulder) * sign  # the elbow bends about the arm's own Z
    for row, bone in ((upper, elbow - shoulder), (fore, end - elbow)):
        made_quat[row] = _of_axes(bone * sign, hinge)


def _two_bones(start: Array, end: Array, a: float, b: float, pole: Array) -> tuple[Array, Array]:
    """Middle joint, bent towards `pole`, and the end as far as it can be reached; bones a, b (law of cosines)."""
    reach = end - start
    distance = max(math.sqrt(reach @ reach), 1e-3)
    along = reach / distance
    length = min(max(distance, abs(a - b) + 0.02), REACH * (a + b))
    for towards in (pole, np.array([pole[2], pole[0], pole[1]])):  # the second where the first lies along the limb
        aside = towards - along * (along @ towards)
        size = math.sqrt(aside @ aside)
        if size > 1e-3:
            break
    x = (a * a - b * b + length * length) / (2.0 * length)
    return start + x * along + (math.sqrt(max(a * a - x * x, 0.0)) / size) * aside, start + length * along


def _of_axes(y: Array, z: Array) -> Array:
    """Orientation whose Y axis lies along `y` as near as `z`, its Z axis, allows; wxyz."""
    z = z / math.sqrt(z @ z)
    y = y - z * (z @ y)
    y = y / math.sqrt(y @ y)
    made: Array = rot.from_matrix(np.stack((_cross(y, z), y, z), axis=-1))
    return made


def _shortest(a: Array, b: Array, most_rad: float) -> Array:
    """The turn from direction a towards b, of at most so much [rad], wxyz."""
    axis = _cross(a, b)
    sine = math.sqrt(axis @ axis)
    if sine < 1e-9:
        return rot.IDENTITY
    half = 0.5 * min(math.atan2(sine, float(a @ b)), most_rad)
    return np.concatenate(([math.cos(half)], (math.sin(half) / sine) * axis))


def _cross(a: Array, b: Array) -> Array:
    ax, ay, az = a.tolist()
    bx, by, bz = b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _about_z(angle_rad: float) -> Array:
    return np.array([math.cos(angle_rad / 2.0), 0.0, 0.0, math.sin(angle_rad / 2.0)])


def _matrix(q: Array) -> Array:
    """Rotation matrix of a unit quaternion."""
    w, x, y, z = q.tolist()
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def _left_product(q: Array) -> Array:
    """Matrix L with L @ p = q * p."""
    w, x, y, z = q.tolist()
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
