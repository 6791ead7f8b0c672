"""The vendor's client kit in a process of its own: polls it and writes each frame as JSON. Run by `sdk_backend.py`.

The kit has no callback, no counter and no connection state; it aborts when initialised twice or not closed, and crashes
when closed first. So this program does each exactly once and does nothing else. It imports the standard library and the
kit only. Frames: u32 little-endian length, then the tracking JSON in the app's own shape.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from typing import Any

POLL_S = 0.001
"""Eleven looks per frame at 90 Hz."""
SILENT_S = 3.0
"""Without a new stamp for so long, this process ends: a dead service and a still one look the same to the kit."""


def main() -> int:
    """Until standard input closes, the frames stop, or nobody reads; 0 when it ended in order."""
    out = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # the kit prints to both
    os.dup2(quiet, 2)
    try:
        import xrobotoolkit_sdk as kit
    except ImportError:
        return 3
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    kit.init()
    try:
        _poll(kit, out, over)
    except BrokenPipeError:
        pass
    finally:
        kit.close()
    return 0


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.buffer.read()
    over.set()


def _poll(kit: Any, out: int, over: threading.Event) -> None:
    stamp, since = 0, time.monotonic()
    while not over.is_set() and time.monotonic() - since < SILENT_S:
        newest = kit.get_time_stamp_ns()
        if newest == stamp:
            time.sleep(POLL_S)
            continue
        text = frame(kit, newest)
        if kit.get_time_stamp_ns() != newest:
            continue  # the next frame came while this one was read: its parts do not belong together
        stamp, since = newest, time.monotonic()
        os.write(out, struct.pack("<I", len(text)) + text)


def frame(kit: Any, stamp: int) -> bytes:
    """Head, controllers and body as the kit holds them now."""
    value = {
        "Head": {"pose": _pose(kit.get_headset_pose())},
        "Controller": {side: _controller(kit, side) for side in ("left", "right")},
        "timeStampNs": stamp,
    }
    if kit.is_body_data_available():
        joints = zip(kit.get_body_joints_pose(), kit.get_body_joints_timestamp(), strict=True)
        value["Body"] = {"joints": [{"p": _pose(pose), "t": t} for pose, t in joints]}
    return json.dumps({"functionName": "Tracking", "value": json.dumps(value)}).encode()


def _pose(values: Any) -> str:
    return ",".join(map(repr, map(float, values)))


def _controller(kit: Any, side: str) -> dict[str, Any]:
    axis = getattr(kit, f"get_{side}_axis")()
    primary, secondary = ("X", "Y") if side == "left" else ("A", "B")
    return {
        "pose": _pose(getattr(kit, f"get_{side}_controller_pose")()),
        "axisX": float(axis[0]),
        "axisY": float(axis[1]),
        "axisClick": bool(getattr(kit, f"get_{side}_axis_click")()),
        "grip": float(getattr(kit, f"get_{side}_grip")()),
        "trigger": float(getattr(kit, f"get_{side}_trigger")()),
        "menuButton": bool(getattr(kit, f"get_{side}_menu_button")()),
        "primaryButton": bool(getattr(kit, f"get_{primary}_button")()),
        "secondaryButton": bool(getattr(kit, f"get_{secondary}_button")()),
    }


if __name__ == "__main__":
    code = main()
    os._exit(code)  # the kit's threads outlive close(); the interpreter's own exit would run into them
