"""A simple stand-in for the balance controller that a robot comes with, as far as `--mode arms` needs one.

It holds the stand pose with the robot's stand gains and blends commands for the arms into that by their weight:
position, velocity, torque and gains alike. It does not balance: the robot hangs on its gantry. How a real controller
blends is not published.
"""

from __future__ import annotations

import numpy as np

from teleopd.robots.links.dds.arms import ArmDecoder
from teleopd.robots.links.dds.cdr import checksum_stored
from teleopd.robots.virtual.robot import VirtualRobot


class Balancer:
    """Holds one virtual robot up while nothing else owns its motors."""

    def __init__(self, robot: VirtualRobot) -> None:
        """
        Raises:
            LinkUnavailable: the robot lends no arms.
        """
        model = robot.model
        self._robot, self._decoder = robot, ArmDecoder(model)
        self._own = np.array([model.q_stand, np.zeros(model.n), np.zeros(model.n), model.kp_ready, model.kd_ready])
        self._arms = self._own[:, self._decoder.taken].copy()
        self.weight = 0.0
        """Share of the commands for the arms heard last."""
        self.heard = 0
        """Commands for the arms that were taken."""
        self.refused = 0
        """With a wrong length, checksum or hardware variant, or numbers that are none."""

    def hear(self, data: bytes) -> None:
        """One message of `rt/arm_sdk`."""
        decoder = self._decoder
        if len(data) != 4 + decoder.layout.size or not checksum_stored(data, decoder.layout):
            self.refused += 1
            return
        rows, weight = decoder.decode(data)
        arms = np.array([row[decoder.taken] for row in (rows.q, rows.dq, rows.tau, rows.kp, rows.kd)])
        known = rows.mode_machine in (-1, self._robot.model.default_mode_machine)
        if not known or not np.isfinite(arms).all() or (arms[3:] < 0.0).any():
            self.refused += 1
            return
        self._arms, self.weight, self.heard = arms, weight, self.heard + 1

    def act(self) -> None:
        """Command the motors: its own pose, with the arms as far as their weight takes them."""
        wanted = self._own.copy()
        taken = self._decoder.taken
        wanted[:, taken] += self.weight * (self._arms - wanted[:, taken])
        self._robot.command(*wanted)

    def let_go(self) -> None:
        """The motors are released: they damp until somebody else commands them."""
        model = self._robot.model
        self.weight = 0.0
        zero = np.zeros(model.n)
        self._robot.command(zero, zero, zero, zero, model.kd_damp)
