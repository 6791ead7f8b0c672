"""The failsafe table: cause -> action, when it is judged, when it clears, and the sentence for the operator."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple

from teleopd.safety.thresholds import THRESHOLD_TABLE
from teleopd.safety.words import Action, Cause, Mode


class Clear(enum.Enum):
    """What ends a cause."""

    WHEN_CONDITION_CLEARS = "by itself"
    ON_REENGAGE = "at the next press of the deadman"
    ON_RESET = "at an operator's reset"
    NEVER = "never in this run"


class Row(NamedTuple):
    """One cause."""

    cause: Cause
    action: Action
    clear: Clear
    modes: frozenset[Mode]
    """Modes in which it is judged."""
    thresholds: tuple[str, ...]
    """Names in the threshold table."""
    text: str

    def threshold_text(self) -> str:
        """The thresholds as 'name value unit', comma-separated; a dash when there is none."""
        values = {row.name: f"{row.value:g} {row.unit}" for row in THRESHOLD_TABLE}
        return ", ".join(f"{name} {values[name]}" for name in self.thresholds) or "-"

    def as_dict(self) -> dict[str, str | list[str]]:
        """For `teleop failsafe --json`."""
        origins = {row.name: row.provenance for row in THRESHOLD_TABLE}
        return {
            "cause": self.cause.name,
            "action": self.action.name,
            "threshold": self.threshold_text(),
            "clears": self.clear.value,
            "modes": [mode.name for mode in Mode if mode in self.modes],
            "text": self.text,
            "provenance": "; ".join(origins[name] for name in self.thresholds) or "by definition",
        }


POLICY_MODES = frozenset({Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN})
"""The policy's targets reach the motors."""
DRIVEN_MODES = POLICY_MODES | {Mode.READY}
"""The motors hold a position."""
FOLLOWING_MODES = frozenset({Mode.ACTIVE, Mode.HOLD})
"""The operator moves the robot, or did a moment ago."""
SENDING_MODES = DRIVEN_MODES | {Mode.IDLE, Mode.DAMPED}
"""Something is sent."""
HEARD_MODES = SENDING_MODES | {Mode.CHECK}
"""The robot was heard."""
_ALL = HEARD_MODES | {Mode.BOOT}

_AUTO, _PRESS, _RESET = Clear.WHEN_CONDITION_CLEARS, Clear.ON_REENGAGE, Clear.ON_RESET
C, A = Cause, Action
TABLE: tuple[Row, ...] = (
    Row(C.SOURCE_STALE, A.HOLD, _AUTO, FOLLOWING_MODES,
        ("source_stale_periods", "source_stale_floor", "source_stale_ceiling", "source_resume"),
        "No new frame from the capture device: the robot holds its pose and keeps balancing."),
    Row(C.SOURCE_LOST, A.RETURN, _PRESS, FOLLOWING_MODES, ("source_lost", "hold_longest"),
        "The capture device is silent, or flickers: the robot goes back to standing."),
    Row(C.SOURCE_FROZEN, A.HOLD, _AUTO, FOLLOWING_MODES, ("source_frozen",),
        "Frames arrive but their content does not change: the robot holds its pose."),
    Row(C.SOURCE_INVALID, A.WARN, _AUTO, FOLLOWING_MODES, (),
        "The newest frame was refused; the last good one is used until it is stale."),
    Row(C.SOURCE_SWAPPED, A.RETURN, _PRESS, FOLLOWING_MODES, (),
        "The source restarted or another one took its place: the robot goes back to standing."),
    Row(C.DEADMAN_RELEASED, A.HOLD, _PRESS, FOLLOWING_MODES, ("deadman_return",),
        "The operator let go: the robot holds its pose, then goes back to standing."),
    Row(C.TARGETS_LATE, A.WARN, _AUTO, POLICY_MODES, ("targets_late",),
        "The policy missed a tick; its last targets are used."),
    Row(C.TARGETS_LOST, A.DAMP, _RESET, POLICY_MODES, ("targets_lost",),
        "No policy process answers: nothing can balance the robot, so it is damped."),
    Row(C.TARGETS_INVALID, A.DAMP, _RESET, POLICY_MODES, ("targets_invalid",),
        "The policy keeps producing targets that are not finite or of the wrong shape."),
    Row(C.STATE_LATE, A.WARN, _AUTO, SENDING_MODES, ("state_late",),
        "The robot's reports are late."),
    Row(C.STATE_LOST, A.DAMP, _RESET, SENDING_MODES, ("state_lost",),
        "The robot stopped reporting, or only repeats itself or sends wrong checksums: nothing could be judged."),
    Row(C.STATE_INVALID, A.DAMP, _RESET, SENDING_MODES, (),
        "The robot reported a number that is not finite or not possible."),
    Row(C.TILT_ERROR, A.DAMP, _RESET, POLICY_MODES,
        ("tilt_error", "tilt_error_time", "tilt_fast_error", "tilt_fast_rate"),
        "The pelvis is tilted far from the reference: the robot is falling."),
    Row(C.TILT_ABSOLUTE, A.DAMP, _RESET, DRIVEN_MODES, ("tilt_absolute",),
        "The robot is lying or nearly so."),
    Row(C.JOINT_SPEED, A.DAMP, _RESET, DRIVEN_MODES, ("joint_speed", "joint_speed_samples"),
        "A joint is faster than any good run makes it."),
    Row(C.MOTOR_WARM, A.WARN, _AUTO, HEARD_MODES, ("motor_warm", "motor_cools"),
        "A motor is warm; let the robot rest soon."),
    Row(C.MOTOR_HOT, A.RETURN, _AUTO, POLICY_MODES, ("motor_hot", "motor_cools"),
        "A motor is hot: the robot stands and cannot be engaged until it has cooled."),
    Row(C.MOTOR_FAULT, A.DAMP, _RESET, SENDING_MODES, ("motor_too_hot",),
        "A motor reports a fault or is too hot."),
    Row(C.OPERATOR_STOP, A.RETURN, _RESET, POLICY_MODES, ("stop_long_press",),
        "Soft stop: the robot goes back to standing; a second stop or a long press damps it."),
    Row(C.OPERATOR_DAMP, A.DAMP, _RESET, SENDING_MODES, (),
        "The operator asked for damping."),
    Row(C.CONSOLE_LOST, A.HOLD, _PRESS, FOLLOWING_MODES, ("deadman_heartbeat", "deadman_return"),
        "The deadman's own heartbeat stopped: taken as letting go."),
    Row(C.COMMAND_GAP, A.DAMP, _RESET, DRIVEN_MODES, ("command_gap",),
        "Nothing was sent for a while; the robot's firmware may have let go, so it is entered anew."),
    Row(C.WRONG_HARDWARE, A.DAMP, _RESET, SENDING_MODES, (),
        "The robot reports another hardware variant than the one whose limits are in force."),
    Row(C.CHECK_FAILED, A.WARN, _AUTO, frozenset(), ("outside_range", "ready_tilt", "ramp_error"),
        "The robot is not as it must be for the next step: upright, within its joint ranges, at the stand pose."),
    Row(C.OWN_LATENESS, A.WARN, _AUTO, _ALL, ("own_lateness", "stall_budget"),
        "This host stalled: everything is read again, and the stall is not held against the others."),
    Row(C.STANDBY_TOOK_OVER, A.RETURN, _PRESS, POLICY_MODES, ("targets_standby",),
        "The policy process is silent: its warm twin brings the robot back to standing."),
    Row(C.RESTARTED, A.DAMP, Clear.NEVER, SENDING_MODES, (),
        "The process that writes to the robot was restarted: it can only damp until the service starts anew."),
    Row(C.SHUTDOWN, A.DAMP, Clear.NEVER, SENDING_MODES, (),
        "The service is ending."),
    Row(C.POSE_MISMATCH, A.WARN, _AUTO, frozenset(), ("pose_error",),
        "The operator's pose is too far from the robot's to engage."),
    Row(C.FOREIGN_COMMANDS, A.RETURN, _AUTO, HEARD_MODES, ("foreign_quiet",),
        "Another program commands the motors too: the robot goes back to standing and cannot be engaged; stop it."),
    Row(C.LIMB_HELD, A.WARN, _AUTO, POLICY_MODES, ("reference_overlap",),
        "The reference would drive one part of the robot into another: that limb is held, the rest goes on."),
)  # fmt: skip
BY_CAUSE: dict[Cause, Row] = {row.cause: row for row in TABLE}


