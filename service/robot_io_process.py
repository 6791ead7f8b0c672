"""The 500 Hz process: supervisor -> gate -> `RobotLink`. The only writer to the robot, the owner of the mode.

It imports the safety layer, the link and shared memory; no physics, no inference, no event loop, no web server.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from teleopd.robots.ipc.session import Session, SessionBusy, claim_motors
from teleopd.robots.link import LinkOptions, RobotLink, RobotLinkError
from teleopd.robots.model import Array, LowState, RobotModel, WrongHardware
from teleopd.robots.rates import Rate, request_real_time, sleep_until_ns
from teleopd.safety.failsafe import POLICY_MODES
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand
from teleopd.service.capture.records import CommandSample, SafetyEvent
from teleopd.service.child import CpuMeter, Ending, loop_status, refuse
from teleopd.service.robot_io_stage import RobotIoStage, RobotIoTick
from teleopd.service.streams import Bus, CommandLog, ModeLog

RATE_HZ = 500.0
PRIORITY = 80
"""SCHED_FIFO priority; below the kernel's own threads, above everything a desktop runs."""
DAMP_TAIL_S = 1.0
"""Damping keeps streaming so long before the process ends: the robot is never left with a live target."""
ORPHAN_STAND_S = 5.0
"""When the service's parent is gone, the robot returns to stand and is damped after this long."""
ARRIVAL_ROOM_NS = 1_000_000
"""Targets that arrive less than this before a tick wait for it: twice what a tick takes, so that none begins late."""
ARRIVAL_GAP_NS = 10_000_000
"""At most once in this long are targets sent between two ticks: half a policy's period, however often one writes."""


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
        self._awaited = self._targets
        """Slot of the policy that is in charge."""
        self._rate, self._arrived_ns = Rate(RATE_HZ), 0
        self._shutdown = False
        self._orphan: _Orphan | None = None

    def run(self, ending: Ending) -> None:
        """Until told to end, or the parent is gone; damping streams for a while before the end."""
        rate, cpu = self._rate, CpuMeter()
        ends_ns = 0
        while not ends_ns or time.monotonic_ns() < ends_ns:
            late_ns = rate.wait(sleep=self._sleep)
            now_ns = time.monotonic_ns()
            if self._orphan is None and ending.orphaned:
                stopped = bool(self._last_causes >> Cause.OPERATOR_STOP & 1)
                self._orphan = _Orphan(self._token, now_ns, stopped=stopped)
            self._shutdown = ending.asked or (self._orphan is not None and self._orphan.done(now_ns))
            if self._shutdown and not ends_ns:
                ends_ns = now_ns + round(DAMP_TAIL_S * 1e9) * (self._last_mode >= Mode.IDLE)
                ends_ns = max(ends_ns, now_ns + 1)
            self._tick(late_ns, now_ns)
            if rate.ticks % 250 == 0:
                self._loop.write(loop_status(rate, cpu))
                self._link.write(self._stage.link_status(now_ns))

    def _sleep(self, deadline_ns: int) -> None:
        """To the next tick. Targets that come in time for it go out at once, by a tick of their own."""
        latest_ns = deadline_ns - ARRIVAL_ROOM_NS
        if self._last_mode in POLICY_MODES and not self._shutdown and self._awaited.wait(latest_ns):
            now_ns = time.monotonic_ns()
            if now_ns <= latest_ns and now_ns - self._arrived_ns >= ARRIVAL_GAP_NS:
                self._arrived_ns = now_ns
                self._tick(0, now_ns)
                self._rate.work.add((time.monotonic_ns() - now_ns) / 1e3)
        sleep_until_ns(deadline_ns)

    def _tick(self, late_ns: int, now_ns: int) -> None:
        orphan = self._orphan
        commands = [slot.read() for slot in self._operators]
        if orphan is not None:
            commands[OPERATOR_WRITERS.index("serve")] = orphan.command
        tick = self._stage.tick(
            self._targets.read(), self._standby.read(), commands, late_ns, now_ns, shutdown=self._shutdown
        )
        self._awaited = self._standby if tick.output.using_standby else self._targets
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
