"""Term -> the function that reads its plain values (before offset, clip and scale) from one tick."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, IntArray, LowState, Reference, RobotModel, UnknownJoint
from teleopd.service.policy import attitude as at
from teleopd.service.policy import blocks as b
from teleopd.service.policy.attitude import Quat, Vector, roll_pitch, rotate_heading_inverse, rotate_inverse
from teleopd.service.policy.card import Card
from teleopd.service.policy.errors import WrongJoints
from teleopd.service.policy.kinematics import Chain

Float32 = npt.NDArray[np.float32]
SOFTNESS_M = 0.05
"""Stiffness of a compliant arm is its force limit over this (GentleHumanoid)."""
STILL = 1e-3
"""A reference slower than this [m/s, rad/s] is one to stand still."""
_DOWN_W: Array = np.array([0.0, 0.0, -1.0])


class Tick:
    """What one tick knows. One object a builder, changed in place."""

    __slots__ = ("action", "count", "force_limit_n", "gyro_b", "present", "quat_w", "reference", "serial", "state")

    reference: Reference
    """The one a term reads: the present one, or that of a coming step."""
    present: Reference
    state: LowState
    quat_w: Array
    """Orientation of the IMU body, (4,)."""
    gyro_b: Array
    """Angular velocity of the IMU body in its own frame [rad/s], (3,)."""

    def __init__(self, outputs: int) -> None:
        self.action: Float32 = np.zeros(outputs, dtype=np.float32)
        """What is fed back of the last action."""
        self.count = 0
        """Ticks since the start."""
        self.serial = 0
        """Changes with each observation."""
        self.force_limit_n: float | None = None
        """[N]; None: stiff."""


Reader = Callable[[Tick], Array | Float32 | Sequence[float]]


class Readers:
    """Makes the readers of one card on one robot; what several terms need is computed once a tick."""

    def __init__(self, card: Card, model: RobotModel) -> None:
        self._card, self._model = card, model
        self._anchors: dict[tuple[str, str], _Anchor] = {}
        self._points: _Points | None = None

    def of(self, term: b.Term) -> Reader:
        """The reader of a term.

        Raises:
            WrongJoints: the robot has no such joint.
            NoBody: the robot has no such body.
        """
        if isinstance(term, b.JointBlock):
            return _joint_reader(self._card, term, self._model)
        if isinstance(term, b.VectorBlock):
            return _vector_reader(term)
        if isinstance(term, b.InputBlock):
            return _input_reader(term, self._card.rate_hz)
        if isinstance(term, b.BodyBlock):
            return self._body_reader(term)
        if isinstance(term, b.ReferenceHeight):
            add_m = term.add_m
            return lambda tick: (float(tick.reference.root_pos_w[2]) + add_m,)
        return _ATTITUDES[type(term)]

    def _body_reader(self, term: b.BodyBlock) -> Reader:
        if isinstance(term, b.Balance):
            from teleopd.service.policy.balance import Balance  # its mujoco is not for policies that do without

            balance = Balance(self._model, term.feet)
            return lambda tick: balance.read(
                np.array(rotate_inverse(tick.quat_w, _DOWN_W)), tick.gyro_b, tick.state.q, tick.state.dq
            )
        if isinstance(term, b.KeyPoints):
            self._points = self._points or _Points(self._card, self._model)
            return getattr(self._points, term.quantity)  # type: ignore[no-any-return]
        key = (term.body, term.align)
        anchor = self._anchors.setdefault(key, _Anchor(Chain(self._model, term.body), term.align == "start"))
        if isinstance(term, b.AnchorPosition):
            return anchor.position
        return anchor.rows if term.flatten == "row_major" else anchor.columns

    def started(self) -> None:
        """A tick was taken: what is aligned at the start stays as it is."""
        for anchor in self._anchors.values():
            anchor.started()

    def reset(self) -> None:
        """Before the first tick again."""
        for anchor in self._anchors.values():
            anchor.reset()


class _Anchor:
    """A body of the robot against the same body of the reference."""

    def __init__(self, chain: Chain, align: bool) -> None:
        self._chain, self._align = chain, align
        self.reset()

    def reset(self) -> None:
        self._is_started = False
        self._turn: Quat = (1.0, 0.0, 0.0, 0.0)
        self._from: Vector = (0.0, 0.0, 0.0)
        self._to: Vector = (0.0, 0.0, 0.0)

    def started(self) -> None:
        self._is_started = True

    def _poses(self, tick: Tick) -> tuple[Vector, Quat, Vector, Quat]:
        """Robot's and reference's pose of the body, the reference's aligned."""
        state, reference = tick.state, tick.reference
        robot_pos, robot_quat = self._chain.pose(_vector(state.root_pos_w), _quat(state.quat_w), state.q)
        if self._align and not self._is_started:
            start = tick.present
            pos, quat = self._chain.pose(_vector(start.root_pos_w), _quat(start.root_quat_w), start.q)
            self._turn = at.of_yaw(at.yaw_of(robot_quat) - at.yaw_of(quat))
            self._from, self._to = (pos[0], pos[1], 0.0), (robot_pos[0], robot_pos[1], 0.0)
        pos, quat = self._chain.pose(_vector(reference.root_pos_w), _quat(reference.root_quat_w), reference.q)
        if self._align:
            dx, dy, dz = at.rotate(self._turn, (pos[0] - self._from[0], pos[1] - self._from[1], pos[2]))
            pos = (self._to[0] + dx, self._to[1] + dy, dz)
            quat = at.multiply(self._turn, quat)
        return robot_pos, robot_quat, pos, quat

    def position(self, tick: Tick) -> Vector:
        robot_pos, robot_quat, pos, _ = self._poses(tick)
        way = (pos[0] - robot_pos[0], pos[1] - robot_pos[1], pos[2] - robot_pos[2])
        return at.rotate(at.conjugate(robot_quat), way)

    def rows(self, tick: Tick) -> Sequence[float]:
        _, robot_quat, _, quat = self._poses(tick)
        return at.two_columns(at.multiply(at.conjugate(robot_quat), quat))

    def columns(self, tick: Tick) -> Sequence[float]:
        r00, r01, r10, r11, r20, r21 = self.rows(tick)
        return (r00, r10, r20, r01, r11, r21)


