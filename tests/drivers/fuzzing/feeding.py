"""What all targets share: the motion that is sent, the line that `teleop decode` prints, a receiver with a clock."""

from __future__ import annotations

import json

from engine import Feed

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.tap.capture import NOWHERE, Arrival
from teleopd.drivers.tap.decode import Decoder
from teleopd.drivers.udp import Address

SENDER: Address = ("127.0.0.1", 1510)
PERIOD_NS = 8_333_333


def clip():
    return load_motion("walk_and_turn")


def line(device: str, data: bytes) -> None:
    """`teleop decode`: one JSON line, whatever the packet."""
    json.dumps(Decoder(device).line(0, Arrival(0, 0, NOWHERE, NOWHERE, data), 0))


def receiver(receive) -> Feed:
    """Calls `receive(view, sender, now)` with a clock that goes on."""
    now_ns = [10**12]

    def feed(data: bytes) -> None:
        now_ns[0] += PERIOD_NS
        receive(memoryview(data), SENDER, now_ns[0])

    return feed


NUMBERS = (b"1e999", b"-1", b"1e308", b"9" * 40, b"9" * 5000, b"NaN", b"null", b"0.5", b"1.", b"true",
            b"18446744073709551616")  # fmt: skip
JSON = (b"{", b"}", b"[", b"]", b",", b":", b'"', b'\\"', b"\\u0000", b"\\ud800", b"\xff", b"[" * 400, *NUMBERS)
