"""Time to decode one NatNet frame, and to take it all the way to a pose. Target: 60 us median for a skeleton frame.

`--peer-python PATH` adds the decoder of the PyPI package `natnet` on the same bytes, run by an interpreter that has it
(python3 -m venv V && V/bin/pip install natnet, then V/bin/python); target: ours takes a fifth of its time.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.emulator import EmulatorOptions, NatNetEmulator
from teleopd.drivers.natnet.messages import MARKER, Kind
from teleopd.drivers.natnet.source import NatNetSource

DATAGRAMS = 10_000
MARKERS = 44
"""Labelled markers beside the 21 bones, as in recorded traffic of one actor."""
TARGET_US = 60.0
TARGET_RATIO = 5.0
SERVER = ("127.0.0.1", 1510)
PEER_DATAGRAMS = 3000
PEER = """
import json, struct, sys, time
from natnet.data_frame import DataFrame
from natnet.packet_buffer import PacketBuffer
from natnet.version import Version
spoken = Version(int(sys.argv[1]), int(sys.argv[2]))
raw, at, took = sys.stdin.buffer.read(), 0, []
while at < len(raw):
    (size,) = struct.unpack_from("<I", raw, at)
    datagram = raw[at + 4 : at + 4 + size]
    at += 4 + size
    start = time.perf_counter_ns()
    frame = DataFrame.read_from_buffer(PacketBuffer(datagram[4:]), spoken)
    took.append(time.perf_counter_ns() - start)
    assert len(frame.skeletons[0].rigid_bodies) == 21
json.dump(took, sys.stdout)
"""
"""Run by the other interpreter: bitstream as arguments, `u32 size, datagram` on stdin, times [ns] as JSON on stdout."""


def recording(version: str, count: int) -> tuple[NatNetEmulator, list[bytes]]:
    """`count` frames of one actor at 120 Hz with labelled markers."""
    device = NatNetEmulator(load_motion("walk"), EmulatorOptions(natnet=version))
    markers = np.zeros(MARKERS, MARKER)
    markers["id"], markers["pos"], markers["size"] = np.arange(MARKERS) | 1 << 16, 0.5, 0.014
    frames = len(device.clip.pos_w)
    raw = [device.datagram(k % frames, k * 8_333_333) for k in range(min(count, frames))]
    full = [wire.decode(r, device.version).body._replace(markers=markers) for r in raw]
    return device, [encode.encode_frame(full[k % len(full)], device.version) for k in range(count)]


def timed(each: Callable[[bytes, int], object], datagrams: list[bytes]) -> dict[str, float]:
    """Median and tail [us] over the datagrams, the first 500 left out."""
    took_ns = np.empty(len(datagrams))
    for k, datagram in enumerate(datagrams):
        start = time.perf_counter_ns()
        each(datagram, k)
        took_ns[k] = time.perf_counter_ns() - start
    return distribution(took_ns)


def distribution(took_ns: np.ndarray) -> dict[str, float]:
    """Median and tail [us], the first 500 left out."""
    p50, p90, p99 = np.percentile(took_ns[500:] / 1e3, (50, 90, 99))
    return {"p50": round(p50, 2), "p90": round(p90, 2), "p99": round(p99, 2), "n": len(took_ns) - 500}


def ready_source(device: NatNetEmulator) -> NatNetSource:
    """A source that has been greeted and told the definitions, without sockets."""
    source = NatNetSource(host="127.0.0.1")
    for datagram in (
        wire.encode_server_info(device.server_info()),
        device._answer(Kind.REQUEST_MODELDEF, None, 0),
    ):
        source.receive(memoryview(datagram), SERVER, 1)
    return source


def measure(peer_python: str | None) -> dict[str, dict[str, float]]:
    """Decoding alone for two bitstreams, and everything a source does with a datagram after the socket."""
    results: dict[str, dict[str, float]] = {}
    for version in ("3.0", "4.1"):
        device, datagrams = recording(version, DATAGRAMS)
        source, spoken = ready_source(device), device.version
        results[f"decode {version}"] = timed(partial(decode, spoken), datagrams)
        if peer_python is not None:
            results[f"natnet package {version}"] = peer(peer_python, spoken, datagrams[:PEER_DATAGRAMS])
        results[f"receive {version}"] = timed(partial(receive, source), datagrams)
        assert source.counters.rejected == {}, source.counters
        results["bytes"] = {"n": len(datagrams[0])}
    return results


def decode(version: tuple[int, int], datagram: bytes, _: int) -> None:
    """Bytes to values."""
    wire.decode(datagram, version)


def receive(source: NatNetSource, datagram: bytes, k: int) -> None:
    """Bytes to a pose."""
    source.receive(memoryview(datagram), SERVER, 10**9 + k * 8_333_333)


def peer(python: str, version: tuple[int, int], datagrams: list[bytes]) -> dict[str, float]:
    """The frame decoder of the `natnet` package on the same bytes, in the interpreter that has it."""
    packed = b"".join(struct.pack("<I", len(each)) + each for each in datagrams)
    asked = [python, "-c", PEER, *map(str, version)]
    done = subprocess.run(asked, input=packed, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        sys.exit(f"{python} cannot decode with the natnet package: {why[-1]}")
    return distribution(np.array(json.loads(done.stdout)))


def main() -> None:
    """Print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    parser.add_argument("--peer-python", metavar="PATH", help="compare with the natnet package of this interpreter")
    arguments = parser.parse_args()
    results = measure(arguments.peer_python)
    if arguments.json:
        print(json.dumps({"benchmark": "natnet_decode", "unit": "us", "target_p50": TARGET_US, **results}))
        return
    size = results.pop("bytes")["n"]
    print(f"{f'natnet, {size:.0f} B [us]':<24}{'p50':>8}{'p90':>8}{'p99':>8}")
    for name, row in results.items():
        print(f"{name:<24}{row['p50']:>8.1f}{row['p90']:>8.1f}{row['p99']:>8.1f}")
    worst = max(row["p50"] for name, row in results.items() if name.startswith("decode"))
    print(f"target: decode p50 <= {TARGET_US:.0f} us: {'met' if worst <= TARGET_US else 'MISSED'}")
    if arguments.peer_python is not None:
        ratio = min(results[f"natnet package {v}"]["p50"] / results[f"decode {v}"]["p50"] for v in ("3.0", "4.1"))
        print(f"target: {TARGET_RATIO:.0f} x faster than the natnet package: {ratio:.1f} x")


if __name__ == "__main__":
    main()
