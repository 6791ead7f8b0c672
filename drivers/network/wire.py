"""Frames of the schema `teleopd.pose/1`: JSON or MessagePack bytes <-> `Frame`. Pure; no sockets, no clock.

The format is ours and documented in docs/protocols/network.md. Decoding is strict: unknown fields, wrong types and
more than the caps below are refused, each with a sentence that names the field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from teleopd.drivers.source import ProtocolError

SCHEMA = "teleopd.pose/1"
DEFAULT_PORT = 9870
MAX_FRAME = 65_507
"""Longest frame [B]: what a UDP datagram can carry; a WebSocket message is held to the same."""
MAX_NAMES = 64
MAX_BUTTONS = 32
MAX_SENTENCE = 200
"""Longest part of a peer's text that a sentence quotes."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Encoding = Literal["json", "msgpack"]
ENCODINGS: tuple[Encoding, ...] = ("json", "msgpack")


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instant of one person; the three lists are in one order."""

    schema: Annotated[str, msgspec.Meta(max_length=32)]
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    """+1 per frame; starts anew with a new recording."""
    stamp_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    """Time of capture on any clock of the sender that runs steadily [ns]."""
    names: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=MAX_NAMES)]
    """MVN segments, or joints of SMPL."""
    pos_m: Annotated[list[Vector], msgspec.Meta(max_length=MAX_NAMES)]
    quat_wxyz: Annotated[list[Quaternion], msgspec.Meta(max_length=MAX_NAMES)]
    """World orientations; identity in the T-pose that looks ahead."""
    up: Literal["z", "y"] = "z"
    """z: right-handed, X ahead, Z up; y: right-handed, Z ahead, Y up."""
    valid: Annotated[list[bool], msgspec.Meta(max_length=MAX_NAMES)] | None = None
    """Per body: tracked; absent means all."""
    deadman: bool = False
    buttons: Annotated[list[Name], msgspec.Meta(max_length=MAX_BUTTONS)] = []
    origin: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    """Any other number than before: the sender moved its origin."""


class _Head(msgspec.Struct):
    schema: str = ""


_Bytes = bytes | memoryview
_FRAMES: dict[str, Callable[[_Bytes], Frame]] = {
    "json": msgspec.json.Decoder(Frame).decode, "msgpack": msgspec.msgpack.Decoder(Frame).decode,
}  # fmt: skip
_HEADS: dict[str, Callable[[_Bytes], _Head]] = {
    "json": msgspec.json.Decoder(_Head).decode, "msgpack": msgspec.msgpack.Decoder(_Head).decode,
}  # fmt: skip
_ENCODERS: dict[str, Callable[[Frame], bytes]] = {
    "json": msgspec.json.Encoder().encode, "msgpack": msgspec.msgpack.Encoder().encode,
}  # fmt: skip
_FAILURES = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decode(data: bytes | memoryview) -> Frame:
    """Read one frame; JSON begins with `{`, everything else is taken for MessagePack.

    Raises:
        ProtocolError: oversized, empty, wrong_schema, malformed, wrong_count.
    """
    if len(data) > MAX_FRAME:
        raise ProtocolError("oversized", f"frame is longer than {MAX_FRAME} B")
    if not data:
        raise ProtocolError("empty", "frame is empty")
    encoding = "json" if data[0] in b"{ \t\r\n" else "msgpack"
    try:
        frame = _FRAMES[encoding](data)
    except _FAILURES as error:
        raise _why(data, encoding, error) from None
    if frame.schema != SCHEMA:
        raise _wrong_schema(frame.schema)
    _check_counts(frame)
    return frame


def encode(frame: Frame, encoding: Encoding = "json") -> bytes:
    """The frame's bytes."""
    return _ENCODERS[encoding](frame)


def _why(data: bytes | memoryview, encoding: str, error: Exception) -> ProtocolError:
    """What is wrong with a frame that could not be read: another schema explains every other difference."""
    try:
        schema = _HEADS[encoding](data).schema
    except _FAILURES:
        schema = SCHEMA
    if schema and schema != SCHEMA:
        return _wrong_schema(schema)
    told = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:MAX_SENTENCE]
    kind = "JSON" if encoding == "json" else "MessagePack"
    return ProtocolError("malformed", f"{kind} frame is not {SCHEMA}: {told}")


def _wrong_schema(schema: str) -> ProtocolError:
    return ProtocolError("wrong_schema", f"frame has schema {schema[:32]!r}; this version reads '{SCHEMA}'")


def _check_counts(frame: Frame) -> None:
    count = len(frame.names)
    for field in ("pos_m", "quat_wxyz", "valid"):
        values = getattr(frame, field)
        if values is not None and len(values) != count:
            raise ProtocolError("wrong_count", f"names has {count} entries but {field} has {len(values)}")
