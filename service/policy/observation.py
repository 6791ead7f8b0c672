"""Card -> observation vector: compiled once into index arrays, then a few array operations a tick.

Order of one tick: `build` makes the observation from the reference and the state; the network runs; `push` notes its
output and only then appends the tick to the histories, so that a history never holds the tick it is shown in, and a
tick that came to nothing leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, IntArray, LowState, Reference, RobotModel, UnknownJoint
from teleopd.service.policy import blocks as b
from teleopd.service.policy.attitude import roll_pitch, rotate_heading_inverse, rotate_inverse
from teleopd.service.policy.card import Card, Slot
from teleopd.service.policy.errors import WrongJoints

Float32 = npt.NDArray[np.float32]
_Reader = Callable[[Reference, LowState, Float32], Array | Float32 | Sequence[float]]
"""Gives one term, unscaled, from reference, state and the last action."""
_DOWN_W: Array = np.array([0.0, 0.0, -1.0])


class ObservationBuilder:
    """Observation vectors of one policy on one robot. Not thread-safe; owns its buffers."""

    def __init__(self, card: Card, model: RobotModel) -> None:
        """Raises:
        WrongJoints: the card names joints that the robot does not have.
        """
        self._card = card
        self._layout = card.layout()
        self.width = self._layout[-1].stop
        self._observation = np.zeros((1, self.width), dtype=np.float32)
        self._last_action = np.zeros(card.model.output_width, dtype=np.float32)
        terms = [slot for slot in self._layout if not isinstance(slot.block, b.History | b.Future)]
        self._raw = np.zeros(sum(slot.stop - slot.start for slot in terms))
        self._place: IntArray = np.concatenate([np.arange(slot.start, slot.stop) for slot in terms])
        self._compile_terms(terms, model)
        self._histories = [
            _History(slot.block, self._group(slot.block.of), self._observation[0, slot.start : slot.stop])
            for slot in self._layout
            if isinstance(slot.block, b.History)
        ]
        self._copies = [
            (np.arange(slot.start, slot.stop), np.tile(self._group(slot.block.of), len(slot.block.steps)))
            for slot in self._layout
            if isinstance(slot.block, b.Future)
        ]

    def build(self, reference: Reference, state: LowState) -> Float32:
        """The observation of this tick, shape (1, width): a buffer that the next call overwrites."""
        for view, read in self._terms:
            view[:] = read(reference, state, self._last_action)
        raw, row = self._raw, self._observation[0]
        raw -= self._offset
        if self._clips:
            np.clip(raw, self._lower, self._upper, out=raw)
        raw *= self._scale
        raw[self._zero] = 0.0
        row[self._place] = raw
        for history in self._histories:
            history.show(row)
        for to, source in self._copies:
            row[to] = row[source]
        return self._observation

    def push(self, action: Float32) -> None:
        """Note the action to feed back, shape (output_width,), and end the tick that `build` began."""
        row = self._observation[0]
        for history in self._histories:
            history.append(row)
        self._last_action[:] = action

    def reset(self) -> None:
        """Forget histories and the last action, as before the first tick."""
        self._last_action[:] = 0.0
        for history in self._histories:
            history.reset()

    def _group(self, names: tuple[str, ...]) -> IntArray:
        """Places of the terms of some groups, stacked group by group."""
        return np.concatenate([
            np.arange(slot.start, slot.stop)
            for name in names
            for slot in self._layout
            if not isinstance(slot.block, b.History | b.Future) and slot.block.group == name
        ])  # fmt: skip

    def _compile_terms(self, terms: list[Slot], model: RobotModel) -> None:
        width = len(self._raw)
        self._offset, self._scale = np.zeros(width), np.ones(width)
        self._lower, self._upper = np.full(width, -np.inf), np.full(width, np.inf)
        self._terms: list[tuple[Array, _Reader]] = []
        zero: list[int] = []
        start = 0
        for slot in terms:
            term = slot.block
            assert not isinstance(term, b.History | b.Future)
            here = slice(start, start + slot.stop - slot.start)
            self._scale[here] = term.scale
            if term.clip is not None:
                self._lower[here], self._upper[here] = term.clip
            if isinstance(term, b.JointBlock):
                names = self._card.order_of(term)
                zero += [start + names.index(name) for name in term.zero]
                if term.offset == "default_pose":
                    self._offset[here] = self._card.default_of(names)
            self._terms.append((self._raw[here], _reader(self._card, term, model)))
            start = here.stop
        self._zero = np.array(zero, dtype=np.intp)
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())


class _History:
    """The last ticks of some groups. Kept twice in a row, so that any window of it is one contiguous piece."""

    def __init__(self, block: b.History, places: IntArray, slot: Float32) -> None:
        self._length, self._places = block.length, places
        self._newest_first, self._fill_current = block.order == "newest_first", block.fill == "current"
        self._ring = np.zeros((2 * block.length, len(places)), dtype=np.float32)
        self._slot = slot.reshape(block.length, len(places))
        self._head = 0
        self._empty = True

    def show(self, row: Float32) -> None:
        """Write the window into its slot of the observation."""
        if self._empty and self._fill_current:
            self._ring[:] = row[self._places]
        window = self._ring[self._head : self._head + self._length]
        self._slot[:] = window[::-1] if self._newest_first else window

    def append(self, row: Float32) -> None:
        """Add the tick now in `row`, dropping the oldest."""
        np.take(row, self._places, out=self._ring[self._head])
        self._ring[self._head + self._length] = self._ring[self._head]
        self._head = (self._head + 1) % self._length
        self._empty = False

    def reset(self) -> None:
        self._ring[:] = 0.0
        self._head = 0
        self._empty = True


def motor_indices(card: Card, names: tuple[str, ...], model: RobotModel) -> IntArray:
    """Motor indices of joints a card names.

    Raises:
        WrongJoints: the robot has no such joint.
    """
    try:
        return model.indices(names)
    except UnknownJoint as error:
        raise WrongJoints(card.name, str(error)) from None


def _reader(card: Card, term: b.Term, model: RobotModel) -> _Reader:
    """The function that gives a term's plain values."""
    if isinstance(term, b.JointBlock):
        return _joint_reader(card, term, model)
    if isinstance(term, b.ReferenceLinVel):
        return _velocity_reader(term, lambda reference: reference.root_lin_vel_w)
    if isinstance(term, b.ReferenceAngVel):
        return _velocity_reader(term, lambda reference: reference.root_ang_vel_w)
    if isinstance(term, b.Gyro):
        axes = _axes(term)
        return lambda reference, state, action: state.gyro_b[axes]
    return _ATTITUDES[type(term)]


