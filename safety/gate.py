"""The gate: the one place where a `JointCommand` comes into being.

Steps in this order, for each joint: finite, or the last command again -> mode blend -> gain whitelist -> joint box ->
rate box about the last emitted command -> torque interval -> gains scaled down where box and interval are disjoint ->
final assertion, else damping. Desired velocity and feed-forward torque are always zero.

Nothing after the final assertion changes a command.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, JointCommand, LowState, RobotModel, claim_seal
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.robot_watch import IMPOSSIBLE_DQ, IMPOSSIBLE_Q
from teleopd.safety.supervisor import Emit

GATE_STEPS = ("not_finite", "blend", "box", "rate", "torque", "gain_scale", "whitelist", "refused")
"""Names of the counters: ticks in which each step changed something; 'refused' ended in damping."""
NOT_FINITE, BLEND, BOX, RATE, TORQUE, GAIN_SCALE, WHITELIST, REFUSED = range(8)
LONGEST_DT_S = 0.010
"""After a longer pause the rate box is as wide as after this one."""
BLEND_S = 0.4
"""On entering the policy's targets, positions and gains leave the last emitted ones within this time."""
_KP_FLOOR = 1e-6
"""In the torque interval only: keeps it defined for a joint without position gain."""
_SLOW = 1e-3
"""[rad/s]; below it no damping gain reaches a torque bound."""
_TORQUE_MARGIN = 1.0 - 1e-9
"""Keeps rounding on the inside of the bound."""
_WHOLE = 1.0 - 1e-12
"""Share of the gains above which nothing is scaled: rounding of a position that lies on the interval's end."""

_SEAL = claim_seal()


