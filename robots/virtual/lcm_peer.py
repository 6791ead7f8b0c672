"""The virtual robot as an LCM peer: the place of a robot with its bridge, without DDS in between.

It sends reports, whole and on the public channels, and obeys `teleopd_command`, or the public `pd_plustau_targets`
with its own stand gains, as public relays do. With ttl=0 it also obeys whoever works its gantry: so it proves itself
virtual.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import numpy as np

from teleopd.robots.links.dds.records import RecordCodec
from teleopd.robots.links.lcm.delay import DelayWatch
from teleopd.robots.links.lcm.hand import SENDER
from teleopd.robots.links.lcm.messages import (
    COMMAND,
    CONTROL,
    TARGETS,
    TRUTH,
    MessageCodec,
    command_fields,
    targets_fields,
)
from teleopd.robots.links.lcm.state import StatePublisher
from teleopd.robots.links.lcm.transport import Network
from teleopd.robots.links.sim.wire import VirtualControl, VirtualTruth, control_codec, truth_codec
from teleopd.robots.rates import Rate
from teleopd.robots.virtual.guided import Guided
from teleopd.robots.virtual.process import JITTER_S
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.robots.virtual.turns import GuidedTurns


class LcmPeer:
    """One virtual robot on an LCM network; `tick` is free of clocks, so that tests need no waiting."""

    def __init__(self, network: Network, robot: VirtualRobot, publish_hz: int = 500) -> None:
        """
        Raises:
            ValueError: the rate does not divide that of the physics.
        """
        if publish_hz <= 0 or robot.physics_hz % publish_hz:
            raise ValueError(f"publish_hz is {publish_hz}; it must divide physics_hz {robot.physics_hz}")
        model = robot.model
        self._network, self._robot = network, robot
        self._steps, self._jitter_ticks = robot.physics_hz // publish_hz, int(JITTER_S * publish_hz)
        self.number = secrets.randbits(62) | 1
        """In its reports and its truth."""
        self._states = StatePublisher(network, model, self.number)
        self._codecs = {
            COMMAND: MessageCodec(command_fields(model.n)), TARGETS: MessageCodec(targets_fields(model.n))
        }  # fmt: skip
        self._delays: dict[int, DelayWatch] = {}
        for channel in self._codecs:
            network.subscribe(channel)
        self._hand = _Hand(network, GuidedTurns(Guided(robot, publish_hz), publish_hz), self.number)
        self.obeyed = 0
        """Commands handed to the motors."""
        self.bad_length = 0
        """Of another type or length."""
        self.late = 0
        """Older than the one before, or too long under way."""

    def tick(self, now_ns: int, skipped: int = 0, rate: Rate | None = None) -> None:
        """Obey, simulate, publish. `skipped`: ticks missed since the last one."""
        self._network.poll()
        self._hand.obey(now_ns)
        for channel, codec in self._codecs.items():
            for data in self._network.take(channel):
                record = codec.decode(data)
                if record is None:
                    self.bad_length += 1
                else:
                    self._hear(channel, record, now_ns)
        steps = self._steps * (1 + skipped if skipped <= self._jitter_ticks else 1)
        self._robot.advance(steps)
        self._states.publish(self._robot.low_state(now_ns), now_ns)
        self._hand.tell(now_ns, steps, rate)

    def _hear(self, channel: str, record: Any, now_ns: int) -> None:
        sender = int(record["sender"]) if channel == COMMAND else 0
        if len(self._delays) > 16:
            self._delays.clear()
        if not self._delays.setdefault(sender, DelayWatch()).accepts(int(record["timestamp_us"]), now_ns // 1000):
            self.late += 1
            return
        model = self._robot.model
        if channel == COMMAND:
            q, dq, tau, kp, kd = (record[name].astype(np.float64) for name in ("q", "dq", "tau", "kp", "kd"))
        else:
            q, tau = (record[name].astype(np.float64) for name in ("q_des", "tau_ff"))
            dq, kp, kd = np.zeros(model.n), model.kp_ready, model.kd_ready
        self.obeyed += self._robot.command(q, dq, tau, kp, kd)

    def run(self, rate: Rate, seconds: float | None = None) -> None:
        """Tick at `rate` for `seconds`, or until interrupted."""
        missed, end_ns = rate.missed, None if seconds is None else time.monotonic_ns() + round(seconds * 1e9)
        while end_ns is None or time.monotonic_ns() < end_ns:
            rate.wait()
            self.tick(time.monotonic_ns(), rate.missed - missed, rate)
            missed = rate.missed


class _Hand:
    """The robot's end of our own channels; deaf and mute where they reach other computers."""

    def __init__(self, network: Network, turns: GuidedTurns, number: int) -> None:
        self._network, self._turns, self._number = network, turns, number
        self._local = network.parts.local
        self._controls: RecordCodec[VirtualControl] = RecordCodec(control_codec())
        self._truths: RecordCodec[VirtualTruth] = RecordCodec(truth_codec())
        if self._local:
            network.subscribe(CONTROL)

    def obey(self, now_ns: int) -> None:
        if self._local:
            decoded = (self._controls.decode(data) for data in self._network.take(CONTROL))
            self._turns.obey([control for control in decoded if control is not None], now_ns)

    def tell(self, now_ns: int, steps: int, rate: Rate | None) -> None:
        truth = self._turns.stepped(now_ns, steps, rate)
        if truth is not None and self._local:
            self._network.publish(TRUTH, SENDER.pack(self._number) + self._truths.encode(truth))
