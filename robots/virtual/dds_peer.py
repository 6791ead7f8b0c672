"""The virtual robot as a network peer: the vendor's topics and services in place of shared memory.

It sends LowState with tick, checksum, hardware variant and attitude, and obeys LowCmd whose checksum is right once
`motion_switcher` has released the robot's own controller. On loopback it also obeys whoever works its gantry, on a
topic of our own that no real robot has, and shows that one's nonce on another: so it proves itself virtual.
"""

from __future__ import annotations

import time

import numpy as np

from teleopd.robots.links.dds.arms import ARM_TOPIC
from teleopd.robots.links.dds.cdr import LowCmdDecoder, checksum_stored
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.records import CONTROL_TOPIC, TRUTH_TOPIC, RecordTopic
from teleopd.robots.links.dds.transport import LOOPBACK, Participant
from teleopd.robots.links.sim.wire import control_codec, truth_codec
from teleopd.robots.rates import Rate
from teleopd.robots.virtual.balancer import Balancer
from teleopd.robots.virtual.extras import BATTERY_HZ, Battery, TorsoImu
from teleopd.robots.virtual.guided import Guided
from teleopd.robots.virtual.process import JITTER_S
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.robots.virtual.turns import GuidedTurns

COMMAND_TOPIC, STATE_TOPIC = "rt/lowcmd", "rt/lowstate"


class DdsPeer:
    """One virtual robot on a DDS participant; `tick` is free of clocks, so that tests need no waiting."""

    def __init__(
        self, participant: Participant, robot: VirtualRobot, publish_hz: int = 500, mode: str = "ai",
        balancer: Balancer | None = None, battery_percent: int = 100,
    ) -> None:  # fmt: skip
        """`mode`: name of the robot's own controller at the start; empty for a robot already released. `balancer`: what
        that controller does; without one the motors damp until they are released and commanded. `battery_percent`: what
        its battery reports [%].

        Raises:
            ValueError: the rate does not divide that of the physics; a charge outside 1 to 100.
        """
        if publish_hz <= 0 or robot.physics_hz % publish_hz:
            raise ValueError(f"publish_hz is {publish_hz}; it must divide physics_hz {robot.physics_hz}")
        model = robot.model
        self._robot = robot
        self._steps = robot.physics_hz // publish_hz
        self._jitter_ticks = int(JITTER_S * publish_hz)
        self._states = participant.writer(STATE_TOPIC, model.wire, "LowState_")
        self._commands = participant.reader(COMMAND_TOPIC, model.wire, "LowCmd_")
        self.switcher = MotionSwitcherServer(participant, mode)
        self._balancer, self._balanced = balancer, False
        self._arms = participant.reader(ARM_TOPIC, model.wire, "LowCmd_") if balancer is not None else None
        turns = GuidedTurns(Guided(robot, publish_hz), publish_hz)
        self._hand = _Hand(participant, turns) if _local(participant) else None
        self._encoder, self._decoder = LowStateEncoder(model), LowCmdDecoder(model)
        self._size = 4 + self._decoder.layout.size
        self._battery = Battery(participant, model, self._encoder, battery_percent)
        self._torso_imu = TorsoImu.of(participant, robot)
        self._battery_every, self._ticks = max(1, publish_hz // BATTERY_HZ), 0
        self.obeyed = 0
        """Commands handed to the motors."""
        self.bad_crc = 0
        self.bad_length = 0
        self.not_released = 0
        """Commands that came while the robot's own controller owned the motors."""
        self.wrong_variant = 0
        """Commands that did not carry the robot's own mode_machine."""

    def tick(self, now_ns: int, skipped: int = 0, rate: Rate | None = None) -> None:
        """Answer, obey, simulate, publish. `skipped`: ticks missed since the last one."""
        self.switcher.poll()
        if self._hand is not None:
            self._hand.obey(now_ns)
        for data in self._commands.take():
            self._hear(data)
        self._balance()
        steps = self._steps * (1 + skipped if skipped <= self._jitter_ticks else 1)
        self._robot.advance(steps)
        self._states.write(self._encoder.encode(self._robot.low_state(now_ns)))
        if self._torso_imu is not None:
            self._torso_imu.publish()
        if self._ticks % self._battery_every == 0:
            self._battery.publish()
        self._ticks += 1
        if self._hand is not None:
            self._hand.tell(now_ns, steps, rate)

    def _hear(self, data: bytes) -> None:
        if len(data) != self._size:
            self.bad_length += 1
            return
        if not checksum_stored(data, self._decoder.layout):
            self.bad_crc += 1
            return
        if not self.switcher.released:
            self.not_released += 1
            return
        rows = self._decoder.decode(data)
        if rows.mode_machine not in (-1, self._robot.model.default_mode_machine):
            self.wrong_variant += 1
            return
        on = rows.enabled
        kp, kd, tau = (np.where(on, row, 0.0) for row in (rows.kp, rows.kd, rows.tau))
        q, dq = (np.where(on, row, 0.0) for row in (rows.q, rows.dq))  # disabled motors are limp, whatever is written
        self.obeyed += self._robot.command(q, dq, tau, kp, kd)

    def _balance(self) -> None:
        """What the robot's own controller does while the motors are its."""
        balancer = self._balancer
        if balancer is None or self._arms is None:
            return
        arms, owns = self._arms.take(), not self.switcher.released
        if owns:
            for data in arms:
                balancer.hear(data)
            balancer.act()
        elif self._balanced:
            balancer.let_go()
        self._balanced = owns

    def run(self, rate: Rate, seconds: float | None = None) -> None:
        """Tick at `rate` for `seconds`, or until interrupted."""
        missed, end_ns = rate.missed, None if seconds is None else time.monotonic_ns() + round(seconds * 1e9)
        while end_ns is None or time.monotonic_ns() < end_ns:
            rate.wait()
            self.tick(time.monotonic_ns(), rate.missed - missed, rate)
            missed = rate.missed


class _Hand:
    """The robot's end of our own topics."""

    def __init__(self, participant: Participant, turns: GuidedTurns) -> None:
        self._turns = turns
        self._controls = RecordTopic(control_codec(), participant, CONTROL_TOPIC, writes=False)
        self._truths = RecordTopic(truth_codec(), participant, TRUTH_TOPIC, writes=True)

    def obey(self, now_ns: int) -> None:
        self._turns.obey(self._controls.take(), now_ns)

    def tell(self, now_ns: int, steps: int, rate: Rate | None) -> None:
        truth = self._turns.stepped(now_ns, steps, rate)
        if truth is not None:
            self._truths.write(truth)


def _local(participant: Participant) -> bool:
    """On a real interface there is no authentication, so nobody may work the gantry there."""
    return participant.interface == LOOPBACK
