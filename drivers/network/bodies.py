"""Named bodies of a frame -> the 23 MVN segments in canonical frames, Z-up. Pure.

**Axes.** `up: z` is our own world. `up: y` is right-handed with Z ahead and the left arm along +X, as in SMPL, Motive
and Blender's exporters; the cyclic exchange x, y, z <- z, x, y turns it into ours, for quaternion vectors alike.

**Names.** MVN segments are taken as they are. SMPL's 24 joints, in lower case with underscores, have the order and the
frames of a PICO body, and go the same way (`drivers/pico/skeleton.py`): each segment takes the joint at its own
proximal end, and T12, which SMPL lacks, is derived from the two vertebrae around it.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.network.wire import Frame
from teleopd.drivers.pico import skeleton
from teleopd.drivers.plausible import check_body
from teleopd.drivers.source import ProtocolError

Flags = npt.NDArray[np.bool_]
SMPL_JOINTS = tuple(name.lower() for name in skeleton.JOINTS)
"""The 24 joints of SMPL, in its order. Its palms, left_hand and right_hand, have no MVN segment and are not used."""

_CYCLE = [2, 0, 1]
_CYCLE_WXYZ = [0, 3, 1, 2]
_AROUND_T12 = [MVN_SEGMENTS.index("L3"), MVN_SEGMENTS.index("T8")]
_T12 = MVN_SEGMENTS.index("T12")
_SMPL_OF = np.array([SMPL_JOINTS.index(skeleton.JOINT_OF.get(name, "Spine2").lower()) for name in MVN_SEGMENTS])


class Person(NamedTuple):
    """23 segments; those that are not valid hold finite values without meaning."""

    pos_w: Array
    """[m], (23, 3), Z-up."""
    quat_w: Array
    """Unit, wxyz, (23, 4)."""
    valid: Flags
    """(23,)."""


class Bodies:
    """Turns frames into persons; remembers the last list of names, and where lost bodies were."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] | None = None
        self._rows: npt.NDArray[np.intp] = np.empty(0, np.intp)
        self._smpl = False
        self._held: Person | None = None

    def forget(self) -> None:
        """The next frame does not continue the one before."""
        self._held = None

    def read(self, frame: Frame) -> Person:
        """The person of a frame; bodies it lacks are not valid and stay where they were.

        Raises:
            ProtocolError: unknown_body, duplicate_body, not_tracked, non_finite, quaternion_norm,
                implausible_position.
        """
        if frame.names != self._names:
            self._learn(frame.names)
        pos, quat = np.array(frame.pos_m, dtype=np.float64), np.array(frame.quat_wxyz, dtype=np.float64)
        rows = self._rows
        if frame.valid is not None:
            tracked: Flags = np.array(frame.valid, dtype=np.bool_)
            pos, quat, rows = pos[tracked], quat[tracked], rows[tracked]
        if not len(rows):
            raise ProtocolError("not_tracked", "no body of the frame is valid")
        check_body(pos, quat)
        if frame.up == "y":
            pos, quat = pos[:, _CYCLE], quat[:, _CYCLE_WXYZ]
        quat = quat / np.sqrt(np.vecdot(quat, quat))[:, None]
        person = self._smpl_person(pos, quat, rows) if self._smpl else _mvn_person(pos, quat, rows)
        return self._hold(person)

    def _learn(self, names: tuple[str, ...]) -> None:
        """Which names these are.

        Raises:
            ProtocolError: unknown_body, duplicate_body.
        """
        self._names = None
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ProtocolError("duplicate_body", f"body '{twice}' is named twice in one frame")
        smpl = sum(name in SMPL_JOINTS for name in names) > sum(name in MVN_SEGMENTS for name in names)
        known = SMPL_JOINTS if smpl else MVN_SEGMENTS
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            close = difflib.get_close_matches(unknown, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            kind = "SMPL joint" if smpl else "MVN segment"
            raise ProtocolError("unknown_body", f"'{unknown}' is no {kind}{hint}")
        self._rows = np.array([known.index(name) for name in names], dtype=np.intp)
        self._smpl, self._names = smpl, names

    def _smpl_person(self, pos: Array, quat: Array, rows: npt.NDArray[np.intp]) -> Person:
        count = len(SMPL_JOINTS)
        there: Flags = np.zeros(count, dtype=np.bool_)
        there[rows] = True
        whole_pos, whole_quat = np.tile(pos[0], (count, 1)), np.tile((1.0, 0.0, 0.0, 0.0), (count, 1))
        whole_pos[rows], whole_quat[rows] = pos, quat
        valid: Flags = there[_SMPL_OF]
        valid[_T12] = valid[_AROUND_T12].all()
        return Person(*skeleton.to_mvn(skeleton.to_device(whole_pos, whole_quat)), valid)

    def _hold(self, person: Person) -> Person:
        """Signs continuous with the person before, and lost bodies where they were."""
        pos, quat, valid = person
        held = self._held
        if held is not None:
            quat[np.vecdot(quat, held.quat_w) < 0.0] *= -1.0
            if not valid.all():
                pos[~valid], quat[~valid] = held.pos_w[~valid], held.quat_w[~valid]
        self._held = Person(pos.copy(), quat.copy(), valid)
        return person


def _mvn_person(pos: Array, quat: Array, rows: npt.NDArray[np.intp]) -> Person:
    count = len(MVN_SEGMENTS)
    valid: Flags = np.zeros(count, dtype=np.bool_)
    valid[rows] = True
    whole_pos, whole_quat = np.tile(pos[0], (count, 1)), np.tile((1.0, 0.0, 0.0, 0.0), (count, 1))
    whole_pos[rows], whole_quat[rows] = pos, quat
    return Person(whole_pos, whole_quat, valid)
