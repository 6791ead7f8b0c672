"""Linux evdev: `struct input_event` and the few codes of a gamepad. Pure.

linux/input.h and input-event-codes.h; which code is which stick and button: the kernel's "Linux Gamepad Specification"
(Documentation/input/gamepad.rst). Buttons are named by place (south is A on an Xbox pad and the cross on a PlayStation
one). Up and left are negative.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

EVENT = struct.Struct("@llHHi")
"""struct timeval (two longs), type, code, value; native size and order."""
EV_SYN, EV_KEY, EV_ABS = 0x00, 0x01, 0x03
SYN_REPORT, SYN_DROPPED = 0, 3
BTN_SOUTH = 0x130
BUTTONS: Mapping[int, str] = MappingProxyType({
    0x130: "south", 0x131: "east", 0x133: "north", 0x134: "west",
    0x136: "left_bumper", 0x137: "right_bumper", 0x138: "left_trigger", 0x139: "right_trigger",
    0x13A: "select", 0x13B: "start", 0x13C: "mode", 0x13D: "left_stick", 0x13E: "right_stick",
})  # fmt: skip
AXES: Mapping[int, str] = MappingProxyType({
    0x00: "left_x", 0x01: "left_y", 0x02: "z", 0x03: "right_x", 0x04: "right_y", 0x05: "rz",
    0x10: "hat_x", 0x11: "hat_y",
})  # fmt: skip
ABS_X, ABS_Y = 0x00, 0x01
BUS_BLUETOOTH = 0x05
_READ = 2


class Event(NamedTuple):
    """One event, its kernel time left out: the receipt is what counts."""

    type: int
    code: int
    value: int


def decode(data: bytes) -> Iterator[Event]:
    """The whole events at the start of `data`; a part of one at its end is left."""
    for at in range(0, len(data) - EVENT.size + 1, EVENT.size):
        _, _, kind, code, value = EVENT.unpack_from(data, at)
        yield Event(kind, code, value)


def encode(*events: Event, t_ns: int = 0) -> bytes:
    """Events as the kernel hands them out."""
    seconds, rest = divmod(t_ns, 1_000_000_000)
    return b"".join(EVENT.pack(seconds, rest // 1000, *event) for event in events)


REPORT = Event(EV_SYN, SYN_REPORT, 0)
"""Ends a group of events that belong together."""
ABSINFO = struct.Struct("@6i")
"""struct input_absinfo: value, minimum, maximum, fuzz, flat, resolution."""


def get_abs(code: int) -> int:
    """The ioctl EVIOCGABS(code)."""
    return _ioc(0x40 + code, ABSINFO.size)


def _ioc(number: int, size: int) -> int:
    return _READ << 30 | size << 16 | ord("E") << 8 | number


def bits(text: str) -> set[int]:
    """Set bits of a sysfs capability: hexadecimal longs, the highest first."""
    width = 8 * struct.calcsize("@L")
    value = 0
    for word in text.split():
        value = value << width | int(word, 16)
    return {i for i in range(value.bit_length()) if value >> i & 1}
