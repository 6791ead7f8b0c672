"""The 500 Hz process: supervisor -> gate -> `RobotLink`. The only writer to the robot, the owner of the mode.

It imports the safety layer, the link and shared memory; no physics, no inference, no event loop, no web server.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import NamedTuple

import numpy as np

from teleopd.robots.ipc.session import Session, SessionBusy, claim_motors
from teleopd.robots.link import LinkOptions, RobotLink, RobotLinkError, counters_of
from teleopd.robots.model import Array, JointCommand, JointTargets, LowState, RobotModel, WrongHardware
from teleopd.robots.rates import Rate, request_real_time
from teleopd.safety.failsafe import POLICY_MODES
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.ramp import ReadyRamp
from teleopd.safety.supervisor import Emit, Supervisor, SupervisorConfig, SupervisorInputs, SupervisorOutput
from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand, SafetyStatus
from teleopd.service.capture.records import CommandSample, SafetyEvent
from teleopd.service.child import CpuMeter, Ending, loop_status, refuse
from teleopd.service.link_status import LinkStatus
from teleopd.service.streams import Bus, CommandLog, ModeLog

RATE_HZ = 500.0
PRIORITY = 80
"""SCHED_FIFO priority; below the kernel's own threads, above everything a desktop runs."""
DAMP_TAIL_S = 1.0
"""Damping keeps streaming so long before the process ends: the robot is never left with a live target."""
ORPHAN_STAND_S = 5.0
"""When the service's parent is gone, the robot returns to stand and is damped after this long."""


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


def main(
    session: Session,
    robot: str,
    link: str,
    card_gains: tuple[str, Array, Array],
    overrides: Mapping[str, float],
    latched_engage: bool = False,
    damp_only: bool = False,
    dryrun: bool = False,
    options: LinkOptions | None = None,
) -> None:
    """Entry of the process.

    Args:
        card_gains: the policy's name and its gains kp, kd of shape (n,), for the gate's whitelist.
        overrides: safety limits that tighten the built-in ones.
        damp_only: this process replaces one that died.
        options: of the link.
    """
    from teleopd.robots.catalog import load_robot, open_link

    model = load_robot(robot)
    _, kp, kd = card_gains
    # Before the link: threads of its transport inherit the priority.
    session.path("robot-io.real_time").write_text(request_real_time(PRIORITY, None))
    try:
        claim_motors(session)
        robot_link = open_link(link, session, model, replace(options or LinkOptions(), at_once=damp_only))
    except (SessionBusy, RobotLinkError, WrongHardware) as error:
        refuse(session, "robot-io", str(error))
    limits = SafetyLimits.of(model, mode_machine=_variant(robot_link, model), kp=kp, kd=kd, overrides=overrides)
    config = SupervisorConfig(
        token=session.token, started_ns=time.monotonic_ns(), damp_only=damp_only, dryrun=dryrun,
        latched_engage=latched_engage, joints=_commanded(model, options),
    )  # fmt: skip
    stage = RobotIoStage(model, limits, robot_link, config)
    loop = _Loop(session, model, stage, session.token)
    try:
        loop.run(Ending())
    except BaseException:
        stage.give_up(time.monotonic_ns())
        raise
    finally:
        robot_link.close()


def _commanded(model: RobotModel, options: LinkOptions | None) -> tuple[int, ...]:
    """Joints that are commanded, where they are not all."""
    if options is None or not options.arms or model.arms is None:
        return ()
    return tuple(model.indices(model.arms.joint_names).tolist())


def _variant(link: RobotLink, model: RobotModel) -> int:
    """The hardware variant whose limits are in force: what the robot reports, where it was heard and there are any."""
    state = link.read()
    known = state is not None and state.mode_machine in model.limits_by_mode_machine
    return state.mode_machine if state is not None and known else model.default_mode_machine


