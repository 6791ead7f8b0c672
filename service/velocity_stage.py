"""From velocity commands to `Reference`: gait templates for a tracker, the bare velocity for a policy that walks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from teleopd.drivers.velocity import VelocityCommand
from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.service.policy.gait import Gait, GaitLimits, GaitPose, Ramp
from teleopd.service.policy.gait_table import Corrector, GaitTable, gait_table
from teleopd.service.source_process import SourceTick

NOMINAL_HZ = 50.0
"""Rate of commands and references [Hz]: the policy's."""
NOMINAL_DT_S = 1.0 / NOMINAL_HZ
GAP_S = 0.25
"""Commands missing for so long: the robot has been held or stands, so the walk begins from standing."""
DIRECT_LIMITS = GaitLimits((0.6, 0.6, 0.8), (0.6, 0.6, 1.2))
"""For velocity policies on robots without a `gait.toml`: as the G1's."""
Drive = Literal["gait", "direct"]


class NoGait(ValueError):
    """A robot that cannot be walked by templates."""

    def __init__(self, robot: str) -> None:
        super().__init__(
            f"{robot} has no gait.toml, so no tracker can be walked by a velocity; choose a velocity policy"
        )


class VelocityStage:
    """One call a command; the same code in the source process and in lock step."""

    def __init__(
        self, model: RobotModel, source_id: int, *, policy: str = "", drive: Drive = "gait",
        table: GaitTable | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            policy: name of the card, for its row in the robot's table of what to say for which speed.
            drive: 'gait' for trackers; 'direct' for policies that walk by velocity themselves.
            table: in place of the robot's own.

        Raises:
            NoGait, NoLegs, GaitTableError: the robot cannot step by templates.
        """
        table = table or gait_table(model)
        self._model, self._source_id = model, source_id
        self._gait: Gait | None = None
        self._ramp = Ramp(table.limits if table else DIRECT_LIMITS)
        self.correct = Corrector(None)
        """From the velocity of the steps to what the policy is told."""
        if drive == "gait":
            if table is None:
                raise NoGait(model.name)
            self._gait, self.correct = Gait(model, table.shape, table.limits), table.corrector(policy)
        self._last_ns = 0
        self._resets, self._device_resets = 0, 0
        self.used = 0
        self.rejected = 0
        self._begin()

    @property
    def standing(self) -> bool:
        """No step is taken and none is under way."""
        return self._gait.standing if self._gait else not self._ramp.now.any()

    def _begin(self) -> None:
        """Stand at the origin, facing +X."""
        if self._gait:
            self._gait.reset()
        self._ramp.now[:] = 0.0
        self._line, self._yaw, self._sway = np.zeros(2), 0.0, 0.0
        self._q = self._model.q_stand.copy()

    def on_command(self, command: VelocityCommand) -> SourceTick:
        """The reference of this command. Without the deadman the command is to stand."""
        started = time.perf_counter_ns()
        dt_s = (command.t_ns - self._last_ns) * 1e-9 if self._last_ns else NOMINAL_DT_S
        if not 0.0 < dt_s < GAP_S or command.resets != self._device_resets:
            self._resets += 1
            self._begin()
            dt_s = NOMINAL_DT_S
        self._last_ns, self._device_resets = command.t_ns, command.resets
        asked = (command.forward, command.left, command.turn) if command.deadman else (0.0, 0.0, 0.0)
        pose = self._gait.step(*asked, dt_s) if self._gait else self._bare(asked, dt_s)
        self.used += 1
        reference = self._reference(command, pose, dt_s)
        return SourceTick(reference, (time.perf_counter_ns() - started) / 1e3)

    def _bare(self, asked: tuple[float, float, float], dt_s: float) -> GaitPose:
        """The stand pose with a velocity."""
        self._ramp.approach(self._ramp.bounded(*asked), dt_s)
        forward, left, turn = self._ramp.now.tolist()
        return GaitPose(self._model.q_stand.copy(), self._model.stand_height_m, 0.0, 0.0, (forward, left, turn))

    def _reference(self, command: VelocityCommand, pose: GaitPose, dt_s: float) -> Reference:
        forward, left, turn = pose.velocity
        self._yaw = math.remainder(self._yaw + turn * dt_s, 2.0 * math.pi)
        c, s = math.cos(self._yaw), math.sin(self._yaw)
        self._line += (c * forward * dt_s - s * left * dt_s, s * forward * dt_s + c * left * dt_s)
        said_forward, said_left = self.correct(forward, left, turn)
        said_left += (pose.sway_m - self._sway) / dt_s
        self._sway = pose.sway_m
        dq = (pose.q - self._q) / dt_s
        self._q = pose.q
        return Reference(
            seq=command.seq + 1, source_id=self._source_id, t_ns=command.t_ns, t_content_ns=command.t_ns,
            t_published_ns=command.t_ns, valid=True, deadman=command.deadman, resets=self._resets,
            nominal_hz=NOMINAL_HZ,
            root_pos_w=np.array(
                (self._line[0] - s * pose.sway_m, self._line[1] + c * pose.sway_m, pose.height_m)
            ),
            root_quat_w=_attitude(self._yaw, pose.pitch_rad),
            root_lin_vel_w=np.array((c * said_forward - s * said_left, s * said_forward + c * said_left, 0.0)),
            root_ang_vel_w=np.array((0.0, 0.0, turn)), q=pose.q, dq=dq,
        )  # fmt: skip


def _attitude(yaw: float, pitch: float) -> Array:
    """Heading, then pitch, (4,) wxyz."""
    cy, sy, cp, sp = math.cos(yaw / 2), math.sin(yaw / 2), math.cos(pitch / 2), math.sin(pitch / 2)
    return np.array((cy * cp, -sy * sp, cy * sp, sy * cp))


class VelocityStream:
    """References of a scripted operator, for lock step: a command each time it is asked."""

    def __init__(self, stage: VelocityStage, asked: Callable[[int], tuple[float, float, float]]) -> None:
        """`asked(now_ns)`: forward, left [m/s], turn [rad/s]."""
        self._stage, self._asked, self._seq = stage, asked, 0
        self.held = False
        """The deadman of the device; set it once the robot is engaged, or to engage it."""

    def __call__(self, now_ns: int) -> Reference | None:
        forward, left, turn = self._asked(now_ns)
        command = VelocityCommand(self._seq, now_ns, forward, left, turn, self.held, False, 0, frozenset())
        self._seq += 1
        return self._stage.on_command(command).reference
