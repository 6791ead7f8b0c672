"""Tracking frames of an emulated headset: a motion clip as the JSON that the headset app sends."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.pico.messages import BODY_JOINTS, TRACKING
from teleopd.drivers.pico.skeleton import from_mvn, to_device

RECENTRE_XY_M = (0.8, -0.5)
RECENTRE_YAW_RAD = np.deg2rad(35.0)
"""Where the headset was when its origin was set anew, in the old world."""
GRIP_AHEAD_M = 0.06
"""Wrist to the controller in the fist, along the forearm."""
HAND_JOINTS = 26
_FINGERS = (("thumb", 0.03, 4), ("index", 0.02, 5), ("middle", 0.0, 5), ("ring", -0.02, 5), ("little", -0.04, 5))
_AHEAD = {4: (0.02, 0.05, 0.08, 0.1), 5: (0.02, 0.08, 0.12, 0.145, 0.165)}
TRACKERS = (("LeftFoot", "PC2310LEFT"), ("RightFoot", "PC2310RIGHT"), ("Pelvis", "PC2310WAIST"))


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything about one frame that is not the motion."""

    stamp_ns: int
    """The headset's wall clock."""
    joint_time: int
    """The body's own clock [ns]."""
    body: int
    """Clip frame whose body is sent."""
    devices: int
    """Clip frame whose head, controllers, hands and trackers are sent."""
    recentred: bool = False
    focus: bool = True
    grip: float = 0.0


