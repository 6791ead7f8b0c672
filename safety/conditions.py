"""What is the case: which causes of the failsafe table hold now, and which of the two policies is used."""

from __future__ import annotations

from teleopd.robots.model import JointTargets, LowState
from teleopd.safety.failsafe import DRIVEN_MODES
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.policy_watch import PolicyWatch, SourceWatch
from teleopd.safety.robot_watch import RobotWatch
from teleopd.safety.stalls import Stalls
from teleopd.safety.words import Cause, Mode

STANDBY_BACK_NS = 1_000_000_000
"""The first policy process must be good for so long before it takes over from its standby again, in ARMED only."""
STRAIGHTEN_NS = 1_000_000_000
"""So long after a change of policies a robot may lean as the policy before wanted it to: as the blend to stand."""


class Conditions:
    """Keeps the watches and answers with bit sets of causes. It decides nothing; the supervisor does."""

    def __init__(self, limits: SafetyLimits, stalls: Stalls) -> None:
        t = limits.thresholds
        self._stalls = stalls
        self.robot = RobotWatch(limits, stalls)
        self.primary, self._standby = PolicyWatch(limits, stalls), PolicyWatch(limits, stalls)
        self.source = SourceWatch(limits, stalls)
        self.using_standby = False
        """The warm twin's targets are used."""
        self._ns = {row: t.ns(row) for row in _TIMES}
        # However far the loss is tightened, the standby comes before it.
        self._ns["targets_standby"] = min(self._ns["targets_standby"], self._ns["targets_lost"])
        self._invalid_ticks = t.value("targets_invalid")
        self._speed_samples = t.value("joint_speed_samples")
        self._tilt_error, self._tilt_fast = t.radians("tilt_error"), t.radians("tilt_fast_error")
        self._tilt_rate, self._tilt_absolute = t.value("tilt_fast_rate"), t.radians("tilt_absolute")
        self._tilted_since_ns = 0
        self._wanted_tilt = self._tilt_before = (0.0, 0.0)
        self._changed_ns = 0

    @property
    def policy(self) -> PolicyWatch:
        """The policy whose targets are used."""
        return self._standby if self.using_standby else self.primary

    def take_in(
        self, state: LowState | None, targets: JointTargets | None, standby: JointTargets | None, now_ns: int
    ) -> None:
        """The newest words of robot and policies; once a tick."""
        self.robot.update(state, now_ns)
        if self.primary.update(targets, now_ns):
            assert targets is not None
            self.source.note(targets)
        self._standby.update(standby, now_ns)
        self.source.judge(self.primary.targets, now_ns)

    def forget_tilt(self) -> None:
        """The robot stands anew: how long it was tilted before does not count."""
        self._tilted_since_ns = 0

    def of_robot(self, mode: Mode, gap_ns: int, now_ns: int) -> int:
        """Causes in the robot's reports and in the time `gap_ns` since the last command."""
        robot, found = self.robot, 0
        if robot.state is not None:
            state_age = robot.age_ns(now_ns)
            if state_age > self._ns["state_late"]:
                found |= 1 << Cause.STATE_LATE
                if state_age > self._ns["state_lost"]:
                    found |= 1 << Cause.STATE_LOST
            if not robot.valid:
                found |= 1 << Cause.STATE_INVALID
            if not robot.right_hardware:
                found |= 1 << Cause.WRONG_HARDWARE
            if robot.fault:
                found |= 1 << Cause.MOTOR_FAULT
            if robot.warm:
                found |= 1 << Cause.MOTOR_WARM
                if robot.hot:
                    found |= 1 << Cause.MOTOR_HOT
        if robot.foreign(now_ns):
            found |= 1 << Cause.FOREIGN_COMMANDS
        if mode in DRIVEN_MODES:
            if gap_ns > self._ns["command_gap"]:
                found |= 1 << Cause.COMMAND_GAP
            if robot.fast_samples >= self._speed_samples:
                found |= 1 << Cause.JOINT_SPEED
            if robot.tilt_rad > self._tilt_absolute:
                found |= 1 << Cause.TILT_ABSOLUTE
        return found

    def of_policy(self, mode: Mode, now_ns: int) -> int:
        """Causes in the targets of the policy that is used, which is chosen here, and in how the robot obeys them."""
        self._choose_policy(mode, now_ns)
        watch = self.policy
        found = 1 << Cause.STANDBY_TOOK_OVER if self.using_standby else 0
        age = watch.age_ns(now_ns)
        if age > self._ns["targets_late"]:
            found |= 1 << Cause.TARGETS_LATE
            if age > self._ns["targets_lost"]:
                found |= 1 << Cause.TARGETS_LOST
        if watch.invalid_ticks >= self._invalid_ticks:
            found |= 1 << Cause.TARGETS_INVALID
        if watch.targets is not None and watch.targets.limb_held:
            found |= 1 << Cause.LIMB_HELD
        return found | self._tilt(now_ns)

    def of_source(self, mode: Mode, in_mode_ns: int, engaged_source: int, now_ns: int) -> int:
        """Causes in the stream the robot follows; `engaged_source` is the one it was engaged with."""
        source, found = self.source, 0
        held_for = in_mode_ns if mode is Mode.HOLD else 0
        resuming = mode is Mode.HOLD and not source.fresh_for(self._ns["source_resume"], now_ns)
        if source.stale or resuming:
            found |= 1 << Cause.SOURCE_STALE
        if source.lost or held_for > self._ns["hold_longest"]:
            found |= 1 << Cause.SOURCE_LOST
        if source.frozen:
            found |= 1 << Cause.SOURCE_FROZEN
        if source.invalid:
            found |= 1 << Cause.SOURCE_INVALID
        if source.source_id != engaged_source:
            found |= 1 << Cause.SOURCE_SWAPPED
        return found

    def _choose_policy(self, mode: Mode, now_ns: int) -> None:
        """The warm twin takes over from a silent or broken policy. It hands back in ARMED, or when it fails itself."""
        first, twin, before = self.primary, self._standby, self.using_standby
        if not self.using_standby:
            self.using_standby = self._relieves(twin, first, now_ns)
        elif self._relieves(first, twin, now_ns):
            self.using_standby = False
        elif mode is Mode.ARMED and first.usable(now_ns):
            self.using_standby = now_ns - first.usable_since_ns < STANDBY_BACK_NS
        if self.using_standby != before:
            self._tilt_before, self._changed_ns = self._wanted_tilt, now_ns

    def _relieves(self, other: PolicyWatch, watch: PolicyWatch, now_ns: int) -> bool:
        """`watch` fails, and `other` is better. When `watch` is lost for good, one that is late is: a host that is slow
        makes both late, and damping is for the loss of every policy."""
        if not self._failing(watch, now_ns):
            return False
        lost_ns = self._ns["targets_lost"]
        lost = watch.age_ns(now_ns) > lost_ns or watch.invalid_ticks >= self._invalid_ticks
        return other.usable(now_ns, lost_ns if lost else 0)

    def _failing(self, watch: PolicyWatch, now_ns: int) -> bool:
        return watch.age_ns(now_ns) > self._ns["targets_standby"] or watch.invalid_ticks >= self._invalid_ticks

    def _tilt(self, now_ns: int) -> int:
        watch = self.policy
        if watch.targets is None or watch.invalid_run or self.robot.state is None:
            return 0
        roll, pitch = self._wanted_tilt = watch.targets.tilt_rp.tolist()
        error, rate = self.robot.tilt_error(roll, pitch)
        if self._changed_ns and now_ns - self._changed_ns < STRAIGHTEN_NS:
            # The other policy wants it upright at once; a robot that was bent over needs a moment.
            error, rate = min((error, rate), self.robot.tilt_error(*self._tilt_before))
        if error <= self._tilt_error:
            self._tilted_since_ns = 0
        elif not self._tilted_since_ns:
            self._tilted_since_ns = now_ns
        tilted_ns = self._stalls.age_ns(self._tilted_since_ns, now_ns) if self._tilted_since_ns else -1
        fast = error > self._tilt_fast and rate > self._tilt_rate
        return 1 << Cause.TILT_ERROR if fast or tilted_ns >= self._ns["tilt_error_time"] else 0


_TIMES = (
    "state_late", "state_lost", "command_gap", "targets_late", "targets_lost", "targets_standby", "tilt_error_time",
    "source_resume", "hold_longest",
)  # fmt: skip
