"""The force limit itself: its range, how fast it may change, and how operators ask for another one. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

from teleopd.service.streams import ComplianceSetting, PolicyStatus

LOWEST_N, HIGHEST_N, DEFAULT_N = 5.0, 15.0, 10.0
"""GentleHumanoid's range; a card's own range is narrower or wider for its policy."""
SLEW_N_S = 1.0
"""A new limit is reached this fast [N/s]: training changed it slowly."""
LONGEST_DT_S = 0.1


def check_force_limit(newton: float) -> None:
    """
    Raises:
        ValueError: it is not between 5 and 15 N; one sentence.
    """
    if not LOWEST_N <= newton <= HIGHEST_N:
        raise ValueError(f"force limit {newton:g} N is not between {LOWEST_N:g} and {HIGHEST_N:g} N")


class ForceLimit:
    """The limit in force: follows what is asked for at a bounded rate."""

    def __init__(self, newton: float, lowest: float = LOWEST_N, highest: float = HIGHEST_N) -> None:
        self._lowest, self._highest = lowest, highest
        self.newton = self._start = self._wanted = min(max(newton, lowest), highest)
        self._last_ns = 0

    def ask(self, newton: float) -> None:
        """Ask for a limit [N], held within the range; NaN: the one of the start; infinity: nothing."""
        if math.isnan(newton):
            self._wanted = self._start
        elif math.isfinite(newton):
            self._wanted = min(max(newton, self._lowest), self._highest)

    def step(self, now_ns: int) -> float:
        """The limit now [N]."""
        dt_s = min(max((now_ns - self._last_ns) * 1e-9, 0.0), LONGEST_DT_S) if self._last_ns else 0.0
        self._last_ns = now_ns
        most = SLEW_N_S * dt_s
        self.newton += min(max(self._wanted - self.newton, -most), most)
        return self.newton


class SettingSlot(Protocol):
    """What the writers need of a slot."""

    def write(self, value: ComplianceSetting) -> object:
        """Replace the value."""


class ForceLimitWriter:
    """One operator's end: `teleop ctl`, the console's slider and device buttons all use this."""

    def __init__(self, slot: SettingSlot, token: int) -> None:
        self._slot, self._token = slot, token

    def ask(self, newton: float | None, now_ns: int) -> None:
        """Ask for a limit [N]; None: back to the run's own.

        Raises:
            ValueError: it is not between 5 and 15 N; one sentence.
        """
        if newton is not None:
            check_force_limit(newton)
        self._slot.write(ComplianceSetting(now_ns, self._token, math.nan if newton is None else newton))


UP, DOWN = "force_limit_up", "force_limit_down"
"""Names that a device's buttons must have to change the limit by 1 N a press."""


class ForceLimitButtons:
    """Two buttons of a device, told apart by the names under which its poses report them."""

    def __init__(self, writer: ForceLimitWriter) -> None:
        self._writer = writer
        self._held: frozenset[str] = frozenset((UP, DOWN))
        self._wanted = math.nan

    def step(self, buttons: Collection[str], status: PolicyStatus | None, now_ns: int) -> None:
        """Take one frame's buttons; a press asks for 1 N more or less. `status`: what is in force, None before."""
        held = frozenset(buttons) & {UP, DOWN}
        pressed, self._held = held - self._held, held
        if not pressed or status is None or math.isnan(status.force_limit_n):
            return
        start = status.force_limit_n if math.isnan(self._wanted) else self._wanted
        change = (UP in pressed) - (DOWN in pressed)
        self._wanted = min(max(start + change, LOWEST_N), HIGHEST_N)
        self._writer.ask(self._wanted, now_ns)
