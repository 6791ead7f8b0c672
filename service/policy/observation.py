"""Card -> observation vector: compiled once into index arrays, then a few array operations a tick.

Order of one tick: `build` makes the observation from the reference and the state; the network runs; `push` notes its
output and only then appends the tick to the histories, so that a history never holds the tick it is shown in, and a
tick that came to nothing leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, IntArray, LowState, Reference, RobotModel
from teleopd.service.policy import blocks as b
from teleopd.service.policy.card import Card, Slot
from teleopd.service.policy.history import Past
from teleopd.service.policy.kinematics import Chain
from teleopd.service.policy.terms import Reader, Readers, Tick, motor_indices

__all__ = ["Float32", "ObservationBuilder", "motor_indices"]

Float32 = npt.NDArray[np.float32]
TORSO_BODY = "torso_link"
"""MJCF body that carries the torso IMU of every Unitree humanoid."""


class ObservationBuilder:
    """Observation vectors of one policy on one robot. Not thread-safe; owns its buffers."""

    def __init__(self, card: Card, model: RobotModel) -> None:
        """Raises:
        WrongJoints: the card names joints that the robot does not have.
        NoBody: the card names bodies that the robot does not have.
        """
        self._card = card
        self._layout = card.layout()
        self.width = self._layout[-1].stop
        self._observation = np.zeros((1, self.width), dtype=np.float32)
        self._tick = Tick(card.model.output_width)
        if card.compliance is not None:
            self._tick.force_limit_n = card.compliance.default_n
        self._readers = Readers(card, model)
        self._torso = Chain(model, TORSO_BODY) if card.imu == "torso" else None
        self._torso_quat, self._torso_gyro = np.zeros(4), np.zeros(3)
        self._compile(model)

    def build(self, reference: Reference, state: LowState, window: Sequence[Reference] | None = None) -> Float32:
        """The observation of this tick, shape (1, width): a buffer that the next call overwrites.

        `window` holds the references at the card's `future_steps`; without it the present one stands for them.
        """
        tick = self._tick
        tick.serial += 1
        tick.reference = tick.present = reference
        tick.state = state
        self._place_imu(tick, state)
        for view, read in self._terms:
            view[:] = read(tick)
        if window is not None:
            for view, read, step in self._coming:
                tick.reference = window[step]
                view[:] = read(tick)
        raw, values, row = self._raw, self._values, self._observation[0]
        raw -= self._offset
        if self._clips:
            np.clip(raw, self._lower, self._upper, out=raw)
        raw *= self._scale
        raw[self._zero] = 0.0
        values[:] = raw
        if window is None and len(self._repeated):
            values[len(values) - len(self._repeated) :] = values[self._repeated]
        row[self._place] = values[self._shown]
        for past in self._pasts:
            past.show(values)
        for to, source in self._futures:
            row[to] = values[source]
        return self._observation

    def push(self, action: Float32) -> None:
        """Note the action to feed back, shape (output_width,), and end the tick that `build` began."""
        for past in self._pasts:
            past.append(self._values)
        self._tick.action[:] = action
        self._tick.count += 1
        self._readers.started()

    def reset(self) -> None:
        """Forget histories, alignment and the last action, as before the first tick."""
        self._tick.action[:] = 0.0
        self._tick.count = 0
        self._readers.reset()
        for past in self._pasts:
            past.reset()

    def realign(self) -> None:
        """What is aligned at the start is aligned anew: a motion begins again."""
        self._readers.reset()

    @property
    def count(self) -> int:
        """Ticks pushed since the start."""
        return self._tick.count

    @property
    def force_limit_n(self) -> float | None:
        """Force limit that the policy is shown [N]; None: off."""
        return self._tick.force_limit_n

    @force_limit_n.setter
    def force_limit_n(self, newton: float | None) -> None:
        self._tick.force_limit_n = newton

    def _place_imu(self, tick: Tick, state: LowState) -> None:
        if self._torso is None:
            tick.quat_w, tick.gyro_b = state.quat_w, state.gyro_b
            return
        w, x, y, z = state.quat_w.tolist()
        a, c, d = state.gyro_b.tolist()
        self._torso_quat[:] = self._torso.quat((w, x, y, z), state.q)
        self._torso_gyro[:] = self._torso.gyro((a, c, d), state.q, state.dq)
        tick.quat_w, tick.gyro_b = self._torso_quat, self._torso_gyro

    # Compilation

    def _compile(self, model: RobotModel) -> None:
        """Lay out the term values: every term at the present tick, then those of coming steps."""
        terms = [(slot.block, slot) for slot in self._layout if not isinstance(slot.block, b.Repeat)]
        starts: dict[tuple[int, int], int] = {}
        width = 0
        for i, (term, _) in enumerate(terms):
            starts[i, 0] = width
            width += self._card.term_width(term)
        here = width
        steps = self._card.future_steps
        for slot in self._layout:
            for i, (term, _) in enumerate(terms):
                if isinstance(slot.block, b.Future) and term.group in slot.block.of:
                    for step in slot.block.steps:
                        if (i, step) not in starts:
                            starts[i, step] = width
                            width += self._card.term_width(term)
        self._raw, self._values = np.zeros(width), np.zeros(width, dtype=np.float32)
        self._offset, self._scale = np.zeros(width), np.ones(width)
        self._lower, self._upper = np.full(width, -np.inf), np.full(width, np.inf)
        self._terms: list[tuple[Array, Reader]] = []
        self._coming: list[tuple[Array, Reader, int]] = []
        zero: list[int] = []
        repeated: list[int] = []
        for (i, step), start in starts.items():
            term = terms[i][0]
            size = self._card.term_width(term)
            zero += self._compile_term(term, slice(start, start + size))
            view, read = self._raw[start : start + size], self._readers.of(term)
            if step == 0:
                self._terms.append((view, read))
            else:
                self._coming.append((view, read, steps.index(step)))
                repeated += range(starts[i, 0], starts[i, 0] + size)
        assert len(repeated) == width - here
        self._zero = np.array(zero, dtype=np.intp)
        self._clips = bool(np.isfinite(self._lower).any() or np.isfinite(self._upper).any())
        self._repeated = np.array(repeated, dtype=np.intp)
        self._compile_places([term for term, _ in terms], [slot for _, slot in terms], starts)

    def _compile_term(self, term: b.Term, here: slice) -> list[int]:
        """Offset, clip and scale of a term; the places that are always zero."""
        self._scale[here] = term.scale
        if term.clip is not None:
            self._lower[here], self._upper[here] = term.clip
        if not isinstance(term, b.JointBlock):
            return []
        names = self._card.order_of(term)
        if term.offset == "default_pose":
            self._offset[here] = self._card.default_of(names)
        return [here.start + names.index(name) for name in term.zero]

    def _compile_places(self, terms: list[b.Term], slots: list[Slot], starts: dict[tuple[int, int], int]) -> None:
        def group(names: tuple[str, ...], step: int = 0) -> IntArray:
            """Places of the terms of some groups, stacked group by group."""
            return np.concatenate([
                np.arange(starts[i, step], starts[i, step] + self._card.term_width(term))
                for name in names for i, term in enumerate(terms) if term.group == name
            ])  # fmt: skip

        shown = [(slot, starts[i, 0]) for i, slot in enumerate(slots) if not terms[i].hidden]
        empty: IntArray = np.array([], dtype=np.intp)
        self._place: IntArray = np.concatenate([empty, *(np.arange(slot.start, slot.stop) for slot, _ in shown)])
        self._shown: IntArray = np.concatenate(
            [empty, *(np.arange(start, start + slot.stop - slot.start) for slot, start in shown)]
        )
        self._pasts = [
            Past(slot.block, group(slot.block.of), self._observation[0, slot.start : slot.stop])
            for slot in self._layout
            if isinstance(slot.block, b.History | b.Lags)
        ]
        self._futures = [
            (np.arange(s.start, s.stop), np.concatenate([group(s.block.of, step) for step in s.block.steps]))
            for s in self._layout
            if isinstance(s.block, b.Future)
        ]
