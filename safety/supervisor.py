"""The ladder: a pure state machine that decides what may be sent to the motors. Time comes in, nothing is read."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.robots.model import JointTargets, LowState, RobotModel
from teleopd.safety import failsafe
from teleopd.safety.conditions import Conditions
from teleopd.safety.failsafe import FOLLOWING_MODES, POLICY_MODES
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.obstacles import Obstacles
from teleopd.safety.operator_inbox import RAISING, OperatorInbox
from teleopd.safety.ramp import ramp_seconds
from teleopd.safety.remote import RemoteStops
from teleopd.safety.stalls import Stalls
from teleopd.safety.words import Act, Action, Cause, Mode, OperatorCommand

PERIOD_NS = 2_000_000
"""Of the 500 Hz loop; what a gap between two steps exceeds by is a stall."""


class Emit(enum.IntEnum):
    """What the gate is asked to send."""

    NOTHING = 0
    DAMP = 1
    READY_RAMP = 2
    POLICY = 3


_EMIT = {
    Mode.BOOT: Emit.NOTHING, Mode.CHECK: Emit.NOTHING, Mode.IDLE: Emit.DAMP, Mode.READY: Emit.READY_RAMP,
    Mode.ARMED: Emit.POLICY, Mode.ACTIVE: Emit.POLICY, Mode.HOLD: Emit.POLICY, Mode.RETURN: Emit.POLICY,
    Mode.DAMPED: Emit.DAMP,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SupervisorConfig:
    """What a run decides about the ladder."""

    token: int
    """The session's operator token."""
    started_ns: int = 0
    """Operator words from before this moment are not for us."""
    damp_only: bool = False
    """This robot-io replaces one that died: it damps, and nothing else, until the service starts anew."""
    dryrun: bool = False
    """Everything runs; the output says `mute`."""
    latched_engage: bool = False
    """A press engages until DISENGAGE or a loss, instead of while it is held. Off by default."""
    joints: tuple[int, ...] = ()
    """Joints that are commanded, where others belong to another controller; empty: all of them."""


class SupervisorInputs(NamedTuple):
    """What one tick sees. After a lateness above 10 ms the caller has read all of it again before asking."""

    state: LowState | None
    targets: JointTargets | None
    commands: Sequence[OperatorCommand | None] = ()
    """Newest word of each of `OPERATOR_WRITERS`, in that order."""
    standby: JointTargets | None = None
    """Targets of the warm twin, where there is one."""
    late_ns: int = 0
    """How late this loop woke."""
    shutdown: bool = False
    """The service is ending: damp."""
    foreign_commands: int = 0
    """Commands of others that the link has heard so far."""


class SupervisorOutput(NamedTuple):
    """What one tick decided."""

    mode: Mode
    since_ns: int
    mode_cause: int
    """Cause of the last mode change, -1 for an operator's act or normal progress."""
    action: Action
    causes: int
    """Bit set of active causes."""
    new_causes: int
    """Bit set of those that became active in this tick."""
    emit: Emit
    mute: bool
    targets: JointTargets | None
    """The targets to use: the policy's, or its standby's."""
    using_standby: bool
    engage_held: bool
    ready_to_arm: bool
    blocked_by: int
    """Cause that forbids the next operator act, -1 when none does."""
    refused_commands: int


