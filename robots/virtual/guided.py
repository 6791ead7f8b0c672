"""What a virtual robot does at the word of whoever runs it, and the truth it shows: the same on every transport."""

from __future__ import annotations

import os

from teleopd.robots.links.sim.wire import GantryMode, VirtualControl, VirtualTruth
from teleopd.robots.rates import LoopStats, Rate
from teleopd.robots.virtual.robot import VirtualRobot


class Guided:
    """Obeys `VirtualControl` and tells `VirtualTruth` of one virtual robot and the loop that runs it."""

    def __init__(self, robot: VirtualRobot, publish_hz: int) -> None:
        self._robot = robot
        self._control: VirtualControl | None = None
        self._stats = LoopStats(float(publish_hz), 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._window: tuple[int, int] | None = None
        self._total_steps = 0
        self._real_time_factor = 1.0

    @property
    def nonce(self) -> int:
        """The nonce shown back now, 0 before the first control."""
        return self._control.nonce if self._control is not None else 0

    def obey(self, control: VirtualControl) -> None:
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

    def begin_anew(self) -> None:
        """Somebody else takes over: the robot hangs at its start, and the next control is a first one."""
        self._robot.reset()
        self._control = None

    def stepped(self, steps: int) -> None:
        """The physics advanced by `steps`."""
        self._total_steps += steps

    def measure(self, now_ns: int, rate: Rate | None) -> None:
        """Look at the loop's punctuality; once in a while."""
        if rate is not None:
            self._stats = rate.stats()
        if self._window is None:
            self._window = (now_ns, self._total_steps)
        elif now_ns - self._window[0] >= 1_000_000_000:
            simulated_s = (self._total_steps - self._window[1]) * self._robot.dt_s
            self._real_time_factor = simulated_s / ((now_ns - self._window[0]) * 1e-9)
            self._window = (now_ns, self._total_steps)

    def truth(self, now_ns: int) -> VirtualTruth:
        """What is the case now."""
        robot, data, stats = self._robot, self._robot.mj_data, self._stats
        return VirtualTruth(
            t_ns=now_ns, nonce=self.nonce, pid=os.getpid(),
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
