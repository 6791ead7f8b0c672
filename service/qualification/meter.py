"""What a run of the battery is judged by, heard at every tick of robot-io. Nothing here changes a command."""

from __future__ import annotations

from typing import Any

import numpy as np

from teleopd.robots.model import Array
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.supervisor import Emit
from teleopd.safety.words import Cause, Mode
from teleopd.service.lockstep import START_NS, Lockstep
from teleopd.service.qualification.battery import AFTER_S
from teleopd.service.robot_io_stage import RobotIoTick

UNCHANGED_RAD = 1e-9
"""Rounding."""
TILT = (Cause.TILT_ERROR, Cause.TILT_ABSOLUTE)


class Meter:
    """Hears one run."""

    def __init__(self, session: Lockstep, loses_policy_at_s: float | None = None) -> None:
        """`loses_policy_at_s`: the control process is gone from then on, counted from engaging [s]."""
        self._session = session
        self._loses_ns = None if loses_policy_at_s is None else round(loses_policy_at_s * 1e9)
        self._begun_ns = 0
        self._counts = np.zeros(len(GATE_STEPS), dtype=np.int64)
        self._before = self._counts.copy()
        self._ticks = self._changed = 0
        self._largest = 0.0
        self._lost_ns = 0
        """Last good frame, or the end of the control process."""
        self._lost_at: Array = np.zeros(3)
        self._drift: float | None = None
        session.on_robot_io = self.hear

    def hear(self, tick: RobotIoTick) -> None:
        """One tick, after its command went out."""
        now_ns, mode = tick.status.t_ns, tick.output.mode
        if mode is Mode.ACTIVE:
            self._begun_ns = self._begun_ns or now_ns
            self._compare(tick)
        self._before[:] = tick.status.gate_counts
        if self._begun_ns and tick.state is not None:
            self._follow_loss(tick, tick.state.root_pos_w, now_ns)

    def _compare(self, tick: RobotIoTick) -> None:
        """What the policy wanted with what left the gate."""
        targets = tick.output.targets
        if tick.output.emit is not Emit.POLICY or targets is None:
            return
        self._ticks += 1
        self._counts += tick.status.gate_counts - self._before > 0
        difference = float(np.abs(tick.status.q_command - targets.q).max()) if targets.healthy else 0.0
        self._changed += difference > UNCHANGED_RAD
        self._largest = max(self._largest, difference)

    def _follow_loss(self, tick: RobotIoTick, position: Array, now_ns: int) -> None:
        """Where the robot was when it lost what it followed, and how far it went in the time after."""
        targets = tick.output.targets
        if self._loses_ns is not None:
            if now_ns - self._begun_ns < self._loses_ns:
                self._lost_ns, self._lost_at = now_ns, position.copy()
            self._session.control_alive = now_ns - self._begun_ns < self._loses_ns
        elif targets is not None and targets.t_reference_ns > self._lost_ns:
            self._lost_ns, self._lost_at = targets.t_reference_ns, position.copy()
        if self._drift is None and now_ns - self._lost_ns >= AFTER_S * 1e9:
            self._drift = float(np.linalg.norm((position - self._lost_at)[:2]))

    def gate(self) -> dict[str, Any]:
        """Ticks of 2 ms in ACTIVE, shares of them, and the largest change of a joint [rad]."""
        ticks = max(self._ticks, 1)
        return {
            "ticks": self._ticks, "changed": self._changed, "largest_rad": self._largest,
            "steps": {name: int(count) for name, count in zip(GATE_STEPS, self._counts, strict=True)},
            "changed_share": self._changed / ticks,
        }  # fmt: skip

    def loss(self) -> dict[str, Any]:
        """Times from the loss to HOLD and to RETURN [ms], the drift after `AFTER_S` [m], and whether it stood."""
        since_s = (self._lost_ns - START_NS) / 1e9
        fell_s = self._session.fell_at_s
        return {
            "hold_ms": self._entered_ms(Mode.HOLD, since_s), "return_ms": self._entered_ms(Mode.RETURN, since_s),
            "drift_m": self._drift, "stood": self._drift is not None and (fell_s is None or fell_s - since_s > AFTER_S),
        }  # fmt: skip

    def _entered_ms(self, mode: Mode, since_s: float) -> float | None:
        found = next((c.t_s for c in self._session.changes if c.mode is mode and c.t_s >= since_s), None)
        return None if found is None else round(1e3 * (found - since_s), 1)

    def trip(self) -> dict[str, Any]:
        """Whether tilt damped the robot, any cause did, and how long before the fall [s]; None: it did not fall."""
        session = self._session
        damped = next((change for change in session.changes if change.mode is Mode.DAMPED), None)
        tilted = damped is not None and damped.cause in TILT
        lead = None
        if session.fell_at_s is not None:
            lead = round(session.fell_at_s - damped.t_s, 3) if tilted and damped is not None else 0.0
        return {"tilt": tilted, "damped": damped is not None, "lead_s": lead}
