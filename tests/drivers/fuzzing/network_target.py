"""This project's own protocol."""

from __future__ import annotations

from functools import partial

from engine import Target
from feeding import JSON, clip, line, receiver

from teleopd.drivers.network import wire as network
from teleopd.drivers.network.emulator import EmulatorOptions as NetworkOptions
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.network.source import NetworkSource


def _network_seeds() -> list[bytes]:
    motion = clip()
    seeds = [
        NetworkEmulator(motion, NetworkOptions(encoding=encoding, up=up, deadman=up == "y")).frame(3)
        for encoding in network.ENCODINGS
        for up in ("z", "y")
    ]
    frame = network.Frame(
        schema=network.SCHEMA, seq=1, stamp_ns=5, names=("Head", "LeftHand", "RightHand"),
        pos_m=[(0.0, 0.0, 1.7), (0.3, 0.3, 1.0), (0.3, -0.3, 1.0)], quat_wxyz=[(1.0, 0.0, 0.0, 0.0)] * 3,
        valid=[True, True, False], buttons=["start"], deadman=True, origin=2,
    )  # fmt: skip
    return seeds + [network.encode(frame, encoding) for encoding in network.ENCODINGS]


NETWORK = Target(
    "network", network.decode, lambda: receiver(NetworkSource(port=0).receive), partial(line, "network"),
    ("drivers/network/",), _network_seeds,
    (b"\xcb", b"\xcf", b"\x93", b"\xdc", b"\xdf\xff\xff\xff\xff", b'"up":"y"', b'"valid":', b'"smpl"',
    *JSON),
)  # fmt: skip
