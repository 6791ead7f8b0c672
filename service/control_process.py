"""The 50 Hz process: reference guard -> policy -> `JointTargets`. Its warm twin runs on the stand reference only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from teleopd.robots.ipc.session import Session
from teleopd.robots.model import JointTargets, LowState, Reference, RobotModel
from teleopd.robots.rates import Rate, freeze_collector, request_priority
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.stalls import FUTURE_NS
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Cause, Mode, SafetyStatus
from teleopd.service.capture.records import ObservationSamples
from teleopd.service.child import CpuMeter, Ending, loop_status, refuse
from teleopd.service.compliance import Compliance
from teleopd.service.policy import lookahead
from teleopd.service.policy.commands import Commands
from teleopd.service.policy.errors import PolicyError
from teleopd.service.policy.heading_hold import HeadingHold, allowed
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.streams import COMPLIANCE_WRITERS, LOOKAHEAD, Bus, PolicyStatus, TickLog

BALANCING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
"""Modes in which the policy's targets reach the motors."""
PRIORITY = 40
"""SCHED_FIFO where permitted: a busy host must not starve what keeps a robot on its feet. Below the faster loops."""
REHEARSAL_LEAD_NS = 2_000_000
"""The network is run once for nothing this long before each tick: the tick finds core and caches awake."""
REHEARSAL_MOST_MS = 1.0
"""Only for networks that are done well before the tick, by the median of the warm-up."""
LOOP_STATUS_S = 0.2
"""The loop's figures are published so often, at every rate: the parent takes a longer silence for a hung process."""
WARM_TICKS = 5
"""Policy ticks on live state before the targets are offered as ready."""


class ControlTick(NamedTuple):
    """What one policy tick made."""

    targets: JointTargets
    shaped: Reference
    policy_us: float


class ControlStage:
    """Guard and policy in one call; the same code in the process, in lock step and in evaluation."""

    def __init__(
        self, model: RobotModel, guard: ReferenceGuard, runtime: PolicyRuntime, compliance: Compliance | None = None,
        thresholds: Thresholds | None = None,
    ) -> None:  # fmt: skip
        """`compliance`: how hard the arms may push; by default as the policy's card says. `thresholds`: the guard's."""
        self._guard = guard
        self._runtime = runtime
        self._seq = 0
        self._live_ticks = 0
        self._was_balancing = False
        self._heading = HeadingHold() if allowed(runtime.card) else None
        able = runtime.card.capabilities
        self._commands = Commands(runtime.card, able, model) if able is not None else None
        self._lookahead = lookahead.Lookahead(model, runtime.card)
        self.compliance = Compliance(runtime.card, model) if compliance is None else compliance
        self._thresholds = thresholds or Thresholds()

    def tick(
        self, reference: Reference | None, state: LowState, mode: Mode, now_ns: int, *, spare: bool = False
    ) -> ControlTick:
        """One policy tick. Never raises: what goes wrong is in `targets.healthy`. `spare`: a twin not needed yet."""
        if spare:
            self._guard.come_along(state)
        balancing = mode in BALANCING
        if balancing and not self._was_balancing:
            self._runtime.reset()
            if self._commands is not None:
                self._commands.reset()
        self._was_balancing = balancing
        shaped = self._guard.step(self._lookahead.present(reference, now_ns), mode, now_ns, state)
        follows = mode is Mode.ACTIVE and self._is_followed(shaped)
        if self._heading is not None:
            shaped = self._heading.step(shaped, state, mode)
        pose_error_rad, tilt_rp = self._guard.pose_error_rad, self._guard.tilt_rp
        if self._commands is not None:
            shaped, tilt_rp = self._commands.step(shaped), np.zeros(2)
            if self._commands.judge(reference) and mode is not Mode.ACTIVE:
                pose_error_rad = np.inf  # no engaging with what the legs cannot do
        shaped = self._comply(shaped, state, mode, now_ns)
        started = time.perf_counter_ns()
        window = self._lookahead.window(shaped, follows)
        output = self._runtime.step(shaped, state) if window is None else self._runtime.step(shaped, state, window)
        policy_us = (time.perf_counter_ns() - started) / 1e3
        self._seq += 1
        self._live_ticks += 1
        targets = JointTargets(
            seq=self._seq,
            t_ns=now_ns,
            q=output.q,
            kp=self._runtime.kp,
            kd=self._runtime.kd,
            healthy=output.healthy,
            ready=self._live_ticks >= WARM_TICKS and output.healthy,
            reference_seq=reference.seq if reference else 0,
            reference_source_id=reference.source_id if reference else 0,
            t_reference_ns=reference.t_ns if reference else 0,
            t_content_ns=reference.t_content_ns if reference else 0,
            reference_valid=reference.valid if reference else False,
            reference_hz=reference.nominal_hz if reference else 0.0,
            deadman=reference.deadman if reference else False,
            pose_error_rad=pose_error_rad,
            tilt_rp=tilt_rp,
            limb_held=self._guard.held_joints > 0,
        )
        return ControlTick(targets, shaped, policy_us)

    def _is_followed(self, shaped: Reference) -> bool:
        """The guard follows the operator's stream: sound, and fresh by the newest frame, delayed or not."""
        age_ns = self._guard.age_ns
        return shaped.seq > 0 and -FUTURE_NS <= age_ns <= self._thresholds.stale_after_ns(shaped.nominal_hz)

    def _comply(self, shaped: Reference, state: LowState, mode: Mode, now_ns: int) -> Reference:
        """The force limit in force now, told to the policy or applied to the arms; outside ACTIVE the arms go back."""
        newton = self.compliance.limit.step(now_ns)
        if self.compliance.policy_knows:
            self._runtime.set_force_limit(newton)
        elif self.compliance.arms is not None:
            return self.compliance.arms.step(shaped, state, newton, now_ns, acts=mode is Mode.ACTIVE)
        return shaped

    def status(self, now_ns: int) -> PolicyStatus:
        """What the policy is served with."""
        card, commands = self._runtime.card, self._commands
        return PolicyStatus(
            now_ns, LOOKAHEAD.index(card.lookahead), 1e3 * lookahead.horizon_s(card), 1e3 * lookahead.delay_s(card),
            self.compliance.force_limit_n, self.compliance.arms is not None,
            commands.clipped if commands is not None else 0, commands.cannot if commands is not None else 0,
        )  # fmt: skip


