"""What each channel of an episode holds: the table of streams, their topics and columns.

The columns of a channel also stand in its metadata, so that a file of an earlier release is read by its own word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teleopd.safety.gate import GATE_STEPS
from teleopd.service.capture.protobuf import Column, Packing

SCHEMA = "teleopd.episode"
VERSION = 1
"""Rises when an older reader could no longer read the file; a new column or stream does not."""
PROFILE = "teleopd"
EVENT_TOPIC = "/event"
XYZ, WXYZ = ("x", "y", "z"), ("w", "x", "y", "z")


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream of an episode."""

    stream: str
    """Its name in `Episode.streams`."""
    topic: str
    message: str
    columns: tuple[Column, ...]

    @property
    def packing(self) -> Packing:
        """How its messages are laid out."""
        return Packing(self.message, self.columns)

    @property
    def metadata(self) -> dict[str, str]:
        """What a reader needs to know of it, for the channel record."""
        table = [[column.name, column.kind, [list(names) for names in column.labels]] for column in self.columns]
        return {"stream": self.stream, "message": self.message, "columns": json.dumps(table)}


class ChannelError(ValueError):
    """Channel metadata that cannot be used."""


def channel_of(topic: str, metadata: Mapping[str, str]) -> Channel:
    """The channel described by the metadata of its record.

    Raises:
        ChannelError: they are absent or malformed.
    """
    try:
        table: list[Any] = json.loads(metadata["columns"])
        columns = tuple(
            Column(str(name), kind, tuple(tuple(str(word) for word in names) for names in labels))
            for name, kind, labels in table
        )
        if not columns or any(column.kind not in ("f4", "f8") for column in columns):
            raise ValueError("kind")
        return Channel(metadata["stream"], topic, metadata["message"], columns)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ChannelError(f"channel '{topic}' does not say what its columns are") from None


def channels(joints: Sequence[str], bodies: Sequence[str]) -> dict[str, Channel]:
    """Stream -> channel for a robot with these joints and an operator with these bodies."""
    j, b = (tuple(joints),), tuple(bodies)

    def robot(*names: str) -> list[Column]:
        """At the precision of the robot's own wire."""
        return [Column(name, "f4", j) for name in names]

    def scalars(*names: str) -> list[Column]:
        return [Column(name, "f8") for name in names]

    pose = [
        Column("root_pos_w", "f8", (XYZ,)), Column("root_quat_w", "f8", (WXYZ,)),
        Column("root_lin_vel_w", "f8", (XYZ,)), Column("root_ang_vel_w", "f8", (XYZ,)),
        Column("joint_pos", "f8", j), Column("joint_vel", "f8", j),
    ]  # fmt: skip
    table = (
        Channel("state", "/robot/state", "State", (
            *robot("joint_pos", "joint_vel", "joint_torque"), Column("imu_quat_w", "f4", (WXYZ,)),
            Column("imu_gyro_b", "f4", (XYZ,)), Column("imu_acc_b", "f4", (XYZ,)), *robot("temperature_c"),
            Column("motor_fault", "f8", j), *scalars("has_odometry"), Column("root_pos_w", "f8", (XYZ,)),
            Column("root_lin_vel_w", "f8", (XYZ,)),
        )),
        Channel("command", "/robot/command", "Command", (
            *robot("joint_pos", "joint_vel", "joint_torque_ff", "kp", "kd"),
            *scalars("mode", "sent", "targets_seq", "causes"), Column("gate_counts", "f8", (GATE_STEPS,)),
        )),
        Channel("target", "/target", "Target", (
            Column("joint_pos", "f8", j), *robot("kp", "kd"), *scalars("targets_seq", "reference_seq", "healthy"),
        )),
        Channel("reference", "/reference", "Reference", (
            *pose, *scalars("reference_seq", "valid", "deadman", "resets", "published_after_s"),
        )),
        Channel("shaped_reference", "/shaped_reference", "ShapedReference", tuple(pose)),
        Channel("human", "/human_pose", "HumanPose", (
            Column("pos_w", "f8", (b, XYZ)), Column("quat_w", "f8", (b, WXYZ)), Column("valid", "f4", (b,)),
        )),
    )  # fmt: skip
    return {channel.stream: channel for channel in table}


EVENT_SCHEMA = {
    "type": "object",
    "title": "foxglove.Log",
    "description": "An event of the run, as a log line with fields of its own.",
    "properties": {
        "timestamp": {
            "type": "object", "title": "time",
            "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
        },
        "level": {"type": "integer"},
        "message": {"type": "string"},
        "name": {"type": "string"},
        "file": {"type": "string"},
        "line": {"type": "integer"},
        "event": {"type": "object"},
    },
}  # fmt: skip
"""A log panel shows the lines; `event` holds the event itself."""
LEVELS = {"mode": 2, "operator": 2, "episode": 2, "cause": 3, "drop": 3}
"""Kind of event -> level of the log line: 2 is info, 3 a warning."""


def event_message(t_wall_ns: int, event: Mapping[str, Any]) -> bytes:
    """One event as JSON. `event` has `kind` and, by kind, what it says in `text`."""
    line = {
        "timestamp": {"sec": t_wall_ns // 1_000_000_000, "nsec": t_wall_ns % 1_000_000_000},
        "level": LEVELS.get(str(event.get("kind")), 2), "message": str(event.get("text", "")),
        "name": str(event.get("kind", "")), "file": "", "line": 0, "event": dict(event),
    }  # fmt: skip
    return json.dumps(line).encode()
