"""What crosses process borders for a recording: samples into rings, the operator's wishes, the recorder's state.

Light on purpose: the motor process imports this.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, Field


class CommandSample(NamedTuple):
    """One tick of robot-io: what the gate built."""

    t_ns: int
    q: Array
    """[rad]"""
    dq: Array
    """[rad/s]"""
    tau: Array
    """[N m]"""
    kp: Array
    """[N m/rad]"""
    kd: Array
    """[N m s/rad]"""
    mode: int
    sent: bool
    """It was written to the motors."""
    targets_seq: int
    causes: int
    """Bit set."""
    gate_counts: npt.NDArray[np.uint32]
    """(8,)"""


def command_sample_fields(n: int) -> list[Field]:
    """Layout of a `CommandSample` of n joints."""
    return [
        ("t_ns", "<i8"), ("q", "<f8", (n,)), ("dq", "<f8", (n,)), ("tau", "<f8", (n,)), ("kp", "<f8", (n,)),
        ("kd", "<f8", (n,)), ("mode", "<i4"), ("sent", "?"), ("targets_seq", "<i8"), ("causes", "<i8"),
        ("gate_counts", "<u4", (8,)),
    ]  # fmt: skip


class SafetyEvent(NamedTuple):
    """The mode changed, or causes came and went."""

    t_ns: int
    mode: int
    mode_cause: int
    """Cause of the mode, -1 for an operator's act or normal progress."""
    causes: int
    """Bit set after it."""


SAFETY_EVENT_FIELDS: list[Field] = [("t_ns", "<i8"), ("mode", "<i4"), ("mode_cause", "<i4"), ("causes", "<i8")]


VERBS = ("", "start", "stop", "success", "discard", "end")
"""What an operator can wish of the recorder; `end` is the service's own."""
WISH_WRITERS = ("ctl", "device", "serve")


class EpisodeWish(NamedTuple):
    """One writer's newest word to the recorder. It never reaches robot-io."""

    seq: int
    """Counts this writer's wishes, from 1."""
    t_ns: int
    token: int
    """The session's operator token; any other is not heard."""
    verb: int
    """Index into `VERBS`."""


EPISODE_WISH_FIELDS: list[Field] = [("seq", "<i8"), ("t_ns", "<i8"), ("token", "<i8"), ("verb", "<i4")]

WAITING, RECORDING, FAILED, ENDED = range(4)
"""States of a recorder: between episodes; in one; the disk refuses; done."""


class RecorderStatus(NamedTuple):
    """The recorder's state, several times a second."""

    t_ns: int
    state: int
    t_begun_ns: int
    """Start of the episode, 0 without one."""
    episodes: int
    """Finished in this run."""
    lost: int
    """Samples lost in this episode, or in the last one."""
    taken_ns: int
    """`t_ns` of the newest wish that was taken."""
    refused: bool
    """That wish could not be fulfilled; `sentence` says why."""
    path: npt.NDArray[np.uint8]
    """UTF-8, zero padded: the episode's file, or the last one's."""
    sentence: npt.NDArray[np.uint8]
    """UTF-8, zero padded: the newest thing to tell the operator."""


PATH_BYTES, SENTENCE_BYTES = 1024, 400
RECORDER_STATUS_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("state", "<i4"), ("t_begun_ns", "<i8"), ("episodes", "<i8"), ("lost", "<i8"),
    ("taken_ns", "<i8"), ("refused", "?"), ("path", "<u1", (PATH_BYTES,)), ("sentence", "<u1", (SENTENCE_BYTES,)),
]  # fmt: skip


def as_bytes(text: str, size: int) -> npt.NDArray[np.uint8]:
    """UTF-8 in a record of fixed size, cut at a character where it is too long."""
    data = text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()
    found = np.zeros(size, dtype=np.uint8)
    found[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    return found


def as_text(record: npt.NDArray[np.uint8]) -> str:
    """The text in such a record."""
    return bytes(record).rstrip(b"\0").decode("utf-8", "replace")
