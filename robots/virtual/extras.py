"""What a robot publishes beside LowState: its battery, and the G1 the IMU in its torso."""

from __future__ import annotations

import struct

import mujoco
import numpy as np

from teleopd.robots.links.dds.battery import KIND, TOPIC, bms_state
from teleopd.robots.links.dds.cdr import HEADER
from teleopd.robots.links.dds.imu import torso_joint_of
from teleopd.robots.links.dds.low_state import LowStateEncoder, rpy_of
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import RobotModel
from teleopd.robots.virtual.robot import VirtualRobot

IMU_TOPIC = "rt/secondary_imu"
_IMU = struct.Struct("<13fh")
"""quaternion wxyz, gyroscope, accelerometer, rpy, temperature: a hg IMUState_."""
BATTERY_HZ = 2
IMU_TEMPERATURE_C = 30


class Battery:
    """A charge that stays what it is: on its own topic, or in LowState."""

    def __init__(self, participant: Participant, model: RobotModel, encoder: LowStateEncoder, percent: int) -> None:
        """`percent`: 1 to 100.

        Raises:
            ValueError: another charge.
        """
        if not 1 <= percent <= 100:
            raise ValueError(f"battery is {percent} %; give 1 to 100")
        self._message = bms_state(percent)
        self._writer = participant.writer(TOPIC, "hg", KIND) if model.wire == "hg" else None
        if self._writer is None:
            encoder.set_charge(percent)

    def publish(self) -> None:
        """Say it once more."""
        if self._writer is not None:
            self._writer.write(self._message)


class TorsoImu:
    """The second IMU of a robot whose first one is in the pelvis: exact readings of its site."""

    @staticmethod
    def of(participant: Participant, robot: VirtualRobot) -> TorsoImu | None:
        """That of this robot, where it has one."""
        model = robot.model
        has = model.wire == "hg" and torso_joint_of(model) is None and "torso" in model.imu_sites
        return TorsoImu(participant, robot) if has else None

    def __init__(self, participant: Participant, robot: VirtualRobot) -> None:
        self._robot = robot
        self._site = mujoco.mj_name2id(robot.mj_model, mujoco.mjtObj.mjOBJ_SITE, robot.model.imu_sites["torso"])
        self._writer = participant.writer(IMU_TOPIC, "hg", "IMUState_")
        self._rates, self._forces, self._quat = np.zeros(6), np.zeros(6), np.zeros(4)

    def publish(self) -> None:
        """Send what it measures now."""
        m, d, site = self._robot.mj_model, self._robot.mj_data, mujoco.mjtObj.mjOBJ_SITE
        mujoco.mju_mat2Quat(self._quat, d.site_xmat[self._site])
        mujoco.mj_objectVelocity(m, d, site, self._site, self._rates, 1)
        mujoco.mj_objectAcceleration(m, d, site, self._site, self._forces, 1)  # gravity is in it, as in an IMU
        self._writer.write(HEADER + _IMU.pack(
            *self._quat, *self._rates[:3], *self._forces[3:], *rpy_of(self._quat), IMU_TEMPERATURE_C
        ))  # fmt: skip
