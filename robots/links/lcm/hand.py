"""The hand on a virtual robot that is reached over LCM, and its proof that it is one.

As over DDS, a nonce goes out on a channel of our own and comes back on another. LCM tells no sender, so the robot says
in both its reports and its truth the same number, drawn at its start; and ttl=0 keeps our commands on this computer.
"""

from __future__ import annotations

import secrets
import struct
import time

import numpy as np

from teleopd.robots.links.dds.records import RecordCodec
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.links.lcm.messages import CONTROL, STATE, TRUTH
from teleopd.robots.links.lcm.state import StateCodec
from teleopd.robots.links.lcm.transport import DEFAULT_URL, Network
from teleopd.robots.links.sim.wire import (
    GantryMode,
    VirtualControl,
    VirtualTruth,
    control_codec,
    proves_virtual,
    truth_codec,
)
from teleopd.robots.model import RobotModel

SENDER = struct.Struct(">q")
"""Before the truth: number of the robot that tells it, as in its reports."""
HEARD_NS = 1_000_000_000
"""A robot not heard for so long is not there."""


class LcmHand(VirtualHand):
    """One virtual robot of this computer. Nothing here waits; `is_virtual` repeats what is wanted: call it often."""

    def __init__(self, model: RobotModel, url: str = DEFAULT_URL) -> None:
        """
        Raises:
            LinkUnavailable: the lcm package is missing, or LCM cannot be used.
            ValueError: a URL that reaches other computers, or none at all.
        """
        self._network = Network(url)
        if not self._network.parts.local:
            raise ValueError(f"a virtual robot is worked with ttl=0 only, not over {url}")
        for channel in (STATE, TRUTH):
            self._network.subscribe(channel)
        self._reports = StateCodec(model)
        self._controls, self._truths = RecordCodec(control_codec()), RecordCodec(truth_codec())
        nonce = secrets.randbits(62) | 1
        self._control = VirtualControl(1, nonce, False, int(GantryMode.HANG), 0.0, 0, np.zeros(3), 0.0, 0)
        self._truth: VirtualTruth | None = None
        self._teller = 0
        self._heard: dict[int, int] = {}
        """Number of a robot -> when its last report was taken in."""
        self._closed = False

    def _wanted(self) -> VirtualControl:
        return self._control

    def _want(self, control: VirtualControl) -> None:
        self._control = control
        if not self._closed:
            self._network.publish(CONTROL, self._controls.encode(control))

    def truth(self) -> VirtualTruth | None:
        """The newest truth that shows our nonce, or None before the first."""
        if self._closed:
            return self._truth
        self._network.poll()
        now_ns = time.monotonic_ns()
        for data in self._network.take(STATE):
            record = self._reports.record(data)
            if record is not None:
                self._heard[int(record["robot"])] = now_ns
        for data in self._network.take(TRUTH):
            truth = self._truths.decode(data[SENDER.size :]) if len(data) > SENDER.size else None
            if truth is not None and truth.nonce == self._control.nonce:
                self._truth, self._teller = truth, SENDER.unpack_from(data)[0]
        return self._truth

    def _robots(self, now_ns: int) -> list[int]:
        return [robot for robot, heard_ns in self._heard.items() if now_ns - heard_ns < HEARD_NS]

    def is_virtual(self, now_ns: int) -> bool:
        """Whether the one robot on this URL has shown our nonce within the last second."""
        if self._closed:
            return False
        self._want(self._control)  # a robot that starts later must hear it too, and that we are still there
        proven = proves_virtual(self._control, self.truth(), now_ns)
        return proven and self._robots(now_ns) == [self._teller]

    def objection(self, now_ns: int) -> str:
        """Why the robot is not taken for a virtual one, as the middle of a sentence; empty when it is."""
        if self.is_virtual(now_ns):
            return ""
        robots, where = self._robots(now_ns), f"on {self._network.url}"
        if not robots:
            return f"nobody publishes {STATE} {where}"
        if len(robots) > 1:
            return f"{len(robots)} robots publish {STATE} {where}"
        return f"the robot that publishes {STATE} {where} does not answer as a virtual one"

    def close(self) -> None:
        """Leave the network; safe to call twice. The robot stays as it was wanted last."""
        if not self._closed:
            self._closed = True
            self._network.close()