class Supervisor:
    """Owner of the mode."""

    def __init__(self, limits: SafetyLimits, model: RobotModel, config: SupervisorConfig) -> None:
        t = limits.thresholds
        self._model, self._config, self._t = model, config, t
        self._stalls = Stalls(t)
        self._conditions = conditions = Conditions(limits, self._stalls)
        self._robot, self._source = conditions.robot, conditions.source
        self._inbox = OperatorInbox(config.token, config.started_ns, t, self._stalls)
        self._remote = RemoteStops(t.ns("stop_long_press"))
        self._ns = {row: t.ns(row) for row in _TIMES}
        self._check_messages = t.value("check_messages")
        self._obstacles = Obstacles(limits, model, self._robot, conditions.primary, self._source, config.joints)
        self.mode = Mode.DAMPED if config.damp_only else Mode.BOOT
        self._since_ns = config.started_ns
        self._mode_cause = int(Cause.RESTARTED) if config.damp_only else -1
        self._latched = 1 << Cause.RESTARTED if config.damp_only else 0
        self._active = 0
        self.cause_counts: npt.NDArray[np.uint32] = np.zeros(32, dtype=np.uint32)
        self._last_ns = 0
        self._held = self._held_before = True  # a deadman held since before the start is no press
        self._engaged, self._pressed_before = False, True  # only with latched_engage
        self._engaged_source = 0
        self._ramp_ns = 0
        self._refused = 0

    @property
    def state(self) -> LowState | None:
        """The report that is judged: the newest of the robot's, no older one that came late, none from the future."""
        return self._robot.state

    def step(self, inputs: SupervisorInputs, now_ns: int) -> SupervisorOutput:
        """One tick of the ladder."""
        gap_ns = now_ns - self._last_ns if self._last_ns else 0
        self._last_ns = max(now_ns, self._last_ns)
        stalled = self._stalls.note(max(inputs.late_ns, gap_ns - PERIOD_NS), now_ns)
        acts = self._take_in(inputs, now_ns)
        before, known = self.mode, self._active
        found = self._found(inputs, stalled, gap_ns, now_ns) | self._stop_acts(acts)
        self._latched |= found & failsafe.LATCH_MASK
        self._active = found | self._latched
        self._climb_down(now_ns)
        if self.mode != before or Act.STOP in acts or Act.DAMP in acts:
            self._refused += sum(act in RAISING for act in acts)
            if Act.DISENGAGE in acts and self.mode in FOLLOWING_MODES:  # it lowers: no coincidence may swallow it
                self._operator_act(Act.DISENGAGE, now_ns)
        else:
            self._operator_acts(acts, now_ns)
            self._progress(now_ns)
        self._held_before = self._held
        causes = self._active
        fresh = causes & ~known
        if fresh:
            self._count(fresh)
        ramp_over = self.mode is Mode.READY and now_ns - self._since_ns >= self._ramp_ns
        blocked, used = self._blocked_by(ramp_over, now_ns), self._conditions
        return SupervisorOutput(
            self.mode, self._since_ns, self._mode_cause, failsafe.action_of_mask(causes), causes, fresh,
            _EMIT[self.mode], self._config.dryrun, used.policy.targets, used.using_standby, self._held,
            ramp_over and blocked < 0, blocked, self._refused + self._inbox.refused,
        )  # fmt: skip

    # What is the case

    def _take_in(self, inputs: SupervisorInputs, now_ns: int) -> list[Act]:
        self._conditions.take_in(inputs.state, inputs.targets, inputs.standby, now_ns)
        self._robot.note_foreign(inputs.foreign_commands, now_ns)
        acts = self._inbox.read(inputs.commands, now_ns)
        if self._robot.state is not None:
            act = self._remote.read(self._robot.state.remote, self._robot.state.t_ns)
            if act is not Act.NONE:
                acts.append(act)
        targets = self._conditions.primary.targets
        pressed = self._inbox.held or (targets is not None and targets.deadman)
        self._held = pressed if not self._config.latched_engage else self._latch_engage(pressed)
        return acts

    def _latch_engage(self, pressed: bool) -> bool:
        """With a latched engage, a press stands for a hold until DISENGAGE or the loss of ACTIVE."""
        if pressed and not self._pressed_before and self.mode in (Mode.ARMED, Mode.HOLD):
            self._engaged, self._held_before = True, False
        self._pressed_before = pressed
        if self.mode not in (Mode.ARMED, Mode.ACTIVE, Mode.HOLD):
            self._engaged = False
        return self._engaged

    def _found(self, inputs: SupervisorInputs, stalled: bool, gap_ns: int, now_ns: int) -> int:
        """Bit set of the causes that hold now, of those judged in this mode."""
        mode, found = self.mode, self._conditions.of_robot(self.mode, gap_ns, now_ns)
        if stalled:
            found |= 1 << Cause.OWN_LATENESS
        if inputs.shutdown:
            found |= 1 << Cause.SHUTDOWN
        if mode in POLICY_MODES:
            found |= self._conditions.of_policy(mode, now_ns)
        if mode in FOLLOWING_MODES:
            found |= self._conditions.of_source(mode, now_ns - self._since_ns, self._engaged_source, now_ns)
            if not self._held:
                found |= 1 << (Cause.CONSOLE_LOST if self._inbox.heartbeat_lost else Cause.DEADMAN_RELEASED)
        return found & failsafe.JUDGED_MASK[mode]

    def _stop_acts(self, acts: list[Act]) -> int:
        """Stops as causes. The first soft stop returns to stand; where nothing can stand, and the second time, damp.

        Before anything is sent they are latched: the ladder then begins in DAMPED, until somebody resets.
        """
        found = 1 << Cause.OPERATOR_DAMP if Act.DAMP in acts else 0
        stops = acts.count(Act.STOP)
        if stops:
            again = bool(self._latched >> Cause.OPERATOR_STOP & 1) or stops > 1
            damps = again or self.mode not in POLICY_MODES
            found |= 1 << (Cause.OPERATOR_DAMP if damps else Cause.OPERATOR_STOP)
        return found

    # What follows

    def _climb_down(self, now_ns: int) -> None:
        """The strongest active cause decides; nothing here ever raises authority."""
        mode = self.mode
        if mode in (Mode.BOOT, Mode.CHECK, Mode.DAMPED) or not self._active:
            return
        cause = failsafe.strongest_cause(self._active)
        action = failsafe.action_of_mask(self._active)
        if action is Action.DAMP:
            self._enter(Mode.DAMPED, now_ns, cause)
        elif action is Action.RETURN and mode in FOLLOWING_MODES:
            self._enter(Mode.RETURN, now_ns, cause)
        elif action is Action.HOLD and mode is Mode.ACTIVE:
            self._enter(Mode.HOLD, now_ns, cause)
        elif mode is Mode.HOLD:
            let_go = self._active & (1 << Cause.DEADMAN_RELEASED | 1 << Cause.CONSOLE_LOST)
            if let_go and not self._pressing() and now_ns - self._since_ns >= self._ns["deadman_return"]:
                self._enter(Mode.RETURN, now_ns, failsafe.strongest_cause(let_go))

    def _operator_acts(self, acts: list[Act], now_ns: int) -> None:
        # The highest rung first: two acts that arrive in one tick never climb two steps.
        for act in sorted((a for a in acts if a not in (Act.STOP, Act.DAMP)), key=_ACT_ORDER.__getitem__):
            if not self._operator_act(act, now_ns):
                self._refused += 1

    def _operator_act(self, act: Act, now_ns: int) -> bool:
        mode = self.mode
        if act is Act.RESET:
            return self._reset(now_ns)
        if act is Act.DISENGAGE and mode in FOLLOWING_MODES:
            self._engaged = False
            self._latched |= 1 << Cause.DEADMAN_RELEASED
            self._active |= self._latched
            if mode is Mode.ACTIVE:
                self._enter(Mode.HOLD, now_ns, int(Cause.DEADMAN_RELEASED))
            return True
        if act is Act.ARM and mode is Mode.READY:
            ramp_over = now_ns - self._since_ns >= self._ramp_ns
            if ramp_over and self._blocked_by(ramp_over, now_ns) < 0:
                self._conditions.using_standby = False
                self._enter(Mode.ARMED, now_ns, -1)
                return True
        if act is Act.READY and mode is Mode.IDLE and self._blocked_by(False, now_ns) < 0:
            assert self._robot.state is not None
            self._ramp_ns = round(ramp_seconds(self._robot.state.q, self._model.q_stand) * 1e9)
            self._enter(Mode.READY, now_ns, -1)
            return True
        return False

    def _reset(self, now_ns: int) -> bool:
        """Clears what a person has to clear. It never moves the robot: DAMPED becomes IDLE, which damps."""
        if self.mode is Mode.DAMPED:
            if self._blocked_by(False, now_ns) >= 0:
                return False
            self._latched = self._active = 0
            self._enter(Mode.IDLE, now_ns, -1)
            return True
        if self._latched & failsafe.RESET_MASK:
            self._latched &= ~failsafe.RESET_MASK
            self._active &= ~failsafe.RESET_MASK
            return True
        return False

    def _progress(self, now_ns: int) -> None:
        """Steps that need no operator act, and the deadman."""
        mode = self.mode
        if mode is Mode.BOOT and self._robot.state is not None:
            self._enter(Mode.CHECK, now_ns, -1)
        elif mode is Mode.CHECK:
            if self._robot.age_ns(now_ns) > self._ns["state_lost"]:
                self._robot.restart()
            elif self._robot.messages >= self._check_messages and self._obstacles.to_idle(now_ns) < 0:
                stopped = self._latched & failsafe.DAMP_MASK
                self._enter(Mode.DAMPED if stopped else Mode.IDLE, now_ns, failsafe.strongest_cause(stopped))
        elif mode is Mode.RETURN and now_ns - self._since_ns >= self._ns["return_time"]:
            self._enter(Mode.ARMED, now_ns, -1)
        elif mode is Mode.ARMED and self._pressing() and self._blocked_by(False, now_ns) < 0:
            self._engage(now_ns)
        elif mode is Mode.HOLD and self._held:
            waits_for_press = self._latched & failsafe.REENGAGE_MASK
            held_back = failsafe.action_of_mask(self._active & ~failsafe.REENGAGE_MASK) >= Action.HOLD
            if not held_back and (self._pressing() or not waits_for_press):
                self._engage(now_ns)

    def _pressing(self) -> bool:
        return self._held and not self._held_before

    def _engage(self, now_ns: int) -> None:
        self._latched &= ~failsafe.REENGAGE_MASK
        self._active &= ~failsafe.REENGAGE_MASK
        self._engaged_source = self._source.source_id
        self._enter(Mode.ACTIVE, now_ns, -1)

    def _enter(self, mode: Mode, now_ns: int, cause: int) -> None:
        self.mode, self._since_ns, self._mode_cause = mode, now_ns, cause
        if mode is Mode.ARMED:
            self._conditions.forget_tilt()

    def _count(self, fresh: int) -> None:
        for cause in Cause:
            self.cause_counts[cause] += fresh >> cause & 1

    def _blocked_by(self, ramp_over: bool, now_ns: int) -> int:
        """Cause in the way of the next operator act, -1 for none."""
        mode, obstacles = self.mode, self._obstacles
        if mode is Mode.ARMED:
            if self._latched >> Cause.OPERATOR_STOP & 1:
                return int(Cause.OPERATOR_STOP)
            return int(Cause.STANDBY_TOOK_OVER) if self._conditions.using_standby else obstacles.to_active(now_ns)
        if mode is Mode.READY:
            return obstacles.to_armed(ramp_over, now_ns)
        if mode in (Mode.BOOT, Mode.CHECK):
            return obstacles.to_idle(now_ns)
        if mode is Mode.IDLE:
            return obstacles.to_ready(now_ns)
        if mode is not Mode.DAMPED:
            return -1
        forever = self._latched & failsafe.NEVER_MASK
        if forever:
            return failsafe.strongest_cause(forever)
        waited = now_ns - self._since_ns >= self._ns["reset_wait"]
        return obstacles.of_robot(now_ns) if waited else self._mode_cause


_TIMES = ("state_lost", "deadman_return", "return_time", "reset_wait")
_ACT_ORDER = {Act.DISENGAGE: 0, Act.ARM: 1, Act.READY: 2, Act.RESET: 3}
