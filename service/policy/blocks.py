"""The words in which a card describes an observation: one frozen struct a block kind.

A *term* is measured or wanted now (a joint position, the roll of the reference ...); `History` and `Future` repeat
groups of terms. Blocks stand in the vector in the order in which the card lists them. A term's value is
`clip(value - offset) * scale`. A *hidden* term has no place of its own: `History`, `Lags` or `Future` show it.
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


class _Block(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=_kind,
    omit_defaults=True,
):  # fmt: skip
    """Any entry of `[[observation]]`."""


class _Term(_Block, frozen=True, kw_only=True):
    """A block made of present values."""

    group: str
    """Name by which `History` and `Future` refer to it."""
    scale: float | tuple[float, ...] = 1.0
    """One factor, or one for each value."""
    clip: tuple[float, float] | None = None
    """Bounds before scaling, in the unit of the value."""
    hidden: bool = False
    """Only the blocks that repeat its group show it."""


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


class ReferenceQError(_Joints, frozen=True, kw_only=True):
    """Reference minus measured joint positions [rad]."""


class Gyro(_Term, frozen=True, kw_only=True):
    """Angular velocity of the body that carries the card's IMU, in its own frame [rad/s]."""

    axes: Axes = "xyz"


class BaseLinVel(_Term, frozen=True, kw_only=True):
    """Measured velocity of the pelvis in its own frame [m/s]; needs odometry."""

    axes: Axes = "xyz"


class Gravity(_Term, frozen=True, kw_only=True):
    """Unit vector of gravity in the frame of the card's IMU body, (0, 0, -1) when upright."""


class RollPitch(_Term, frozen=True, kw_only=True):
    """Roll and pitch of the card's IMU body [rad]."""


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

    add_m: float = 0.0
    """Added to it [m]."""


class ReferenceRollPitch(_Term, frozen=True, kw_only=True):
    """Roll and pitch of the reference root [rad]."""


class ReferenceGravity(_Term, frozen=True, kw_only=True):
    """Unit vector of gravity in the reference root frame."""


class ReferenceDisplacement(_Term, frozen=True, kw_only=True):
    """Way from the present reference root to that of a coming step [m]; 0 at step 0."""

    axes: Axes = "xyz"
    frame: Literal["root", "heading"]
    """Of the present reference root."""


class ReferenceHeading(_Term, frozen=True, kw_only=True):
    """Horizontal unit vector in which the reference root faces, (x, y) in the present reference's heading frame."""


class ReferenceWalks(_Term, frozen=True, kw_only=True):
    """1 while the reference's root is to move at all (above 1 mm/s or 1 mrad/s), 0 while it is to stand still."""


class AnchorOrientation(_Term, frozen=True, kw_only=True):
    """Rotation from a body of the robot to the same body of the reference: two columns of its matrix, 6 values."""

    body: str
    """MJCF body; its pose comes from the pelvis through the joints between."""
    flatten: Literal["row_major", "column_major"]
    """(r00, r01, r10, r11, r20, r21), or the first column and then the second."""
    align: Literal["start", "none"]
    """'start' turns the reference so that both face the same way at the first tick."""


class AnchorPosition(_Term, frozen=True, kw_only=True):
    """Way from a body of the robot to the same body of the reference, in the robot body's frame [m]; needs odometry."""

    body: str
    align: Literal["start", "none"]
    """'start' turns and shifts the reference horizontally so that both coincide at the first tick."""


class KeyPoints(_Term, frozen=True, kw_only=True):
    """The card's points, three values each, in the robot's heading frame. The first two need odometry."""

    quantity: Literal["error", "from_root", "velocity"]
    """Reference minus robot point [m]; reference point minus robot root [m]; reference velocity [m/s]."""


class Balance(_Term, frozen=True, kw_only=True):
    """Centre of mass over the feet by the robot's model, in the heading frame, from mid-way between the ankles: place
    x, y, z [m], velocity x, y against the feet [m/s], place of the left ankle x, y [m]."""

    feet: tuple[str, str]
    """MJCF bodies of the left and the right foot; their origin is the ankle."""


class Phase(_Term, frozen=True, kw_only=True):
    """Sine or cosine of a clock that starts with the policy."""

    function: Literal["sin", "cos"]
    period_s: float
    """[s]"""
    offsets_rad: tuple[float, ...] = (0.0,)
    """One value for each [rad]."""
    still_below: float | None = None
    """While the reference's velocities are below this [m/s, rad/s], every angle is pi."""


