"""Time to decode one PICO body frame, and to take it all the way to a pose. Target: 150 us median."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico import messages, skeleton, wire
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.source import PicoSource

FRAMES = 4_000
WARM_UP = 300
TARGET_US = 150.0


def decode(message: bytes) -> None:
    """One message down to 23 segments."""
    feedback = wire.decode_feedback(message)
    assert feedback.content is not None
    tracking = messages.read_tracking(feedback.content)
    assert tracking is not None
    skeleton.to_mvn(messages.read_poses([joint.p for joint in messages.body_joints(tracking)]))


def timed(each: Callable[[bytes, int], object], frames: list[bytes]) -> dict[str, float]:
    """Median and tail [us] over the frames, the first ones left out."""
    took_ns = np.empty(len(frames))
    for k, frame in enumerate(frames):
        start = time.perf_counter_ns()
        each(frame, k)
        took_ns[k] = time.perf_counter_ns() - start
    p50, p90, p99 = np.percentile(took_ns[WARM_UP:] / 1e3, (50, 90, 99))
    return {"p50": round(p50, 2), "p90": round(p90, 2), "p99": round(p99, 2), "n": len(frames) - WARM_UP}


def measure() -> dict[str, dict[str, float]]:
    """Decoding alone, everything a source does with a message, and the same with both hands in the frame."""
    clip = load_motion("walk_and_turn")
    results = {}
    for name, options in (("", EmulatorOptions(digits=17)), (" with hands", EmulatorOptions(digits=17, hands=True))):
        emulator, source = PicoEmulator(clip, options), PicoSource()
        frames = [emulator.frame(k, 1_700_000_000_000_000_000) for k in range(FRAMES)]
        size = f", {sum(map(len, frames)) // len(frames)} B"
        results["decode" + name + size] = timed(lambda frame, _: decode(frame), frames)
        results["receive" + name + size] = timed(lambda frame, k, s=source: s.receive(frame, k * 11_111_111), frames)
        assert source.counters.rejected == {} and source.counters.received == FRAMES
    return results


def main() -> None:
    """Print a table, or one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    arguments = parser.parse_args()
    results = measure()
    if arguments.json:
        print(json.dumps({"benchmark": "pico_decode", "unit": "us", "target_p50": TARGET_US, **results}))
        return
    print(f"{'pico [us]':<32}{'p50':>8}{'p90':>8}{'p99':>8}")
    for name, row in results.items():
        print(f"{name:<32}{row['p50']:>8.1f}{row['p90']:>8.1f}{row['p99']:>8.1f}")
    body = next(iter(results.values()))["p50"]
    print(f"target: decoding a body, p50 <= {TARGET_US:.0f} us: {'met' if body <= TARGET_US else 'MISSED'}")


if __name__ == "__main__":
    main()
