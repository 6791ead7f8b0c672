"""The hand on a virtual robot that is reached over DDS, and its proof that it is one.

The proof: a nonce drawn by this process goes out on a topic of our own, on loopback, and comes back on another from the
very participant that publishes the robot's state, the only one to do so. A real robot knows neither topic, and none is
reached over loopback.
"""

from __future__ import annotations

import secrets

import numpy as np

from teleopd.robots.links.dds.link import STATE_TOPIC
from teleopd.robots.links.dds.records import CONTROL_TOPIC, TRUTH_TOPIC, RecordTopic
from teleopd.robots.links.dds.transport import LOOPBACK, Participant
from teleopd.robots.links.hand import VirtualHand
from teleopd.robots.links.sim.wire import (
    GantryMode,
    VirtualControl,
    VirtualTruth,
    control_codec,
    proves_virtual,
    truth_codec,
)
from teleopd.robots.model import RobotModel


class DdsHand(VirtualHand):
    """One virtual robot on loopback. Nothing here waits; `is_virtual` repeats what is wanted, so call it often."""

    def __init__(self, model: RobotModel, interface: str, domain: int = 0) -> None:
        """
        Raises:
            LinkUnavailable: cyclonedds is missing, or DDS cannot be used.
            ValueError: not loopback; or a domain outside 0 to 232.
        """
        if interface != LOOPBACK:
            raise ValueError(f"a virtual robot is worked on interface '{LOOPBACK}' only, not on '{interface}'")
        self._participant = Participant(interface, domain)
        self._states = self._participant.reader(STATE_TOPIC, model.wire, "LowState_")
        self._controls = RecordTopic(control_codec(), self._participant, CONTROL_TOPIC, writes=True)
        self._truths = RecordTopic(truth_codec(), self._participant, TRUTH_TOPIC, writes=False)
        nonce = secrets.randbits(62) | 1
        self._control = VirtualControl(1, nonce, False, int(GantryMode.HANG), 0.0, 0, np.zeros(3), 0.0, 0)
        self._truth: VirtualTruth | None = None
        self._closed = False

    def _wanted(self) -> VirtualControl:
        return self._control

    def _want(self, control: VirtualControl) -> None:
        self._control = control
        if not self._closed:
            self._controls.write(control)

    def truth(self) -> VirtualTruth | None:
        """The newest truth that shows our nonce, or None before the first."""
        if not self._closed:
            for truth in self._truths.take():
                if truth.nonce == self._control.nonce:
                    self._truth = truth
        return self._truth

    def is_virtual(self, now_ns: int) -> bool:
        """Whether the one robot on this interface has shown our nonce within the last second."""
        if self._closed:
            return False
        self._controls.write(self._control)  # a robot that starts later must hear it too, and that we are still there
        if not proves_virtual(self._control, self.truth(), now_ns):
            return False
        robots = self._states.publishers
        return len(robots) == 1 and robots == self._truths.publishers

    def objection(self, now_ns: int) -> str:
        """Why the robot is not taken for a virtual one, as the middle of a sentence; empty when it is."""
        if self.is_virtual(now_ns):
            return ""
        where = f"on interface '{self._participant.interface}', domain {self._participant.domain}"
        robots = len(self._states.publishers)
        if not robots:
            return f"nobody publishes {STATE_TOPIC} {where}"
        if robots > 1:
            return f"{robots} robots publish {STATE_TOPIC} {where}"
        if not proves_virtual(self._control, self._truth, now_ns):
            return f"the robot that publishes {STATE_TOPIC} {where} does not answer as a virtual one"
        return f"the virtual robot that answers {where} is not the one that publishes {STATE_TOPIC}"

    def close(self) -> None:
        """Leave the network; safe to call twice. The robot stays as it was wanted last."""
        if not self._closed:
            self._closed = True
            self._participant.close()
