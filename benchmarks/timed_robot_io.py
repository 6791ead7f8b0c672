"""robot-io as `bench_loop.py` starts it: the process itself, with the time its link and its gate take written down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from teleopd.robots.links.dds.link import DdsLink
from teleopd.safety.gate import Gate
from teleopd.service import robot_io_process

PARTS_FILE = "robot-io.parts"
PARTS = (("read", DdsLink, "read"), ("gate", Gate, "step"), ("write", DdsLink, "write"))
"""What a tick has to do for the robot: read and decode a state, permit a command, fill, seal and write it."""
MOST = 30_000
"""Newest ticks that count."""


def main(**arguments: Any) -> None:
    """Entry of the process: as `robot_io_process.main`; at its end the durations [us] lie in the session's folder."""
    took: dict[str, list[int]] = {name: [] for name, _, _ in PARTS}
    ticks: list[list[int]] = []
    for name, kind, method in PARTS:
        setattr(kind, method, _timed(getattr(kind, method), took[name]))
    write = DdsLink.write

    def whole(self: DdsLink, command: Any) -> None:
        """The last part of a tick."""
        write(self, command)
        ticks.append([times[-1] for times in took.values()])
        for times in took.values():
            del times[:-1]

    DdsLink.write = whole  # type: ignore[method-assign]
    try:
        robot_io_process.main(**arguments)
    finally:
        arguments["session"].path(PARTS_FILE).write_text(json.dumps(ticks[-MOST:]))


def _timed(call: Callable[..., Any], took: list[int]) -> Callable[..., Any]:
    def timed(*given: Any, **named: Any) -> Any:
        begun = time.perf_counter_ns()
        found = call(*given, **named)
        took.append(time.perf_counter_ns() - begun)
        return found

    return timed
