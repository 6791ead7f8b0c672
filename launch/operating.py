"""The hands of a run: the script's acts and deadman, and the gantry of a robot that has proved to be virtual."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from teleopd.launch.operator_script import Gantry, OperatorScript
from teleopd.robots.links.hand import VirtualHand
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act, Mode, SafetyStatus

LOWER_S = 0.5
"""The gantry hands the weight to the feet over this long once the policy balances."""
STANDS_VIRTUAL_S = 0.6
"""How long a virtual robot stands after the end was asked for, before it is damped; it hangs by then."""
BRING_DOWN_S = 6.0
"""Longest way from ACTIVE to damped, beside standing."""
TICK_S = 0.05
"""Period of the parent's loop; well below the 250 ms heartbeat of a deadman."""


class Operating:
    """Does what the script says, each tick of the parent."""

    def __init__(
        self, script: OperatorScript, writer: OperatorWriter, *, engages_alone: bool, own_balance: bool = False
    ) -> None:
        """
        Args:
            engages_alone: the deadman is this run's own, and its heartbeat goes on while it is let go.
            own_balance: the robot's own controller stands; its gantry, if it has one, is left alone.
        """
        self.script = script
        self.hand: VirtualHand | None = None
        """On a virtual robot; None on any other."""
        self._writer, self._engages_alone, self._own_balance = writer, engages_alone, own_balance
        self._lowered = self._hung = False

    def operate(self, status: SafetyStatus | None, now_ns: int) -> None:
        """One tick: at most one act, the deadman, and the gantry."""
        script, hand = self.script, self.hand
        proven = hand is not None and hand.is_virtual(now_ns)
        if proven and not script.virtual:
            script.found_virtual(STANDS_VIRTUAL_S)
        step = script.step(status, now_ns, proven=proven)
        if step.act != Act.NONE:
            self._writer.act(step.act, now_ns)
        if step.engage_held or self._engages_alone:
            self._writer.hold(step.engage_held, now_ns)
        if hand is not None and script.virtual and not self._own_balance:
            self._work(hand, step.gantry)

    def _work(self, hand: VirtualHand, gantry: Gantry) -> None:
        if gantry is Gantry.RELEASE and not self._lowered:
            hand.lower(LOWER_S)
            self._lowered = True
        elif gantry is Gantry.HANG and not self._hung:
            hand.hang()
            self._hung = True

    def stand_up_again(self, status: SafetyStatus | None, last: Mode | None) -> bool:
        """After a reset, a virtual robot that was damped lies on the floor: its gantry takes it up, as people would.

        `last`: the mode of the tick before. True when it did.
        """
        was_reset = status is not None and (last, status.mode) == (Mode.DAMPED, Mode.IDLE)
        if self.hand is None or self._own_balance or not was_reset:
            return False
        if not self.script.virtual or self.script.ending:
            return False
        self.hand.reset()
        self._lowered = False
        return True

    def bring_down(self, status: Callable[[], SafetyStatus | None], stands_s: float) -> None:
        """The parent failed while the robot may be standing: walk the ladder down with as little code as possible.

        `status` reads the newest; `stands_s`: how long the robot stands before it is damped [s].
        """
        if not self.script.ending:
            self.script.ask_end()
        deadline = time.monotonic() + stands_s + BRING_DOWN_S
        while not self.script.ended and time.monotonic() < deadline:
            time.sleep(TICK_S)
            with contextlib.suppress(Exception):  # what failed may fail here too; the next tick may not
                self.operate(status(), time.monotonic_ns())
