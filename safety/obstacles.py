"""What is in the way of the next step up the ladder. Each answer is a `Cause`, or -1 when the way is free."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teleopd.robots.model import RobotModel
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.policy_watch import PolicyWatch, SourceWatch
from teleopd.safety.robot_watch import RobotWatch
from teleopd.safety.words import Cause

FREE = -1


class Obstacles:
    """Looks at what the watches found; keeps nothing itself."""

    def __init__(
        self, limits: SafetyLimits, model: RobotModel, robot: RobotWatch, policy: PolicyWatch, source: SourceWatch,
        joints: Sequence[int] = (),
    ) -> None:  # fmt: skip
        """`joints`: those that have to stand as commanded; none given: all."""
        t = limits.thresholds
        self._model, self._robot, self._policy, self._source = model, robot, policy, source
        self._state_lost_ns, self._fresh_ns = t.ns("state_lost"), t.ns("source_fresh")
        self._joints = np.array(joints, dtype=np.intp) if joints else np.arange(model.n)
        self._upright, self._ramp_error = t.radians("ready_tilt"), t.value("ramp_error")
        self._pose_error = t.value("pose_error")

    def of_robot(self, now_ns: int) -> int:
        """The robot reports, possible values, as the hardware it should be, without faults; nobody else commands it."""
        robot = self._robot
        if robot.state is None or robot.age_ns(now_ns) > self._state_lost_ns:
            return int(Cause.STATE_LOST)
        if not robot.valid:
            return int(Cause.STATE_INVALID)
        if not robot.right_hardware:
            return int(Cause.WRONG_HARDWARE)
        if robot.fault:
            return int(Cause.MOTOR_FAULT)
        return int(Cause.FOREIGN_COMMANDS) if robot.foreign(now_ns) else FREE

    def to_idle(self, now_ns: int) -> int:
        """As above, and cool."""
        found = self.of_robot(now_ns)
        return int(Cause.MOTOR_WARM) if found == FREE and self._robot.warm else found

    def to_ready(self, now_ns: int) -> int:
        """As above but for the heat of a robot that was at work; upright and within its joint ranges."""
        found = self.of_robot(now_ns)
        if found != FREE:
            return found
        if self._robot.hot:
            return int(Cause.MOTOR_HOT)
        fit = self._robot.tilt_rad < self._upright and self._robot.inside_range()
        return FREE if fit else int(Cause.CHECK_FAILED)

    def to_armed(self, ramp_over: bool, now_ns: int) -> int:
        """The policy runs, the robot is upright, and once the ramp is over it really stands as commanded."""
        found = self.of_robot(now_ns)
        if found != FREE:
            return found
        if not self._policy.usable(now_ns):
            return int(Cause.TARGETS_LOST)
        if self._robot.hot:
            return int(Cause.MOTOR_HOT)
        state = self._robot.state
        assert state is not None
        away = np.abs(state.q - self._model.q_stand)[self._joints]
        arrived = not ramp_over or float(away.max()) < self._ramp_error
        return FREE if arrived and self._robot.tilt_rad < self._upright else int(Cause.CHECK_FAILED)

    def to_active(self, now_ns: int) -> int:
        """The policy runs, and the source has been fresh, punctual and alive for a second, near the robot's pose."""
        source, targets = self._source, self._policy.targets
        if targets is None or not self._policy.usable(now_ns):
            return int(Cause.TARGETS_LOST)
        if self._robot.hot:
            return int(Cause.MOTOR_HOT)
        if self._robot.foreign(now_ns):
            return int(Cause.FOREIGN_COMMANDS)
        if source.lost:
            return int(Cause.SOURCE_LOST)
        if not source.fresh_for(self._fresh_ns, now_ns) or not source.rate_ok:
            return int(Cause.SOURCE_STALE)
        if source.invalid:
            return int(Cause.SOURCE_INVALID)
        if source.frozen:
            return int(Cause.SOURCE_FROZEN)
        return FREE if targets.pose_error_rad < self._pose_error else int(Cause.POSE_MISMATCH)