class Constant(_Term, frozen=True, kw_only=True):
    """The same value always: a mode number, a boot flag, an input of a mode not used."""

    width: int
    value: float = 0.0


class ForceLimit(_Term, frozen=True, kw_only=True):
    """How hard the policy may push against what holds its arms."""

    form: Literal["newton", "flag_newton_stiffness"]
    """The limit [N]; or (1, limit, limit / 0.05 m), all zero when it is off."""


class History(_Block, frozen=True, kw_only=True):
    """The last `length` ticks of some groups, each tick one stacked vector."""

    of: tuple[str, ...]
    """Groups, in the order in which they are stacked."""
    length: int
    """Ticks."""
    order: Literal["oldest_first", "newest_first"]
    fill: Literal["zeros", "current"]
    """What stands for ticks before the start."""
    present: bool = False
    """Whether the present tick is the newest of them."""


class Lags(_Block, frozen=True, kw_only=True):
    """Chosen ticks of some groups, each tick one stacked vector, in the order given."""

    of: tuple[str, ...]
    """Groups, in the order in which they are stacked."""
    lags: tuple[int, ...]
    """Ticks back; 0 is the present one."""
    fill: Literal["zeros", "current"]
    """What stands for ticks before the start."""


class Future(_Block, frozen=True, kw_only=True):
    """Coming references, one stacked vector a step; step 0 is the present one."""

    of: tuple[str, ...]
    """Groups, in the order in which they are stacked."""
    steps: tuple[int, ...]
    """Ticks ahead."""


JointBlock = Q | Dq | ReferenceQ | ReferenceDq | ReferenceQError | LastAction
VectorBlock = Gyro | BaseLinVel | ReferenceLinVel | ReferenceAngVel | ReferenceDisplacement
AttitudeBlock = (
    Gravity | RollPitch | ReferenceHeight | ReferenceRollPitch | ReferenceGravity | ReferenceHeading | ReferenceWalks
)
BodyBlock = AnchorOrientation | AnchorPosition | KeyPoints | Balance
InputBlock = Phase | Constant | ForceLimit
Term = JointBlock | VectorBlock | AttitudeBlock | BodyBlock | InputBlock
Repeat = History | Lags | Future
Block = Term | Repeat

_REFERENCE_FIELDS: dict[type[_Block], tuple[str, ...]] = {
    ReferenceQ: ("q",),
    ReferenceDq: ("dq",),
    ReferenceQError: ("q",),
    ReferenceLinVel: ("root_lin_vel_w", "root_quat_w"),
    ReferenceAngVel: ("root_ang_vel_w", "root_quat_w"),
    ReferenceHeight: ("root_pos_w",),
    ReferenceRollPitch: ("root_quat_w",),
    ReferenceGravity: ("root_quat_w",),
    ReferenceDisplacement: ("root_pos_w", "root_quat_w"),
    ReferenceHeading: ("root_quat_w",),
    ReferenceWalks: ("root_ang_vel_w", "root_lin_vel_w"),
    AnchorOrientation: ("q", "root_quat_w"),
    AnchorPosition: ("q", "root_pos_w", "root_quat_w"),
    KeyPoints: ("dq", "q", "root_ang_vel_w", "root_lin_vel_w", "root_pos_w", "root_quat_w"),
}


def kind_of(block: type[_Block]) -> str:
    """The word that cards use for a block type."""
    return _kind(block.__name__)


def reference_fields(blocks: tuple[Block, ...]) -> tuple[str, ...]:
    """Fields of `Reference` that these blocks read, sorted."""
    return tuple(sorted({field for block in blocks for field in _REFERENCE_FIELDS.get(type(block), ())}))


def needs_odometry(block: Block) -> bool:
    """Whether a block reads the measured position or velocity of the root."""
    return isinstance(block, BaseLinVel | AnchorPosition) or (
        isinstance(block, KeyPoints) and block.quantity != "velocity"
    )


def ticks_of(block: Repeat) -> int:
    """How many stacked vectors a repeating block shows."""
    if isinstance(block, History):
        return block.length
    return len(block.lags if isinstance(block, Lags) else block.steps)
