"""What a PICO sends beside the body: head, controllers, hands, motion trackers, in world axes."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.pico.messages import ControllerSide, Tracking, read_poses, short
from teleopd.drivers.pico.skeleton import to_world
from teleopd.drivers.source import ProtocolError

HAND_JOINTS = 26
"""OpenXR XrHandJointEXT, palm first."""
MAX_TRACKERS = 8


class Pose(NamedTuple):
    """One rigid body, world Z-up."""

    pos_w: Array
    """[m], (3,)."""
    quat_w: Array
    """Unit, wxyz, (4,); identity: the device's own axes lie as PICO's world (X right, Y up, Z back)."""


class Controller(NamedTuple):
    """One controller."""

    pose: Pose
    stick: tuple[float, float]
    """Thumb stick, right and forward, -1 to 1."""
    trigger: float
    """0 to 1."""
    grip: float
    """0 to 1."""


class Hand(NamedTuple):
    """One tracked hand; OpenXR joint frames: -Z along the finger, +Y out of its back, as seen by the device."""

    active: bool
    scale: float
    pos_w: Array
    """[m], (26, 3)."""
    quat_w: Array
    """wxyz, (26, 4)."""
    radius_m: Array
    """Of each joint [m], (26,)."""


class Tracker(NamedTuple):
    """One motion tracker that is tracked as an object."""

    serial: str
    pose: Pose


class PicoExtras(NamedTuple):
    """The newest frame's other values; what the frame does not carry is None or empty."""

    t_ns: int
    """Monotonic time at which this host received them."""
    head: Pose | None
    left: Controller | None
    right: Controller | None
    left_hand: Hand | None
    right_hand: Hand | None
    trackers: tuple[Tracker, ...]


class _HandJoint(msgspec.Struct, gc=False):
    p: str = ""
    r: float = 0.0


class _HandSide(msgspec.Struct, gc=False, rename={"active": "isActive", "joints": "HandJointLocations"}):
    active: bool | int = False
    scale: float = 1.0
    joints: list[_HandJoint] = []


class _Hands(msgspec.Struct, gc=False, rename={"left": "leftHand", "right": "rightHand"}):
    left: _HandSide | None = None
    right: _HandSide | None = None


class _TrackerJoint(msgspec.Struct, gc=False):
    p: str = ""
    sn: str = ""


class _Motion(msgspec.Struct, gc=False):
    joints: list[_TrackerJoint] = []


_HANDS = msgspec.json.Decoder(_Hands | None)
_MOTION = msgspec.json.Decoder(_Motion | None)


def read_extras(tracking: Tracking, t_ns: int) -> PicoExtras:
    """Everything but the body.

    Raises:
        ProtocolError: json, wrong_count, non_finite.
    """
    try:
        hands = _HANDS.decode(tracking.hand) if bytes(tracking.hand) else None
        motion = _MOTION.decode(tracking.motion) if bytes(tracking.motion) else None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError("json", f"hands or trackers cannot be read: {short(error)}") from None
    sides = tracking.controller
    return PicoExtras(
        t_ns,
        _pose(tracking.head.pose) if tracking.head and tracking.head.pose else None,
        _controller(sides.left) if sides else None,
        _controller(sides.right) if sides else None,
        _hand(hands.left) if hands else None,
        _hand(hands.right) if hands else None,
        tuple(Tracker(joint.sn[:64], _pose(joint.p)) for joint in motion.joints[:MAX_TRACKERS]) if motion else (),
    )


def _pose(text: str) -> Pose:
    pos, quat = to_world(read_poses([text]))
    return Pose(pos[0], quat[0])


def _controller(side: ControllerSide | None) -> Controller | None:
    if side is None or not side.pose:
        return None
    return Controller(_pose(side.pose), (side.axis_x, side.axis_y), side.trigger, side.grip)


def _hand(side: _HandSide | None) -> Hand | None:
    if side is None or not side.joints:
        return None
    if len(side.joints) != HAND_JOINTS:
        raise ProtocolError("wrong_count", f"a hand has {len(side.joints)} joints; {HAND_JOINTS} are expected")
    pos, quat = to_world(read_poses([joint.p for joint in side.joints]))
    return Hand(bool(side.active), side.scale, pos, quat, np.array([joint.r for joint in side.joints]))
