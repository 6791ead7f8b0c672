"""A robot at rest: the measurement that warm-ups, benchmarks and tests begin with."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import LowState, RobotModel


def state_at_rest(model: RobotModel, t_ns: int = 0, tick: int = 1) -> LowState:
    """Standing still and upright in the stand pose, cool, without faults or odometry; `_replace` for anything else.

    Its arrays are its own.
    """
    n = model.n
    return LowState(
        t_ns=t_ns, tick=tick, mode_machine=model.default_mode_machine, q=model.q_stand.copy(), dq=np.zeros(n),
        tau=np.zeros(n), quat_w=np.array([1.0, 0.0, 0.0, 0.0]), gyro_b=np.zeros(3),
        accel_b=np.array([0.0, 0.0, 9.81]), temperature_c=np.full(n, 30.0), motor_fault=np.zeros(n, np.uint32),
        remote=np.zeros(40, np.uint8), has_odometry=False, root_pos_w=np.zeros(3), root_lin_vel_w=np.zeros(3),
    )  # fmt: skip
