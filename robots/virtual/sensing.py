"""From the physics to what the robot measures: delay and noise of every quantity of LowState."""

from __future__ import annotations

import mujoco
import numpy as np

from teleopd.robots.model import Array, LowState, RobotModel
from teleopd.robots.virtual.perturbation import Perturbation
from teleopd.robots.virtual.plant import Plant
from teleopd.robots.virtual.thermal import Thermal


class Sensing:
    """A history of readings, one a physics step; the newest that is `sensor_delay_ms` old is what is measured."""

    def __init__(self, model: RobotModel, plant: Plant, perturbation: Perturbation, odometry: bool) -> None:
        n = model.n
        self._plant, self._model, self._odometry = plant, model, odometry
        steps = round(perturbation.sensor_delay_ms * 1e-3 / plant.m.opt.timestep)
        self._history: Array = np.zeros((steps + 1, 3 * n + 16))
        self._at = 0
        sigma = np.concatenate([
            np.full(n, perturbation.q_noise_rad), np.full(n, perturbation.dq_noise_rad_s),
            np.full(3, perturbation.rp_noise_rad) * (1.0, 1.0, 0.0), np.full(3, perturbation.gyro_noise_rad_s),
            np.full(3, perturbation.accel_noise_m_s2),
        ])  # fmt: skip
        self._sigma: Array = sigma
        self._noise: Array = np.zeros(len(sigma))
        self._noisy = bool(np.any(sigma > 0.0))
        self.every_step = steps > 0 or self._noisy
        """Whether `capture` must be called after each physics step; else once before reading is enough."""
        self._turned: Array = np.zeros(4)
        self._turn: Array = np.zeros(4)
        self._no_fault = np.zeros(n, dtype=np.uint32)
        self._no_remote = np.zeros(40, dtype=np.uint8)

    def reset(self, data: mujoco.MjData) -> None:
        """Forget the past: the whole history is the present."""
        self._at = 0
        self._noise[:] = 0.0
        self._write(data, self._history[0])
        self._history[1:] = self._history[0]

    def capture(self, data: mujoco.MjData, rng: np.random.Generator) -> None:
        """Take one reading; the noise is drawn here, so that it does not depend on who reads when."""
        self._at = (self._at + 1) % len(self._history)
        self._write(data, self._history[self._at])
        if self._noisy:
            rng.standard_normal(out=self._noise)
            self._noise *= self._sigma

    def _write(self, data: mujoco.MjData, row: Array) -> None:
        n, plant = self._model.n, self._plant
        row[:n] = data.qpos[plant.qpos]
        row[n : 2 * n] = data.qvel[plant.dof]
        row[2 * n : 3 * n] = data.qfrc_actuator[plant.dof]
        rest = row[3 * n :]
        rest[:4] = data.qpos[3:7]
        rest[4:7] = data.qvel[3:6]
        rest[7:10] = plant.imu_mat_b @ data.sensordata[plant.accel]
        rest[10:13] = data.qpos[:3]
        rest[13:16] = data.qvel[:3]

    def low_state(self, now_ns: int, tick: int, thermal: Thermal) -> LowState:
        """What is measured now; all arrays are fresh copies."""
        n = self._model.n
        row = self._history[(self._at + 1) % len(self._history)].copy()
        rest = row[3 * n :]
        quat = rest[:4]
        if self._noisy:
            noise = self._noise
            row[: 2 * n] += noise[: 2 * n]
            tilt = noise[2 * n : 2 * n + 3]
            angle = float(np.sqrt(tilt @ tilt))
            if angle > 0.0:
                mujoco.mju_axisAngle2Quat(self._turn, tilt / angle, angle)
                mujoco.mju_mulQuat(self._turned, quat, self._turn)
                quat[:] = self._turned
            rest[4:10] += noise[2 * n + 3 :]
        return LowState(
            t_ns=now_ns, tick=tick & 0xFFFFFFFF, mode_machine=self._model.default_mode_machine,
            q=row[:n], dq=row[n : 2 * n], tau=row[2 * n : 3 * n], quat_w=quat, gyro_b=rest[4:7], accel_b=rest[7:10],
            temperature_c=thermal.temperature_c.copy(), motor_fault=self._no_fault.copy(),
            remote=self._no_remote.copy(), has_odometry=self._odometry,
            root_pos_w=rest[10:13] if self._odometry else np.zeros(3),
            root_lin_vel_w=rest[13:16] if self._odometry else np.zeros(3),
        )  # fmt: skip
