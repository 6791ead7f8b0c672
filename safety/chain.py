"""Supervisor, ramp and gate in one call: what robot-io and lock step both run, so that what is judged is what runs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from teleopd.robots.model import JointCommand, RobotModel
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.ramp import ReadyRamp
from teleopd.safety.supervisor import Emit, Supervisor, SupervisorConfig, SupervisorInputs, SupervisorOutput
from teleopd.safety.words import Mode, SafetyStatus


class ChainOutput(NamedTuple):
    """What one tick made."""

    command: JointCommand | None
    """To write now; None in BOOT, CHECK and in a dry run. Valid until the step after the next."""
    decision: SupervisorOutput
    status: SafetyStatus
    """Its arrays are reused: publish or copy them before the next step."""


class SafetyChain:
    """The whole motor path of one robot."""

    def __init__(self, limits: SafetyLimits, model: RobotModel, config: SupervisorConfig) -> None:
        self._model = model
        self._supervisor = Supervisor(limits, model, config)
        self._gate = Gate(limits, model)
        self._ramp: ReadyRamp | None = None
        self._nothing = np.full(model.n, np.nan)
        self._tick = 0

    def step(self, inputs: SupervisorInputs, now_ns: int) -> ChainOutput:
        """One 500 Hz tick. Never raises."""
        decision = self._supervisor.step(inputs, now_ns)
        command = self._command(decision, inputs, now_ns)
        self._tick += 1
        targets = decision.targets
        status = SafetyStatus(
            now_ns, self._tick, int(decision.mode), decision.since_ns, decision.mode_cause, int(decision.action),
            decision.causes, self._supervisor.cause_counts, self._gate.step_counts, self._gate.joint_counts,
            decision.engage_held, decision.ready_to_arm, decision.blocked_by,
            targets.seq if targets is not None and decision.emit is Emit.POLICY else 0, self._gate.q_last,
            decision.refused_commands,
        )  # fmt: skip
        return ChainOutput(None if decision.mute else command, decision, status)

    def _command(self, decision: SupervisorOutput, inputs: SupervisorInputs, now_ns: int) -> JointCommand | None:
        q = kp = kd = self._nothing
        source = 0
        if decision.mode is not Mode.READY:
            self._ramp = None
        elif self._ramp is None and inputs.state is not None:
            self._ramp = ReadyRamp(self._model, inputs.state.q, now_ns)
        if decision.emit is Emit.READY_RAMP and self._ramp is not None:
            q, kp, kd = self._ramp.step(now_ns)
        elif decision.emit is Emit.POLICY and decision.targets is not None:
            q, kp, kd = decision.targets.q, decision.targets.kp, decision.targets.kd
            source = int(decision.using_standby)
        command = self._gate.step(decision.emit, q, kp, kd, inputs.state, now_ns, source)
        return command if decision.emit is not Emit.NOTHING else None
