"""A small robot of our own for tests of physics and links: every mass is chosen, so every answer can be computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import Array, JointCommand, JointLimits, RobotModel
from teleopd.robots.virtual.robot import VirtualRobot

LEG = """
      <body name="{s}_thigh" pos="0 {y} -0.1">
        <joint name="{s}_hip" axis="0 1 0" range="-2 2" actuatorfrcrange="-100 100" armature="0.01"/>
        <inertial pos="0 0 -0.15" mass="3" diaginertia="0.03 0.03 0.01"/>
        <body name="{s}_shin" pos="0 0 -0.3">
          <joint name="{s}_knee" axis="0 1 0" range="-0.1 2.5" actuatorfrcrange="-100 100" armature="0.01"/>
          <inertial pos="0 0 -0.15" mass="2" diaginertia="0.02 0.02 0.01"/>
          <geom name="{s}_foot" type="box" size="0.12 0.05 0.02" pos="0.03 0 -0.3" mass="0"/>
          <site name="{s}_toe" pos="0.15 0 -0.32"/>
          <site name="{s}_heel" pos="-0.09 0 -0.32"/>
        </body>
      </body>"""
ARM = """
        <body name="{s}_arm" pos="0 {y} 0.3">
          <joint name="{s}_shoulder" axis="0 1 0" range="-3 3" actuatorfrcrange="-20 20" armature="0.005"/>
          <inertial pos="0 0 -0.2" mass="1" diaginertia="0.01 0.01 0.002"/>
          <site name="{s}_wrist" pos="0 0 -0.4"/>
        </body>"""
NAMES = ("left_hip", "left_knee", "right_hip", "right_knee", "waist", "left_shoulder", "right_shoulder")
ACTUATORS = "".join(f'<position name="{name}" joint="{name}" kp="50" kv="2"/>' for name in reversed(NAMES))
MJCF = f"""
<mujoco model="toy">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="0.002" gravity="0 0 -9.81"/>
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1" friction="1 0.005 0.0001"/>
    <body name="pelvis" pos="0 0 0.72">
      <freejoint name="root"/>
      <inertial pos="0 0 0" mass="8" diaginertia="0.1 0.1 0.1"/>
      <site name="imu_pelvis" pos="0 0 0"/>
      {LEG.format(s="left", y=0.1)}{LEG.format(s="right", y=-0.1)}
      <body name="torso" pos="0 0 0.1">
        <joint name="waist" axis="0 0 1" range="-2 2" actuatorfrcrange="-60 60" armature="0.01"/>
        <inertial pos="0 0 0.2" mass="10" diaginertia="0.2 0.2 0.1"/>
        <site name="imu_torso"/>
        {ARM.format(s="left", y=0.2)}{ARM.format(s="right", y=-0.2)}
      </body>
    </body>
  </worldbody>
  <actuator>{ACTUATORS}</actuator>
  <sensor><gyro site="imu_pelvis"/><accelerometer name="accel" site="imu_pelvis"/></sensor>
</mujoco>"""


G = 9.81
MASS_KG = 8.0 + 2 * (3.0 + 2.0) + 10.0 + 2 * 1.0
"""Of the toy."""
HIGH = np.array([0.0, 0.0, 50.0])
"""A place from which nothing falls to the floor in a test [m]."""
Z = np.zeros(7)


def make_toy(folder: Path, mjcf: str = MJCF) -> RobotModel:
    """Write the MJCF into `folder` and describe the robot; its actuators stand in reverse motor order on purpose."""
    path = folder / "toy.xml"
    path.write_text(mjcf)
    n = len(NAMES)
    tau = np.array([100.0, 100.0, 100.0, 100.0, 60.0, 20.0, 20.0])
    limits = JointLimits(np.full(n, -2.0), np.full(n, 2.0), np.full(n, 20.0), tau)
    return RobotModel(
        name="toy", title="Toy", joint_names=NAMES, limits_by_mode_machine={7: limits}, default_mode_machine=7,
        kp_ready=np.full(n, 200.0), kd_ready=np.full(n, 5.0), kd_damp=np.full(n, 8.0), q_stand=np.zeros(n),
        stand_height_m=0.72, mjcf=path, root_body="pelvis", imu_sites={"pelvis": "imu_pelvis", "torso": "imu_torso"},
        key_sites=("left_wrist", "right_wrist"), sole_sites=("left_toe", "left_heel", "right_toe", "right_heel"),
        wire="hg", wire_slot=tuple(range(n)), provenance={},
    )  # fmt: skip


@pytest.fixture
def toy(tmp_path: Path) -> RobotModel:
    """The small robot: 30 kg, 7 joints, soles 0.72 m below the pelvis."""
    return make_toy(tmp_path)


def stand(robot: VirtualRobot, kp: float = 200.0, kd: float = 5.0, q: Array = Z) -> None:
    """Command the toy to joint positions `q` [rad] with these gains for every joint."""
    assert robot.command(q, Z, Z, np.full(7, kp), np.full(7, kd))


def permitted(q: np.ndarray, dq: np.ndarray, tau: np.ndarray, kp: np.ndarray, kd: np.ndarray) -> JointCommand:
    """A command as the gate would hand it over; robots may not import safety, so the seal is passed by here."""
    command = object.__new__(JointCommand)
    command.q, command.dq, command.tau, command.kp, command.kd = q, dq, tau, kp, kd
    return command


@pytest.fixture(name="permitted")
def permitted_fixture() -> Callable[..., JointCommand]:
    """Makes a `JointCommand` from five arrays."""
    return permitted
