"""The robot-io stage over a virtual robot in this process, with no policy but a standing one."""

from __future__ import annotations

import numpy as np

from teleopd.robots.model import JointCommand, JointTargets
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.virtual.in_process import InProcessLink
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.words import OPERATOR_WRITERS, Act, Mode, OperatorCommand
from teleopd.service.robot_io_stage import RobotIoStage, RobotIoTick

N = MODEL.n
TOKEN = 5
TICK_NS = 2_000_000
KP, KD = np.full(N, 80.0), np.full(N, 3.0)


class Rig:
    """The stage over a virtual robot on its gantry; time is a counter."""

    def __init__(self, **config: bool) -> None:
        self.now = 10**9
        self.robot = VirtualRobot(MODEL, physics_hz=500, odometry=True)
        self.link = InProcessLink(self.robot, lambda: self.now)
        self.sent: list[JointCommand] = []
        write = self.link.write

        def record(command: JointCommand) -> None:
            self.sent.append(command)
            write(command)

        self.link.write = record  # type: ignore[method-assign]
        limits = SafetyLimits.of(MODEL, kp=KP, kd=KD)
        settings = SupervisorConfig(token=TOKEN, started_ns=self.now, **config)
        self.stage = RobotIoStage(MODEL, limits, self.link, settings)
        self.act, self.seq = Act.NONE, 0
        self.targets: JointTargets | None = None
        self.shutdown = False
        self.tick: RobotIoTick

    @property
    def mode(self) -> Mode:
        return self.stage.supervisor.mode

    def standing_targets(self, **changes: object) -> JointTargets:
        """What a policy that only stands would say now."""
        base = JointTargets(
            seq=self.now, t_ns=self.now, q=MODEL.q_stand.copy(), kp=KP, kd=KD, healthy=True, ready=True,
            reference_seq=0, reference_source_id=0, t_reference_ns=0, t_content_ns=0, reference_valid=False,
            reference_hz=0.0, deadman=False, pose_error_rad=np.inf, tilt_rp=np.zeros(2),
        )  # fmt: skip
        return base._replace(**changes)  # type: ignore[arg-type]

    def ask(self, act: Act) -> None:
        self.act, self.seq = act, self.seq + 1

    def run(self, seconds: float, *, policy: bool = True) -> None:
        for i in range(round(seconds * 500)):
            if policy and i % 10 == 0:
                self.targets = self.standing_targets()
            commands: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
            commands[0] = OperatorCommand(self.seq, self.now, TOKEN, int(self.act), False)
            self.tick = self.stage.tick(self.targets, None, commands, 0, self.now, shutdown=self.shutdown)
            self.now += TICK_NS
            self.robot.step(TICK_NS * 1e-9)

    def to_armed(self) -> None:
        self.run(0.3)
        self.ask(Act.READY)
        self.run(3.2)
        self.ask(Act.ARM)
        self.run(0.1)
        assert self.mode is Mode.ARMED
