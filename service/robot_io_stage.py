"""Supervisor, gate and link in one call: what each tick judges, permits and sends."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import astuple
from typing import NamedTuple

import numpy as np

from teleopd.robots.link import RobotLink, counters_of
from teleopd.robots.model import Array, JointCommand, JointTargets, LowState, RobotModel
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.ramp import ReadyRamp
from teleopd.safety.supervisor import Emit, Supervisor, SupervisorConfig, SupervisorInputs, SupervisorOutput
from teleopd.safety.words import Cause, OperatorCommand, SafetyStatus
from teleopd.service.link_status import LinkStatus


class RobotIoTick(NamedTuple):
    """What one tick did."""

    output: SupervisorOutput
    status: SafetyStatus
    state: LowState | None
    used: JointTargets | None
    """New targets that went into a command for the first time in this tick."""
    command: JointCommand | None = None
    """What the gate built, whether it was sent or not; its arrays change two ticks later."""
    sent: bool = False


class RobotIoStage:
    """Supervisor, gate and link in one call; the same code in the process, in lock step and in evaluation."""

    def __init__(self, model: RobotModel, limits: SafetyLimits, link: RobotLink, config: SupervisorConfig) -> None:
        self._model, self._link = model, link
        self._counters = counters_of(link)
        self._tell = getattr(link, "tell", None)
        """Of links whose other end has a ladder of its own and wants to know what this one says."""
        self.supervisor = Supervisor(limits, model, config)
        self.gate = Gate(limits, model)
        self._ramp: ReadyRamp | None = None
        self._none = np.zeros(model.n)
        self._used_seq = (False, 0)
        self._sends = False
        self._ticks = 0

    def tick(
        self,
        targets: JointTargets | None,
        standby: JointTargets | None,
        commands: Sequence[OperatorCommand | None],
        late_ns: int,
        now_ns: int,
        *,
        shutdown: bool = False,
    ) -> RobotIoTick:
        """Judge, permit, send. Nothing here raises for anything the other processes may have written."""
        state = self._link.read()
        out = self.supervisor.step(
            SupervisorInputs(
                state, targets, commands, standby, late_ns, shutdown, self._counters.foreign_commands
            ), now_ns,
        )  # fmt: skip
        judged = self.supervisor.state
        q, kp, kd = self._wanted(out, judged, now_ns)
        command: JointCommand | None = None
        if out.emit is not Emit.NOTHING:
            command = self.gate.step(out.emit, q, kp, kd, judged, now_ns, source=int(out.using_standby))
            self._sends = not out.mute
            if self._sends:
                self._write(command, out)
        self._ticks += 1
        sent = command is not None and self._sends
        return RobotIoTick(out, self._status(out, now_ns), state, self._newly_used(out), command, sent)

    def _write(self, command: JointCommand, out: SupervisorOutput) -> None:
        if self._tell is not None:
            tilt = self._none[:2] if out.targets is None else out.targets.tilt_rp
            self._tell(int(out.mode), bool(out.causes >> Cause.OPERATOR_DAMP & 1), tilt)
        self._link.write(command)

    def link_status(self, now_ns: int) -> LinkStatus:
        """The link's counters as a record to publish."""
        state = self.supervisor.state
        machine, battery = -1 if state is None else state.mode_machine, getattr(self._link, "battery", -1)
        return LinkStatus(now_ns, machine, *astuple(self._counters))._replace(battery=battery)

    def give_up(self, now_ns: int) -> None:
        """The last word of a process that fails: damping in place of a live target. Never raises."""
        with contextlib.suppress(Exception):  # whatever failed may fail again
            state = self.supervisor.state
            if self._sends:
                self._link.write(self.gate.step(Emit.DAMP, self._none, self._none, self._none, state, now_ns))

    def _wanted(self, out: SupervisorOutput, state: LowState | None, now_ns: int) -> tuple[Array, Array, Array]:
        if out.emit is Emit.READY_RAMP and state is not None:
            if self._ramp is None:
                self._ramp = ReadyRamp(self._model, state.q, now_ns)
            return self._ramp.step(now_ns)
        self._ramp = None
        if out.emit is Emit.POLICY and out.targets is not None and out.targets.healthy:
            return out.targets.q, out.targets.kp, out.targets.kd
        return _NOT_A_TARGET, self._none, self._none

    def _newly_used(self, out: SupervisorOutput) -> JointTargets | None:
        if out.emit is not Emit.POLICY or out.targets is None:
            return None
        key = (out.using_standby, out.targets.seq)
        if key == self._used_seq:
            return None
        self._used_seq = key
        return out.targets

    def _status(self, out: SupervisorOutput, now_ns: int) -> SafetyStatus:
        gate = self.gate
        return SafetyStatus(
            now_ns, self._ticks, int(out.mode), out.since_ns, out.mode_cause, int(out.action), out.causes,
            self.supervisor.cause_counts, gate.step_counts, gate.joint_counts, out.engage_held, out.ready_to_arm,
            out.blocked_by, out.targets.seq if out.targets else 0, gate.q_last, out.refused_commands,
        )  # fmt: skip


_NOT_A_TARGET: Array = np.empty(0)
"""Of no joint's shape: the gate answers it by repeating its last command."""
