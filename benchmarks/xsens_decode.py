"""Time to decode one 760-byte MXTP02 datagram, and to take it all the way to a pose. Target: 40 us median."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.source import XsensSource

DATAGRAMS = 20_000
TARGET_US = 40.0


def recording(count: int) -> list[bytes]:
    """`count` datagrams of a body that stands and turns, 120 Hz."""
    rng = np.random.default_rng(0)
    pos = np.cumsum(rng.normal(0.0, 0.05, (wire.SEGMENTS, 3)), axis=0) + (0.0, 0.0, 0.9)
    pos[6, 2] = 1.7
    datagrams = []
    for k in range(count):
        quat = np.zeros((wire.SEGMENTS, 4))
        quat[:, 0], quat[:, 3] = np.cos(k * 1e-3), np.sin(k * 1e-3)
        datagrams.append(wire.encode_pose(pos, quat, sample=k, time_code_ms=k * 1000 // 120))
    return datagrams


def timed(each: Callable[[bytes, int], object], datagrams: list[bytes]) -> dict[str, float]:
    """Median and tail [us] over the datagrams, the first 500 left out."""
    took_ns = np.empty(len(datagrams))
    for k, datagram in enumerate(datagrams):
        start = time.perf_counter_ns()
        each(datagram, k)
        took_ns[k] = time.perf_counter_ns() - start
    p50, p90, p99 = np.percentile(took_ns[500:] / 1e3, (50, 90, 99))
    return {"p50": round(p50, 2), "p90": round(p90, 2), "p99": round(p99, 2), "n": len(datagrams) - 500}


def measure() -> dict[str, dict[str, float]]:
    """Decoding alone, and everything a source does with a datagram after the socket."""
    datagrams = recording(DATAGRAMS)
    source, sender = XsensSource(port=0), ("127.0.0.1", 50000)
    results = {
        "decode": timed(lambda datagram, _: wire.decode(datagram), datagrams),
        "receive": timed(lambda datagram, k: source.receive(memoryview(datagram), sender, k * 8_333_333), datagrams),
    }
    assert source.counters.rejected == {} and source.counters.lost == 0
    return results


def main() -> None:
    """Print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    results = measure()
    if arguments.json:
        print(json.dumps({"benchmark": "xsens_decode", "unit": "us", "target_p50": TARGET_US, **results}))
        return
    print(f"{'xsens, 760 B [us]':<20}{'p50':>8}{'p90':>8}{'p99':>8}")
    for name, row in results.items():
        print(f"{name:<20}{row['p50']:>8.1f}{row['p90']:>8.1f}{row['p99']:>8.1f}")
    print(f"target: decode p50 <= {TARGET_US:.0f} us: {'met' if results['decode']['p50'] <= TARGET_US else 'MISSED'}")


if __name__ == "__main__":
    main()
