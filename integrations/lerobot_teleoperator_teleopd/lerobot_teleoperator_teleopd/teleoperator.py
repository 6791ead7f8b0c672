"""Reads a running service's shared memory. It sends nothing to anybody: the service's own gate drives its robot."""

from __future__ import annotations

import time
from typing import Any

from lerobot.teleoperators.teleoperator import Teleoperator
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

from lerobot_teleoperator_teleopd.config_teleopd import TeleopdConfig
from teleopd.robots.catalog import load_robot, robot_table
from teleopd.robots.ipc.segment import SegmentMissing
from teleopd.robots.ipc.session import session_of
from teleopd.service.capture.export.layout import joint_label
from teleopd.service.streams import Bus

SLOTS = {"command": ("safety_status", "q_command", "t_ns"), "reference": ("reference", "q", "t_published_ns")}
"""Action -> slot, its field with the joints [rad], its field with the time [ns]."""

SPELT = {"kLeftWristYaw": "kLeftWristyaw"}
"""LeRobot 0.4.4's own G1 spells one joint so; its robot takes no other."""


class Teleopd(Teleoperator):
    """Joint targets [rad] in motor order, one number for each joint."""

    config_class = TeleopdConfig
    name = "teleopd"

    def __init__(self, config: TeleopdConfig) -> None:
        """
        Raises:
            ValueError: an option that is none; says which there are.
        """
        super().__init__(config)
        for what, given, known in (
            ("robot", config.robot, tuple(robot_table())), ("action", config.action, tuple(SLOTS)),
            ("joint_names", config.joint_names, ("unitree", "mjcf")),
        ):  # fmt: skip
            if given not in known:
                raise ValueError(f"{what} '{given}' is not one of: {', '.join(known)}")
        self._config = config
        self._model = load_robot(config.robot)
        style: Any = config.joint_names
        labels = [joint_label(joint, style) for joint in self._model.joint_names]
        self._keys = [f"{SPELT.get(label, label)}.q" for label in labels]
        self._slot: Any = None

    @property
    def action_features(self) -> dict[str, type]:
        """A number [rad] for each joint."""
        return dict.fromkeys(self._keys, float)

    @property
    def feedback_features(self) -> dict[str, type]:
        """None."""
        return {}

    @property
    def is_connected(self) -> bool:
        """The service was found."""
        return self._slot is not None

    def connect(self, calibrate: bool = True) -> None:
        """Find the service.

        Raises:
            DeviceAlreadyConnectedError: that was done.
            DeviceNotConnectedError: no service runs for the robot.
        """
        if self._slot is not None:
            raise DeviceAlreadyConnectedError(f"{self} is connected already")
        try:
            self._slot = Bus(session_of(self._config.robot), self._model.n).slot(SLOTS[self._config.action][0])
        except SegmentMissing:
            robot = self._config.robot
            raise DeviceNotConnectedError(
                f"no service runs for {robot}; start one with: teleop serve --robot {robot} ..."
            ) from None

    @property
    def is_calibrated(self) -> bool:
        """`teleop calibrate` does that."""
        return True

    def calibrate(self) -> None:
        """Nothing to do here."""

    def configure(self) -> None:
        """Nothing to do here."""

    def get_action(self) -> dict[str, float]:
        """The newest joint targets.

        Raises:
            DeviceNotConnectedError: not connected, or the service has said nothing for `oldest_s`.
        """
        if self._slot is None:
            raise DeviceNotConnectedError(f"{self} is not connected")
        _, field, stamp = SLOTS[self._config.action]
        value = self._slot.read()
        age_s = None if value is None else (time.monotonic_ns() - getattr(value, stamp)) / 1e9
        if age_s is None or age_s > self._config.oldest_s:
            said = "nothing yet" if age_s is None else f"nothing for {age_s:.1f} s"
            raise DeviceNotConnectedError(f"the service of {self._config.robot} has said {said}")
        return dict(zip(self._keys, getattr(value, field).tolist(), strict=True))

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """Nothing feels it."""

    def disconnect(self) -> None:
        """Let go of the service."""
        self._slot = None
