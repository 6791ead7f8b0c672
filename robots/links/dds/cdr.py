"""Unitree's low-level messages as bytes: filled and read in place, without cyclonedds' Python serialiser.

A tick through the dataclasses costs more than half a 2 ms period; strided numpy views of one prebuilt buffer cost
microseconds. The layout is XCDR1, little-endian: a header of 4 bytes, then the body whose offsets stand below. CDR does
not align the start of a struct, so motor 0's mode byte lies apart from the others' stride.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from teleopd.robots.links.dds import crc as checksums
from teleopd.robots.model import Array, RobotModel

HEADER = b"\x00\x01\x00\x00"
"""Encapsulation: XCDR1, little-endian, no options."""
Words = npt.NDArray[np.uint32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a message's body [bytes]."""

    size: int
    motors: int
    stride: int
    mode_0: int
    """Mode byte of motor 0."""
    q: int
    """Position of motor 0; dq and what follows are 4 bytes apart."""
    crc: int
    checksum: checksums.StructCrc
    mode_machine: int | None
    tick: int | None = None
    imu: int | None = None
    """Quaternion (wxyz), then gyroscope, accelerometer, rpy: 13 floats."""
    remote: int | None = None

    @property
    def mode_1(self) -> int:
        """Mode byte of motor 1; from here on one a stride."""
        return self.q + self.stride - 4


LOW_CMD = MappingProxyType({
    "hg": Layout(1000, 35, 28, mode_0=2, q=4, crc=996, checksum=checksums.hg_low_cmd, mode_machine=1),
    "go": Layout(808, 20, 36, mode_0=22, q=24, crc=804, checksum=checksums.go_low_cmd, mode_machine=None),
})
LOW_STATE = MappingProxyType({
    "hg": Layout(
        2088, 35, 56, mode_0=70, q=72, crc=2084, checksum=checksums.hg_low_state, mode_machine=9, tick=12, imu=16,
        remote=2028,
    ),
    "go": Layout(
        1176, 20, 48, mode_0=77, q=80, crc=1172, checksum=checksums.go_low_state, mode_machine=None, tick=1096, imu=24,
        remote=1100,
    ),
})  # fmt: skip
GO_HEAD = b"\xfe\xef\xff"
"""head and level_flag (low level) of a go message."""
GO_STRONG, GO_WEAK = 0x0A, 0x01
"""Enabling modes of the H1's motors: slots 10 to 19 are weak ones."""
GO_FIRST_WEAK = 10
GO_NO_POSITION, GO_NO_VELOCITY = 2.146e9, 16000.0
"""What the go family writes into slots that shall not be moved."""


def checksum_stored(data: bytes, layout: Layout, checksum: Callable[[memoryview], int] | None = None) -> bool:
    """Whether a message of the right length carries the checksum of its content, by the layout's or its `reusing`."""
    body = memoryview(data)[4:]
    return (checksum or layout.checksum)(body) == int.from_bytes(body[layout.crc : layout.crc + 4], "little")


class Message:
    """One prebuilt message with views into it; every array of floats has one row a motor slot."""

    def __init__(self, layout: Layout, columns: int) -> None:
        self.layout = layout
        self.buffer = bytearray(HEADER + bytes(layout.size))
        self.body = memoryview(self.buffer)[4:]
        shape, strides = (layout.motors, columns), (layout.stride, 4)
        self.floats: npt.NDArray[np.float32] = np.ndarray(shape, "<f4", self.buffer, 4 + layout.q, strides)
        self.words: Words = np.ndarray(shape, "<u4", self.buffer, 4 + layout.q, strides)
        self.modes: Bytes = np.ndarray((layout.motors - 1,), "u1", self.buffer, 4 + layout.mode_1, (layout.stride,))
        """Mode bytes of motors 1 and up; motor 0's is apart."""
        self._checksum = layout.checksum.reusing()

    def set_mode(self, slot: int, mode: int) -> None:
        """Write one motor's mode byte."""
        if slot == 0:
            self.body[self.layout.mode_0] = mode
        else:
            self.modes[slot - 1] = mode

    def sealed(self) -> bytes:
        """The message with its checksum written, as a copy."""
        at = self.layout.crc
        self.body[at : at + 4] = self._checksum(self.body).to_bytes(4, "little")
        return bytes(self.buffer)


