"""What crosses process borders for a recording: samples into rings, the operator's wishes, the recorder's state.

Light on purpose: the motor process imports this.
"""

from __future__ import annotations

from collections.abc import Callable
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


MOST_OBSERVED = 4096
"""Numbers of an observation that are recorded; a policy with more has none in its episodes."""


class ObservationSample(NamedTuple):
    """What the policy was shown in one tick."""

    t_ns: int
    targets_seq: int
    size: int
    """Numbers that count."""
    values: npt.NDArray[np.float32]


OBSERVATION_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("targets_seq", "<i8"), ("size", "<i4"), ("values", "<f4", (MOST_OBSERVED,)),
]  # fmt: skip


class ObservationSamples:
    """Hands observations to the recorder: each is copied once, and dropped where the ring is full."""

    def __init__(self, push: Callable[[ObservationSample], object]) -> None:
        self._push = push
        self._padded: npt.NDArray[np.float32] = np.zeros(MOST_OBSERVED, dtype=np.float32)

    def add(self, t_ns: int, targets_seq: int, values: npt.NDArray[np.float32]) -> None:
        """One tick's, of any shape; too long or empty ones are left out."""
        flat = values.reshape(-1)
        if 0 < len(flat) <= MOST_OBSERVED:
            self._padded[: len(flat)] = flat
            self._push(ObservationSample(t_ns, targets_seq, len(flat), self._padded))


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
WISH_WRITERS = ("ctl", "device", "serve", "console", "remote")


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


PART_BYTES = 16384
PARTS = 256
"""Parts that a camera's ring holds: four seconds and more of 640x480 at 30 Hz."""


class CameraPart(NamedTuple):
    """A piece of one compressed picture."""

    seq: int
    """Counts the camera's pictures from 1, also those that never came."""
    coded: int
    """Counts the pictures that were compressed, from 1: each but a key frame needs the one before."""
    t_ns: int
    """When it was taken, on this host's clock."""
    t_received_ns: int
    key: bool
    """It can be decoded without those before it."""
    width: int
    height: int
    part: int
    """From 0."""
    parts: int
    size: int
    """Bytes of `data` that count."""
    data: npt.NDArray[np.uint8]


CAMERA_PART_FIELDS: list[Field] = [
    ("seq", "<i8"), ("coded", "<i8"), ("t_ns", "<i8"), ("t_received_ns", "<i8"), ("key", "?"), ("width", "<i4"),
    ("height", "<i4"), ("part", "<i4"), ("parts", "<i4"), ("size", "<i4"), ("data", "<u1", (PART_BYTES,)),
]  # fmt: skip

OPENING, SHOWING, NO_PICTURE = range(3)
"""States of a camera: being opened; pictures come; it cannot be opened, or nothing comes."""


class CameraStatus(NamedTuple):
    """One camera, several times a second."""

    t_ns: int
    state: int
    hz: float
    """Pictures a second, of late."""
    received: int
    damaged: int
    """Of these, those that could not be decoded."""
    lost: int
    """Of these, those that did not fit into the ring: the recorder is behind."""
    width: int
    height: int
    name: npt.NDArray[np.uint8]
    sentence: npt.NDArray[np.uint8]
    """UTF-8, zero padded: what is wrong; empty while pictures come."""


TILE_BYTES = 48 * 1024


class CameraTile(NamedTuple):
    """A camera's newest small picture, for those who look on."""

    t_ns: int
    """When it was taken, on this host's clock."""
    size: int
    """Bytes of `data` that count."""
    data: npt.NDArray[np.uint8]
    """JPEG."""


CAMERA_TILE_FIELDS: list[Field] = [("t_ns", "<i8"), ("size", "<i4"), ("data", "<u1", (TILE_BYTES,))]
NAME_BYTES = 32
PATH_BYTES, SENTENCE_BYTES = 1024, 400
CAMERA_STATUS_FIELDS: list[Field] = [
    ("t_ns", "<i8"), ("state", "<i4"), ("hz", "<f8"), ("received", "<i8"), ("damaged", "<i8"), ("lost", "<i8"),
    ("width", "<i4"), ("height", "<i4"), ("name", "<u1", (NAME_BYTES,)), ("sentence", "<u1", (SENTENCE_BYTES,)),
]  # fmt: skip
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
