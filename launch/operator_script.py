"""What `teleop serve` itself does as an operator: engaging alone in simulation, and ending a run safely.

Pure: it is told the time and the state and answers with acts, so that tests need neither clock nor processes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from teleopd.safety.words import Act, Cause, Mode, SafetyStatus

BALANCING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
REPEAT_NS = 500_000_000
"""An act that had no effect is repeated after this long."""
ENGAGE_AFTER_NS = 800_000_000
"""Standing freely for so long before engaging alone: the gantry has let go and the policy has settled."""
PRESS_NS, PRESS_PERIOD_NS = 400_000_000, 600_000_000
"""Engaging needs a press that begins while the source is fresh, so the script presses again and again."""
DAMP_TAIL_NS = 1_000_000_000
"""Damping keeps streaming so long before the processes end: a robot must not be left with a live target."""
SILENT_NS = 2_000_000_000
"""Nobody listens any more when robot-io has said nothing for so long; waiting for it would never end."""


class Gantry(enum.Enum):
    """What the person at the gantry should do."""

    LEAVE = 0
    HANG = 1
    RELEASE = 2


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now."""

    act: Act = Act.NONE
    engage_held: bool = False
    gantry: Gantry = Gantry.LEAVE


class OperatorScript:
    """Engages by itself when told to, and walks the ladder down when the run ends."""

    def __init__(
        self, *, auto_engage: bool, virtual: bool, countdown_s: float, auto_arm: bool = False, leaves: bool = False
    ) -> None:
        """
        Args:
            auto_engage: ready, arm and engage without a person; the caller has proved that the robot is virtual.
            auto_arm: ready and arm only: engaging is left to the device's deadman, or to another operator.
            virtual: there is a gantry this script may work.
            countdown_s: how long the robot keeps standing after the end was asked for, before it is damped [s].
            leaves: at the end the robot is left standing, not damped: another ladder owns it, which balances it.
        """
        self._auto, self._engages = auto_engage or auto_arm, auto_engage
        self._virtual, self._leaves = virtual, leaves
        self._countdown_ns = round(countdown_s * 1e9)
        self._last_act = (Act.NONE, 0)
        self._ending = False
        self._damp_now = False
        self._standing_since_ns = 0
        self._damped_since_ns = 0
        self.ended = False

    @property
    def ending(self) -> bool:
        """The end was asked for."""
        return self._ending

    @property
    def virtual(self) -> bool:
        """There is a gantry this script works."""
        return self._virtual

    def found_virtual(self, countdown_s: float) -> None:
        """The robot has proved that it is virtual: its gantry is worked, and it stands for so long at the end [s]."""
        self._virtual, self._leaves = True, False
        self._countdown_ns = round(countdown_s * 1e9)

    def ask_end(self) -> None:
        """First Ctrl-C, or the run's time is over: return to stand, then damp after the countdown. Second: damp now."""
        if self._ending:
            self._damp_now = True
        self._ending = True

    def step(self, status: SafetyStatus | None, now_ns: int, *, proven: bool = True) -> Step:
        """What to do at this moment. `proven`: the robot has shown that it is virtual; needed to engage alone."""
        if status is None or (self._ending and now_ns - status.t_ns > SILENT_NS):
            self.ended = self._ending
            return Step()
        mode = Mode(status.mode)
        if self._ending:
            stopped = bool(status.causes >> Cause.OPERATOR_STOP & 1)
            return self._end_step(mode, stopped, now_ns)
        gantry = Gantry.RELEASE if self._virtual and mode in BALANCING else Gantry.LEAVE
        if not self._auto or not proven:
            return Step(gantry=gantry)
        act = Act.NONE
        if mode == Mode.IDLE:
            act = self._once(Act.READY, now_ns)
        elif mode == Mode.READY and status.ready_to_arm:
            act = self._once(Act.ARM, now_ns)
        held = self._engages and would_hold(mode, now_ns - status.mode_since_ns)
        return Step(act, held, gantry)

    def _end_step(self, mode: Mode, stopped: bool, now_ns: int) -> Step:
        """`stopped`: a soft stop is in force; a second one would damp a robot that stands."""
        if mode in (Mode.BOOT, Mode.CHECK, Mode.DRYRUN):
            self.ended = True
            return Step()
        if mode == Mode.DAMPED:
            self._damped_since_ns = self._damped_since_ns or now_ns
            self.ended = now_ns - self._damped_since_ns >= DAMP_TAIL_NS
            return Step()
        if mode == Mode.ARMED and not self._standing_since_ns:
            self._standing_since_ns = now_ns
        stood_ns = now_ns - self._standing_since_ns if self._standing_since_ns else 0
        if self._leaves and not self._damp_now and (mode in (Mode.IDLE, Mode.READY) or (stopped and stood_ns)):
            self.ended = True
            return Step()
        if self._damp_now or mode in (Mode.IDLE, Mode.READY) or stood_ns > self._countdown_ns:
            return Step(self._once(Act.DAMP, now_ns), gantry=Gantry.HANG if self._virtual else Gantry.LEAVE)
        hang = self._virtual and stood_ns > self._countdown_ns // 2
        gantry = Gantry.HANG if hang else Gantry.LEAVE
        # In ARMED too: nobody may engage a robot that is about to be damped.
        return Step(Act.NONE if stopped else self._once(Act.STOP, now_ns), gantry=gantry)

    def _once(self, act: Act, now_ns: int) -> Act:
        last, at_ns = self._last_act
        if last == act and now_ns - at_ns < REPEAT_NS:
            return Act.NONE
        self._last_act = (act, now_ns)
        return act


def would_hold(mode: Mode, since_ns: int) -> bool:
    """Whether somebody who wants to engage would hold the deadman, `since_ns` after the mode was entered [ns]."""
    return mode in (Mode.ACTIVE, Mode.HOLD) or (mode == Mode.ARMED and _pressing(since_ns))


def _pressing(armed_ns: int) -> bool:
    return armed_ns > ENGAGE_AFTER_NS and (armed_ns - ENGAGE_AFTER_NS) % PRESS_PERIOD_NS < PRESS_NS
