"""A policy's card: the TOML file beside an ONNX that says everything needed to run it, and nothing twice.

`card_reader.py` reads and checks it. Values a joint are given by name or by a pattern (`"*_knee*" = 150.0`); every
joint matches exactly one pattern.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from teleopd.robots.model import Array, RobotModel
from teleopd.service.policy import blocks as b
from teleopd.service.policy.errors import WrongJoints

PerJoint = float | dict[str, float]
"""One value for all joints, or pattern -> value."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    pass


class DataFile(_Strict, frozen=True, kw_only=True):
    """A file beside the ONNX that holds its weights (`policy.onnx.data`)."""

    file: str
    sha256: str


class Extra(_Strict, frozen=True, kw_only=True):
    """An input of the ONNX beside the observation."""

    input: str
    source: Literal["observation", "recurrent", "clip_time", "first_tick", "force_limit", "constant"]
    """observation: the next values of the vector. recurrent: what `output` gave at the last tick, zeros at first.
    clip_time: ticks since the clip began. first_tick: 1 at the first tick. force_limit: [N]. constant: `value`."""
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64", "bool"] = "float32"
    output: str = ""
    value: float = 0.0

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class ModelFile(_Strict, frozen=True, kw_only=True):
    """The ONNX file that belongs to the card."""

    file: str
    """File name, or end of the path, under which the weights are published and searched."""
    sha256: str
    opset: int
    input: str
    """Name of the observation input."""
    output: str
    """Name of the action output."""
    input_width: int
    output_width: int
    data: tuple[DataFile, ...] = ()
    """Files with its weights, when they are not in the ONNX itself."""
    extras: tuple[Extra, ...] = ()
    """Its other inputs."""


class Rest(_Strict, frozen=True, kw_only=True):
    """Joints of the robot that the network does not drive."""

    joints: tuple[str, ...]
    follow: Literal["reference", "default_pose"]
    """What their targets are."""


class JointOrders(_Strict, frozen=True, kw_only=True):
    """Joint names in the order of each quantity; 'state' means: the same as for the state."""

    state: tuple[str, ...]
    reference: tuple[str, ...] | Literal["state"]
    action: tuple[str, ...] | Literal["state"]
    rest: Rest | None = None


class Smoothing(_Strict, frozen=True, kw_only=True):
    """Moving average of the action: alpha * new + (1 - alpha) * last."""

    alpha: float
    stage: Literal["before_clip", "after_clip"]


class Action(_Strict, frozen=True, kw_only=True):
    """target = clip(output, -clip, clip) * scale + offset, with the moving average before or after the clip."""

    scale: PerJoint
    offset: Literal["default_pose", "none"]
    clip: float | None = None
    feedback: Literal["raw", "clipped", "filtered"]
    """Which one `last_action` shows at the next tick; 'filtered' is what the target is made from."""
    smoothing: Smoothing | None = None


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
    over_metadata: bool = False
    """These are meant although the ONNX metadata say something else."""


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


class Clip(_Strict, frozen=True, kw_only=True):
    """A motion inside the ONNX: outputs that give the reference at the tick of the input `clip_time`."""

    steps: int
    """Length [ticks]."""
    joint_pos: str
    """Output with joint positions in the reference order [rad]."""
    joint_vel: str
    """Output with joint velocities in the reference order [rad/s]."""
    body: str
    """MJCF body whose pose the next two outputs give; the root follows from it."""
    body_index: int = 0
    """Which one, where the outputs list several."""
    body_pos: str
    body_quat: str
    quat_order: Literal["wxyz", "xyzw"] = "wxyz"
    at_end: Literal["hold", "repeat"] = "hold"
    """Hold the last pose, or start again from where the robot is: some policies cannot stand on their last pose."""


class Point(_Strict, frozen=True, kw_only=True):
    """A point fixed to a body."""

    name: str
    body: str
    """MJCF body."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In the body's frame [m]."""


class Compliance(_Strict, frozen=True, kw_only=True):
    """Range of a policy's force limit [N]."""

    lower_n: float
    upper_n: float
    default_n: float


class Capabilities(_Strict, frozen=True, kw_only=True):
    """What of a reference a policy follows whose legs go their own way, and how far; more is clipped, and said."""

    legs: Literal[False]
    """The legs do not follow the reference's."""
    upper_body: bool
    """Torso and arms do."""
    forward: tuple[float, float]
    """Velocity of the root in its own heading [m/s]."""
    left: tuple[float, float]
    turn: tuple[float, float]
    """[rad/s]"""
    height: tuple[float, float]
    """Pelvis above the floor [m]; a bent robot stands on both feet and does not walk."""


