"""The same stages in one process with the virtual robot: deterministic, faster than real time.

Evaluation, qualification, training and scenario tests use it, so that what is judged is what runs. Time is a counter:
nothing here reads a clock (stage costs in the logs aside).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.ipc.codec import Codec
from teleopd.robots.model import JointTargets, LowState, Reference, RobotModel
from teleopd.robots.virtual.in_process import InProcessLink
from teleopd.robots.virtual.perturbation import NONE, Perturbation
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.thresholds import Thresholds
from teleopd.safety.words import OPERATOR_WRITERS, Act, Mode, OperatorCommand
from teleopd.service.compliance import Compliance
from teleopd.service.control_process import ControlStage, ControlTick, tick_log
from teleopd.service.policy.card import gains_for
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.runtime import PolicyRuntime
from teleopd.service.robot_io_stage import RobotIoStage, RobotIoTick
from teleopd.service.source_process import SourceStage
from teleopd.service.streams import TickLog, tick_log_fields

ROBOT_IO_NS = 2_000_000
"""500 Hz."""
START_NS = 1_000_000_000
"""Time does not start at 0, which means 'never' in several records."""
TOKEN = 1
"""Operator token: there is no other process to keep out."""
LADDER_S = 10.0
"""From BOOT to ARMED takes less: half a second of checks and the 3 s ramp."""
LOWER_S = 0.5


class ModeChange(NamedTuple):
    """When the ladder moved."""

    t_s: float
    mode: Mode
    cause: int


References = Callable[[int], Reference | None]
"""Time [ns] -> the newest reference at that time."""


class Lockstep:
    """One robot, one policy, one safety layer, advanced 20 ms at a time."""

    def __init__(
        self,
        model: RobotModel,
        policy: ResolvedPolicy,
        *,
        perturbation: Perturbation = NONE,
        seed: int = 0,
        physics_hz: int = 1000,
        with_standby: bool = False,
        overrides: Mapping[str, float] | None = None,
        force_limit_n: float = 0.0,
        admittance: bool = False,
    ) -> None:
        """
        Args:
            perturbation: delays, noise, pushes and errors of the virtual robot, drawn with `seed`.
            with_standby: also run the warm twin.
            overrides: safety limits that tighten the built-in ones.
            force_limit_n, admittance: how hard the arms may push, as `Compliance`.
        """
        self.model = model
        self._compliance, self._overrides = (force_limit_n, admittance), overrides
        self.robot = VirtualRobot(model, physics_hz=physics_hz, perturbation=perturbation, seed=seed, odometry=True)
        self.now_ns = START_NS
        link = InProcessLink(self.robot, lambda: self.now_ns)
        self.control = self._make_control(policy)
        self._standby = self._make_control(policy) if with_standby else None
        kp, kd = gains_for(policy.card, model, "sim")
        limits = SafetyLimits.of(model, kp=kp, kd=kd, overrides=overrides)
        self.robot_io = RobotIoStage(model, limits, link, SupervisorConfig(token=TOKEN, started_ns=START_NS))
        self.control_alive = True
        """Tests set it to False: the control process is gone."""
        self.engage_held = False
        self.on_robot_io: Callable[[RobotIoTick], None] = lambda _tick: None
        """Hears every tick of robot-io, right after its command went out."""
        self.changes: list[ModeChange] = []
        self.fell_at_s: float | None = None
        self.last_tick: ControlTick | None = None
        """The newest policy tick."""
        self._codec = Codec(TickLog, tick_log_fields(model.n))
        self._rows: list[npt.NDArray[Any]] = []
        self._act, self._act_seq = Act.NONE, 0
        self._targets: JointTargets | None = None
        self._standby_targets: JointTargets | None = None
        self._io: RobotIoTick | None = None
        self._control_ns = round(1e9 / policy.card.rate_hz)

    def _make_control(self, policy: ResolvedPolicy) -> ControlStage:
        runtime = PolicyRuntime(policy.card, policy.onnx_path, self.model, link="sim")
        compliance = Compliance(policy.card, self.model, *self._compliance)
        thresholds = Thresholds(self._overrides)
        guard = ReferenceGuard(self.model, thresholds=thresholds)
        return ControlStage(self.model, guard, runtime, compliance, thresholds)

    @property
    def mode(self) -> Mode:
        """Where the ladder stands."""
        return self.robot_io.supervisor.mode

    @property
    def state(self) -> LowState | None:
        """What the robot measured last: what the next policy tick sees."""
        return self._io.state if self._io is not None else None

    @property
    def time_s(self) -> float:
        """Time since the start [s]."""
        return (self.now_ns - START_NS) / 1e9

    def act(self, act: Act) -> None:
        """An operator's act; taken at the next tick."""
        self._act, self._act_seq = act, self._act_seq + 1

    def step(self, reference: Reference | None) -> None:
        """One policy tick and the robot-io ticks and physics up to the next."""
        state = self._io.state if self._io is not None else None
        if state is not None:
            if self.control_alive:
                tick = self.control.tick(reference, state, self.mode, self.now_ns)
                self._targets, self.last_tick = tick.targets, tick
                self._log(tick_log(tick, state, self.mode, self.now_ns))
            if self._standby is not None:
                spare = self._io is not None and not self._io.output.using_standby
                self._standby_targets = self._standby.tick(None, state, self.mode, self.now_ns, spare=spare).targets
        for _ in range(self._control_ns // ROBOT_IO_NS):
            self._robot_io_tick()

    def _robot_io_tick(self) -> None:
        before = self.mode
        commands: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
        commands[OPERATOR_WRITERS.index("serve")] = OperatorCommand(
            self._act_seq, self.now_ns, TOKEN, int(self._act), self.engage_held
        )
        self._io = self.robot_io.tick(self._targets, self._standby_targets, commands, 0, self.now_ns)
        if self.mode != before or not self.changes:
            self.changes.append(ModeChange(self.time_s, self.mode, self._io.output.mode_cause))
        self.on_robot_io(self._io)
        self.now_ns += ROBOT_IO_NS
        self.robot.step(ROBOT_IO_NS * 1e-9)
        if self.fell_at_s is None and self.robot.fallen:
            self.fell_at_s = self.time_s

    def _log(self, row: TickLog) -> None:
        buffer = np.zeros(self._codec.size, dtype=np.uint8)
        self._codec.pack(row, self._codec.views(buffer))
        self._rows.append(buffer)

    @property
    def ticks(self) -> npt.NDArray[Any]:
        """All policy ticks so far, as records of `TickLog`."""
        if not self._rows:
            return np.empty(0, dtype=self._codec.dtype)
        return np.concatenate(self._rows).view(self._codec.dtype)

    def run(self, references: References, seconds: float) -> None:
        """Advance by `seconds` with the newest reference of each moment."""
        for _ in range(round(seconds * 1e9 / self._control_ns)):
            self.step(references(self.now_ns))

    def arm(self, references: References = lambda _now: None) -> None:
        """Climb from BOOT to ARMED, standing freely on the policy.

        Raises:
            RuntimeError: the ladder did not get there; says where it stands.
        """
        deadline = self.now_ns + round(LADDER_S * 1e9)
        while self.mode is not Mode.ARMED:
            if self.now_ns > deadline:
                raise RuntimeError(f"not ARMED after {LADDER_S:.0f} s: the ladder stands at {self.mode.name}")
            if self.mode is Mode.IDLE:
                self.act(Act.READY)
            elif self.mode is Mode.READY and self._io is not None and self._io.status.ready_to_arm:
                self.act(Act.ARM)
            self.step(references(self.now_ns))
        self.robot.gantry.lower(LOWER_S)
        self.run(references, LOWER_S + 0.5)

    def engage(self, references: References, within_s: float = 3.0) -> bool:
        """Press the deadman and keep it held; False when the ladder refuses for `within_s`."""
        for _ in range(round(within_s / 0.6)):
            self.engage_held = False
            self.run(references, 0.1)
            self.engage_held = True
            for _ in range(25):
                self.step(references(self.now_ns))
                if self.mode is Mode.ACTIVE:
                    return True
        return False


class PoseStream:
    """References made from a list of poses as the source process makes them; `latency_ns` delays their receipt."""

    def __init__(
        self, stage: SourceStage, pose_at: Callable[[int], HumanPose], rate_hz: float, frames: int, start_ns: int,
        latency_ns: int = 0,
    ) -> None:  # fmt: skip
        """`pose_at(i)` gives frame i of `frames`, sent at `start_ns + i / rate_hz`."""
        self._stage, self._pose_at, self._latency_ns = stage, pose_at, latency_ns
        self._rate_hz, self._frames, self._start_ns = rate_hz, frames, start_ns
        self._next = 0
        self._newest: Reference | None = None
        self.lost: Callable[[int], bool] = lambda _frame: False
        """Frames that never arrive."""

    @property
    def ended(self) -> bool:
        """Every frame was sent."""
        return self._next >= self._frames

    def __call__(self, now_ns: int) -> Reference | None:
        while not self.ended:
            sent_ns = self._start_ns + round(self._next * 1e9 / self._rate_hz)
            received_ns = sent_ns + self._latency_ns
            if received_ns > now_ns:
                break
            if not self.lost(self._next):
                pose = self._pose_at(self._next)._replace(seq=self._next, t_ns=received_ns, t_source_ns=sent_ns)
                self._newest = self._stage.on_pose(pose, received_ns).reference
            self._next += 1
        return self._newest
