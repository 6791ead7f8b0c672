"""The words of the safety layer: modes, actions, causes, operator acts, and the status it publishes."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Field


class Mode(enum.IntEnum):
    """Where the ladder stands. Owned by robot-io; everyone else reads it from `SafetyStatus`."""

    BOOT = 0
    """Nothing was heard from the robot yet; nothing is sent."""
    CHECK = 1
    """The robot's reports are examined; nothing is sent."""
    IDLE = 2
    """Damping (kp 0)."""
    READY = 3
    """Blending from a snapshot of the measured pose to the stand pose, then holding it. The robot is carried."""
    ARMED = 4
    """The policy balances on the stand reference; the operator does not move the robot."""
    ACTIVE = 5
    """The policy follows the operator."""
    HOLD = 6
    """The policy balances on the last pose with zero velocities."""
    RETURN = 7
    """The policy blends back to the stand reference; then ARMED."""
    DAMPED = 8
    """Damping, latched until reset."""
    DRYRUN = 9
    """Everything runs, nothing is sent."""


class Action(enum.IntEnum):
    """What a failsafe asks for; further down takes precedence, the strongest wins."""

    NONE = 0
    WARN = 1
    HOLD = 2
    RETURN = 3
    DAMP = 4


class Cause(enum.IntEnum):
    """Why. The value is the bit in `SafetyStatus.causes` and the index in `SafetyStatus.cause_counts`."""

    SOURCE_STALE = 0
    SOURCE_LOST = 1
    SOURCE_FROZEN = 2
    SOURCE_INVALID = 3
    SOURCE_SWAPPED = 4
    DEADMAN_RELEASED = 5
    TARGETS_LATE = 6
    TARGETS_LOST = 7
    TARGETS_INVALID = 8
    STATE_LATE = 9
    STATE_LOST = 10
    STATE_INVALID = 11
    TILT_ERROR = 12
    TILT_ABSOLUTE = 13
    JOINT_SPEED = 14
    MOTOR_WARM = 15
    MOTOR_HOT = 16
    MOTOR_FAULT = 17
    OPERATOR_STOP = 18
    OPERATOR_DAMP = 19
    CONSOLE_LOST = 20
    COMMAND_GAP = 21
    WRONG_HARDWARE = 22
    CHECK_FAILED = 23
    OWN_LATENESS = 24
    STANDBY_TOOK_OVER = 25
    RESTARTED = 26
    SHUTDOWN = 27
    POSE_MISMATCH = 28
    FOREIGN_COMMANDS = 29
    LIMB_HELD = 30


class Act(enum.IntEnum):
    """What an operator can ask for. An act is taken once, when its sequence number is new."""

    NONE = 0
    READY = 1
    ARM = 2
    STOP = 3
    """Soft stop: first act returns to stand, a second one (or a long press) damps. Not an emergency stop."""
    DAMP = 4
    RESET = 5
    DISENGAGE = 6


class OperatorCommand(NamedTuple):
    """One writer's newest word to robot-io (console, ctl, remote, gamepad: a slot each)."""

    seq: int
    """Counts acts of this writer; an act whose seq is not newer than the last is ignored (and counted)."""
    t_ns: int
    """Monotonic time of writing; also the heartbeat of `engage_held`."""
    token: int
    """The session's operator token; any other value is refused."""
    act: int
    engage_held: bool
    """The writer's deadman is held; needs a heartbeat every 250 ms."""
    stops: int = 0
    """STOPs of this writer so far: one that a later act overwrites before robot-io reads it is obeyed all the same."""
    damps: int = 0
    """DAMPs, likewise."""


OPERATOR_FIELDS: list[Field] = [
    ("seq", "<i8"), ("t_ns", "<i8"), ("token", "<i8"), ("act", "<i4"), ("engage_held", "?"), ("stops", "<i8"),
    ("damps", "<i8"),
]  # fmt: skip
OPERATOR_WRITERS = ("ctl", "console", "serve", "device", "ctl_engage")
"""Writers of operator slots, in this order: the acts of `teleop ctl`, the browser, `teleop serve` itself (Ctrl-C,
keyboard, auto-engage), gamepads, and the deadman of `teleop ctl engage`: of its own, so that a stop from another
terminal always finds its slot free."""


class SafetyStatus(NamedTuple):
    """What robot-io publishes each tick beside LowState."""

    t_ns: int
    tick: int
    mode: int
    mode_since_ns: int
    mode_cause: int
    """Cause of the last mode change, -1 for an operator's act or normal progress."""
    action: int
    causes: int
    """Bit set of active `Cause`s."""
    cause_counts: npt.NDArray[np.uint32]
    """How often each cause became active, (32,)."""
    gate_counts: npt.NDArray[np.uint32]
    """Ticks with an intervention of each gate step, (8,); names in safety/gate.py."""
    joint_interventions: npt.NDArray[np.uint32]
    """Ticks in which the gate changed a joint's target, (n,)."""
    engage_held: bool
    """The deadman that counts now (device's or an operator writer's) is held."""
    ready_to_arm: bool
    """The READY ramp has ended and nothing forbids ARM."""
    blocked_by: int
    """Cause that forbids the next operator act, -1 when none does."""
    targets_seq: int
    """Policy tick whose targets were used last."""
    q_command: Array
    """Last emitted joint positions [rad], (n,)."""
    refused_commands: int
    """Operator commands refused: wrong token, stale, replayed, or not allowed in the mode."""


def safety_status_fields(n: int) -> list[Field]:
    """Shared-memory layout of a `SafetyStatus` of n joints."""
    return [
        ("t_ns", "<i8"), ("tick", "<i8"), ("mode", "<i4"), ("mode_since_ns", "<i8"), ("mode_cause", "<i4"),
        ("action", "<i4"), ("causes", "<i8"), ("cause_counts", "<u4", (32,)), ("gate_counts", "<u4", (8,)),
        ("joint_interventions", "<u4", (n,)), ("engage_held", "?"), ("ready_to_arm", "?"), ("blocked_by", "<i4"),
        ("targets_seq", "<i8"), ("q_command", "<f8", (n,)), ("refused_commands", "<i8"),
    ]  # fmt: skip