class _Loop:
    """Slots in, slots out, at absolute deadlines."""

    def __init__(self, session: Session, model: RobotModel, stage: RobotIoStage, token: int) -> None:
        bus = Bus(session, model.n)
        self._stage, self._token = stage, token
        self._targets, self._standby = bus.slot("targets"), bus.slot("targets_standby")
        self._operators = [bus.slot(f"operator_{writer}") for writer in OPERATOR_WRITERS]
        self._state, self._status = bus.slot("state"), bus.slot("safety_status")
        self._commands, self._modes = bus.ring("command_log"), bus.ring("mode_log")
        self._loop, self._link = bus.slot("loop_robot_io"), bus.slot("link_status")
        self._record = _Record(bus)
        self._last_mode: int = -1
        self._last_causes = 0
        self._written_state: LowState | None = None

    def run(self, ending: Ending) -> None:
        """Until told to end, or the parent is gone; damping streams for a while before the end."""
        rate, cpu = Rate(RATE_HZ), CpuMeter()
        orphan: _Orphan | None = None
        ends_ns = 0
        while not ends_ns or time.monotonic_ns() < ends_ns:
            late_ns = rate.wait()
            now_ns = time.monotonic_ns()
            if orphan is None and ending.orphaned:
                orphan = _Orphan(self._token, now_ns, stopped=bool(self._last_causes >> Cause.OPERATOR_STOP & 1))
            asked = ending.asked or (orphan is not None and orphan.done(now_ns))
            if asked and not ends_ns:
                ends_ns = now_ns + round(DAMP_TAIL_S * 1e9) * (self._last_mode >= Mode.IDLE)
                ends_ns = max(ends_ns, now_ns + 1)
            self._tick(late_ns, now_ns, asked, orphan)
            if rate.ticks % 250 == 0:
                self._loop.write(loop_status(rate, cpu))
                self._link.write(self._stage.link_status(now_ns))

    def _tick(self, late_ns: int, now_ns: int, shutdown: bool, orphan: _Orphan | None) -> None:
        commands = [slot.read() for slot in self._operators]
        if orphan is not None:
            commands[OPERATOR_WRITERS.index("serve")] = orphan.command
        tick = self._stage.tick(
            self._targets.read(), self._standby.read(), commands, late_ns, now_ns, shutdown=shutdown
        )
        if tick.state is not None and tick.state is not self._written_state:
            self._state.write(tick.state)
            self._written_state = tick.state
        self._status.write(tick.status)
        self._last_causes = tick.status.causes
        stopped = bool(self._last_causes >> Cause.OPERATOR_STOP & 1)
        if orphan is not None and tick.output.mode in POLICY_MODES and not stopped:
            orphan.stop_again(now_ns)
        if tick.used is not None:
            used = tick.used
            self._commands.push(CommandLog(used.seq, used.t_reference_ns, time.monotonic_ns(), tick.status.mode))
        self._log_modes(tick, now_ns)
        self._record.tick(tick, now_ns)

    def _log_modes(self, tick: RobotIoTick, now_ns: int) -> None:
        mode = tick.status.mode
        if mode != self._last_mode:
            self._modes.push(ModeLog(now_ns, mode, tick.status.mode_cause))
            self._last_mode = mode


class _Record:
    """Hands each tick to the recorder, where there is one: copies into rings, which drop when nobody drains them."""

    def __init__(self, bus: Bus) -> None:
        self._state, self._command, self._event = bus.record("state"), bus.record("command"), bus.record("event")
        self._last_state: LowState | None = None
        self._last = (-1, 0)

    def tick(self, tick: RobotIoTick, now_ns: int) -> None:
        status, state, command = tick.status, tick.state, tick.command
        if state is not None and state is not self._last_state:
            self._last_state = state
            self._state(state)
        if command is not None:
            self._command(CommandSample(
                now_ns, command.q, command.dq, command.tau, command.kp, command.kd, status.mode, tick.sent,
                status.targets_seq, status.causes, status.gate_counts,
            ))  # fmt: skip
        if (status.mode, status.causes) != self._last:
            self._last = status.mode, status.causes
            self._event(SafetyEvent(now_ns, status.mode, status.mode_cause, status.causes))


class _Orphan:
    """The parent died: in its stead, bring the robot back to stand; some seconds later the loop damps and ends."""

    def __init__(self, token: int, now_ns: int, *, stopped: bool = False) -> None:
        """`stopped`: a soft stop is in force already; a second one would damp a robot that stands."""
        self._since_ns = now_ns
        self.command = OperatorCommand(1 << 60, now_ns, token, int(Act.NONE if stopped else Act.STOP), False)

    def stop_again(self, now_ns: int) -> None:
        """Somebody has reset the stop: nobody engages a robot that is about to be damped."""
        self.command = self.command._replace(seq=self.command.seq + 1, t_ns=now_ns, act=int(Act.STOP))

    def done(self, now_ns: int) -> bool:
        return now_ns - self._since_ns > round(ORPHAN_STAND_S * 1e9)
