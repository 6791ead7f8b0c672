"""The source process: driver -> frame checks -> retarget -> `Reference`. It blocks on nothing but the socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import numpy as np

from teleopd.drivers.health import HealthMeter
from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.source import Source, SourceCounters, SourceError, SourceState
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import Reference
from teleopd.robots.rates import freeze_collector
from teleopd.service.child import CpuMeter, Ending, refuse
from teleopd.service.device_buttons import DeviceButtons
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.one_euro import OneEuro
from teleopd.service.retarget.calibration import CalibrationError
from teleopd.service.retarget.operator_file import load_operator
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.retarget.solver_choice import NoCompiler, SolverName
from teleopd.service.retarget.sparse import SparseBody
from teleopd.service.retarget.tables import TableError
from teleopd.service.streams import FAMILIES, MAX_BODIES, Bus, HumanView, LoopStatus, ReferenceLog, SourceStatus

if TYPE_CHECKING:
    from teleopd.drivers.velocity import VelocitySource

STATUS_PERIOD_S = 0.1
UNIT = 1e-6
"""Squared norms nearer to 1 are left as they are."""


class SourceTick(NamedTuple):
    """What one pose became."""

    reference: Reference | None
    retarget_us: float


class Counts(Protocol):
    """What a stage counts."""

    used: int
    rejected: int


class Reporting(Protocol):
    """What a source of any kind says of itself."""

    counters: SourceCounters

    @property
    def nominal_hz(self) -> float:
        """[Hz]"""

    @property
    def state(self) -> SourceState:
        """Where it stands now."""


class SourceStage:
    """Checks and retargeting in one call; the same code in the process, in lock step and in `teleop retarget`."""

    def __init__(
        self, checks: FrameChecks, retargeter: Retargeter, source_id: int, smooth: OneEuro | None = None
    ) -> None:
        """`smooth`: filter between checks and retargeting, for live sources."""
        self._smooth = smooth
        self._checks = checks
        self._retargeter = retargeter
        self._source_id = source_id
        self._sparse = SparseBody()
        self._last: Reference | None = None
        self.used = 0
        self.rejected = 0

    def on_pose(self, pose: HumanPose, now_ns: int) -> SourceTick:
        """Turn one pose into a reference; a refused pose repeats the last one, marked invalid."""
        pose = self._sparse.complete(pose)
        verdict = self._checks.check(pose, now_ns)
        if not verdict.accepted:
            self.rejected += 1
            return SourceTick(self._repeat(pose), 0.0)
        if self._checks.new_body:
            self._retargeter.recalibrate()
        elif verdict.restarted:
            self._retargeter.reset()
        started = time.perf_counter_ns()
        pose = with_units(pose)
        if self._smooth is not None:
            if verdict.restarted:
                self._smooth.reset()
            pose = self._smooth(pose)
        reference = self._retargeter.update(pose, verdict.t_content_ns)
        retarget_us = (time.perf_counter_ns() - started) / 1e3
        if reference is None:
            self.rejected += 1
            return SourceTick(self._repeat(pose), retarget_us)
        self.used += 1
        self._last = reference._replace(source_id=self._source_id)
        return SourceTick(self._last, retarget_us)

    def _repeat(self, pose: HumanPose) -> Reference | None:
        """The last good reference, marked; a deadman let go counts even in a pose that cannot be used."""
        if self._last is None:
            return None
        self._last = self._last._replace(deadman=self._last.deadman and pose.deadman)
        return self._last._replace(valid=False)


def with_units(pose: HumanPose) -> HumanPose:
    """The pose with quaternions of norm 1: the checks accept 0.9 to 1.1, what follows takes rotations for granted."""
    norms = np.einsum("ij,ij->i", pose.quat_w, pose.quat_w)
    if not (np.abs(norms - 1.0)[pose.valid] > UNIT).any():
        return pose
    return pose._replace(quat_w=np.divide(pose.quat_w, np.sqrt(norms)[:, None], where=pose.valid[:, None],
                                          out=pose.quat_w.copy()))  # fmt: skip


def human_view(pose: HumanPose) -> HumanView:
    """The pose as a fixed-size record for the console."""
    count = min(len(pose.skeleton.body_names), MAX_BODIES)
    pos, quat = np.zeros((MAX_BODIES, 3)), np.zeros((MAX_BODIES, 4))
    valid = np.zeros(MAX_BODIES, dtype=np.bool_)
    pos[:count], quat[:count], valid[:count] = pose.pos_w[:count], pose.quat_w[:count], pose.valid[:count]
    return HumanView(pose.t_ns, pose.seq, FAMILIES.index(pose.skeleton.family), count, pos, quat, valid)


def main(
    session: Session, robot: str, make_source: Callable[[], Source], solver: SolverName = "fast",
    policy: tuple[str, str] = ("", "tracker"), operator: str = "",
    input_filter: str = "none",
) -> None:  # fmt: skip
    """Entry of the process. `make_source` is a picklable factory, so that only this process imports the driver.

    `policy`: name and role of the card, for sources of velocity commands. `operator`: file of a stored calibration.
    `input_filter`: 'one_euro' or 'none'.
    """
    from teleopd.robots.catalog import load_robot

    model = load_robot(robot)
    ending, bus = Ending(), Bus(session, model.n)
    try:
        source = make_source()
        if getattr(source, "delivers", "") == "velocity":
            from teleopd.service.velocity_process import serve_velocity

            return serve_velocity(cast("VelocitySource", source), model, policy, session, bus, ending)
        calibration = load_operator(Path(operator)) if operator else None
        retargeter = Retargeter(model, source.skeleton, solver=solver, calibration=calibration)
        smooth = OneEuro() if input_filter == "one_euro" else None
        stage = SourceStage(FrameChecks(source.skeleton), retargeter, time.monotonic_ns(), smooth)
        asyncio.run(_run(source, stage, DeviceButtons(session, bus), bus, ending))
    except (SourceError, TableError, CalibrationError, NoCompiler) as error:
        refuse(session, "source", str(error))


async def _run(source: Source, stage: SourceStage, buttons: DeviceButtons, bus: Bus, ending: Ending) -> None:
    await source.open()
    health = HealthMeter(source.nominal_hz)
    publisher = asyncio.create_task(publish_status(source, stage, health, bus, ending))
    frames = asyncio.create_task(_frames(source, stage, buttons, health, bus))
    freeze_collector()  # a pose that waits for it is a stale pose
    try:
        await asyncio.wait({publisher, frames}, return_when=asyncio.FIRST_COMPLETED)
        if frames.done():
            frames.result()
            await publisher  # the file ended: keep telling the others so until the service ends
    finally:
        frames.cancel()
        publisher.cancel()
        await source.close()


async def _frames(
    source: Source, stage: SourceStage, buttons: DeviceButtons, health: HealthMeter, bus: Bus
) -> None:
    references, humans, log = bus.slot("reference"), bus.slot("human"), bus.ring("reference_log")
    record_reference, record_human = bus.record("reference"), bus.record("human")
    async for pose in source.poses():
        buttons.step(pose.buttons, time.monotonic_ns())
        tick = stage.on_pose(pose, time.monotonic_ns())
        if tick.reference is not None:
            published_ns = time.monotonic_ns()
            reference, view = tick.reference._replace(t_published_ns=published_ns), human_view(pose)
            references.write(reference)
            humans.write(view)
            record_reference(reference)
            record_human(view)
            if tick.reference.valid:
                log.push(ReferenceLog(tick.reference.seq, tick.reference.t_ns, tick.retarget_us, published_ns))
        health.pose(pose)


async def publish_status(source: Reporting, stage: Counts, health: HealthMeter, bus: Bus, ending: Ending) -> None:
    """Say a few times a second how the source fares, until the service ends."""
    status, loop, cpu = bus.slot("source_status"), bus.slot("loop_source"), CpuMeter()
    last_delivered, last_ns, rate_hz = 0, time.monotonic_ns(), 0.0
    while not ending.now:
        await asyncio.sleep(STATUS_PERIOD_S)
        now_ns = time.monotonic_ns()
        if now_ns - last_ns > 1_000_000_000:
            delivered = source.counters.delivered
            rate_hz = (delivered - last_delivered) * 1e9 / (now_ns - last_ns)
            last_delivered, last_ns = delivered, now_ns
        status.write(_status(source, stage, health, rate_hz, now_ns))
        loop.write(LoopStatus(now_ns, source.nominal_hz, stage.used, 0, 0.0, 0.0, 0.0, 0.0, 0.0, cpu.percent()))


def _status(source: Reporting, stage: Counts, health: HealthMeter, rate_hz: float, now_ns: int) -> SourceStatus:
    counters, figures = source.counters, health.figures(source.counters, now_ns)
    text = np.zeros(240, dtype=np.uint8)
    sentence = counters.last_rejection.encode()[:240]
    text[: len(sentence)] = np.frombuffer(sentence, dtype=np.uint8)
    rejected = sum(counters.rejected.values()) + counters.foreign + stage.rejected
    dropped = counters.lost + counters.duplicated
    return SourceStatus(
        now_ns, int(source.state if source.state is not None else SourceState.CONNECTING), rate_hz,
        counters.received, stage.used, dropped, rejected, counters.reordered, health.newest_ns, text,
        figures.age_ms, figures.delay_p50_ms, figures.delay_p99_ms, figures.jitter_ms, figures.loss,
        int(figures.content), figures.content_age_ms, figures.resets, counters.lost,
    )  # fmt: skip
