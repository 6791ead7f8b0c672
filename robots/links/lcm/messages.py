"""LCM messages as bytes: big-endian, packed, preceded by a fingerprint of their field names and types.

The public channels have the names and fields of the relays labs run beside a G1 (they descend from walk-these-ways):
joint targets one way, joint state and body attitude the other. They know no gains, no mode and no hardware variant, so
what this project sends on top has channels of its own, `teleopd_...`, each complete in one message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

TARGETS, BODY, ESTIMATOR = "pd_plustau_targets", "body_control_data", "state_estimator_data"
"""Public channels."""
COMMAND, STATE = "teleopd_command", "teleopd_state"
CONTROL, TRUTH = "teleopd_virtual_control", "teleopd_virtual_truth"
"""Of a virtual robot; with ttl=0 only."""
_NUMPY = {"double": ">f8", "float": ">f4", "int64_t": ">i8", "int32_t": ">i4", "byte": "u1"}


class MessageField(NamedTuple):
    """One field of an LCM type."""

    name: str
    kind: str
    """LCM's name of it: double, float, int64_t, int32_t, byte."""
    length: int = 0
    """Of a fixed array; 0 for a single number."""


def targets_fields(n: int) -> tuple[MessageField, ...]:
    """Of `pd_plustau_targets`: positions [rad] and feed-forward torques [N m] in motor order, the sender's time."""
    return (
        MessageField("q_des", "double", n), MessageField("tau_ff", "double", n),
        MessageField("timestamp_us", "int64_t"),
    )  # fmt: skip


def body_fields(n: int) -> tuple[MessageField, ...]:
    """Of `body_control_data`: positions [rad] and velocities [rad/s] in motor order."""
    return MessageField("q", "float", n), MessageField("qd", "float", n), MessageField("timestamp_us", "int64_t")


ESTIMATOR_FIELDS = tuple(
    MessageField(name, "float", count)
    for name, count in (
        ("p", 3), ("vWorld", 3), ("vBody", 3), ("rpy", 3), ("omegaBody", 3), ("omegaWorld", 3), ("quat", 4),
        ("contact_estimate", 4), ("aBody", 3), ("aWorld", 3),
    )
) + (MessageField("timestamp_us", "int64_t"),)  # fmt: skip
"""Of `state_estimator_data`, in the order of walk-these-ways; quat is wxyz, what is not measured is zero."""


def command_fields(n: int) -> tuple[MessageField, ...]:
    """Of `teleopd_command`: everything a permitted command says, and what the sender's own ladder says of it."""
    rows = tuple(MessageField(name, "double", n) for name in ("q", "dq", "tau", "kp", "kd"))
    return (
        MessageField("sender", "int64_t"), MessageField("seq", "int64_t"), MessageField("timestamp_us", "int64_t"),
        MessageField("mode", "int32_t"), MessageField("damped_by_operator", "int32_t"),
        MessageField("tilt_rp", "double", 2), *rows,
    )  # fmt: skip


def state_fields(n: int) -> tuple[MessageField, ...]:
    """Of `teleopd_state`: a whole `LowState`, who reports it and in which mode that one is (-1: no ladder there)."""
    return (
        MessageField("robot", "int64_t"), MessageField("timestamp_us", "int64_t"), MessageField("tick", "int64_t"),
        MessageField("mode_machine", "int32_t"), MessageField("mode", "int32_t"), MessageField("q", "double", n),
        MessageField("dq", "double", n), MessageField("tau", "double", n), MessageField("quat_w", "double", 4),
        MessageField("gyro_b", "double", 3), MessageField("accel_b", "double", 3),
        MessageField("temperature_c", "float", n), MessageField("motor_fault", "int64_t", n),
        MessageField("remote", "byte", 40),
    )  # fmt: skip


def fingerprint(fields: tuple[MessageField, ...]) -> int:
    """LCM's hash of a type without nested types: over names, kinds and dimensions; unsigned, 64 bits."""
    value = 0x12345678
    for field in fields:
        value = _text(_text(value, field.name), field.kind)
        value = _update(value, 1 if field.length else 0)
        if field.length:
            value = _text(_update(value, 0), str(field.length))  # 0: a constant dimension
    unsigned = value & _MASK
    return ((unsigned << 1) & _MASK) + (unsigned >> 63)


_MASK = (1 << 64) - 1


def _update(value: int, byte: int) -> int:
    """One step of the hash on a signed 64-bit number: the right shift keeps the sign."""
    mixed = ((value << 8) ^ (value >> 55)) + byte
    mixed &= _MASK
    return mixed - (1 << 64) if mixed >> 63 else mixed


def _text(value: int, text: str) -> int:
    value = _update(value, len(text))
    for byte in text.encode():
        value = _update(value, byte)
    return value


class MessageCodec:
    """One LCM type <-> bytes, on one prebuilt record."""

    def __init__(self, fields: tuple[MessageField, ...]) -> None:
        kinds: list[Any] = [("fingerprint", ">u8")]
        kinds += [(f.name, _NUMPY[f.kind], (f.length,)) if f.length else (f.name, _NUMPY[f.kind]) for f in fields]
        self._kind = np.dtype(kinds)
        self._record = np.zeros(1, self._kind)
        self._record["fingerprint"] = fingerprint(fields)
        self._head = self._record["fingerprint"].tobytes()
        self.size = self._kind.itemsize
        """Of a whole message [bytes]."""

    def encode(self, **values: Any) -> bytes:
        """The message; fields not named keep what they had last, zero at first."""
        record = self._record
        for name, value in values.items():
            record[name] = value
        return record.tobytes()

    def decode(self, data: bytes) -> Any:
        """The record (fields by name, big-endian), or None for another type or length."""
        if len(data) != self.size or data[:8] != self._head:
            return None
        return np.frombuffer(data, self._kind)[0]
