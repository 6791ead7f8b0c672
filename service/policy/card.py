"""A policy's card: the TOML file beside an ONNX that says everything needed to run it, and nothing twice.

`card_reader.py` reads and checks it. Values a joint are given by name or by a pattern (`"*_knee*" = 150.0`); every
joint matches exactly one pattern.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy import blocks as b
from teleopd.service.policy.errors import WrongJoints

PerJoint = float | dict[str, float]
"""One value for all joints, or pattern -> value."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ModelFile(_Strict, frozen=True, kw_only=True):
    """The ONNX file that belongs to the card."""

    file: str
    """File name under which the weights are published and searched."""
    sha256: str
    opset: int
    input: str
    """Name of the observation input."""
    output: str
    """Name of the action output."""
    input_width: int
    output_width: int


class JointOrders(_Strict, frozen=True, kw_only=True):
    """Joint names in the order of each quantity; 'state' means: the same as for the state."""

    state: tuple[str, ...]
    reference: tuple[str, ...] | Literal["state"]
    action: tuple[str, ...] | Literal["state"]


class Action(_Strict, frozen=True, kw_only=True):
    """target = clip(output, -clip, clip) * scale + offset."""

    scale: PerJoint
    offset: Literal["default_pose", "none"]
    clip: float | None = None
    feedback: Literal["raw", "clipped"]
    """Which one `last_action` shows at the next tick."""


class GainSet(_Strict, frozen=True, kw_only=True):
    """PD gains of the joints on one kind of link."""

    kp: PerJoint
    """[N m/rad]"""
    kd: PerJoint
    """[N m s/rad]"""
    source: str
    """Where the numbers come from."""
    reason: str
    """Why these and not the other set's."""


class Gains(_Strict, frozen=True, kw_only=True):
    """Gains in simulation and on hardware: they may differ."""

    sim: GainSet
    real: GainSet

    def of_link(self, link: str) -> tuple[str, GainSet]:
        """The set for a link and its name: 'sim' for link 'sim', 'real' for every other."""
        return ("sim", self.sim) if link == "sim" else ("real", self.real)


class Segment(_Strict, frozen=True, kw_only=True):
    """Values written into an input of zeros, `repeat` times, `stride` apart."""

    at: int
    values: tuple[float, ...]
    repeat: int = 1
    stride: int = 0


class Golden(_Strict, frozen=True, kw_only=True):
    """An input and the output that the right weights give for it."""

    name: str
    segments: tuple[Segment, ...] = ()
    output: tuple[float, ...]
    tolerance: float = 1e-4


class Slot(NamedTuple):
    """Where a block lies in the observation: [start, stop)."""

    block: b.Block
    start: int
    stop: int


class Card(_Strict, frozen=True, kw_only=True):
    """One policy."""

    schema: int
    name: str
    title: str
    robot: str
    licence: str
    attribution: str
    homepage: str
    rate_hz: float
    """[Hz]; the policy runs at this rate or not at all."""
    imu: Literal["pelvis", "torso"]
    """The IMU that the policy was trained with."""
    odometry: bool
    """Whether it needs the measured position and velocity of the root."""
    lookahead_steps: int
    """Ticks of future reference it wants."""
    model: ModelFile
    joints: JointOrders
    default_pose: PerJoint
    """[rad]"""
    observation: tuple[b.Block, ...]
    action: Action
    gains: Gains
    golden: tuple[Golden, ...] = ()

    @property
    def state_joints(self) -> tuple[str, ...]:
        """Order of measured joint quantities."""
        return self.joints.state

    @property
    def reference_joints(self) -> tuple[str, ...]:
        """Order of reference joint quantities."""
        return self.joints.state if self.joints.reference == "state" else self.joints.reference

    @property
    def action_joints(self) -> tuple[str, ...]:
        """Order of the network's output."""
        return self.joints.state if self.joints.action == "state" else self.joints.action

    @property
    def reference_fields(self) -> tuple[str, ...]:
        """Fields of `Reference` that the observation reads."""
        return b.reference_fields(self.observation)

    def order_of(self, block: b.JointBlock) -> tuple[str, ...]:
        """The joints of a joint block, in its order."""
        if block.joints != "all":
            return block.joints
        if isinstance(block, b.LastAction):
            return self.action_joints
        return self.reference_joints if isinstance(block, (b.ReferenceQ, b.ReferenceDq)) else self.state_joints

    def layout(self) -> tuple[Slot, ...]:
        """Every observation block with its place; the last `stop` is the width."""
        groups: dict[str, int] = {}
        for block in self.observation:
            if not isinstance(block, (b.History, b.Future)):
                groups[block.group] = groups.get(block.group, 0) + self._term_width(block)
        slots, start = [], 0
        for block in self.observation:
            if isinstance(block, (b.History, b.Future)):
                ticks = block.length if isinstance(block, b.History) else len(block.steps)
                width = ticks * sum(groups[group] for group in block.of)
            else:
                width = self._term_width(block)
            slots.append(Slot(block, start, start + width))
            start += width
        return tuple(slots)

    def per_joint(self, values: PerJoint, names: Sequence[str]) -> Array:
        """`values` spread over `names`, shape (len(names),), float64."""
        if isinstance(values, float | int):
            return np.full(len(names), float(values))
        found = {name: [v for pattern, v in values.items() if fnmatch.fnmatchcase(name, pattern)] for name in names}
        return np.array([found[name][0] for name in names], dtype=np.float64)

    def default_of(self, names: Sequence[str]) -> Array:
        """Default pose of `names` [rad]."""
        return self.per_joint(self.default_pose, names)

    def _term_width(self, term: b.Term) -> int:
        if isinstance(term, b.JointBlock):
            return len(self.order_of(term))
        if isinstance(term, b.VectorBlock):
            return len(term.axes)
        return {b.Gravity: 3, b.RollPitch: 2, b.ReferenceHeight: 1, b.ReferenceRollPitch: 2}[type(term)]


def gains_for(card: Card, model: RobotModel, link: str) -> tuple[Array, Array]:
    """kp [N m/rad] and kd [N m s/rad] of a robot's joints on one link, each (n,) in motor order and read-only.

    Raises:
        WrongJoints: a joint of the robot has none.
    """
    check_all_driven(card, model)
    _, gains = card.gains.of_link(link)
    kp, kd = card.per_joint(gains.kp, model.joint_names), card.per_joint(gains.kd, model.joint_names)
    for fixed in (kp, kd):
        fixed.setflags(write=False)
    return kp, kd


def check_all_driven(card: Card, model: RobotModel) -> None:
    """See that the network has an output for every joint of the robot.

    Raises:
        WrongJoints: names the ones without.
    """
    undriven = [name for name in model.joint_names if name not in card.action_joints]
    if undriven:
        driven = model.n - len(undriven)
        raise WrongJoints(card.name, f"drives {driven} joints of {model.n}; nothing drives {', '.join(undriven)}")
