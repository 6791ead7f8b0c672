"""LowState bytes -> `LowState`, and for the virtual robot `LowState` -> bytes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from teleopd.robots.links.dds.cdr import GO_HEAD, LOW_STATE, Message, index_of
from teleopd.robots.links.dds.imu import pelvis_to_torso, torso_joint_of, torso_to_pelvis
from teleopd.robots.model import Array, LowState, RobotModel

COLUMNS = 9
"""4-byte columns of a motor from q on that are read: q, dq, ddq, tau_est, then what each family puts there."""
GO_CHARGE = 1039
"""Byte of the state of charge in the body of a go LowState."""
TAU, HG_HEAT, GO_HEAT, HG_FAULT = 3, 4, 7, 8


class LowStateDecoder:
    """What a robot reports, in motor order. The caller has checked length (`4 + layout.size`) and checksum."""

    def __init__(self, model: RobotModel) -> None:
        self.layout = layout = LOW_STATE[model.wire]
        assert layout.tick is not None and layout.imu is not None and layout.remote is not None
        self._hg = model.wire == "hg"
        self._variant = model.default_mode_machine
        self._buffer = buffer = bytearray(4 + layout.size)
        slots = index_of(model.wire_slot)
        self._slots = None if isinstance(slots, slice) else slots

        def column(kind: str, byte: int, columns: int = 1) -> npt.NDArray[np.generic]:
            """View of `columns` fields of every motor, the first `byte` bytes after its q; of the joints alone where
            they adjoin."""
            view: npt.NDArray[np.generic] = np.ndarray(
                (columns, layout.motors), kind, buffer, 4 + layout.q + byte, (4, layout.stride)
            )
            view = view[:, slots] if isinstance(slots, slice) else view
            return view if columns > 1 else view[0]

        self._motion = column("<f4", 0, TAU + 1)
        """q, dq, ddq, tau."""
        heat = ("<i2", "<i2") if self._hg else ("u1", "u1")
        at = (4 * HG_HEAT, 4 * HG_HEAT + 2) if self._hg else (4 * GO_HEAT, 4 * GO_HEAT)
        self._casing, self._winding = column(heat[0], at[0]), column(heat[1], at[1])
        self._fault = column("<u4", 4 * HG_FAULT) if self._hg else None
        self._imu: npt.NDArray[np.float32] = np.ndarray((10,), "<f4", buffer, 4 + layout.imu)
        self._remote: npt.NDArray[np.uint8] = np.ndarray((40,), "u1", buffer, 4 + layout.remote)
        self._tick = slice(4 + layout.tick, 8 + layout.tick)
        self._torso = torso_joint_of(model)
        self._no_position: Array = np.zeros(3)
        self._no_position.setflags(write=False)
        self._no_fault = np.zeros(model.n, dtype=np.uint32)
        self._no_fault.setflags(write=False)

    def _joints(self, column: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return column if self._slots is None else column[..., self._slots]

    def decode(self, data: bytes, t_ns: int) -> LowState:
        """One message received at `t_ns`; its arrays are fresh and do not change later."""
        self._buffer[:] = data
        layout = self.layout
        motion = self._joints(self._motion).astype(np.float64, order="C")
        q, dq, tau = motion[0], motion[1], motion[TAU]
        imu = self._imu.astype(np.float64)
        quat, gyro, accel = imu[:4], imu[4:7], imu[7:]
        if self._torso is not None:
            quat, gyro, accel = torso_to_pelvis(quat, gyro, accel, float(q[self._torso]), float(dq[self._torso]))
        fault = self._no_fault
        if self._fault is not None:
            fault = self._joints(self._fault).astype(np.uint32)
        machine = self._variant if layout.mode_machine is None else data[4 + layout.mode_machine]
        heat = self._joints(np.maximum(self._casing, self._winding)).astype(np.float64)
        return LowState(
            t_ns, int.from_bytes(data[self._tick], "little"), machine, q, dq, tau, quat, gyro, accel, heat, fault,
            self._remote.copy(), False, self._no_position, self._no_position,
        )  # fmt: skip


class LowStateEncoder:
    """`LowState` -> bytes of a prebuilt buffer, as the robot sends them: the virtual robot's side."""

    def __init__(self, model: RobotModel) -> None:
        self._layout = layout = LOW_STATE[model.wire]
        self._message = message = Message(layout, COLUMNS)
        self._slots = index_of(model.wire_slot)
        self._hg = model.wire == "hg"
        self._torso = torso_joint_of(model)
        assert layout.imu is not None
        self._imu: npt.NDArray[np.float32] = np.ndarray((13,), "<f4", message.buffer, 4 + layout.imu)
        for slot in model.wire_slot:
            message.set_mode(slot, 1)
        if not self._hg:
            message.body[:3] = GO_HEAD

    def set_charge(self, percent: int) -> None:
        """State of charge [%] in the messages of the go family, which carry it; hg has a topic for it."""
        if not self._hg:
            self._message.body[GO_CHARGE] = percent

    def encode(self, state: LowState) -> bytes:
        """The whole message with its checksum; temperatures are rounded and kept inside their field."""
        message, layout = self._message, self._layout
        assert layout.tick is not None and layout.remote is not None
        body, slots = message.body, self._slots
        body[layout.tick : layout.tick + 4] = (state.tick & 0xFFFFFFFF).to_bytes(4, "little")
        body[layout.remote : layout.remote + 40] = state.remote.tobytes()
        message.floats[slots, 0], message.floats[slots, 1], message.floats[slots, TAU] = state.q, state.dq, state.tau
        if self._hg:
            assert layout.mode_machine is not None
            body[layout.mode_machine] = state.mode_machine
            heat = np.clip(np.rint(state.temperature_c), -32768, 32767).astype(np.int16).view(np.uint16)
            message.words[slots, HG_HEAT] = heat.astype(np.uint32) * 0x10001
            message.words[slots, HG_FAULT] = state.motor_fault
        else:
            message.words[slots, GO_HEAT] = np.clip(np.rint(state.temperature_c), 0, 255).astype(np.uint32)
        quat, gyro, accel = state.quat_w, state.gyro_b, state.accel_b
        if self._torso is not None:
            quat, gyro, accel = pelvis_to_torso(
                quat, gyro, accel, float(state.q[self._torso]), float(state.dq[self._torso])
            )
        self._imu[:4], self._imu[4:7], self._imu[7:10], self._imu[10:] = quat, gyro, accel, rpy_of(quat)
        return message.sealed()


def rpy_of(quat: Array) -> tuple[float, float, float]:
    """Roll, pitch, yaw [rad] (turns about z, then y, then x) of a wxyz quaternion (4,)."""
    w, x, y, z = quat.tolist()
    sine = max(-1.0, min(1.0, 2.0 * (w * y - z * x)))
    return (
        math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y)),
        math.asin(sine),
        math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)),
    )
