"""The words in which a card describes an observation: one frozen struct a block kind.

A *term* is measured or wanted now (a joint position, the roll of the reference ...); `History` and `Future` repeat
groups of terms. Blocks stand in the vector in the order in which the card lists them. A term's value is
`clip(value - offset) * scale`.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

JointSelection = Literal["all"] | tuple[str, ...]
Axes = Literal["x", "y", "z", "xy", "xyz"]


def _kind(class_name: str) -> str:
    """`ReferenceQ` -> `reference_q`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class _Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=_kind):
    """Any entry of `[[observation]]`."""


class _Term(_Block, frozen=True, kw_only=True):
    """A block made of present values."""

    group: str
    """Name by which `History` and `Future` refer to it."""
    scale: float = 1.0
    clip: tuple[float, float] | None = None
    """Bounds before scaling, in the unit of the value."""


class _Joints(_Term, frozen=True, kw_only=True):
    joints: JointSelection = "all"
    """Which joints, in this order; 'all' is the card's order for this kind of quantity."""
    zero: tuple[str, ...] = ()
    """Joints whose value the policy was trained not to see: always 0."""
    offset: Literal["none", "default_pose"] = "none"
    """What is subtracted first."""


class Q(_Joints, frozen=True, kw_only=True):
    """Measured joint positions [rad]."""


class Dq(_Joints, frozen=True, kw_only=True):
    """Measured joint velocities [rad/s]."""


class ReferenceQ(_Joints, frozen=True, kw_only=True):
    """Reference joint positions [rad]."""


class ReferenceDq(_Joints, frozen=True, kw_only=True):
    """Reference joint velocities [rad/s]."""


class LastAction(_Joints, frozen=True, kw_only=True):
    """The network's previous output as the card feeds it back, 0 at start."""


class Gyro(_Term, frozen=True, kw_only=True):
    """Angular velocity of the pelvis in its own frame [rad/s]."""

    axes: Axes = "xyz"


class Gravity(_Term, frozen=True, kw_only=True):
    """Unit vector of gravity in the pelvis frame, (0, 0, -1) when upright."""


class RollPitch(_Term, frozen=True, kw_only=True):
    """Roll and pitch of the pelvis [rad]."""


class ReferenceLinVel(_Term, frozen=True, kw_only=True):
    """Root velocity of the reference [m/s]."""

    axes: Axes = "xyz"
    frame: Literal["root", "heading", "world"]
    """'root' rotates by the whole inverse quaternion of the reference, 'heading' by its yaw only."""


class ReferenceAngVel(_Term, frozen=True, kw_only=True):
    """Angular velocity of the reference root [rad/s]."""

    axes: Axes = "xyz"
    frame: Literal["root", "heading", "world"]


class ReferenceHeight(_Term, frozen=True, kw_only=True):
    """Height of the reference root above the floor [m]."""


class ReferenceRollPitch(_Term, frozen=True, kw_only=True):
    """Roll and pitch of the reference root [rad]."""


class History(_Block, frozen=True, kw_only=True):
    """The last `length` ticks of some groups, each tick one stacked vector, the present tick excluded."""

    of: tuple[str, ...]
    """Groups, in the order in which they are stacked."""
    length: int
    """Ticks."""
    order: Literal["oldest_first", "newest_first"]
    fill: Literal["zeros", "current"]
    """What stands for ticks before the start."""


class Future(_Block, frozen=True, kw_only=True):
    """Coming references, one stacked vector a step; step 0 is the present one."""

    of: tuple[str, ...]
    """Groups, in the order in which they are stacked."""
    steps: tuple[int, ...]
    """Ticks ahead."""


JointBlock = Q | Dq | ReferenceQ | ReferenceDq | LastAction
VectorBlock = Gyro | ReferenceLinVel | ReferenceAngVel
AttitudeBlock = Gravity | RollPitch | ReferenceHeight | ReferenceRollPitch
Term = JointBlock | VectorBlock | AttitudeBlock
Block = Term | History | Future

_REFERENCE_FIELDS: dict[type[_Block], tuple[str, ...]] = {
    ReferenceQ: ("q",),
    ReferenceDq: ("dq",),
    ReferenceLinVel: ("root_lin_vel_w", "root_quat_w"),
    ReferenceAngVel: ("root_ang_vel_w", "root_quat_w"),
    ReferenceHeight: ("root_pos_w",),
    ReferenceRollPitch: ("root_quat_w",),
}


def kind_of(block: type[_Block]) -> str:
    """The word that cards use for a block type."""
    return _kind(block.__name__)


def reference_fields(blocks: tuple[Block, ...]) -> tuple[str, ...]:
    """Fields of `Reference` that these blocks read, sorted."""
    return tuple(sorted({field for block in blocks for field in _REFERENCE_FIELDS.get(type(block), ())}))


