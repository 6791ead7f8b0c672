"""What the policy was shown, tick by tick: one message with packed float32, which viewers plot as `values[:]{3}`.

Message `teleopd.Observation`: `repeated float values = 1` (packed), `double targets_seq = 2`. The order of the numbers
is that of the policy's card (attachment policy_card.toml).
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array
from teleopd.service.capture.protobuf import LayoutError, field_bytes

STREAM, TOPIC, SCHEMA_NAME = "observation", "/policy/observation", "teleopd.Observation"
METADATA = {"stream": STREAM}
_FLOAT, _DOUBLE, _OPTIONAL, _REPEATED = 2, 1, 1, 3
_SEQ = struct.Struct("<Bd")
_SEQ_TAG = 2 << 3 | 1


def message(values: npt.NDArray[np.float32], targets_seq: int) -> bytes:
    """One tick's observation (k,)."""
    return field_bytes(1, np.ascontiguousarray(values, dtype="<f4").tobytes()) + _SEQ.pack(_SEQ_TAG, targets_seq)


def columns(messages: list[bytes]) -> dict[str, Array]:
    """`values` (n, k) and `targets_seq` (n, 1), float64.

    Raises:
        LayoutError: a message is none, or the sizes differ.
    """
    if not messages:
        return {}
    size = len(messages[0])
    head = next((n for n in range(2, 6) if size > n + _SEQ.size and messages[0][:n] == _head(size - n - _SEQ.size)), 0)
    if not head or any(len(data) != size or data[:head] != messages[0][:head] for data in messages):
        raise LayoutError(f"a message of {SCHEMA_NAME} has another layout than the first")
    table = np.frombuffer(b"".join(messages), dtype=np.uint8).reshape(len(messages), size)
    values = np.ascontiguousarray(table[:, head : -_SEQ.size]).view("<f4").astype(np.float64)
    seq = np.ascontiguousarray(table[:, -8:]).view("<f8").astype(np.float64)
    return {"values": values, "targets_seq": seq}


def _head(length: int) -> bytes:
    """Tag and length of the values."""
    return field_bytes(1, bytes(length))[:-length] if length > 0 else b""


def schema() -> bytes:
    """A `FileDescriptorSet`."""
    def field(name: str, number: int, label: int, kind: int) -> bytes:
        made = field_bytes(1, name.encode()) + field_bytes(3, number) + field_bytes(4, label)
        return field_bytes(2, made + field_bytes(5, kind))

    made = field_bytes(1, b"Observation") + field("values", 1, _REPEATED, _FLOAT)
    made += field("targets_seq", 2, _OPTIONAL, _DOUBLE)
    file = field_bytes(1, b"teleopd/Observation.proto") + field_bytes(2, b"teleopd") + field_bytes(4, made)
    return field_bytes(1, file + field_bytes(12, b"proto3"))
