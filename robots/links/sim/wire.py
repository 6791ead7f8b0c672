"""What crosses the border between the service and the virtual robot process, and where it lies.

Four slots in the session's folder, each with one writer: `sim_state` and `sim_truth` by the virtual robot,
`sim_command` by robot-io, `sim_control` by whoever started the virtual robot.
"""

from __future__ import annotations

import enum
import secrets
from typing import NamedTuple

import numpy as np

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import Array, Field, LowState, low_state_fields

STATE, COMMAND, CONTROL, TRUTH = "sim_state", "sim_command", "sim_control", "sim_truth"
TRUTH_FRESH_NS = 1_000_000_000
"""A truth older than this proves nothing about a virtual robot now."""


class MotorCommand(NamedTuple):
    """The newest command to the motors, in motor order."""

    t_ns: int
    """Monotonic time of writing."""
    seq: int
    """Counts commands of this link, from 1."""
    q: Array
    """(n,) [rad]"""
    dq: Array
    """(n,) [rad/s]"""
    tau: Array
    """(n,) [N m]"""
    kp: Array
    """(n,) [N m/rad]"""
    kd: Array
    """(n,) [N m s/rad]"""


class GantryMode(enum.IntEnum):
    """What the gantry does, or shall do: obeyed when it changes and after a reset."""

    HANG = 1
    LOWER = 2
    RELEASE = 3


class VirtualControl(NamedTuple):
    """What whoever started the virtual robot wants of it. Counters, so that a newest-wins slot repeats nothing."""

    seq: int
    nonce: int
    """Drawn when the streams are created; the virtual robot shows it back and so proves itself."""
    stop: bool
    """End the process."""
    gantry: int
    """`GantryMode`"""
    lower_s: float
    """Duration of a LOWER [s], simulated time."""
    push_seq: int
    """A new number starts one push."""
    push_force_w: Array
    """(3,) [N]"""
    push_duration_s: float
    reset_seq: int
    """A new number puts the robot back on the gantry at its start."""


class VirtualTruth(NamedTuple):
    """What only a simulator knows, and how the virtual robot's own loop does."""

    t_ns: int
    nonce: int
    pid: int
    sim_time_s: float
    """Since the last reset."""
    root_pos_w: Array
    """(3,) [m]"""
    root_quat_w: Array
    """(4,) wxyz"""
    root_lin_vel_w: Array
    """(3,) [m/s]"""
    root_ang_vel_b: Array
    """(3,) [rad/s], pelvis frame"""
    fallen: bool
    diverged: bool
    """The physics blew up."""
    gantry: int
    """`GantryMode` being obeyed; RELEASE once a LOWER has ended."""
    gantry_force_w: Array
    """(3,) [N]"""
    push_active: bool
    resets: int
    """`reset_seq` obeyed last."""
    commands_received: int
    commands_refused: int
    """Not finite, or with a negative gain."""
    real_time_factor: float
    """Simulated over wall time of the last second; below 1 when the host stalls."""
    loop_rate_hz: float
    loop_ticks: int
    loop_missed: int
    loop_late_p50_us: float
    loop_late_p99_us: float
    loop_late_max_us: float
    loop_work_p50_us: float
    loop_work_p99_us: float


def motor_command_fields(n: int) -> list[Field]:
    """Shared-memory layout of a `MotorCommand` of n joints."""
    return [
        ("t_ns", "<i8"), ("seq", "<i8"), ("q", "<f8", (n,)), ("dq", "<f8", (n,)), ("tau", "<f8", (n,)),
        ("kp", "<f8", (n,)), ("kd", "<f8", (n,)),
    ]  # fmt: skip


CONTROL_FIELDS: list[Field] = [
    ("seq", "<i8"), ("nonce", "<i8"), ("stop", "?"), ("gantry", "<i4"), ("lower_s", "<f8"), ("push_seq", "<i8"),
    ("push_force_w", "<f8", (3,)), ("push_duration_s", "<f8"), ("reset_seq", "<i8"),
]  # fmt: skip
TRUTH_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("nonce", "<i8"), ("pid", "<i8"), ("sim_time_s", "<f8"), ("root_pos_w", "<f8", (3,)),
    ("root_quat_w", "<f8", (4,)), ("root_lin_vel_w", "<f8", (3,)), ("root_ang_vel_b", "<f8", (3,)), ("fallen", "?"),
    ("diverged", "?"), ("gantry", "<i4"), ("gantry_force_w", "<f8", (3,)), ("push_active", "?"), ("resets", "<i8"),
    ("commands_received", "<i8"), ("commands_refused", "<i8"), ("real_time_factor", "<f8"), ("loop_rate_hz", "<f8"),
    ("loop_ticks", "<i8"), ("loop_missed", "<i8"), ("loop_late_p50_us", "<f8"), ("loop_late_p99_us", "<f8"),
    ("loop_late_max_us", "<f8"), ("loop_work_p50_us", "<f8"), ("loop_work_p99_us", "<f8"),
]  # fmt: skip


def state_codec(n: int) -> Codec[LowState]:
    """Of the slot `sim_state`."""
    return Codec(LowState, low_state_fields(n))


def command_codec(n: int) -> Codec[MotorCommand]:
    """Of the slot `sim_command`."""
    return Codec(MotorCommand, motor_command_fields(n))


def control_codec() -> Codec[VirtualControl]:
    """Of the slot `sim_control`."""
    return Codec(VirtualControl, CONTROL_FIELDS)


def truth_codec() -> Codec[VirtualTruth]:
    """Of the slot `sim_truth`."""
    return Codec(VirtualTruth, TRUTH_FIELDS)


class SimStreams(NamedTuple):
    """The four slots of the sim link."""

    state: Slot[LowState]
    command: Slot[MotorCommand]
    control: Slot[VirtualControl]
    truth: Slot[VirtualTruth]


def create_sim_streams(session: Session, n: int) -> SimStreams:
    """Create (or replace) the slots for a robot of n joints, with a fresh nonce and the gantry holding."""
    streams = SimStreams(
        Slot.create(session.path(STATE), state_codec(n)),
        Slot.create(session.path(COMMAND), command_codec(n)),
        Slot.create(session.path(CONTROL), control_codec()),
        Slot.create(session.path(TRUTH), truth_codec()),
    )
    nonce = secrets.randbits(62) | 1
    streams.control.write(VirtualControl(1, nonce, False, int(GantryMode.HANG), 0.0, 0, np.zeros(3), 0.0, 0))
    return streams


def attach_sim_streams(session: Session, n: int) -> SimStreams:
    """Open the slots somebody else created.

    Raises:
        SegmentMissing, SchemaMismatch: see `robots.ipc.segment`.
    """
    return SimStreams(
        Slot.attach(session.path(STATE), state_codec(n)),
        Slot.attach(session.path(COMMAND), command_codec(n)),
        Slot.attach(session.path(CONTROL), control_codec()),
        Slot.attach(session.path(TRUTH), truth_codec()),
    )


def proves_virtual(control: VirtualControl | None, truth: VirtualTruth | None, now_ns: int) -> bool:
    """Whether the robot that shows `truth` is a virtual one of this host: it read the nonce from our memory lately."""
    if control is None or truth is None or control.nonce == 0:
        return False
    return truth.nonce == control.nonce and now_ns - truth.t_ns < TRUTH_FRESH_NS
