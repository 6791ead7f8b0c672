"""Every number the safety layer decides with: one table, each with unit, origin and how far it may be tightened.

A run's configuration may move a number towards `strictest` only. The numbers are ours, from one public policy in
simulation unless the provenance says otherwise; `teleop qualify` measures them again for another policy.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import NamedTuple


class LimitError(ValueError):
    """A safety number that cannot be accepted; the text names it, the value given and what is allowed."""


class Threshold(NamedTuple):
    """One number of the table."""

    name: str
    value: float
    unit: str
    strictest: float
    """How far a configuration may tighten it; beyond, the robot would trip over its own normal motion."""
    provenance: str


_MS = "ms"
THRESHOLD_TABLE: tuple[Threshold, ...] = (
    Threshold("source_stale_periods", 3.0, "frame periods", 2.0, "90-120 Hz sources; holding is cheap, so be early"),
    Threshold("source_stale_floor", 60.0, _MS, 40.0, "one 50 Hz tick plus scheduling jitter of a shared host"),
    Threshold("source_stale_ceiling", 100.0, _MS, 50.0, "design: HOLD in force within 100 ms whatever the source"),
    Threshold("source_lost", 400.0, _MS, 150.0, "a held pose costs twice the torque of standing (25 dropouts)"),
    Threshold("source_frozen", 200.0, _MS, 100.0, "a live sensor's noise never repeats bit by bit for so long"),
    Threshold("hold_longest", 2000.0, _MS, 400.0, "a flickering source must not keep a squat held (torque)"),
    Threshold("source_fresh", 1000.0, _MS, 3000.0, "engage only on a stream that has proved itself"),
    Threshold("source_resume", 100.0, _MS, 500.0, "HOLD resumes on a stream, not on one late frame"),
    Threshold("source_rate", 0.8, "of nominal", 0.95, "engage only at 80 % of the declared frame rate"),
    Threshold("pose_error", 2.5, "rad", 0.5, "the engage blend takes up to 2 s: 2.5 rad in 2 s peaks below 2 rad/s"),
    Threshold("deadman_return", 400.0, _MS, 100.0, "as source_lost"),
    Threshold("deadman_heartbeat", 250.0, _MS, 100.0, "design: hold-to-run heartbeat"),
    Threshold("command_stale", 1000.0, _MS, 250.0, "an act older than this was meant for another situation"),
    Threshold("targets_late", 40.0, _MS, 25.0, "one tick of the 50 Hz policy missed"),
    Threshold("targets_standby", 80.0, _MS, 45.0, "three ticks missed: the warm standby takes over if there is one"),
    Threshold("targets_lost", 100.0, _MS, 60.0, "a frozen target falls within 0.9 s; damping is the gentler fall"),
    Threshold("targets_invalid", 3.0, "ticks", 1.0, "one bad output repeats the last command; three are broken"),
    Threshold("state_late", 10.0, _MS, 6.0, "five messages of a 500 Hz robot"),
    Threshold("state_lost", 40.0, _MS, 20.0, "20 messages, as many as libfranka allows; a fall takes 0.8-0.9 s"),
    Threshold("tilt_error", 35.0, "deg", 30.0, "13 falls and 7 good runs: 0.18 s median lead, no false trip"),
    Threshold("tilt_error_time", 60.0, _MS, 0.0, "30 samples; rides over an impact"),
    Threshold("tilt_fast_error", 25.0, "deg", 20.0, "with the rate below: falling, not leaning"),
    Threshold("tilt_fast_rate", 2.0, "rad/s", 1.0, "outward; nominal walking stays below at that tilt"),
    Threshold("tilt_absolute", 60.0, "deg", 45.0, "backstop; nominal walking reached 30 deg"),
    Threshold("joint_speed", 35.0, "rad/s", 25.0, "nominal runs reach 12-24 rad/s"),
    Threshold("joint_speed_samples", 3.0, "samples", 1.0, "rides over one corrupt reading"),
    Threshold("motor_warm", 80.0, "deg C", 60.0, "proposal; below the vendor's own protection"),
    Threshold("motor_hot", 90.0, "deg C", 65.0, "a public whole-body stack warns from 90"),
    Threshold("motor_too_hot", 105.0, "deg C", 85.0, "proposal; windings were lost by idling hot robots"),
    Threshold("motor_cools", 5.0, "K", 15.0, "hysteresis: a public stack clears 5 K below"),
    Threshold("own_lateness", 10.0, _MS, 5.0, "five of our own 2 ms ticks"),
    Threshold("stall_budget", 250.0, "ms in 1 s", 0.0, "a stalled host is excused for so long, not for ever"),
    Threshold("command_gap", 200.0, _MS, 50.0, "a 100 ms host stall must not trip; the firmware's time-out is unknown"),
    Threshold("foreign_quiet", 2000.0, _MS, 10000.0, "a second controller that pauses is still there; long to see it"),
    Threshold("check_messages", 50.0, "messages", 500.0, "0.1 s of a 500 Hz robot"),
    Threshold("ready_tilt", 20.0, "deg", 10.0, "the robot hangs upright or is carried"),
    Threshold("outside_range", 0.2, "rad", 0.05, "more than this outside the range is a wrong encoder, not slack"),
    Threshold("ramp_error", 0.6, "rad", 0.2, "the ramp to stand was not honoured: something blocks a joint"),
    Threshold("reset_wait", 2000.0, _MS, 10000.0, "time to see what happened"),
    Threshold("return_time", 1200.0, _MS, 2500.0, "the 1.0 s blend to stand, and one fifth of a second to settle"),
    Threshold("stop_long_press", 1000.0, _MS, 300.0, "one button, two severities"),
    Threshold("torque_share", 0.9, "of the limit", 0.5, "of the smallest published torque; 0.8 was transparent"),
    Threshold("motor_rate", 60.0, "rad/s", 30.0, "at 10 rad/s a walking robot falls; raw targets reach 99.9"),
    Threshold("reference_speed", 1.0, "of a person's speed", 0.1, "first tries; 1: the guard's own bounds"),
    Threshold("reference_acceleration", 750.0, "rad/s^2", 100.0, "rest to 15 rad/s in a tick; public walks need it"),
    Threshold("reference_overlap", 35.0, "mm", 10.0, "a hand at the thigh is pressed in by 12 mm, a tumble by 30 (G1)"),
    Threshold("reference_range", 1.0, "of the motion", 0.1, "first tries; about the stand pose and the starting place"),
    Threshold("legs_follow", 1.0, "(1 yes, 0 no)", 0.0, "first tries: the legs only balance, arms and waist follow"),
    Threshold("joint_range", 1.0, "of the range", 0.9, "the hard range is transparent; policies aim outside it"),
)  # fmt: skip
_BY_NAME = {row.name: row for row in THRESHOLD_TABLE}


class Thresholds:
    """The table's values for one run. Immutable; `value` raises KeyError for an unknown name."""

    __slots__ = ("_values",)

    def __init__(self, overrides: Mapping[str, float] | None = None) -> None:
        """Values of the table, tightened by `overrides` (name -> value).

        Raises:
            LimitError: unknown name, loosened, tightened beyond use, or not a finite number.
        """
        self._values = {row.name: row.value for row in THRESHOLD_TABLE}
        for name, value in (overrides or {}).items():
            self._values[name] = _checked(name, value)

    def value(self, name: str) -> float:
        """The number in the table's unit."""
        return self._values[name]

    def ns(self, name: str) -> int:
        """A time of the table in nanoseconds."""
        return round(self._values[name] * 1e6)

    def radians(self, name: str) -> float:
        """An angle of the table in radians."""
        return math.radians(self._values[name])

    def stale_after_ns(self, nominal_hz: float) -> int:
        """Age at which a source of that rate has missed its deadline: 3 periods, within [floor, ceiling].

        A rate that is no positive number counts as infinitely slow: the ceiling.
        """
        ceiling, floor = self._values["source_stale_ceiling"], self._values["source_stale_floor"]
        period_ms = 1e3 / nominal_hz if nominal_hz > 0.0 else math.inf
        wanted = self._values["source_stale_periods"] * period_ms
        if not wanted < ceiling:
            return round(ceiling * 1e6)
        return round(max(wanted, min(floor, ceiling)) * 1e6)


def _checked(name: str, value: float) -> float:
    row = _BY_NAME.get(name)
    if row is None:
        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"valid: {', '.join(_BY_NAME)}"
        raise LimitError(f"there is no safety limit '{name}'; {hint}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LimitError(f"safety limit '{name}' is {value!r}; give a finite number in {row.unit}")
    low, high = sorted((row.value, row.strictest))
    if low <= value <= high:
        return float(value)
    loosens = value > high if row.strictest <= row.value else value < low
    if loosens:
        raise LimitError(
            f"safety limit '{name}' = {value:g} {row.unit} loosens the built-in {row.value:g}; it may only be tightened"
        )
    raise LimitError(
        f"safety limit '{name}' = {value:g} {row.unit} is beyond its strictest useful value {row.strictest:g}"
    )


def thresholds_markdown() -> str:
    """The table for `docs/SAFETY.md`."""
    lines = ["| limit | value | may be tightened to | from |", "|---|---|---|---|"]
    lines += [
        f"| `{row.name}` | {row.value:g} {row.unit} | {row.strictest:g} | {row.provenance} |" for row in THRESHOLD_TABLE
    ]
    return "\n".join(lines) + "\n"