class FrameWriter:
    """Writes any frame of one clip. Floats carry `digits` significant digits: 9 as the app's float32, 17 exact."""

    def __init__(
        self, clip: MotionClip, *, hands: bool = False, trackers: int = 0, digits: int = 9, recentre: bool = False
    ) -> None:
        """`recentre`: some moments will be `recentred`."""
        self._clip = clip
        self._hands = hands
        self._trackers = trackers
        self._bodies = self._with_rates(clip.pos_w, clip.quat_w)
        self._moved = _recentred(clip) if recentre else clip
        self._moved_bodies = self._with_rates(self._moved.pos_w, self._moved.quat_w) if recentre else self._bodies
        number = f"%.{digits}g"
        self._pose = ",".join([number] * 7)
        six = ",".join([number] * 6)
        self._joint = f'{{"p":"{self._pose}","t":%d,"va":"{six}","wva":"{six}"}}'
        self._body = '{"joints":[' + ",".join([self._joint] * BODY_JOINTS) + "]}"
        self._offsets = hand_offsets()

    def text(self, moment: Moment) -> bytes:
        """The device state of one frame, as `deviceStateJson` carries it."""
        clip = self._moved if moment.recentred else self._clip
        pos, quat = clip.pos_w[moment.devices], clip.quat_w[moment.devices]
        parts = [
            f'"predictTime":{moment.stamp_ns // 1000 + 20_000}',
            f'"appState":{{"focus":{json.dumps(moment.focus)}}}',
            f'"Head":{{"pose":"{self._one(pos, quat, "Head")}","status":3}}',
            f'"Controller":{{"left":{self._controller(pos, quat, "Left", moment.grip)},'
            f'"right":{self._controller(pos, quat, "Right", moment.grip)}}}',
            f'"Body":{self._body_text(moment)}',
        ]
        if self._hands:
            parts.append(f'"Hand":{{"leftHand":{self._hand(pos, quat, "Left")},'
                         f'"rightHand":{self._hand(pos, quat, "Right")}}}')  # fmt: skip
        if self._trackers:
            joints = ",".join(self._tracker(pos, quat, *which) for which in TRACKERS[: self._trackers])
            parts.append(f'"Motion":{{"joints":[{joints}],"len":{self._trackers}}}')
        inner = "{" + ",".join([*parts, f'"timeStampNs":{moment.stamp_ns}', '"Input":1']) + "}"
        return json.dumps({"functionName": TRACKING, "value": inner}, separators=(",", ":")).encode()

    def _with_rates(self, pos_w: Array, quat_w: Array) -> Array:
        """Joint poses and their first and second derivatives, (T, 24, 7 + 12): pose, va, wva."""
        raw = from_mvn(pos_w, quat_w)
        if len(raw) < 2:
            return np.concatenate((raw, np.zeros((*raw.shape[:2], 12))), axis=-1)
        step = rot.multiply(quat_w[1:], rot.conjugate(quat_w[:-1]))
        half = np.where(step[..., :1] < 0.0, -1.0, 1.0) * step[..., 1:]
        turning = np.concatenate((half, half[-1:])) * 2.0 * self._clip.fps  # a small turn's half angle
        spin = from_mvn(turning, np.broadcast_to(rot.IDENTITY, quat_w.shape))[..., :3]
        velocity, dt = np.gradient(raw[..., :3], axis=0) * self._clip.fps, 1.0 / self._clip.fps
        rates = (velocity, np.gradient(velocity, dt, axis=0), spin, np.gradient(spin, dt, axis=0))
        return np.concatenate((raw, *rates), axis=-1)

    def _body_text(self, moment: Moment) -> str:
        body = (self._moved_bodies if moment.recentred else self._bodies)[moment.body]
        values: list[float] = []
        for row in body.tolist():
            values += row[:7]
            values.append(moment.joint_time)
            values += row[7:]
        return self._body % tuple(values)

    def _one(self, pos: Array, quat: Array, segment: str) -> str:
        index = MVN_SEGMENTS.index(segment)
        return self._pose % tuple(to_device(pos[index], quat[index]).tolist())

    def _controller(self, pos: Array, quat: Array, side: str, grip: float) -> str:
        index = MVN_SEGMENTS.index(side + "Hand")
        ahead = np.array([0.0, GRIP_AHEAD_M if side == "Left" else -GRIP_AHEAD_M, 0.0])
        pose = self._pose % tuple(to_device(pos[index] + rot.rotate(quat[index], ahead), quat[index]).tolist())
        return (
            f'{{"axisX":0.0,"axisY":0.0,"axisClick":false,"grip":{grip!r},"trigger":0.0,"primaryButton":false,'
            f'"secondaryButton":false,"menuButton":false,"pose":"{pose}"}}'
        )

    def _hand(self, pos: Array, quat: Array, side: str) -> str:
        index = MVN_SEGMENTS.index(side + "Hand")
        mirrored = self._offsets * (1.0 if side == "Left" else np.array([1.0, -1.0, 1.0]))
        points = pos[index] + rot.rotate(quat[index], mirrored)
        joints = to_device(points, np.broadcast_to(quat[index], (HAND_JOINTS, 4)))
        poses = [self._pose % tuple(row) for row in joints.tolist()]
        rows = ",".join(f'{{"p":"{pose}","s":15,"r":0.01}}' for pose in poses)
        return f'{{"isActive":1,"count":{HAND_JOINTS},"scale":1.0,"HandJointLocations":[{rows}]}}'

    def _tracker(self, pos: Array, quat: Array, segment: str, serial: str) -> str:
        zeros = ",".join(["0"] * 6)
        return f'{{"p":"{self._one(pos, quat, segment)}","va":"{zeros}","wva":"{zeros}","sn":"{serial}"}}'


def hand_offsets() -> Array:
    """Joints of a straight left hand in the hand segment's frame [m], palm, wrist, then thumb to little, (26, 3)."""
    points = [(0.0, 0.05, 0.0), (0.0, 0.0, 0.0)]
    for _, across, count in _FINGERS:
        points += [(across, ahead, 0.0) for ahead in _AHEAD[count]]
    return np.array(points)


def _recentred(clip: MotionClip) -> MotionClip:
    """The clip as seen from a world whose origin was set anew."""
    back = rot.about(2, -RECENTRE_YAW_RAD)
    pos = rot.rotate(back, clip.pos_w - np.array([*RECENTRE_XY_M, 0.0]))
    return MotionClip(clip.name, clip.fps, pos, rot.multiply(back, clip.quat_w), clip.family)