class Gate:
    """Permits, bounds or replaces what is wanted. Two commands are used in turn: the last one stays valid."""

    def __init__(self, limits: SafetyLimits, model: RobotModel) -> None:
        n = model.n
        if limits.joint_names != model.joint_names:
            raise ValueError(f"limits of {limits.robot} cannot guard a {model.name}: their joints differ")
        self._n, self._limits, self._model = n, limits, model
        self.step_counts: npt.NDArray[np.uint32] = np.zeros(len(GATE_STEPS), dtype=np.uint32)
        self.joint_counts: npt.NDArray[np.uint32] = np.zeros(n, dtype=np.uint32)
        self._low = np.concatenate([limits.q_lower, np.zeros(2 * n)])
        self._high = np.concatenate([limits.q_upper, limits.kp_max, limits.kd_max])
        self._tau = limits.tau_max * _TORQUE_MARGIN
        self._possible = np.concatenate([np.full(n, IMPOSSIBLE_Q), np.full(n, IMPOSSIBLE_DQ)])
        self._buffers = [np.zeros(3 * n), np.zeros(3 * n)]
        self._commands = [self._command_on(buffer) for buffer in self._buffers]
        self._turn = 0
        self._want, self._last, self._from = np.zeros(3 * n), np.zeros(3 * n), np.zeros(3 * n)
        self._last[2 * n :] = model.kd_damp
        self._state, self._a, self._b = np.zeros(2 * n), np.zeros(n), np.zeros(n)
        self._c, self._d = np.zeros(n), np.zeros(n)
        self._box_low, self._box_high, self._kp_floor = np.zeros(n), np.zeros(n), np.full(n, _KP_FLOOR)
        self._ones = np.ones(n)
        self._least, self._most = self._low.copy(), self._high.copy()
        # Views made once: a slice costs a tenth of the work on what it shows.
        self._want_q, self._want_kp, self._want_kd = self._want[:n], self._want[n : 2 * n], self._want[2 * n :]
        self._last_q, self._q, self._dq = self._last[:n], self._state[:n], self._state[n:]
        self._least_q, self._most_q = self._least[:n], self._most[:n]
        self._parts = [(buffer[:n], buffer[n : 2 * n], buffer[2 * n :]) for buffer in self._buffers]
        self._wide, self._flags2 = np.zeros(3 * n), np.zeros(2 * n, dtype=bool)
        self._flags, self._flags_b = np.zeros(3 * n, dtype=bool), np.zeros(3 * n, dtype=bool)
        self._flags_gains = self._flags[n:]
        self._differs: npt.NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self._anchored = False
        self._emit, self._source = Emit.NOTHING, 0
        self._blend_from_ns = -1
        self._last_ns = 0

    def _command_on(self, buffer: Array) -> JointCommand:
        n = self._n
        zeros = np.zeros(n)
        zeros.setflags(write=False)
        return JointCommand(_SEAL, buffer[:n], zeros, zeros, buffer[n : 2 * n], buffer[2 * n :])

    @property
    def q_last(self) -> Array:
        """Last emitted joint positions [rad], (n,); a view that changes with the next step."""
        return self._last_q

    def step(
        self, emit: Emit, q: Array, kp: Array, kd: Array, state: LowState | None, now_ns: int, source: int = 0
    ) -> JointCommand:
        """The command for this tick.

        Args:
            emit: READY_RAMP or POLICY let a position through; everything else is damping.
            q, kp, kd: wanted, (n,) [rad], [N m/rad], [N m s/rad]. Anything not finite or of another shape repeats
                the last command.
            state: newest measurement; without one, or with an impossible one, the answer is damping.
            source: which policy the targets are from; another one enters through the blend.
        """
        elapsed_s = (now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0
        self._last_ns = now_ns
        dt_s = min(max(elapsed_s, 0.0), LONGEST_DT_S)
        if not self._take_state(state):
            self.step_counts[REFUSED] += emit >= Emit.READY_RAMP
            return self._damp(emit, measured=False)
        if emit < Emit.READY_RAMP:
            return self._damp(emit, measured=True)
        if not self._anchored:
            self._anchor()
        if emit is not self._emit or source != self._source:
            self._from[:] = self._last
            self._blend_from_ns = now_ns if emit is Emit.POLICY else -1
            self._emit, self._source = emit, source
        if not self._take_wanted(q, kp, kd):
            self.step_counts[NOT_FINITE] += 1
            self._want[:] = self._last
        elif self._blend_from_ns >= 0:
            self._blend(now_ns)
        return self._permit(dt_s)

    # The steps, in order

    def _take_state(self, state: LowState | None) -> bool:
        """Copy the measurement; False when it is missing, not finite or impossible."""
        n = self._n
        if state is None or state.q.shape != (n,) or state.dq.shape != (n,):
            return False
        self._q[:], self._dq[:] = state.q, state.dq
        a = np.abs(self._state, out=self._wide[: 2 * n])
        return _all(np.less(a, self._possible, out=self._flags2))

    def _take_wanted(self, q: Array, kp: Array, kd: Array) -> bool:
        shape = (self._n,)
        if not (_is_vector(q, shape) and _is_vector(kp, shape) and _is_vector(kd, shape)):
            return False
        self._want_q[:], self._want_kp[:], self._want_kd[:] = q, kp, kd
        return _all(np.isfinite(self._want, out=self._flags))

    def _blend(self, now_ns: int) -> None:
        share = (now_ns - self._blend_from_ns) * 1e-9 / BLEND_S
        if not 0.0 <= share < 1.0:
            self._blend_from_ns = -1  # over
            return
        self.step_counts[BLEND] += 1
        weight = share * share * (3.0 - 2.0 * share)
        self._want *= weight
        self._want += np.multiply(self._from, 1.0 - weight, out=self._wide)

    def _permit(self, dt_s: float) -> JointCommand:
        limits, out, want, last = self._limits, self._buffers[self._turn], self._want, self._last_q
        (q, kp, kd), low, high, a = self._parts[self._turn], self._least_q, self._most_q, self._a
        # Joint box. It never excludes the last command, so that a joint found outside moves in at the permitted rate.
        box_low = np.minimum(limits.soft_lower, last, out=self._box_low)
        box_high = np.maximum(limits.soft_upper, last, out=self._box_high)
        # Rate box about the last emitted command; intersected, so that the torque step cannot leave it either.
        reach = np.multiply(limits.rate_max, dt_s, out=self._c)
        np.maximum(box_low, np.subtract(last, reach, out=a), out=low)
        np.minimum(box_high, np.add(last, reach, out=a), out=high)
        # The whitelist is applied with the boxes because the torque interval needs the gains that will be sent.
        np.maximum(want, self._least, out=out)
        np.minimum(out, self._most, out=out)
        changed = _any(np.not_equal(out, want, out=self._flags))
        if changed:
            self._attribute(q)
        if self._bound_torque(q, kp, kd, low, high) or changed:
            self.joint_counts += np.not_equal(q, self._want_q, out=self._differs)
        return self._assert_and_emit(out)

    def _attribute(self, q_out: Array) -> None:
        """Count which of the bounds changed what was wanted."""
        counts, q = self.step_counts, self._want_q
        counts[WHITELIST] += _any(self._flags_gains)
        boxed = np.maximum(q, self._box_low, out=self._b)
        np.minimum(boxed, self._box_high, out=boxed)
        counts[BOX] += _any(np.not_equal(boxed, q, out=self._differs))
        counts[RATE] += _any(np.not_equal(boxed, q_out, out=self._differs))

    def _bound_torque(self, q: Array, kp: Array, kd: Array, low: Array, high: Array) -> bool:
        """|kp (q - q_measured) - kd dq_measured| <= tau, by moving q within [low, high], else by scaling the gains.

        True when something had to be done.
        """
        damping, tau = np.multiply(kd, self._dq, out=self._a), self._tau
        torque = np.subtract(q, self._q, out=self._b)
        torque *= kp
        torque -= damping
        if _all(np.less_equal(np.abs(torque, out=self._c), tau, out=self._differs)):
            return False  # and the same position: no joint differs
        self.step_counts[TORQUE] += 1
        # Computed for every joint and written for those beyond the bound: picking them out costs twice as much.
        beyond = np.logical_not(self._differs, out=self._differs)
        stiff = np.maximum(kp, self._kp_floor, out=self._b)
        least = self._end_of_interval(np.subtract(damping, tau, out=self._c), stiff)
        most = self._end_of_interval(np.add(damping, tau, out=self._d), stiff)
        nearest = np.minimum(np.maximum(q, least, out=least), most, out=least)
        np.putmask(q, beyond, np.minimum(np.maximum(nearest, low, out=least), high, out=least))
        over = np.subtract(q, self._q, out=self._b)
        over *= kp
        over -= damping
        scale = np.divide(tau, np.maximum(np.abs(over, out=over), tau, out=over), out=over)
        whole = np.greater(scale, _WHOLE, out=self._differs)
        if not _all(whole):
            self.step_counts[GAIN_SCALE] += 1
            np.putmask(scale, whole, self._ones)
            kp *= scale
            kd *= scale
        return True

    def _end_of_interval(self, torque: Array, stiff: Array) -> Array:
        """Position at which `stiff` makes that torque; into the same array."""
        torque /= stiff
        torque += self._q
        return torque

    def _assert_and_emit(self, out: Array) -> JointCommand:
        """The last word: within every bound, or damping. A NaN compares as false and is caught too."""
        np.less_equal(self._low, out, out=self._flags)
        np.less_equal(out, self._high, out=self._flags_b)
        if not _all(np.logical_and(self._flags, self._flags_b, out=self._flags)):
            self.step_counts[REFUSED] += 1
            return self._damp(self._emit, measured=True)
        self._last[:] = out
        return self._hand_out()

    def _damp(self, emit: Emit, *, measured: bool) -> JointCommand:
        """kp 0, the robot's damping gains, less where they would brake harder than the torque bound; q is where the
        joint is, so that a misread gain would not move it."""
        n, out = self._n, self._buffers[self._turn]
        kd = self._last[2 * n :]
        kd[:] = self._model.kd_damp
        if measured:
            self._anchor()
            speed = np.maximum(np.abs(self._dq, out=self._a), _SLOW, out=self._a)
            np.minimum(kd, np.divide(self._tau, speed, out=self._a), out=kd)
        self._anchored = False
        self._emit = emit if emit < Emit.READY_RAMP else Emit.DAMP
        self._last[n : 2 * n] = 0.0
        out[:] = self._last
        return self._hand_out()

    def _anchor(self) -> None:
        """The rate box and the blend start where the robot is."""
        limits = self._limits
        np.minimum(np.maximum(self._q, limits.q_lower, out=self._a), limits.q_upper, out=self._last_q)
        self._anchored = True

    def _hand_out(self) -> JointCommand:
        command = self._commands[self._turn]
        self._turn = 1 - self._turn
        return command


def _is_vector(values: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(values, np.ndarray) and values.shape == shape and values.dtype.kind == "f"


def _all(flags: npt.NDArray[np.bool_]) -> bool:
    """`flags.all()` at a fifth of its cost for so few."""
    return 0 not in flags.tobytes()


def _any(flags: npt.NDArray[np.bool_]) -> bool:
    """`flags.any()`, likewise."""
    return 1 in flags.tobytes()
