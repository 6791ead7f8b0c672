"""The tracking JSON of the headset app: text -> typed values. Pure.

The service hands on {"functionName": "Tracking", "value": "<JSON as a string>"}; a pose inside is the string
"x,y,z,qx,qy,qz,qw". Hands and trackers stay unread until somebody asks (`extras.py`), so that they cost the body
nothing. Every key may be missing: the app leaves out what it does not track.
"""

from __future__ import annotations

import math
from operator import methodcaller
from typing import Annotated, Any

import msgspec
import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.source import ProtocolError

MAX_POSE_TEXT = 200
"""Longest pose string [characters]: seven doubles of 24 characters and six commas are 174."""
LARGEST = 1e100
"""Largest number read, so that none overflows when it is squared."""
BODY_JOINTS = 24
NUMBERS = 7
TRACKING = "Tracking"
CONTROLLER_INPUT = 1
"""Value of `Input` while the controllers are in use (0 head, 2 hand)."""

Instant = Annotated[int, msgspec.Meta(ge=0)]


class Joint(msgspec.Struct, gc=False):
    """One body joint; velocities are sent too, and not read."""

    p: str = ""
    t: int | float = 0
    """The device's own sample time; the unit is not documented, only that it advances."""


class Body(msgspec.Struct, gc=False):
    """The body as the headset estimates it."""

    joints: list[Joint] = []


class ControllerSide(msgspec.Struct, gc=False, rename="camel"):
    """One controller; analogue values 0 to 1."""

    pose: str = ""
    axis_x: float = 0.0
    axis_y: float = 0.0
    axis_click: bool | int = False
    grip: float = 0.0
    trigger: float = 0.0
    primary_button: bool | int = False
    secondary_button: bool | int = False
    menu_button: bool | int = False


class Controllers(msgspec.Struct, gc=False):
    """Both controllers."""

    left: ControllerSide | None = None
    right: ControllerSide | None = None


class Head(msgspec.Struct, gc=False):
    """The headset."""

    pose: str = ""
    status: int | float = 0


class AppState(msgspec.Struct, gc=False):
    """Of the headset app."""

    focus: bool | int = True


class Tracking(
    msgspec.Struct,
    gc=False,
    rename={
        "stamp_ns": "timeStampNs", "app": "appState", "head": "Head", "controller": "Controller", "hand": "Hand",
        "body": "Body", "motion": "Motion", "input": "Input",
    },
):  # fmt: skip
    """One tracking frame."""

    stamp_ns: Instant = 0
    """The headset's wall clock at sending [ns], of ms resolution."""
    app: AppState | None = None
    head: Head | None = None
    controller: Controllers | None = None
    hand: msgspec.Raw = msgspec.Raw()
    body: Body | None = None
    motion: msgspec.Raw = msgspec.Raw()
    input: int | float = CONTROLLER_INPUT


class _Outer(msgspec.Struct, rename={"function": "functionName"}):
    function: str = ""
    value: Any = ""
    """JSON in a string; an app that nests the object itself is read too."""


_OUTER = msgspec.json.Decoder(_Outer)
_commas = methodcaller("count", ",")
_NUMBERS = msgspec.json.Decoder(list[float])
_TRACKING = msgspec.json.Decoder(Tracking)


def read_tracking(text: bytes) -> Tracking | None:
    """The tracking frame in a device's state, None where the state is about something else.

    Raises:
        ProtocolError: json, when the text is not JSON of that shape.
    """
    try:
        outer = _OUTER.decode(text)
        if outer.function != TRACKING:
            return None
        return _TRACKING.decode(outer.value if isinstance(outer.value, str) else msgspec.json.encode(outer.value))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError("json", f"the device's state cannot be read as tracking JSON: {short(error)}") from None


def body_joints(tracking: Tracking) -> list[Joint]:
    """The 24 joints of a frame.

    Raises:
        ProtocolError: no_body, wrong_count.
    """
    joints = tracking.body.joints if tracking.body is not None else []
    if not joints:
        raise ProtocolError(
            "no_body", "frames carry no body; choose full-body tracking in XRoboToolkit and calibrate the trackers"
        )
    if len(joints) != BODY_JOINTS:
        raise ProtocolError("wrong_count", f"body has {len(joints)} joints; {BODY_JOINTS} are expected")
    return joints


def short(error: Exception) -> str:
    """First line of an error, cut to a readable length."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def read_poses(texts: list[str]) -> Array:
    """Rows of x, y, z [m], qx, qy, qz, qw, (n, 7), of pose strings, in the device's axes.

    Raises:
        ProtocolError: wrong_count, non_finite, implausible_position.
    """
    joined = ",".join(texts)
    if len(joined) > MAX_POSE_TEXT * len(texts) or set(map(_commas, texts)) - {NUMBERS - 1}:
        raise _bad_pose(texts)
    try:
        numbers = _NUMBERS.decode(f"[{joined}]")  # five times as fast as float()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        try:
            numbers = [float(part) for part in joined.split(",")]  # spellings that JSON has not, as .5 or NaN
        except ValueError:
            raise _bad_pose(texts) from None
    values: Array = np.array(numbers)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= LARGEST:
        if not math.isfinite(largest):
            raise ProtocolError("non_finite", "a position or quaternion is NaN or infinite")
        raise ProtocolError("implausible_position", f"a number is {largest:.3g}, neither metres nor of a quaternion")
    return values.reshape(-1, NUMBERS)


def _bad_pose(texts: list[str]) -> ProtocolError:
    for index, text in enumerate(texts):
        parts = text.split(",", NUMBERS)
        if len(parts) != NUMBERS or not all(map(_is_number, parts)) or len(text) > MAX_POSE_TEXT:
            return ProtocolError("wrong_count", f"pose {index} is {text[:80]!r}; seven numbers are expected")
    return ProtocolError("wrong_count", f"{len(texts)} poses do not hold {NUMBERS} numbers each")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
