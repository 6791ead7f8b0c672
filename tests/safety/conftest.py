"""A small synthetic robot, and a rig that runs supervisor, ramp and gate together on injected time."""

from __future__ import annotations

import copy
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from teleopd.robots.model import JointCommand, JointLimits, JointTargets, LowState, RobotModel
from teleopd.safety.gate import Gate
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.ramp import ReadyRamp
from teleopd.safety.supervisor import Emit, Supervisor, SupervisorConfig, SupervisorInputs, SupervisorOutput
from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand

settings.register_profile("default", max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("long", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile(
    "mutants", max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

N = 3
TOKEN = 77
MS = 1_000_000
MACHINE = 5


def make_model(name: str = "three_joints", joints: tuple[str, ...] = ("hip", "knee", "ankle")) -> RobotModel:
    """A robot of three joints with round numbers."""
    limits = JointLimits(
        q_lower=np.array([-2.0, -0.1, -0.5]), q_upper=np.array([2.0, 2.5, 0.5]),
        dq_max=np.array([20.0, 20.0, 30.0]), tau_max=np.array([100.0, 50.0, 20.0]),
    )  # fmt: skip
    return RobotModel(
        name=name, title="", joint_names=joints, limits_by_mode_machine={MACHINE: limits}, default_mode_machine=MACHINE,
        kp_ready=np.array([60.0, 60.0, 40.0]), kd_ready=np.array([2.0, 2.0, 1.0]), kd_damp=np.full(N, 8.0),
        q_stand=np.array([-0.3, 0.6, -0.3]), stand_height_m=0.8, mjcf=Path("none.xml"), root_body="pelvis",
        imu_sites={"pelvis": "imu"}, key_sites=(), sole_sites=(), wire="hg", wire_slot=(0, 1, 2), provenance={},
    )  # fmt: skip


KP, KD = np.array([100.0, 150.0, 40.0]), np.array([2.0, 4.0, 2.0])


def state(t_ns: int, **changes: object) -> LowState:
    """A healthy robot standing still."""
    base = LowState(
        t_ns=t_ns, tick=t_ns // MS, mode_machine=MACHINE, q=np.array([-0.3, 0.6, -0.3]), dq=np.zeros(N),
        tau=np.zeros(N), quat_w=np.array([1.0, 0.0, 0.0, 0.0]), gyro_b=np.zeros(3), accel_b=np.array([0.0, 0.0, 9.81]),
        temperature_c=np.full(N, 40.0), motor_fault=np.zeros(N, dtype=np.uint32), remote=np.zeros(40, dtype=np.uint8),
        has_odometry=False, root_pos_w=np.zeros(3), root_lin_vel_w=np.zeros(3),
    )  # fmt: skip
    return base._replace(**changes)  # type: ignore[arg-type]


def targets(t_ns: int, seq: int, **changes: object) -> JointTargets:
    """A healthy policy following a fresh 100 Hz source."""
    base = JointTargets(
        seq=seq, t_ns=t_ns, q=np.array([-0.3, 0.6, -0.3]), kp=KP, kd=KD, healthy=True, ready=True,
        reference_seq=2 * seq, reference_source_id=1, t_reference_ns=t_ns - 5 * MS, t_content_ns=t_ns - 5 * MS,
        reference_valid=True, reference_hz=100.0, deadman=False, pose_error_rad=0.2, tilt_rp=np.zeros(2),
    )  # fmt: skip
    return base._replace(**changes)  # type: ignore[arg-type]


_CLIMBED: dict[object, dict[str, object]] = {}


class Rig:
    """Robot, policy and source that behave, 2 ms at a time; a test takes them away or changes what they say."""

    def __init__(self, model: RobotModel | None = None, **config: object) -> None:
        self.model = model or make_model()
        overrides = config.pop("overrides", None)
        self.limits = SafetyLimits.of(self.model, kp=KP, kd=KD, overrides=overrides)  # type: ignore[arg-type]
        self.overrides = repr(overrides)
        self.now = 1_000 * MS
        self.supervisor = Supervisor(
            self.limits, self.model, SupervisorConfig(token=TOKEN, started_ns=self.now, **config)  # type: ignore[arg-type]
        )
        self.gate = Gate(self.limits, self.model)
        self.ramp: ReadyRamp | None = None
        self.commands: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
        self.seqs = [0] * len(OPERATOR_WRITERS)
        self.held = False
        self.heartbeat = True
        self.robot_on = self.policy_on = self.source_on = True
        self.standby_on = False
        self.state_changes: dict[str, object] = {}
        self.target_changes: dict[str, object] = {}
        self.late_ns = 0
        self.shutdown = False
        self.foreign_commands = 0
        self.state: LowState | None = None
        self.targets: JointTargets | None = None
        self.standby: JointTargets | None = None
        self.reference_ns = self.now
        self.reference_seq = 0
        self.tick = 0
        self.out: SupervisorOutput | None = None
        self.command: JointCommand | None = None

    @property
    def mode(self) -> Mode:
        return self.supervisor.mode

    def write(self, act: Act = Act.NONE, /, writer: int = 0, **changes: object) -> None:
        """A new word in a writer's slot."""
        self.seqs[writer] += act is not Act.NONE
        last = self.commands[writer]
        kept = int(act) if act is not Act.NONE else (last.act if last else 0)
        word = OperatorCommand(self.seqs[writer], self.now, TOKEN, kept, self.held)
        self.commands[writer] = word._replace(**changes)  # type: ignore[arg-type]

    def press(self, held: bool = True) -> None:
        self.held = held
        self.write()

    def step(self, ms: int = 2) -> SupervisorOutput:
        """One tick, `ms` after the one before."""
        self.now += ms * MS
        self.tick += 1
        if self.robot_on:
            self.state = state(self.now - MS // 2, **self.state_changes)
        if self.source_on and self.tick % 5 == 0:
            self.reference_ns, self.reference_seq = self.now, self.reference_seq + 1
        if self.policy_on and self.tick % 10 == 0:
            self.targets = targets(
                self.now - MS, self.tick, reference_seq=self.reference_seq, t_reference_ns=self.reference_ns,
                t_content_ns=self.reference_ns,
            )._replace(**self.target_changes)  # type: ignore[arg-type]
        if self.standby_on and self.tick % 10 == 5:
            self.standby = targets(self.now - MS, self.tick, reference_seq=0, t_reference_ns=0, t_content_ns=0)
        if self.held and self.heartbeat and self.tick % 40 == 0:
            self.write()
        inputs = SupervisorInputs(
            self.state, self.targets, self.commands, self.standby, self.late_ns, self.shutdown,
            self.foreign_commands,
        )
        self.out = self.supervisor.step(inputs, self.now)
        self._gate_step(self.out)
        return self.out

    def _gate_step(self, out: SupervisorOutput) -> None:
        q = kp = kd = np.zeros(0)
        if out.emit is Emit.READY_RAMP and self.state is not None:
            self.ramp = self.ramp or ReadyRamp(self.model, self.state.q, self.now)
            q, kp, kd = self.ramp.step(self.now)
        else:
            self.ramp = None
        if out.emit is Emit.POLICY and out.targets is not None:
            q, kp, kd = out.targets.q, out.targets.kp, out.targets.kd
        self.command = None
        if out.emit is not Emit.NOTHING:
            self.command = self.gate.step(out.emit, q, kp, kd, self.state, self.now, int(out.using_standby))

    def run(self, ms: int) -> None:
        for _ in range(ms // 2):
            self.step()

    def to(self, mode: Mode) -> Rig:
        """Climb to a mode the regular way, with everything healthy. A climb done before is copied."""
        if mode is Mode.BOOT:
            return self
        if self.tick:
            return self._climb(mode)
        key = (mode, self.supervisor._config, repr(self.target_changes), self.standby_on, self.overrides)
        if key not in _CLIMBED:
            climbed = copy.copy(self._climb(mode))
            climbed.gate = None  # type: ignore[assignment]
            _CLIMBED[key] = copy.deepcopy(climbed.__dict__)
            return self
        gate = self.gate
        self.__dict__ = copy.deepcopy(_CLIMBED[key])
        self.gate = gate
        if self.out is not None:
            self._gate_step(self.out)
        return self

    def _climb(self, mode: Mode) -> Rig:
        if mode is Mode.DAMPED:
            self._climb(Mode.IDLE)
            self.write(Act.DAMP)
            self.step()
        elif mode is Mode.CHECK:
            self.run(10)
        elif mode is Mode.IDLE:
            self.run(300)
        elif mode is Mode.READY:
            self._climb(Mode.IDLE)
            self.write(Act.READY)
            self.step()
        elif mode is Mode.ARMED:
            self._climb(Mode.READY)
            self.run(3100)
            self.write(Act.ARM)
            self.step()
        elif mode is Mode.ACTIVE:
            self._climb(Mode.ARMED)
            self.run(100)
            self.press()
            self.step()
        elif mode is Mode.HOLD:
            self._climb(Mode.ACTIVE)
            self.source_on = False
            self.run(90)
        elif mode is Mode.RETURN:
            self._climb(Mode.ACTIVE)
            self.write(Act.STOP)
            self.step()
        if mode in (Mode.CHECK, Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE):
            assert self.out is not None and self.out.mode_cause == -1
        assert self.mode is mode, f"wanted {mode.name}, is in {self.mode.name}: {self.causes()}"
        return self

    def causes(self) -> set[Cause]:
        """Active causes after the last tick."""
        assert self.out is not None
        return {cause for cause in Cause if self.out.causes >> cause & 1}

    def damping(self) -> bool:
        """What was sent last is damping."""
        assert self.command is not None
        gains, most = self.command.kd, self.model.kd_damp
        lowered = np.zeros(N, dtype=bool)
        if self.state is not None and self.state.dq.shape == (N,) and (np.abs(self.state.dq) < 1000.0).all():
            lowered = (gains < most) & (gains * np.abs(self.state.dq) > 0.99 * self.limits.tau_max)  # torque bound
        return not self.command.kp.any() and bool(((gains == most) | lowered).all())


def tilted(degrees: float) -> np.ndarray:
    """Pelvis orientation with that pitch, wxyz."""
    half = math.radians(degrees) / 2
    return np.array([math.cos(half), 0.0, math.sin(half), 0.0])


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def rigs() -> type[Rig]:
    """For tests that need a rig of their own configuration."""
    return Rig