class _Points:
    """The card's points on the robot and on the reference, in the robot's heading frame."""

    def __init__(self, card: Card, model: RobotModel) -> None:
        self._chains = [(Chain(model, point.body), point.offset) for point in card.points]
        self._serial = -1
        self._error: list[float] = []
        self._from_root: list[float] = []
        self._velocity: list[float] = []

    def error(self, tick: Tick) -> list[float]:
        self._compute(tick)
        return self._error

    def from_root(self, tick: Tick) -> list[float]:
        self._compute(tick)
        return self._from_root

    def velocity(self, tick: Tick) -> list[float]:
        self._compute(tick)
        return self._velocity

    def _compute(self, tick: Tick) -> None:
        if tick.serial == self._serial and tick.reference is tick.present:
            return
        self._serial = tick.serial if tick.reference is tick.present else -1
        self._error, self._from_root, self._velocity = [], [], []
        state, wanted, still = tick.state, tick.reference, (0.0, 0.0, 0.0)
        root, quat = _vector(state.root_pos_w), _quat(state.quat_w)
        level = at.of_yaw(-at.yaw_of(quat))
        for chain, offset in self._chains:
            robot, _ = chain.point(root, quat, still, still, state.q, state.dq, offset)
            point, velocity = chain.point(
                _vector(wanted.root_pos_w), _quat(wanted.root_quat_w), _vector(wanted.root_lin_vel_w),
                _vector(wanted.root_ang_vel_w), wanted.q, wanted.dq, offset,
            )  # fmt: skip
            self._error += at.rotate(level, (point[0] - robot[0], point[1] - robot[1], point[2] - robot[2]))
            self._from_root += at.rotate(level, (point[0] - root[0], point[1] - root[1], point[2] - root[2]))
            self._velocity += at.rotate(level, velocity)


def motor_indices(card: Card, names: tuple[str, ...], model: RobotModel) -> IntArray:
    """Motor indices of joints a card names.

    Raises:
        WrongJoints: the robot has no such joint.
    """
    try:
        return model.indices(names)
    except UnknownJoint as error:
        raise WrongJoints(card.name, str(error)) from None


def _joint_reader(card: Card, term: b.JointBlock, model: RobotModel) -> Reader:
    names = card.order_of(term)
    index = motor_indices(card, names, model)
    if isinstance(term, b.Q):
        return lambda tick: tick.state.q[index]
    if isinstance(term, b.Dq):
        return lambda tick: tick.state.dq[index]
    if isinstance(term, b.ReferenceQ):
        return lambda tick: tick.reference.q[index]
    if isinstance(term, b.ReferenceDq):
        return lambda tick: tick.reference.dq[index]
    if isinstance(term, b.ReferenceQError):
        return lambda tick: tick.reference.q[index] - tick.state.q[index]
    outputs = np.array([card.action_joints.index(name) for name in names], dtype=np.intp)
    return lambda tick: tick.action[outputs]


