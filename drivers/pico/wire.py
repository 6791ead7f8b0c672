"""The PC service's gRPC messages: protobuf bytes <-> values, coded by hand. Pure; no sockets, no clock.

Package `PXREAService`, service `EAService`. `WatchServerFeedback` streams `ServerFeedback`: a name (field 1) and one of
devid (3), devstatus (5), devblob (6) or devicestatejson (15); the other members of that oneof (video, battery, models,
aliases) are skipped, as is every field this file does not know. Encoding: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from teleopd.drivers.source import ProtocolError

DEFAULT_PORT = 60061
METHOD = "/PXREAService.EAService/"
"""Prefix of every RPC's path."""
MAX_FEEDBACK = 1 << 17
"""Largest message read [B]: body, both hands, controllers and trackers in full double precision are below 20 kB."""
MAX_FIELDS = 64
"""Fields of one message; the service sends at most two."""
MAX_NAME = 256
"""Longest name or serial number kept [B]."""

FIND, MISSING, CONNECT = "deviceFind", "deviceMissing", "deviceConnect"
STATE, CUSTOM = "deviceStateJson", "deviceCustomMessage"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NAME, _DEVID, _DEVSTATUS, _DEVBLOB, _DEVSTATE = 1, 3, 5, 6, 15
_INT32_MASK = 0xFFFFFFFF


class Feedback(NamedTuple):
    """One `ServerFeedback`."""

    name: str
    """deviceFind, deviceMissing, deviceConnect, deviceStateJson, deviceCustomMessage, or one not known here."""
    device: str = ""
    """Serial number of the headset; empty where the message names none."""
    status: int | None = None
    """Of a devstatus."""
    content: bytes | None = None
    """JSON text of a devicestatejson, or bytes of a devblob."""


class Control(NamedTuple):
    """Request of DeviceControlJson and, with bytes as content, of SendBytesToDevice."""

    device: str
    content: bytes


def decode_feedback(data: bytes) -> Feedback:
    """Read one `ServerFeedback`; of a oneof sent twice the last one counts, as in protobuf.

    Raises:
        ProtocolError: oversized, truncated, malformed.
    """
    if len(data) > MAX_FEEDBACK:
        raise ProtocolError("oversized", f"message of {len(data)} B; at most {MAX_FEEDBACK} B are read")
    feedback = Feedback("")
    for number, value in _fields(data):
        if number == _NAME:
            feedback = feedback._replace(name=_text(value, "name"))
        elif number == _DEVID:
            feedback = Feedback(feedback.name, _text(value, "devid"))
        elif number == _DEVSTATUS:
            feedback = Feedback(feedback.name, *_device_status(_nested(value, "devstatus")))
        elif number in (_DEVBLOB, _DEVSTATE):
            device, content = _device_content(_nested(value, "devblob or devicestatejson"))
            feedback = Feedback(feedback.name, device, None, content)
    return feedback


def decode_control(data: bytes) -> Control:
    """A DeviceControlJson or SendBytesToDevice request; raises ProtocolError."""
    return Control(*_device_content(_check_size(data)))


def encode_pid(pid: int) -> bytes:
    """`VRPid` {int32 pid = 1}."""
    return _varint_field(1, pid)


def encode_control(device: str, content: bytes) -> bytes:
    """{string devid = 1; string parameter or bytes content = 2}."""
    return _bytes_field(1, device.encode()) + _bytes_field(2, content)


def encode_feedback(feedback: Feedback) -> bytes:
    """`ServerFeedback` as the service sends it: the oneof's member follows from name and content."""
    head = _bytes_field(_NAME, feedback.name.encode())
    device = _bytes_field(1, feedback.device.encode())
    if feedback.content is not None:
        member = _DEVSTATE if feedback.name == STATE else _DEVBLOB
        return head + _bytes_field(member, device + _bytes_field(2, feedback.content))
    if feedback.status is not None:
        return head + _bytes_field(_DEVSTATUS, device + _varint_field(2, feedback.status))
    return head + _bytes_field(_DEVID, feedback.device.encode())


def _device_status(data: bytes) -> tuple[str, int]:
    device, status = "", 0
    for number, value in _fields(data):
        if number == 1:
            device = _text(value, "devid")
        elif number == 2:
            status = _int32(value)
    return device, status


def _device_content(data: bytes) -> tuple[str, bytes]:
    device, content = "", b""
    for number, value in _fields(data):
        if number == 1:
            device = _text(value, "devid")
        elif number == 2:
            content = _nested(value, "content")
    return device, content


def _check_size(data: bytes) -> bytes:
    if len(data) > MAX_FEEDBACK:
        raise ProtocolError("oversized", f"message of {len(data)} B; at most {MAX_FEEDBACK} B are read")
    return data


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message: varints as unsigned ints, length-delimited ones as bytes, fixed ones 0."""
    at, size = 0, len(data)
    for _ in range(MAX_FIELDS):
        if at == size:
            return
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ProtocolError("malformed", "a field has number 0")
        value: int | bytes = 0
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ProtocolError("malformed", f"field {number} has wire type {kind}; 0, 1, 2 and 5 exist")
        if at > size:
            raise ProtocolError("truncated", f"field {number} ends at byte {at} of a message of {size} B")
        yield number, value
    if at != size:
        raise ProtocolError("malformed", f"a message has more than {MAX_FIELDS} fields")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ProtocolError("truncated", f"a number ends beyond the message of {len(data)} B")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise ProtocolError("malformed", "a number is longer than 10 B")


def _nested(value: int | bytes, what: str) -> bytes:
    if isinstance(value, int):
        raise ProtocolError("malformed", f"{what} is a number where bytes are expected")
    return value


def _text(value: int | bytes, what: str) -> str:
    raw = _nested(value, what)
    if len(raw) > MAX_NAME:
        raise ProtocolError("malformed", f"{what} has {len(raw)} B; at most {MAX_NAME} B are read")
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _int32(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ProtocolError("malformed", "bytes stand where a number is expected")
    low = value & _INT32_MASK
    return low - (1 << 32) if low >> 31 else low


def _encode_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_field(number: int, value: int) -> bytes:
    return _encode_varint(number << 3 | _VARINT) + _encode_varint(value)


def _bytes_field(number: int, raw: bytes) -> bytes:
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(raw)) + raw