def strongest(causes: Iterable[Cause]) -> Action:
    """The action that `causes` ask for together: the strongest of theirs, NONE for none."""
    return max((BY_CAUSE[cause].action for cause in causes), default=Action.NONE)


def mask_of(rows: Iterable[Row]) -> int:
    """The rows' causes as a bit set."""
    return sum(1 << row.cause for row in rows)


DAMP_MASK = mask_of(row for row in TABLE if row.action is Action.DAMP)
RETURN_MASK = mask_of(row for row in TABLE if row.action is Action.RETURN)
HOLD_MASK = mask_of(row for row in TABLE if row.action is Action.HOLD)
REENGAGE_MASK = mask_of(row for row in TABLE if row.clear is Clear.ON_REENGAGE)
RESET_MASK = mask_of(row for row in TABLE if row.clear is Clear.ON_RESET)
NEVER_MASK = mask_of(row for row in TABLE if row.clear is Clear.NEVER)
LATCH_MASK = REENGAGE_MASK | RESET_MASK | NEVER_MASK
JUDGED_MASK: dict[Mode, int] = {mode: mask_of(row for row in TABLE if mode in row.modes) for mode in Mode}
"""Causes judged in each mode."""


def action_of_mask(causes: int) -> Action:
    """`strongest` for a bit set."""
    if causes & DAMP_MASK:
        return Action.DAMP
    if causes & RETURN_MASK:
        return Action.RETURN
    if causes & HOLD_MASK:
        return Action.HOLD
    return Action.WARN if causes else Action.NONE


def strongest_cause(causes: int) -> int:
    """The cause in the bit set with the strongest action (the first of equals), -1 for an empty one."""
    for mask in (DAMP_MASK, RETURN_MASK, HOLD_MASK):
        if causes & mask:
            causes &= mask
            break
    return (causes & -causes).bit_length() - 1


def rows_markdown() -> str:
    """The table for `docs/SAFETY.md`."""
    lines = ["| cause | action | judged in | thresholds | clears | what it means |", "|---|---|---|---|---|---|"]
    for row in TABLE:
        modes = "all" if row.modes == _ALL else ", ".join(mode.name for mode in Mode if mode in row.modes)
        lines.append(
            f"| {row.cause.name} | {row.action.name} | {modes or 'next act'} | {row.threshold_text()} "
            f"| {row.clear.value} | {row.text} |"
        )
    return "\n".join(lines) + "\n"
