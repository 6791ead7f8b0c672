"""Motive's skeletons and rigid bodies -> the 23 MVN segments, Z-up, canonical frames.

**Axes.** Motive is right-handed and Y-up by default, and a skeleton made in it faces +Z, left arm along +X. The cyclic
exchange x, y, z <- z, x, y turns that into Z-up facing +X, left along +Y; quaternion vectors go the same way. With
Motive's "Up Axis: Z-up" the same person faces -Y: turned by 90 deg about the vertical.

**Frames.** Motive's bones have the identity orientation in the T-pose (inferred from its documentation, not seen on
the wire), so after the exchange they are canonical segment frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import MVN_SEGMENTS, Array
from teleopd.drivers.natnet.messages import TRACKED, Frame, Records
from teleopd.drivers.natnet.plan import Plan
from teleopd.drivers.source import ProtocolError

Flags = npt.NDArray[np.bool_]

UP_AXES = ("y", "z")
NORM_TOLERANCE = 0.01
"""Motive sends unit quaternions in float32. Beyond this the bytes are not an orientation."""
REACH_M = (0.2, 3.0)
"""Distance of the farthest body from the first one [m]: below, no person; above, not metres."""
EXTENT_M = 10_000.0
LOCAL_TOLERANCE_M = 0.002
"""Bones streamed so near to their definition's offset from the parent are in local coordinates."""
UPRIGHT_SHARE = 0.3
"""A person whose head is less than this share of the feet-to-head distance above the feet is lying, or the up axis is
another one."""

_CYCLE = [2, 0, 1]


class Person(NamedTuple):
    """23 segments; those that are not valid hold finite values without meaning."""

    pos_w: Array
    """[m], (23, 3), Z-up."""
    quat_w: Array
    """Unit, wxyz, (23, 4)."""
    valid: Flags
    """(23,)."""


class Reader:
    """Turns the frames of one plan into persons; remembers where the bodies stood in the last frame's lists."""

    def __init__(self, followed: Plan, up_axis: str) -> None:
        self.plan = followed
        self._up = up_axis
        self._ids: bytes | None = None
        self._rows: npt.NDArray[np.intp] = np.empty(0, np.intp)
        self._held: Person | None = None

    def read(self, frame: Frame) -> Person:
        """The followed person.

        Raises:
            ProtocolError: not_streamed, not_tracked, non_finite, quaternion_norm, implausible_position,
                local_coordinates, wrong_up_axis.
        """
        bodies = self._find(frame)
        with np.errstate(invalid="ignore"):  # a signalling NaN would warn here; it is refused below
            raw_pos: Array = bodies["pos"].astype(np.float64)
            raw_quat: Array = bodies["quat_xyzw"].astype(np.float64)
        tracked: Flags = (bodies["params"] & TRACKED) != 0
        if not tracked.any():
            raise ProtocolError("not_tracked", f"no body of {self.plan.label} is tracked")
        _check(raw_pos, raw_quat, tracked)
        if self._held is None and self.plan.skeleton is not None:
            self._check_global(raw_pos)
        pos, quat = to_z_up(raw_pos, raw_quat, self._up)
        person = self._spread(pos, quat, tracked)
        if self._held is None and self.plan.skeleton is not None:
            _check_upright(person, self._up)
        self._held = person
        return person

    def _find(self, frame: Frame) -> Records:
        """The bodies of the plan, in its order."""
        number = self.plan.skeleton
        if number is None:
            bodies = frame.rigid_bodies
        else:
            bodies = next((s.bones for s in frame.skeletons if s.id == number), frame.rigid_bodies[:0])
        ids = bodies["id"].tobytes()
        if ids != self._ids:
            self._rows, self._ids = self._locate(bodies["id"].tolist()), ids
        return bodies[self._rows]

    def _locate(self, streamed: Iterable[int]) -> npt.NDArray[np.intp]:
        self._ids = None
        low = self.plan.skeleton is not None
        rows = {ident & 0xFFFF if low else ident: row for row, ident in enumerate(streamed)}
        absent = [ident for ident in self.plan.ids if ident not in rows]
        if absent:
            raise ProtocolError(
                "not_streamed",
                f"{len(absent)} of {len(self.plan.ids)} bodies of {self.plan.label} are not in the frame; "
                "enable them in Motive's streaming settings",
            )
        return np.array([rows[ident] for ident in self.plan.ids], dtype=np.intp)

    def _check_global(self, pos: Array) -> None:
        """Every bone but the root, which is global either way."""
        away = np.abs(pos - self.plan.offsets).max(axis=1)[1:]
        if np.count_nonzero(away <= LOCAL_TOLERANCE_M) > len(away) // 2:
            raise ProtocolError(
                "local_coordinates",
                f"{self.plan.label} is streamed in local coordinates; "
                "choose 'Skeleton Coordinates: Global' in Motive's streaming settings",
            )

    def _spread(self, pos: Array, quat: Array, tracked: Flags) -> Person:
        """Bodies -> segments, quaternion signs continuous; what is not tracked stays where it was."""
        near, far = self.plan.near, self.plan.far
        start = pos[near]
        pos_w: Array = start + self.plan.share * (pos[far] - start)
        quat_w: Array = quat[near]
        valid: Flags = tracked[near] & tracked[far] & self.plan.known
        if self._held is not None:
            quat_w[np.vecdot(quat_w, self._held.quat_w) < 0.0] *= -1.0
        if not valid.all():
            lost = ~valid
            pos_w[lost] = pos[tracked][0] if self._held is None else self._held.pos_w[lost]
            quat_w[lost] = (1.0, 0.0, 0.0, 0.0) if self._held is None else self._held.quat_w[lost]
        return Person(pos_w, quat_w, valid)


