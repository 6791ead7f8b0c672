"""The virtual robot as a network peer: the vendor's topics and services in place of shared memory.

It sends LowState with tick, checksum, hardware variant and attitude, and obeys LowCmd whose checksum is right once
`motion_switcher` has released the robot's own controller. Like a real robot it proves nothing about itself: whoever
connects must treat it as one.
"""

from __future__ import annotations

import time

import numpy as np

from teleopd.robots.links.dds.cdr import LowCmdDecoder, checksum_stored
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.rates import Rate
from teleopd.robots.virtual.process import JITTER_S
from teleopd.robots.virtual.robot import VirtualRobot

COMMAND_TOPIC, STATE_TOPIC = "rt/lowcmd", "rt/lowstate"


class DdsPeer:
    """One virtual robot on a DDS participant; `tick` is free of clocks, so that tests need no waiting."""

    def __init__(self, participant: Participant, robot: VirtualRobot, publish_hz: int = 500, mode: str = "ai") -> None:
        """`mode`: name of the robot's own controller at the start; empty for a robot already released.

        Raises:
            ValueError: the rate does not divide that of the physics.
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
        self._encoder, self._decoder = LowStateEncoder(model), LowCmdDecoder(model)
        self._size = 4 + self._decoder.layout.size
        self.obeyed = 0
        """Commands handed to the motors."""
        self.bad_crc = 0
        self.bad_length = 0
        self.not_released = 0
        """Commands that came while the robot's own controller owned the motors."""
        self.wrong_variant = 0
        """Commands that did not carry the robot's own mode_machine."""

    def tick(self, now_ns: int, skipped: int = 0) -> None:
        """Answer, obey, simulate, publish. `skipped`: ticks missed since the last one."""
        self.switcher.poll()
        for data in self._commands.take():
            self._hear(data)
        self._robot.advance(self._steps * (1 + skipped if skipped <= self._jitter_ticks else 1))
        self._states.write(self._encoder.encode(self._robot.low_state(now_ns)))

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

    def run(self, rate: Rate, seconds: float | None = None) -> None:
        """Tick at `rate` for `seconds`, or until interrupted."""
        missed, end_ns = rate.missed, None if seconds is None else time.monotonic_ns() + round(seconds * 1e9)
        while end_ns is None or time.monotonic_ns() < end_ns:
            rate.wait()
            self.tick(time.monotonic_ns(), rate.missed - missed)
            missed = rate.missed