def tick_log(tick: ControlTick, state: LowState, mode: Mode, published_ns: int) -> TickLog:
    """The tick as a record for reports and recordings."""
    targets, shaped = tick.targets, tick.shaped
    return TickLog(
        published_ns, int(mode), targets.seq, targets.reference_seq, targets.t_reference_ns, published_ns,
        tick.policy_us, shaped.root_pos_w, shaped.root_quat_w, shaped.q, state.q, state.quat_w,
        state.has_odometry, state.root_pos_w,
    )  # fmt: skip


def main(
    session: Session, robot: str, policy: ResolvedPolicy, link: str, standby: bool = False, force_limit_n: float = 0.0,
    admittance: bool = False, overrides: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Entry of the process, `control` or its `standby` twin.

    `force_limit_n`, `admittance`: as in `Compliance`. `overrides`: safety limits that tighten the built-in ones.
    """
    from teleopd.robots.catalog import load_robot

    model = load_robot(robot)
    bus = Bus(session, model.n)
    try:
        runtime = PolicyRuntime(policy.card, policy.onnx_path, model, link=link)
        compliance = Compliance(policy.card, model, force_limit_n, admittance)
    except (PolicyError, ValueError) as error:
        refuse(session, "standby" if standby else "control", str(error))
    thresholds = Thresholds(overrides)
    stage = ControlStage(model, ReferenceGuard(model, thresholds=thresholds), runtime, compliance, thresholds)
    wishes = [bus.slot(f"compliance_{writer}") for writer in COMPLIANCE_WRITERS]
    policy_status = bus.slot("policy_status")
    references, states, statuses = bus.slot("reference"), bus.slot("state"), bus.slot("safety_status")
    targets = bus.slot("targets_standby" if standby else "targets")
    shaped, log = bus.slot("shaped_reference"), bus.ring("tick_log")
    record_target, record_shaped = bus.record("target"), bus.record("shaped_reference")
    record_observation = ObservationSamples(bus.record("observation"))
    loop = bus.slot("loop_standby" if standby else "loop_control")
    request_priority(PRIORITY)
    freeze_collector()
    ending, rate, cpu = Ending(), Rate(policy.card.rate_hz), CpuMeter()
    loop_every = max(1, round(policy.card.rate_hz * LOOP_STATUS_S))
    early = runtime.rehearse if not standby and runtime.warm_up_ms <= REHEARSAL_MOST_MS else None
    while not ending.asked and not service_gone(ending, statuses.read()):
        rate.wait(early, REHEARSAL_LEAD_NS)
        now_ns = time.monotonic_ns()
        state, status = states.read(), statuses.read()
        if state is not None and status is not None:
            mode = Mode(status.mode)
            compliance.hear([wish.read() for wish in wishes], session.token)
            spare = standby and not status.causes >> Cause.STANDBY_TOOK_OVER & 1
            tick = stage.tick(None if standby else references.read(), state, mode, now_ns, spare=spare)
            published_ns = time.monotonic_ns()
            published = tick.targets._replace(t_ns=published_ns)
            targets.write(published)
            targets.wake()
            if not standby:
                shaped.write(tick.shaped)
                record_target(published)
                record_observation.add(published_ns, published.seq, runtime.observation)
                record_shaped(tick.shaped._replace(t_ns=published_ns))
                log.push(tick_log(tick, state, mode, published_ns))
        if rate.ticks % loop_every == 0:
            loop.write(loop_status(rate, cpu))
            if not standby:
                policy_status.write(stage.status(time.monotonic_ns()))


def service_gone(ending: Ending, status: SafetyStatus | None) -> bool:
    """The parent is dead and robot-io has stopped too: until then the policy keeps the robot on its feet."""
    if not ending.orphaned:
        return False
    return status is None or time.monotonic_ns() - status.t_ns > 2_000_000_000