def to_z_up(pos: Array, quat_xyzw: Array, up_axis: str) -> tuple[Array, Array]:
    """Motive's axes and xyzw -> Z-up, facing +X, wxyz, unit; see the module's text. Zero quaternions stay zero."""
    norms = np.sqrt(np.vecdot(quat_xyzw, quat_xyzw))
    norms[~(norms > 0.0)] = 1.0
    quat: Array = np.empty_like(quat_xyzw)
    quat[:, 0] = quat_xyzw[:, 3]
    if up_axis == "y":
        quat[:, 1:] = quat_xyzw[:, _CYCLE]
        pos_w: Array = pos[:, _CYCLE]
    else:
        quat[:, 1:] = _quarter_turn(quat_xyzw)
        pos_w = _quarter_turn(pos)
    quat /= norms[:, None]
    return pos_w, quat


def _quarter_turn(v: Array) -> Array:
    return np.stack((-v[:, 1], v[:, 0], v[:, 2]), axis=1)


def _check(pos: Array, quat_xyzw: Array, tracked: Flags) -> None:
    """Finite, unit, within reach of each other; only what is tracked is judged."""
    if not tracked.all():
        pos, quat_xyzw = pos[tracked], quat_xyzw[tracked]
    if not (np.isfinite(pos).all() and np.isfinite(quat_xyzw).all()):
        raise ProtocolError("non_finite", "a position or quaternion of a tracked body is NaN or infinite")
    off = np.abs(np.sqrt(np.vecdot(quat_xyzw, quat_xyzw)) - 1.0)
    if off.max() > NORM_TOLERANCE:
        worst = float(np.linalg.norm(quat_xyzw[np.argmax(off)]))
        raise ProtocolError("quaternion_norm", f"a quaternion has norm {worst:.3g}; 1 is expected")
    x, y, z = pos[0].tolist()
    if max(abs(x), abs(y), abs(z)) > EXTENT_M:
        raise ProtocolError(
            "implausible_position", f"a body is at ({x:.3g}, {y:.3g}, {z:.3g}) m, beyond {EXTENT_M:.0f} m"
        )
    if len(pos) > 2:
        away = pos - pos[0]
        _check_reach(math.sqrt(np.vecdot(away, away).max()))


def _check_reach(reach: float) -> None:
    if REACH_M[0] <= reach <= REACH_M[1]:
        return
    unit = next((u for u, f in (("millimetres", 1000), ("centimetres", 100)) if 0.5 * f <= reach <= 2.2 * f), "")
    hint = f"; the stream looks like {unit}, set 'Scale' to 1 in Motive's streaming settings" if unit else ""
    raise ProtocolError(
        "implausible_position",
        f"the farthest body is {reach:.3g} m from the first; {REACH_M[0]} to {REACH_M[1]} m are possible{hint}",
    )


def _check_upright(person: Person, up_axis: str) -> None:
    head, feet = (MVN_SEGMENTS.index(name) for name in ("Head", "LeftFoot"))
    if not (person.valid[head] and person.valid[feet]):
        return
    rise = person.pos_w[head] - person.pos_w[feet]
    length = float(np.linalg.norm(rise))
    if length > 0.8 and rise[2] < UPRIGHT_SHARE * length:
        other = UP_AXES[1 - UP_AXES.index(up_axis)]
        raise ProtocolError(
            "wrong_up_axis",
            f"the head is only {rise[2]:.2f} m above the feet, {length:.2f} m away: the operator lies, "
            f"or Motive streams {other.upper()}-up (choose up axis {other})",
        )
