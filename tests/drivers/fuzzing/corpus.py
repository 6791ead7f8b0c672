"""The stored inputs: one pcapng file a protocol, so that Wireshark and `teleop decode` read them too.

Everything in it was made by this project: true packets of its encoders and emulators, and mutations of them that took
a step through the code no other input took.
"""

from __future__ import annotations

from pathlib import Path

from engine import Arc, Target, arcs_of

from teleopd.drivers.tap import pcap, writer
from teleopd.drivers.tap.capture import NOWHERE

FOLDER = Path(__file__).resolve().parent.parent / "corpus"
MAX_FILE = 42_000
"""Largest file stored [B]: seven of them stay below 300 kB."""
MAX_SEED = 1100
"""True packets up to this are always stored [B]."""


def load(name: str, folder: Path = FOLDER) -> list[bytes]:
    """The stored inputs of a protocol, [] when there are none."""
    path = folder / f"{name}.pcapng"
    if not path.exists():
        return []
    return [packet.data for packet in pcap.read_packets(path.read_bytes())]


def store(name: str, inputs: list[bytes], folder: Path) -> Path:
    """Write a protocol's inputs, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pcapng"
    path.write_bytes(writer.section() + writer.connections() + b"".join(_block(data) for data in inputs))
    return path


def chosen(target: Target, seeds: list[bytes], inputs: list[bytes]) -> list[bytes]:
    """The short `seeds`, and of `inputs` as few and as short as take every step that all take, within `MAX_FILE`."""
    steps: dict[bytes, set[Arc]] = {data: arcs_of(target, data) for data in inputs}
    covered: set[Arc] = set()
    kept = [data for data in dict.fromkeys(seeds) if len(data) <= MAX_SEED]
    size = sum(len(_block(data)) for data in kept)
    for data in kept:
        covered |= steps.pop(data)
    while steps:
        best = max(steps, key=lambda data: (len(steps[data] - covered) / (64 + len(data)), -len(data), data))
        if not steps[best] - covered:
            break
        covered |= steps.pop(best)
        if size + len(_block(best)) <= MAX_FILE - 100:
            kept.append(best)
            size += len(_block(best))
    return sorted(kept, key=lambda data: (len(data), data))


def _block(data: bytes) -> bytes:
    return writer.packet(0, data, NOWHERE, ("", 0))