def _joint_reader(card: Card, term: b.JointBlock, model: RobotModel) -> _Reader:
    names = card.order_of(term)
    index = motor_indices(card, names, model)
    if isinstance(term, b.Q):
        return lambda reference, state, action: state.q[index]
    if isinstance(term, b.Dq):
        return lambda reference, state, action: state.dq[index]
    if isinstance(term, b.ReferenceQ):
        return lambda reference, state, action: reference.q[index]
    if isinstance(term, b.ReferenceDq):
        return lambda reference, state, action: reference.dq[index]
    outputs = np.array([card.action_joints.index(name) for name in names], dtype=np.intp)
    return lambda reference, state, action: action[outputs]


def _velocity_reader(term: b.ReferenceLinVel | b.ReferenceAngVel, velocity_w: Callable[[Reference], Array]) -> _Reader:
    axes = _axes(term)
    if term.frame == "world":
        return lambda reference, state, action: velocity_w(reference)[axes]
    rotate = rotate_inverse if term.frame == "root" else rotate_heading_inverse
    picked = axes.tolist()

    def read(reference: Reference, state: LowState, action: Float32) -> list[float]:
        velocity = rotate(reference.root_quat_w, velocity_w(reference))
        return [velocity[axis] for axis in picked]

    return read


def _axes(term: b.VectorBlock) -> IntArray:
    return np.array(["xyz".index(axis) for axis in term.axes], dtype=np.intp)


_ATTITUDES: dict[type[b.Term], _Reader] = {
    b.RollPitch: lambda reference, state, action: roll_pitch(state.quat_w),
    b.Gravity: lambda reference, state, action: rotate_inverse(state.quat_w, _DOWN_W),
    b.ReferenceRollPitch: lambda reference, state, action: roll_pitch(reference.root_quat_w),
    b.ReferenceHeight: lambda reference, state, action: (float(reference.root_pos_w[2]),),
}
