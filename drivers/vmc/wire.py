"""Virtual Motion Capture protocol: OSC packets -> bones, root, time and status. Pure; no sockets, no clock.

Addresses and arguments: protocol.vmc.info, "Performer to Marionette", versions 2.0 to 2.7. Positions [m] and xyzw
quaternions in Unity's left-handed axes (X right, Y up, Z ahead), bones relative to their parents.

`python-osc` reads the messages. Bundles are taken apart here: its own reader never ends on a negative element size,
and recurses as deep as the sender likes. Messages that nobody needs (blend shapes, cameras) are skipped unread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from teleopd.drivers.source import ProtocolError, SourceUnavailable

try:
    from pythonosc.osc_message import OscMessage
    from pythonosc.osc_message import ParseError as MessageError
    from pythonosc.osc_message_builder import OscMessageBuilder

    _MISSING = False
except ImportError:  # an extra
    _MISSING = True

DEFAULT_PORT = 39539
"""Of a marionette: who listens to motion."""
MAX_DATAGRAM = 65_507
MAX_MESSAGE = 512
"""Longest message that is read [B]; a bone with the longest name is 120 B."""
MAX_MESSAGES = 1024
"""In one packet; a person has 55 bones and some hundred blend shapes."""
MAX_READ = 128
"""Of them, those that are read: 55 bones, root, time and status; each costs 20 us."""
MAX_DEPTH = 4
"""Bundles within bundles."""
MAX_NAME = 64
MAX_TIME_S = 1e9

BONE, ROOT, TIME, STATUS = "/VMC/Ext/Bone/Pos", "/VMC/Ext/Root/Pos", "/VMC/Ext/T", "/VMC/Ext/OK"
_WANTED = {address.encode(): address for address in (BONE, ROOT, TIME, STATUS)}
_BUNDLE = b"#bundle\0"
_BUNDLE_HEAD = 16
CALIBRATED = 3
ROOT_KEY = ""
"""Key of the avatar's root among the bones."""

Transform = tuple[float, float, float, float, float, float, float]
"""Position x y z [m], quaternion x y z w; Unity's axes."""


class Status(NamedTuple):
    """What the sender says about itself."""

    loaded: bool
    calibration: int | None
    """0 uncalibrated, 1 waiting, 2 calibrating, 3 calibrated; None before version 2.1."""
    tracking: bool | None
    """False: tracking is bad; None before version 2.5."""


class Packet(NamedTuple):
    """What one datagram says, in its order; a bone given twice keeps the last."""

    transforms: dict[str, Transform]
    """Humanoid bone name -> local transform; `ROOT_KEY` for the root."""
    time_s: float | None
    status: Status | None
    skipped: int
    """Messages of other addresses."""

    @property
    def is_vmc(self) -> bool:
        """It has anything of use."""
        return bool(self.transforms) or self.time_s is not None or self.status is not None


def check_available() -> None:
    """Raises SourceUnavailable when python-osc is not installed."""
    if _MISSING:
        raise SourceUnavailable("source vmc needs python-osc; install it with: pip install 'teleopd[osc]'")


def decode(data: bytes | memoryview) -> Packet:
    """Read one datagram.

    Raises:
        ProtocolError: oversized, not_osc, malformed, non_finite.
    """
    if len(data) > MAX_DATAGRAM:
        raise ProtocolError("oversized", f"datagram is longer than {MAX_DATAGRAM} B")
    transforms: dict[str, Transform] = {}
    time_s: float | None = None
    status: Status | None = None
    skipped = read = 0
    for count, raw in enumerate(_messages(bytes(data), 0)):
        if count >= MAX_MESSAGES:
            raise ProtocolError("oversized", f"packet has more than {MAX_MESSAGES} messages")
        address = _WANTED.get(raw[: raw.find(b"\0")])
        if address is None:
            skipped += 1
            continue
        read += 1
        if read > MAX_READ:
            raise ProtocolError("oversized", f"packet has more than {MAX_READ} messages about one body")
        values = _arguments(raw, address)
        if address == TIME:
            time_s = _time(values)
        elif address == STATUS:
            status = _status(values)
        else:
            name, transform = _transform(values, address)
            transforms[ROOT_KEY if address == ROOT else name] = transform
    return Packet(transforms, time_s, status, skipped)


def _messages(data: bytes, depth: int) -> Iterator[bytes]:
    """The messages of a packet, bundles within bundles in order."""
    if data.startswith(b"/"):
        yield data
        return
    if not data.startswith(_BUNDLE):
        raise ProtocolError("not_osc", f"packet starts with {data[:8]!r}; OSC starts with '/' or '#bundle'")
    if depth >= MAX_DEPTH:
        raise ProtocolError("malformed", f"bundles are nested deeper than {MAX_DEPTH}")
    at = _BUNDLE_HEAD
    if len(data) < at:
        raise ProtocolError("malformed", f"bundle of {len(data)} B is shorter than its {at} B header")
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if not 0 < size <= len(data) - at:
            raise ProtocolError("malformed", f"bundle element declares {size} B, {max(0, len(data) - at)} B follow")
        yield from _messages(data[at : at + size], depth + 1)
        at += size


def _arguments(raw: bytes, address: str) -> list[object]:
    if len(raw) > MAX_MESSAGE:
        raise ProtocolError("oversized", f"{address} is {len(raw)} B long; {MAX_MESSAGE} are read")
    tags = raw[len(address) // 4 * 4 + 4 :]
    tags = tags[: tags.find(b"\0")]
    if tags[:1] != b"," or tags[1:].strip(b"ifdshTF"):  # python-osc logs about others, as often as they come
        raise ProtocolError("malformed", f"{address} has argument types {tags[:32]!r}")
    try:
        return list(OscMessage(raw).params)
    except (MessageError, UnicodeDecodeError) as error:
        raise ProtocolError("malformed", f"{address} cannot be read: {' '.join(str(error).split())[:120]}") from None


def _transform(values: list[object], address: str) -> tuple[str, Transform]:
    name = values[0] if values else None
    if not isinstance(name, str) or len(name) > MAX_NAME or len(values) < 8:
        raise ProtocolError("malformed", f"{address} has not a name and seven numbers")
    x, y, z, i, j, k, w = (_number(value, address) for value in values[1:8])
    return name, (x, y, z, i, j, k, w)


def _number(value: object, address: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError("malformed", f"{address} has {type(value).__name__} where a number is expected")
    if not math.isfinite(value):
        raise ProtocolError("non_finite", f"{address} has a number that is NaN or infinite")
    return float(value)


def _time(values: list[object]) -> float:
    time_s = _number(values[0] if values else None, TIME)
    if not 0.0 <= time_s <= MAX_TIME_S:
        raise ProtocolError("malformed", f"{TIME} is {time_s:.3g} s")
    return time_s


def _status(values: list[object]) -> Status:
    words = [int(_number(value, STATUS)) for value in values[:4]]
    if not words:
        raise ProtocolError("malformed", f"{STATUS} has no argument")
    return Status(words[0] == 1, words[1] if len(words) > 1 else None, words[3] != 0 if len(words) > 3 else None)


def encode_message(address: str, *values: str | float | int) -> bytes:
    """One OSC message; Python floats go as float32, ints as int32."""
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    raw: bytes = builder.build().dgram
    return raw


def encode_bundle(messages: list[bytes]) -> bytes:
    """One bundle, to be taken at once."""
    return _BUNDLE + (1).to_bytes(8, "big") + b"".join(len(each).to_bytes(4, "big") + each for each in messages)


