"""The process of `--mode arms` that takes the place of `control`: reference guard -> targets for the arms, no policy.

The robot's own balance controller keeps the legs, so nothing here has to balance: the shaped reference itself is the
target, with the robot's stand gains. Supervisor, gate and ladder are those of every run; what is damped goes back
to the robot's own controller.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from teleopd.robots.ipc.session import Session
from teleopd.robots.model import JointTargets, LowState, Reference, RobotModel
from teleopd.robots.rates import Rate, freeze_collector, request_priority
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.child import CpuMeter, Ending, loop_status, refuse
from teleopd.service.control_process import LOOP_STATUS_S, PRIORITY, WARM_TICKS, ControlTick, service_gone, tick_log
from teleopd.service.streams import Bus

RATE_HZ = 50.0
"""As the policies; the gate bounds what happens in between."""


class ArmsStage:
    """Guard in one call; the same code in the process and in tests."""

    def __init__(self, model: RobotModel, overrides: Mapping[str, float] | None = None) -> None:
        """`overrides`: safety limits that tighten the built-in ones; the legs follow nobody in any case.

        Raises:
            ValueError: the robot's own controller lends no arms.
            LimitError: a limit that loosens, or that there is not.
        """
        if model.arms is None:
            raise ValueError(f"{model.name} has no arms that its own controller lends; mode arms is not for it")
        self._model = model
        self._taken = model.indices(model.arms.joint_names)
        self._guard = ReferenceGuard(model, thresholds=Thresholds({**(overrides or {}), "legs_follow": 0.0}))
        self._seq = 0

    def tick(self, reference: Reference | None, state: LowState, mode: Mode, now_ns: int) -> ControlTick:
        """One tick. Never raises: what goes wrong is in `targets.healthy`."""
        shaped = self._guard.step(reference, mode, now_ns, state)
        self._seq += 1
        q = self._model.q_stand.copy()
        q[self._taken] = shaped.q[self._taken]
        healthy = bool(np.isfinite(q).all())
        targets = JointTargets(
            seq=self._seq, t_ns=now_ns, q=q, kp=self._model.kp_ready, kd=self._model.kd_ready, healthy=healthy,
            ready=healthy and self._seq >= WARM_TICKS,
            reference_seq=reference.seq if reference else 0,
            reference_source_id=reference.source_id if reference else 0,
            t_reference_ns=reference.t_ns if reference else 0,
            t_content_ns=reference.t_content_ns if reference else 0,
            reference_valid=reference.valid if reference else False,
            reference_hz=reference.nominal_hz if reference else 0.0,
            deadman=reference.deadman if reference else False,
            pose_error_rad=self._guard.pose_error_rad, tilt_rp=np.zeros(2), limb_held=self._guard.held_joints > 0,
        )  # fmt: skip
        return ControlTick(targets, shaped, 0.0)


def main(session: Session, robot: str, overrides: Mapping[str, float] | None = None) -> None:
    """Entry of the process."""
    from teleopd.robots.catalog import load_robot

    model = load_robot(robot)
    try:
        stage = ArmsStage(model, overrides)
    except ValueError as error:
        refuse(session, "arms", str(error))
    bus = Bus(session, model.n)
    references, states, statuses = bus.slot("reference"), bus.slot("state"), bus.slot("safety_status")
    targets, shaped, loop = bus.slot("targets"), bus.slot("shaped_reference"), bus.slot("loop_control")
    log = bus.ring("tick_log")
    record_target, record_shaped = bus.record("target"), bus.record("shaped_reference")
    request_priority(PRIORITY)
    freeze_collector()
    ending, rate, cpu = Ending(), Rate(RATE_HZ), CpuMeter()
    while not ending.asked and not service_gone(ending, statuses.read()):
        rate.wait()
        now_ns = time.monotonic_ns()
        state: LowState | None = states.read()
        status: SafetyStatus | None = statuses.read()
        if state is not None and status is not None:
            mode = Mode(status.mode)
            tick = stage.tick(references.read(), state, mode, now_ns)
            published_ns = time.monotonic_ns()
            targets.write(tick.targets._replace(t_ns=published_ns))
            targets.wake()
            shaped.write(tick.shaped)
            record_target(tick.targets._replace(t_ns=published_ns))
            record_shaped(tick.shaped._replace(t_ns=published_ns))
            log.push(tick_log(tick, state, mode, published_ns))
        if rate.ticks % round(RATE_HZ * LOOP_STATUS_S) == 0:
            loop.write(loop_status(rate, cpu))
