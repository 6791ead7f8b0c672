"""`LowState` <-> `teleopd_state`, and the public state channels beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from teleopd.robots.links.dds.low_state import rpy_of
from teleopd.robots.links.lcm.messages import (
    BODY,
    ESTIMATOR,
    ESTIMATOR_FIELDS,
    STATE,
    MessageCodec,
    body_fields,
    state_fields,
)
from teleopd.robots.links.lcm.transport import Network
from teleopd.robots.model import LowState, RobotModel

NO_MODE = -1
"""Of a robot that has no ladder of its own: the virtual one."""
PUBLIC_EVERY = 2
"""The public channels get every second report: 250 Hz; public relays send 200 Hz."""


class StatePublisher:
    """Sends reports: ours whole, and for everybody else's programs the public channels."""

    def __init__(self, network: Network, model: RobotModel, robot: int) -> None:
        """`robot`: a number drawn for this sender."""
        self._network, self._robot = network, robot
        self._state = MessageCodec(state_fields(model.n))
        self._body, self._estimator = MessageCodec(body_fields(model.n)), MessageCodec(ESTIMATOR_FIELDS)
        self._sent = 0

    def publish(self, state: LowState, now_ns: int, mode: int = NO_MODE) -> None:
        """Send one report. `mode`: of the ladder that owns the robot."""
        now_us = now_ns // 1000
        self._network.publish(STATE, self._state.encode(
            robot=self._robot, timestamp_us=now_us, tick=state.tick, mode_machine=state.mode_machine, mode=mode,
            q=state.q, dq=state.dq, tau=state.tau, quat_w=state.quat_w, gyro_b=state.gyro_b, accel_b=state.accel_b,
            temperature_c=state.temperature_c, motor_fault=state.motor_fault, remote=state.remote,
        ))  # fmt: skip
        if self._sent % PUBLIC_EVERY == 0:
            self._network.publish(BODY, self._body.encode(q=state.q, qd=state.dq, timestamp_us=now_us))
            self._network.publish(ESTIMATOR, self._estimator.encode(
                rpy=rpy_of(state.quat_w), omegaBody=state.gyro_b, quat=state.quat_w, aBody=state.accel_b,
                p=state.root_pos_w, vWorld=state.root_lin_vel_w, timestamp_us=now_us,
            ))  # fmt: skip
        self._sent += 1


class StateCodec:
    """`teleopd_state` of one robot model -> `LowState`."""

    def __init__(self, model: RobotModel) -> None:
        self._codec = MessageCodec(state_fields(model.n))
        self._nowhere = np.zeros(3)
        self._nowhere.setflags(write=False)

    def record(self, data: bytes) -> Any:
        """The fields as sent, or None for a message of another type or length."""
        return self._codec.decode(data)

    def state(self, record: Any, t_ns: int) -> LowState:
        """The report received at `t_ns`; its arrays are fresh."""
        q, dq, tau, quat, gyro, accel, heat = (
            record[name].astype(np.float64)
            for name in ("q", "dq", "tau", "quat_w", "gyro_b", "accel_b", "temperature_c")
        )
        return LowState(
            t_ns, int(record["tick"]) & 0xFFFFFFFF, int(record["mode_machine"]), q, dq, tau, quat, gyro, accel, heat,
            record["motor_fault"].astype(np.uint32), record["remote"].astype(np.uint8), False, self._nowhere,
            self._nowhere,
        )  # fmt: skip
