"""The one table of what crosses process borders: slots (latest wins) and rings (for recording and reports)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.rings import Ring
from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import (
    Array,
    Field,
    JointTargets,
    LowState,
    Reference,
    joint_targets_fields,
    low_state_fields,
    reference_fields,
)
from teleopd.safety.words import OPERATOR_FIELDS, OPERATOR_WRITERS, OperatorCommand, SafetyStatus, safety_status_fields
from teleopd.service.capture.records import (
    CAMERA_PART_FIELDS,
    CAMERA_STATUS_FIELDS,
    CAMERA_TILE_FIELDS,
    EPISODE_WISH_FIELDS,
    OBSERVATION_FIELDS,
    PARTS,
    RECORDER_STATUS_FIELDS,
    SAFETY_EVENT_FIELDS,
    WISH_WRITERS,
    CameraPart,
    CameraStatus,
    CameraTile,
    CommandSample,
    EpisodeWish,
    ObservationSample,
    RecorderStatus,
    SafetyEvent,
    command_sample_fields,
)
from teleopd.service.latency_status import LATENCY_FIELDS, LatencyStatus
from teleopd.service.link_status import LINK_FIELDS, LinkStatus
from teleopd.service.setup_words import SETUP_STATUS_FIELDS, SETUP_WISH_FIELDS, SetupStatus, SetupWish

MAX_BODIES = 64
MOST_CAMERAS = 4
LOOPS = ("source", "control", "standby", "robot_io", "virtual_robot", "recorder", "telemetry")
"""Processes that publish their punctuality in a slot `loop_<name>`."""


class HumanView(NamedTuple):
    """The newest human pose, for the console."""

    t_ns: int
    seq: int
    family: int
    """Index into `FAMILIES`."""
    bodies: int
    pos_w: Array
    quat_w: Array
    valid: npt.NDArray[np.bool_]


FAMILIES = ("mvn",)
HUMAN_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("seq", "<i8"), ("family", "<i4"), ("bodies", "<i4"),
    ("pos_w", "<f8", (MAX_BODIES, 3)), ("quat_w", "<f8", (MAX_BODIES, 4)), ("valid", "?", (MAX_BODIES,)),
]  # fmt: skip


class SourceStatus(NamedTuple):
    """Health of the source, published a few times a second."""

    t_ns: int
    state: int
    """`drivers.source.SourceState`."""
    rate_hz: float
    """Measured over the last second."""
    received: int
    used: int
    dropped: int
    rejected: int
    late: int
    last_pose_ns: int
    last_rejection: npt.NDArray[np.uint8]
    """UTF-8, zero padded: the newest rejection as one sentence."""
    age_ms: float = -1.0
    """From here on: `drivers.health.Health`."""
    delay_p50_ms: float = 0.0
    delay_p99_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    content: int = 0
    """`drivers.health.Content`."""
    content_age_ms: float = -1.0
    resets: int = 0
    lost: int = 0
    """Frames that never came, of `dropped`."""


SOURCE_STATUS_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("state", "<i4"), ("rate_hz", "<f8"), ("received", "<i8"), ("used", "<i8"),
    ("dropped", "<i8"), ("rejected", "<i8"), ("late", "<i8"), ("last_pose_ns", "<i8"),
    ("last_rejection", "<u1", (240,)), ("age_ms", "<f8"), ("delay_p50_ms", "<f8"), ("delay_p99_ms", "<f8"),
    ("jitter_ms", "<f8"), ("loss", "<f8"), ("content", "<i4"), ("content_age_ms", "<f8"), ("resets", "<i8"),
    ("lost", "<i8"),
]  # fmt: skip


class LoopStatus(NamedTuple):
    """Punctuality of a loop, as `robots.rates.LoopStats`, and its process's word on real-time permissions."""

    t_ns: int
    rate_hz: float
    ticks: int
    missed: int
    late_p50_us: float
    late_p99_us: float
    late_max_us: float
    work_p50_us: float
    work_p99_us: float
    cpu_percent: float
    """Of one core, since the process started."""


LOOP_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("rate_hz", "<f8"), ("ticks", "<i8"), ("missed", "<i8"), ("late_p50_us", "<f8"),
    ("late_p99_us", "<f8"), ("late_max_us", "<f8"), ("work_p50_us", "<f8"), ("work_p99_us", "<f8"),
    ("cpu_percent", "<f8"),
]  # fmt: skip


class ComplianceSetting(NamedTuple):
    """An operator's wish how hard the arms may push: one slot a writer, the newest with the session's token counts."""

    t_ns: int
    token: int
    force_limit_n: float
    """[N]; NaN: back to the run's own setting."""


COMPLIANCE_FIELDS: list[Field] = [("t_ns", "<i8"), ("token", "<i8"), ("force_limit_n", "<f8")]
COMPLIANCE_WRITERS = ("ctl", "console", "device")