class LowCmdEncoder:
    """`JointCommand` rows -> LowCmd bytes, in one prebuilt buffer. Slots without a joint stay disabled."""

    def __init__(self, model: RobotModel, joints: tuple[int, ...] = ()) -> None:
        """`joints`: motor indices of those that are commanded, in the order of the rows; all where none is given."""
        layout = LOW_CMD[model.wire]
        self._message = message = Message(layout, 5)
        wire_slot = tuple(model.wire_slot[i] for i in joints) if joints else model.wire_slot
        self._slots = index_of(wire_slot)
        if model.wire == "go":
            message.body[:3] = GO_HEAD
            message.floats[:, 0], message.floats[:, 1] = GO_NO_POSITION, GO_NO_VELOCITY
        for slot in wire_slot:
            message.set_mode(slot, 1 if model.wire == "hg" else GO_WEAK if slot >= GO_FIRST_WEAK else GO_STRONG)

    def encode(self, mode_machine: int, q: Array, dq: Array, tau: Array, kp: Array, kd: Array) -> bytes:
        """The whole message with its checksum; `mode_machine` is what the robot last reported (hg only).

        Rows of shape (n,) in motor order: [rad], [rad/s], [N m], [N m/rad], [N m s/rad].
        """
        message, rows, slots = self._message, self._message.floats, self._slots
        if message.layout.mode_machine is not None:
            message.body[message.layout.mode_machine] = mode_machine
        rows[slots, 0], rows[slots, 1], rows[slots, 2], rows[slots, 3], rows[slots, 4] = q, dq, tau, kp, kd
        return message.sealed()

    def set_position(self, slot: int, value: float) -> None:
        """Write the position of a motor slot that no joint has."""
        self._message.floats[slot, 0] = value


@dataclass(frozen=True, slots=True)
class MotorRows:
    """What a LowCmd asks of the joints, in motor order, each (n,) float64."""

    q: Array
    dq: Array
    tau: Array
    kp: Array
    kd: Array
    enabled: npt.NDArray[np.bool_]
    """The motor's mode byte is not 0."""
    mode_machine: int
    """-1 in messages of the go family, which carry none."""


class LowCmdDecoder:
    """LowCmd bytes -> rows in motor order: what the virtual robot hears."""

    def __init__(self, model: RobotModel) -> None:
        self.layout = LOW_CMD[model.wire]
        self._slots = np.array(model.wire_slot, dtype=np.intp)

    def decode(self, data: bytes) -> MotorRows:
        """Rows of a message whose length was checked (`4 + layout.size`)."""
        layout = self.layout
        floats: npt.NDArray[np.float32] = np.ndarray(
            (layout.motors, 5), "<f4", data, 4 + layout.q, (layout.stride, 4)
        )
        rows = floats[self._slots].astype(np.float64).T
        modes = modes_of(data, layout)[self._slots]
        machine = -1 if layout.mode_machine is None else data[4 + layout.mode_machine]
        return MotorRows(rows[0], rows[1], rows[2], rows[3], rows[4], modes != 0, machine)


def modes_of(data: bytes, layout: Layout) -> Bytes:
    """Mode byte of every motor slot, as a copy."""
    modes = np.empty(layout.motors, dtype=np.uint8)
    modes[0] = data[4 + layout.mode_0]
    modes[1:] = np.ndarray((layout.motors - 1,), "u1", data, 4 + layout.mode_1, (layout.stride,))
    return modes


def index_of(slots: tuple[int, ...]) -> slice | npt.NDArray[np.intp]:
    """A slice where the slots are consecutive (cheaper in the loop), else an array."""
    if slots == tuple(range(slots[0], slots[0] + len(slots))):
        return slice(slots[0], slots[0] + len(slots))
    return np.array(slots, dtype=np.intp)