class Slot(NamedTuple):
    """Where a block lies in the observation: [start, stop). A hidden term lies nowhere: start equals stop."""

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
    lookahead: Literal["none", "hold", "extrapolate", "delay"] = "none"
    """How a live stream serves that: repeat the present reference, extrapolate it, or delay the stream."""
    role: Literal["tracker", "velocity", "clip"] = "tracker"
    """What it tracks: whole poses; the root's velocity; the one motion it was trained on."""
    armature: PerJoint | None = None
    """Reflected rotor inertia it was trained with [kg m^2]; the simulated robot must have about the same."""
    model: ModelFile
    encoder: ModelFile | None = None
    """A network that turns the first `input_width` values of the observation into the first inputs of `model`."""
    clip: Clip | None = None
    points: tuple[Point, ...] = ()
    """What the `key_points` blocks follow."""
    compliance: Compliance | None = None
    """Present when the policy has a force limit."""
    capabilities: Capabilities | None = None
    """Present when the legs do not follow the reference's."""
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

    @property
    def driven_joints(self) -> tuple[str, ...]:
        """Every joint that gets a target: from the network, then the rest."""
        return self.action_joints + (self.joints.rest.joints if self.joints.rest is not None else ())

    @property
    def future_steps(self) -> tuple[int, ...]:
        """Ticks ahead of which the policy sees the reference, ascending, without the present."""
        steps = {step for block in self.observation if isinstance(block, b.Future) for step in block.steps}
        return tuple(sorted(steps - {0}))

    @property
    def inputs_width(self) -> int:
        """What the networks' observation inputs take together; the blocks must add up to it."""
        width = self.model.input_width + sum(e.size for e in self.model.extras if e.source == "observation")
        return width if self.encoder is None else width + self.encoder.input_width - self.encoder.output_width

    def order_of(self, block: b.JointBlock) -> tuple[str, ...]:
        """The joints of a joint block, in its order."""
        if block.joints != "all":
            return block.joints
        if isinstance(block, b.LastAction):
            return self.action_joints
        if isinstance(block, b.ReferenceQ | b.ReferenceDq | b.ReferenceQError):
            return self.reference_joints
        return self.state_joints

    def layout(self) -> tuple[Slot, ...]:
        """Every observation block with its place; the last `stop` is the width."""
        groups: dict[str, int] = {}
        for block in self.observation:
            if not isinstance(block, b.Repeat):
                groups[block.group] = groups.get(block.group, 0) + self.term_width(block)
        slots, start = [], 0
        for block in self.observation:
            if isinstance(block, b.Repeat):
                width = b.ticks_of(block) * sum(groups[group] for group in block.of)
            else:
                width = 0 if block.hidden else self.term_width(block)
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

    def term_width(self, term: b.Term) -> int:
        """Number of values of a term at one tick."""
        if isinstance(term, b.JointBlock):
            return len(self.order_of(term))
        if isinstance(term, b.VectorBlock):
            return len(term.axes)
        if isinstance(term, b.Constant):
            return term.width
        if isinstance(term, b.Phase):
            return len(term.offsets_rad)
        if isinstance(term, b.KeyPoints):
            return 3 * len(self.points)
        if isinstance(term, b.ForceLimit):
            return 1 if term.form == "newton" else 3
        return _FIXED_WIDTHS[type(term)]


_FIXED_WIDTHS: dict[type[b.Term], int] = {
    b.Gravity: 3, b.RollPitch: 2, b.ReferenceHeight: 1, b.ReferenceRollPitch: 2, b.ReferenceGravity: 3,
    b.ReferenceHeading: 2, b.ReferenceWalks: 1, b.AnchorOrientation: 6,
    b.AnchorPosition: 3, b.Balance: 7,
}  # fmt: skip


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
    """See that every joint of the robot gets a target.

    Raises:
        WrongJoints: names the ones without.
    """
    undriven = [name for name in model.joint_names if name not in card.driven_joints]
    if undriven:
        driven = model.n - len(undriven)
        raise WrongJoints(card.name, f"drives {driven} joints of {model.n}; nothing drives {', '.join(undriven)}")