class PolicyStatus(NamedTuple):
    """What the control process serves its policy with, published a few times a second."""

    t_ns: int
    way: int
    """Of the lookahead: index into `LOOKAHEAD`."""
    horizon_ms: float
    """How far ahead the policy looks."""
    delay_ms: float
    """What the lookahead adds to every latency that begins at the receipt of a frame."""
    force_limit_n: float
    """In force now [N]; NaN: nothing limits."""
    admittance: bool
    """The limit acts on the arm references, not inside the policy."""
    clipped: int = 0
    """Bits in the order of `policy.commands.CLIPPED`: what the operator asks for beyond the policy's range."""
    cannot: int = 0
    """Index into `policy.commands.CANNOT`: why the operator cannot be followed at all."""


LOOKAHEAD = ("none", "hold", "extrapolate", "delay")
POLICY_STATUS_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("way", "<i4"), ("horizon_ms", "<f8"), ("delay_ms", "<f8"), ("force_limit_n", "<f8"),
    ("admittance", "?"), ("clipped", "<i4"), ("cannot", "<i4"),
]  # fmt: skip


class ReferenceLog(NamedTuple):
    """One per reference made by the source process."""

    seq: int
    t_ns: int
    """Receipt of the frame."""
    retarget_us: float
    t_published_ns: int


REFERENCE_LOG_FIELDS: list[Field] = [
    ("seq", "<i8"), ("t_ns", "<i8"), ("retarget_us", "<f8"), ("t_published_ns", "<i8"),
]  # fmt: skip


class TickLog(NamedTuple):
    """One per policy tick: what it consumed and what the robot was doing."""

    t_ns: int
    mode: int
    targets_seq: int
    reference_seq: int
    t_reference_ns: int
    t_published_ns: int
    policy_us: float
    reference_root_pos_w: Array
    reference_root_quat_w: Array
    reference_q: Array
    q: Array
    quat_w: Array
    has_odometry: bool
    root_pos_w: Array


def tick_log_fields(n: int) -> list[Field]:
    """Layout of a `TickLog` of n joints."""
    return [
        ("t_ns", "<i8"), ("mode", "<i4"), ("targets_seq", "<i8"), ("reference_seq", "<i8"), ("t_reference_ns", "<i8"),
        ("t_published_ns", "<i8"), ("policy_us", "<f8"), ("reference_root_pos_w", "<f8", (3,)),
        ("reference_root_quat_w", "<f8", (4,)), ("reference_q", "<f8", (n,)), ("q", "<f8", (n,)),
        ("quat_w", "<f8", (4,)), ("has_odometry", "?"), ("root_pos_w", "<f8", (3,)),
    ]  # fmt: skip


class CommandLog(NamedTuple):
    """One per new targets that robot-io put into a command."""

    targets_seq: int
    t_reference_ns: int
    t_command_ns: int
    mode: int


COMMAND_LOG_FIELDS: list[Field] = [
    ("targets_seq", "<i8"), ("t_reference_ns", "<i8"), ("t_command_ns", "<i8"), ("mode", "<i4"),
]  # fmt: skip


class ModeLog(NamedTuple):
    """One per mode change or newly active cause."""

    t_ns: int
    mode: int
    cause: int
    """-1 for an operator's act or normal progress."""


MODE_LOG_FIELDS: list[Field] = [("t_ns", "<i8"), ("mode", "<i4"), ("cause", "<i4")]


class StickWord(NamedTuple):
    """What the buttons of the browser view say: fields as `drivers.gamepad.stick.Said`, which this may not import."""

    t_ns: int
    forward: float
    left: float
    turn: float
    held: bool


STICK_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("forward", "<f8"), ("left", "<f8"), ("turn", "<f8"), ("held", "?"),
]  # fmt: skip


def _ignore(_sample: object) -> None:
    """Nothing is recorded."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One row of the table."""

    codec: Codec[Any]
    ring_capacity: int = 0
    """0: a slot; else a ring of that many records."""


