"""One policy running: reference and state in, joint targets out, 50 times a second.

Everything that can be wrong is refused when the policy is loaded; `step` itself never raises: a tick without a finite
answer repeats the last good targets and says so.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from teleopd.robots.model import Array, LowState, Reference, RobotModel
from teleopd.service.policy.attitude import roll_pitch
from teleopd.service.policy.card import Card, Golden, check_all_driven, gains_for
from teleopd.service.policy.errors import (
    GoldenMismatch,
    HashMismatch,
    NonFiniteOutput,
    TooSlow,
    Unsupported,
    WrongRate,
    WrongRobot,
)
from teleopd.service.policy.network import Network
from teleopd.service.policy.observation import Float32, ObservationBuilder, motor_indices
from teleopd.service.policy.onnx_file import read_onnx

CONTROL_RATE_HZ = 50.0
"""Rate of the control process [Hz]."""
WARM_UP_RUNS = 25
"""Enough for a median that one preempted run does not move."""


class PolicyOutput(NamedTuple):
    """The answer of one tick."""

    q: Array
    """Wanted joint positions in motor order [rad], (n,); the last good ones when not healthy."""
    healthy: bool
    """Observation and network output were finite and of the right shape."""
    action: Float32
    """The network's raw output in the card's action order; the last good one when not healthy."""


class PolicyRuntime:
    """A loaded, checked, warmed-up policy on one robot and link. Not thread-safe."""

    def __init__(
        self, card: Card, onnx_path: Path, model: RobotModel, *, link: str, loop_rate_hz: float = CONTROL_RATE_HZ
    ) -> None:
        """Load the network and check it against card, robot and loop.

        Raises:
            PolicyError: they do not fit together; each subclass names both values.
        """
        _check_setting(card, model, loop_rate_hz)
        onnx = read_onnx(onnx_path)
        if onnx.sha256 != card.model.sha256:
            raise HashMismatch(card.name, card.model.sha256, onnx_path, onnx.sha256)
        self.card = card
        self.gain_set, _ = card.gains.of_link(link)
        self.kp, self.kd = gains_for(card, model, link)
        self._builder = ObservationBuilder(card, model)
        self._motor = motor_indices(card, card.action_joints, model)
        self._scale = card.per_joint(card.action.scale, card.action_joints)
        self._offset = np.zeros(model.n)
        if card.action.offset == "default_pose":
            self._offset = card.default_of(card.action_joints)
        self._clip = np.float32(np.inf if card.action.clip is None else card.action.clip)
        self._feeds_clipped = card.action.feedback == "clipped"
        self._network = Network(card, onnx)
        self.reset()
        self.warm_up_ms = self._warm_up(model)
        """Median duration of one warm-up step [ms]."""

    def step(self, reference: Reference, state: LowState) -> PolicyOutput:
        """One tick. Returns arrays that later ticks leave alone. Never raises."""
        healthy = False
        try:
            with np.errstate(all="ignore"):
                healthy = self._advance(reference, state)
        except Exception:  # a tick without an answer is a verdict, not an exception
            healthy = False
        return PolicyOutput(self._q.copy(), healthy, self._action.copy())

    @property
    def tilt_rp(self) -> Array:
        """Roll and pitch of the reference last tracked [rad], (2,)."""
        return self._tilt_rp.copy()

    def reset(self) -> None:
        """Forget histories, the last action and the last targets."""
        self._builder.reset()
        self._action: Float32 = np.zeros(len(self._motor), dtype=np.float32)
        self._clipped: Float32 = np.zeros(len(self._motor), dtype=np.float32)
        self._q: Array = np.zeros(len(self._motor))
        self._q[self._motor] = self._offset
        self._tilt_rp: Array = np.zeros(2)

    def _advance(self, reference: Reference, state: LowState) -> bool:
        """Observation, network, targets; False when anything is not finite."""
        if self.card.odometry and not state.has_odometry:
            return False
        observation = self._builder.build(reference, state)
        if not _finite(observation):
            return False
        output = self._network.run(observation)
        healthy = _finite(output)
        if healthy:
            tilt_rp = roll_pitch(reference.root_quat_w)
            self._action[:] = output
            np.minimum(np.maximum(output, -self._clip, out=self._clipped), self._clip, out=self._clipped)
            self._q[self._motor] = self._clipped * self._scale + self._offset
            self._tilt_rp[:] = tilt_rp
        self._builder.push(self._clipped if self._feeds_clipped else self._action)
        return healthy

    def _warm_up(self, model: RobotModel) -> float:
        """Run the network on its default pose, check what it gives, and return the median duration [ms]."""
        card, network = self.card, self._network
        for golden in card.golden:
            _check_golden(card, golden, network)
        reference, state = _standing(card, model)
        durations = []
        for _ in range(WARM_UP_RUNS):
            start = time.perf_counter_ns()
            output = network.run(self._builder.build(reference, state))
            self._builder.push(output)
            durations.append(time.perf_counter_ns() - start)
            bad = int(np.count_nonzero(~np.isfinite(output)))
            if bad:
                raise NonFiniteOutput(card.name, bad, output.size)
        self.reset()
        median_ms = float(np.median(durations)) / 1e6
        if median_ms > 1e3 / card.rate_hz:
            raise TooSlow(card.name, median_ms, 1e3 / card.rate_hz)
        return median_ms


def _finite(array: Float32) -> bool:
    """Whether every value is finite and none is absurdly large: a sum carries any NaN or infinity on, in one pass."""
    return math.isfinite(np.add.reduce(array, axis=None))


def _check_setting(card: Card, model: RobotModel, loop_rate_hz: float) -> None:
    if card.robot != model.name:
        raise WrongRobot(card.name, card.robot, model.name)
    if card.rate_hz != loop_rate_hz:
        raise WrongRate(card.name, card.rate_hz, loop_rate_hz)
    if card.imu != "pelvis":
        raise Unsupported(card.name, f"wants the {card.imu} IMU, the robot state carries the pelvis IMU")
    if card.lookahead_steps:
        raise Unsupported(card.name, f"wants {card.lookahead_steps} steps of future reference, a live stream has 0")
    motor_indices(card, card.action_joints, model)
    check_all_driven(card, model)


def _check_golden(card: Card, golden: Golden, network: Network) -> None:
    vector = np.zeros((1, card.model.input_width), dtype=np.float32)
    for segment in golden.segments:
        for i in range(segment.repeat):
            at = segment.at + i * segment.stride
            vector[0, at : at + len(segment.values)] = segment.values
    output, wanted = network.run(vector), np.array(golden.output)
    error = np.abs(output - wanted)
    if not (error <= golden.tolerance).all():
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
        raise GoldenMismatch(card.name, golden.name, worst, wanted[worst], float(output[worst]), golden.tolerance)


def _standing(card: Card, model: RobotModel) -> tuple[Reference, LowState]:
    """The robot at rest in its stand pose and a reference that agrees, for the warm-up."""
    zero, upright = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    height = np.array([0.0, 0.0, model.stand_height_m])
    still = np.zeros(model.n)
    reference = Reference(
        seq=1, source_id=0, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=False, resets=0,
        nominal_hz=card.rate_hz, root_pos_w=height, root_quat_w=upright, root_lin_vel_w=zero, root_ang_vel_w=zero,
        q=model.q_stand, dq=still,
    )  # fmt: skip
    state = LowState(
        t_ns=0, tick=0, mode_machine=model.default_mode_machine, q=model.q_stand, dq=still, tau=still, quat_w=upright,
        gyro_b=zero, accel_b=np.array([0.0, 0.0, 9.81]), temperature_c=still,
        motor_fault=np.zeros(model.n, dtype=np.uint32), remote=np.zeros(40, dtype=np.uint8), has_odometry=True,
        root_pos_w=height, root_lin_vel_w=zero,
    )  # fmt: skip
    return reference, state
