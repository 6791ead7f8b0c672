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
from teleopd.robots.links.sim.wire import MotorCommand, SimStreams, VirtualControl, attach_sim_streams
from teleopd.robots.model import RobotModel
from teleopd.robots.rates import Rate, freeze_collector, request_priority
from teleopd.robots.virtual.guided import Guided
from teleopd.robots.virtual.perturbation import NONE, Perturbation
from teleopd.robots.virtual.robot import Silence, VirtualRobot

TRUTH_EVERY_S = 0.01
LEFT_S = 2.0
"""A robot whose parent is gone and that was not commanded for so long has nobody left."""
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
        self._guided = Guided(robot, publish_hz)
        self._quiet_ticks, self._left_ticks = 0, round(LEFT_S * publish_hz)

    @property
    def commanded(self) -> bool:
        """Somebody still writes to the motors."""
        return self._quiet_ticks < self._left_ticks

    def tick(self, now_ns: int, skipped: int = 0, rate: Rate | None = None) -> bool:
        """Obey, simulate, publish; False when asked to end. `skipped`: ticks missed since the last one."""
        control = self._streams.control.read()
        if control is not None and control is not self._control:
            if control.stop:
                return False
            self._guided.obey(control)
            self._control = control
        command = self._streams.command.read()
        if command is not None and command is not self._command:
            self._robot.command(command.q, command.dq, command.tau, command.kp, command.kd)
            self._command, self._quiet_ticks = command, 0
        else:
            self._quiet_ticks += 1
        steps = self._steps * (1 + skipped if skipped <= self._jitter_ticks else 1)
        self._robot.advance(steps)
        self._guided.stepped(steps)
        self._streams.state.write(self._robot.low_state(now_ns))
        if self._ticks % self._stats_every == 0:
            self._guided.measure(now_ns, rate)
        if self._ticks % self._truth_every == 0:
            self._streams.truth.write(self._guided.truth(now_ns))
        self._ticks += 1
        return True


def main(session: Session, robot: RobotModel | str, options: VirtualOptions | None = None) -> None:
    """Entry of the spawned process: runs until asked to stop, or until the parent is gone and nobody commands it.

    A robot does not vanish with the service: the motor process outlives its parent and brings the robot to stand.

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
    freeze_collector()
    rate = Rate(options.publish_hz)
    running, missed = True, 0
    while running and (os.getppid() == parent_pid or process.commanded):
        rate.wait()
        running = process.tick(time.monotonic_ns(), rate.missed - missed, rate)
        missed = rate.missed