def _vector_reader(term: b.VectorBlock) -> Reader:
    axes: IntArray = np.array(["xyz".index(axis) for axis in term.axes], dtype=np.intp)
    picked = axes.tolist()
    if isinstance(term, b.Gyro):
        return lambda tick: tick.gyro_b[axes]
    if isinstance(term, b.BaseLinVel):
        return lambda tick: _picked(rotate_inverse(tick.state.quat_w, tick.state.root_lin_vel_w), picked)
    rotate = rotate_inverse if term.frame == "root" else rotate_heading_inverse
    if isinstance(term, b.ReferenceDisplacement):

        def displacement(tick: Tick) -> list[float]:
            way = tick.reference.root_pos_w - tick.present.root_pos_w
            return _picked(rotate(tick.present.root_quat_w, way), picked)

        return displacement
    if isinstance(term, b.ReferenceLinVel):
        if term.frame == "world":
            return lambda tick: tick.reference.root_lin_vel_w[axes]
        return lambda tick: _picked(rotate(tick.reference.root_quat_w, tick.reference.root_lin_vel_w), picked)
    if term.frame == "world":
        return lambda tick: tick.reference.root_ang_vel_w[axes]
    return lambda tick: _picked(rotate(tick.reference.root_quat_w, tick.reference.root_ang_vel_w), picked)


def _input_reader(term: b.InputBlock, rate_hz: float) -> Reader:
    if isinstance(term, b.Constant):
        values = (term.value,) * term.width
        return lambda tick: values
    if isinstance(term, b.Phase):
        return _phase_reader(term, rate_hz)
    if term.form == "newton":
        return lambda tick: (math.nan if tick.force_limit_n is None else tick.force_limit_n,)

    def force_limit(tick: Tick) -> Sequence[float]:
        limit = tick.force_limit_n
        return (0.0, 0.0, 0.0) if limit is None else (1.0, limit, limit / SOFTNESS_M)

    return force_limit


def _phase_reader(term: b.Phase, rate_hz: float) -> Reader:
    function, step = (math.sin if term.function == "sin" else math.cos), 2.0 * math.pi / (term.period_s * rate_hz)
    offsets, still_below = term.offsets_rad, term.still_below
    still = [function(math.pi)] * len(offsets)

    def read(tick: Tick) -> Sequence[float]:
        if still_below is not None:
            (x, y, _), (_, _, turn) = tick.reference.root_lin_vel_w.tolist(), tick.reference.root_ang_vel_w.tolist()
            if max(math.hypot(x, y), abs(turn)) < still_below:
                return still
        return [function(step * tick.count + offset) for offset in offsets]

    return read


def _picked(vector: Vector, axes: list[int]) -> list[float]:
    return [vector[axis] for axis in axes]


def _vector(array: Array) -> Vector:
    x, y, z = array.tolist()
    return (x, y, z)


def _quat(array: Array) -> Quat:
    w, x, y, z = array.tolist()
    return (w, x, y, z)


def _heading(tick: Tick) -> Sequence[float]:
    turn = at.yaw_of(_quat(tick.reference.root_quat_w)) - at.yaw_of(_quat(tick.present.root_quat_w))
    return (math.cos(turn), math.sin(turn))


def _walks(tick: Tick) -> Sequence[float]:
    (x, y, _), (_, _, turn) = tick.reference.root_lin_vel_w.tolist(), tick.reference.root_ang_vel_w.tolist()
    return (1.0 if max(math.hypot(x, y), abs(turn)) > STILL else 0.0,)


_ATTITUDES: dict[type[b.Term], Reader] = {
    b.RollPitch: lambda tick: roll_pitch(tick.quat_w),
    b.Gravity: lambda tick: rotate_inverse(tick.quat_w, _DOWN_W),
    b.ReferenceRollPitch: lambda tick: roll_pitch(tick.reference.root_quat_w),
    b.ReferenceGravity: lambda tick: rotate_inverse(tick.reference.root_quat_w, _DOWN_W),
    b.ReferenceHeading: _heading,
    b.ReferenceWalks: _walks,
}