def streams(n: int) -> dict[str, Stream]:
    """Every slot and ring of a session for a robot of n joints. Writers and rates stand in design order."""
    table = {
        "reference": Stream(Codec(Reference, reference_fields(n))),
        "human": Stream(Codec(HumanView, HUMAN_FIELDS)),
        "source_status": Stream(Codec(SourceStatus, SOURCE_STATUS_FIELDS)),
        "shaped_reference": Stream(Codec(Reference, reference_fields(n))),
        "targets": Stream(Codec(JointTargets, joint_targets_fields(n))),
        "state": Stream(Codec(LowState, low_state_fields(n))),
        "safety_status": Stream(Codec(SafetyStatus, safety_status_fields(n))),
        "reference_log": Stream(Codec(ReferenceLog, REFERENCE_LOG_FIELDS), 2048),
        "tick_log": Stream(Codec(TickLog, tick_log_fields(n)), 1024),
        "command_log": Stream(Codec(CommandLog, COMMAND_LOG_FIELDS), 1024),
        "mode_log": Stream(Codec(ModeLog, MODE_LOG_FIELDS), 1024),
    }
    table["targets_standby"] = table["targets"]
    table["link_status"] = Stream(Codec(LinkStatus, LINK_FIELDS))
    table["latency_status"] = Stream(Codec(LatencyStatus, LATENCY_FIELDS))
    table["policy_status"] = Stream(Codec(PolicyStatus, POLICY_STATUS_FIELDS))
    table["recorder_status"] = Stream(Codec(RecorderStatus, RECORDER_STATUS_FIELDS))
    for camera in range(MOST_CAMERAS):
        table[f"camera_status_{camera}"] = Stream(Codec(CameraStatus, CAMERA_STATUS_FIELDS))
        table[f"camera_tile_{camera}"] = Stream(Codec(CameraTile, CAMERA_TILE_FIELDS))
    for writer in WISH_WRITERS:
        table[f"episode_{writer}"] = Stream(Codec(EpisodeWish, EPISODE_WISH_FIELDS))
    table["setup_console"] = Stream(Codec(SetupWish, SETUP_WISH_FIELDS))
    table["setup_status"] = Stream(Codec(SetupStatus, SETUP_STATUS_FIELDS))
    table["stick"] = Stream(Codec(StickWord, STICK_FIELDS))
    for writer in COMPLIANCE_WRITERS:
        table[f"compliance_{writer}"] = Stream(Codec(ComplianceSetting, COMPLIANCE_FIELDS))
    for loop in LOOPS:
        table[f"loop_{loop}"] = Stream(Codec(LoopStatus, LOOP_FIELDS))
    for writer in OPERATOR_WRITERS:
        table[f"operator_{writer}"] = Stream(Codec(OperatorCommand, OPERATOR_FIELDS))
    return table


def recording_streams(n: int) -> dict[str, Stream]:
    """The rings a recorder drains; a session has them only where it records. At 500 Hz they hold four seconds."""
    return {
        "record_state": Stream(Codec(LowState, low_state_fields(n)), 2048),
        "record_command": Stream(Codec(CommandSample, command_sample_fields(n)), 2048),
        "record_target": Stream(Codec(JointTargets, joint_targets_fields(n)), 256),
        "record_shaped_reference": Stream(Codec(Reference, reference_fields(n)), 256),
        "record_reference": Stream(Codec(Reference, reference_fields(n)), 1024),
        "record_human": Stream(Codec(HumanView, HUMAN_FIELDS), 1024),
        "record_observation": Stream(Codec(ObservationSample, OBSERVATION_FIELDS), 256),
        "record_event": Stream(Codec(SafetyEvent, SAFETY_EVENT_FIELDS), 512),
    }


def camera_streams(cameras: int) -> dict[str, Stream]:
    """The rings of compressed pictures, 4 MB for each camera of a recording."""
    return {f"record_camera_{i}": Stream(Codec(CameraPart, CAMERA_PART_FIELDS), PARTS) for i in range(cameras)}


class Bus:
    """All streams of one session, opened by name."""

    def __init__(
        self, session: Session, n: int, *, create: bool = False, record: bool = False, cameras: int = 0
    ) -> None:
        """`create`: make them all (the service's parent), with `record` those of a recording too, and of so many
        cameras; else attach on first use."""
        self._session = session
        always, recorded = streams(n), recording_streams(n)
        self._table = always | recorded | camera_streams(MOST_CAMERAS)
        self._open: dict[str, Any] = {}
        if create:
            for name in (*always, *(recorded if record else ()), *(camera_streams(cameras) if record else ())):
                self._open[name] = self._make(name, create=True)

    def slot(self, name: str) -> Slot[Any]:
        """The slot of that name."""
        return self._get(name, Slot)  # type: ignore[no-any-return]

    def ring(self, name: str) -> Ring[Any]:
        """The ring of that name."""
        return self._get(name, Ring)  # type: ignore[no-any-return]

    def record(self, name: str) -> Callable[[Any], object]:
        """Takes the samples of a recording: the push of that ring, or nothing at all where the session records none.

        Nobody waits: a full ring drops and counts.
        """
        try:
            return self.ring(f"record_{name}").push
        except SegmentMissing:
            return _ignore

    def _get(self, name: str, kind: type) -> Any:
        if name not in self._open:
            self._open[name] = self._make(name, create=False)
        found = self._open[name]
        if not isinstance(found, kind):
            raise TypeError(f"stream '{name}' is a {type(found).__name__}, not a {kind.__name__}")
        return found

    def _make(self, name: str, *, create: bool) -> Slot[Any] | Ring[Any]:
        stream = self._table[name]
        path = self._session.path(name)
        if stream.ring_capacity:
            if create:
                return Ring.create(path, stream.codec, stream.ring_capacity)
            return Ring.attach(path, stream.codec, stream.ring_capacity)
        return Slot.create(path, stream.codec) if create else Slot.attach(path, stream.codec)
