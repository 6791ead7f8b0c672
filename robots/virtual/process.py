"""The virtual robot as a process of its own, on the sim link.

Simulated time is wall time minus stalls. Each tick of the loop simulates one period, plus the ticks it has just missed
when these are no more than `JITTER_S` together: a real robot does not wait for a scheduler either. Ticks missed in a
longer stall are skipped and never made up for, so that a host that stalls pauses the robot together with its
controller instead of letting it fall for the length of the stall in a burst of physics.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass

from teleopd.robots.ipc.session import Session
from teleopd.robots.links.sim.wire import (
    GantryMode,
    MotorCommand,
    SimStreams,
    VirtualControl,
    VirtualTruth,
    attach_sim_streams,
)
from teleopd.robots.model import RobotModel
from teleopd.robots.rates import LoopStats, Rate, request_priority
from teleopd.robots.virtual.perturbation import NONE, Perturbation
from teleopd.robots.virtual.robot import Silence, VirtualRobot

TRUTH_EVERY_S = 0.01
STATS_EVERY_S = 0.5
JITTER_S = 0.01
"""As much lateness as robot-io takes for its own, too."""
PRIORITY = 60
"""SCHED_FIFO where permitted: a real robot is never late because a host is busy. Below robot-io's 80."""


@dataclass(frozen=True, slots=True)
class VirtualOptions:
    """How the virtual robot runs. Picklable."""

    physics_hz: int = 1000
    publish_hz: int = 500
    """Rate of the loop and of LowState; must divide `physics_hz`."""
    perturbation: Perturbation = NONE
    seed: int = 0
    odometry: bool = False
    silence: Silence = Silence.HOLD
    silence_s: float = 0.1

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the rates do not fit.
        """
        if self.publish_hz <= 0 or self.physics_hz % self.publish_hz:
            raise ValueError(f"publish_hz is {self.publish_hz}; it must divide physics_hz {self.physics_hz}")


def resolve(robot: RobotModel | str) -> RobotModel:
    """A robot model, or the one a reference `module:ATTRIBUTE` names (which a spawned process can be given).

    Raises:
        ValueError: the reference has another form or names something else.
    """
    if isinstance(robot, RobotModel):
        return robot
    module, colon, attribute = robot.partition(":")
    if not colon:
        raise ValueError(f"'{robot}' is not a robot reference; write module:ATTRIBUTE")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, RobotModel):
        raise ValueError(f"'{robot}' is a {type(found).__name__}, not a RobotModel")
    return found


class VirtualProcess:
    """One virtual robot on the streams of a session; `tick` is free of clocks, so that tests need no waiting."""

    def __init__(self, streams: SimStreams, robot: VirtualRobot, publish_hz: int) -> None:
        self._streams = streams
        self._robot = robot
        self._steps = robot.physics_hz // publish_hz
        self._jitter_ticks = int(JITTER_S * publish_hz)
        self._truth_every = max(1, round(TRUTH_EVERY_S * publish_hz))
        self._stats_every = max(1, round(STATS_EVERY_S * publish_hz))
        self._ticks = 0
        self._command: MotorCommand | None = streams.command.read()  # left by an earlier robot: not obeyed
        self._control: VirtualControl | None = None
        self._stats = LoopStats(float(publish_hz), 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._window: tuple[int, int] | None = None
        self._total_steps = 0
        self._real_time_factor = 1.0

    def tick(self, now_ns: int, skipped: int = 0, rate: Rate | None = None) -> bool:
        """Obey, simulate, publish; False when asked to end. `skipped`: ticks missed since the last one."""
        control = self._streams.control.read()
        if control is not None and control is not self._control:
            if control.stop:
                return False
            self._obey(control)
        command = self._streams.command.read()
        if command is not None and command is not self._command:
            self._robot.command(command.q, command.dq, command.tau, command.kp, command.kd)
            self._command = command
        steps = self._steps * (1 + skipped if skipped <= self._jitter_ticks else 1)
        self._robot.advance(steps)
        self._total_steps += steps
        self._streams.state.write(self._robot.low_state(now_ns))
        if self._ticks % self._stats_every == 0:
            self._measure(now_ns, rate)
        if self._ticks % self._truth_every == 0:
            self._streams.truth.write(self._truth(now_ns))
        self._ticks += 1
        return True

    def _obey(self, control: VirtualControl) -> None:
        """Do what changed since the last control record; the first is compared with a robot as it starts."""
        last = self._control
        self._control = control
        was_reset = last is not None and control.reset_seq != last.reset_seq
        if was_reset:
            self._robot.reset()
        gantry = self._robot.gantry
        before = int(GantryMode.HANG) if last is None or was_reset else last.gantry
        if control.gantry != before:
            if control.gantry == GantryMode.HANG:
                self._robot.hang()
            elif control.gantry == GantryMode.LOWER:
                gantry.lower(control.lower_s)
            elif control.gantry == GantryMode.RELEASE:
                gantry.release()
        if last is not None and control.push_seq != last.push_seq:
            x, y, z = (float(newton) for newton in control.push_force_w)
            self._robot.push((x, y, z), control.push_duration_s)

    def _measure(self, now_ns: int, rate: Rate | None) -> None:
        if rate is not None:
            self._stats = rate.stats()
        if self._window is None:
            self._window = (now_ns, self._total_steps)
        elif now_ns - self._window[0] >= 1_000_000_000:
            simulated_s = (self._total_steps - self._window[1]) * self._robot.dt_s
            self._real_time_factor = simulated_s / ((now_ns - self._window[0]) * 1e-9)
            self._window = (now_ns, self._total_steps)

    def _truth(self, now_ns: int) -> VirtualTruth:
        robot, data, stats = self._robot, self._robot.mj_data, self._stats
        return VirtualTruth(
            t_ns=now_ns, nonce=self._control.nonce if self._control is not None else 0, pid=os.getpid(),
            sim_time_s=robot.time_s, root_pos_w=data.qpos[:3], root_quat_w=data.qpos[3:7],
            root_lin_vel_w=data.qvel[:3], root_ang_vel_b=data.qvel[3:6], fallen=robot.fallen, diverged=robot.diverged,
            gantry=int(robot.gantry.mode), gantry_force_w=robot.gantry_force_w, push_active=robot.push_active,
            resets=self._control.reset_seq if self._control is not None else 0,
            commands_received=robot.commands_received, commands_refused=robot.commands_refused,
            real_time_factor=self._real_time_factor, loop_rate_hz=stats.rate_hz, loop_ticks=stats.ticks,
            loop_missed=stats.missed, loop_late_p50_us=stats.late_p50_us, loop_late_p99_us=stats.late_p99_us,
            loop_late_max_us=stats.late_max_us, loop_work_p50_us=stats.work_p50_us,
            loop_work_p99_us=stats.work_p99_us,
        )  # fmt: skip


def main(session: Session, robot: RobotModel | str, options: VirtualOptions | None = None) -> None:
    """Entry of the spawned process: runs until asked to stop, or until the parent is gone.

    SIGINT is ignored: Ctrl-C reaches the whole process group, and the parent must first bring the robot down.

    Raises:
        SegmentMissing, SchemaMismatch: the parent did not create the streams, or for another robot.
        ValueError, ModelUnusable: the robot cannot be simulated.
    """
    options = options if options is not None else VirtualOptions()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    parent_pid = parent.pid if parent is not None else os.getppid()
    model = resolve(robot)
    streams = attach_sim_streams(session, model.n)
    virtual = VirtualRobot(
        model, physics_hz=options.physics_hz, perturbation=options.perturbation, seed=options.seed,
        odometry=options.odometry, silence=options.silence, silence_s=options.silence_s,
    )  # fmt: skip
    process = VirtualProcess(streams, virtual, options.publish_hz)
    request_priority(PRIORITY)
    rate = Rate(options.publish_hz)
    running, missed = True, 0
    while running and os.getppid() == parent_pid:
        rate.wait()
        running = process.tick(time.monotonic_ns(), rate.missed - missed, rate)
        missed = rate.missed
