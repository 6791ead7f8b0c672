"""Mode arms: what is lent, by which weight, over real DDS on loopback, to the stand-in for the robot's own controller.

Every tick waits until the robot's report has arrived, and time is a counter: a busy machine only makes this slower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from teleopd.robots.catalog import load_robot
from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.dds.arms import DOWN_S, UP_S, ArmDecoder, ArmEncoder
from teleopd.robots.links.dds.cdr import LOW_CMD, checksum_stored, modes_of
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import JointCommand, JointTargets, Reference, RobotModel
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.robots.virtual.balancer import Balancer
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.words import OPERATOR_WRITERS, Act, Mode, OperatorCommand
from teleopd.service.arms_process import ArmsStage
from teleopd.service.robot_io_stage import RobotIoStage

DOMAIN = 1 + os.getpid() % 200
TOKEN, TICK_NS = 5, 8_000_000
WEIGHT_SLOT = {"unitree_g1": 29, "unitree_h1": 9, "unitree_h1_2": 27}
ROBOTS = tuple(WEIGHT_SLOT)


def command(model: RobotModel, kp: float) -> JointCommand:
    made = object.__new__(JointCommand)
    n = model.n
    made.q, made.dq, made.tau = np.arange(n) * 0.01, np.zeros(n), np.zeros(n)
    made.kp, made.kd = np.full(n, kp), np.full(n, 2.0)
    return made


@pytest.mark.parametrize("robot", ROBOTS)
def test_only_the_lent_joints_and_the_weight_are_written(robot: str):
    model = load_robot(robot)
    assert model.arms is not None
    taken = model.indices(model.arms.joint_names)
    encoder, layout = ArmEncoder(model), LOW_CMD[model.wire]
    data = encoder.encode(7, command(model, 40.0), 10**9)
    assert len(data) == 4 + layout.size and checksum_stored(data, layout)
    rows = np.ndarray((layout.motors, 5), "<f4", data, 4 + layout.q, (layout.stride, 4))
    slots = [model.wire_slot[i] for i in taken]
    others = [slot for slot in range(layout.motors) if slot not in (*slots, WEIGHT_SLOT[robot])]
    assert rows[slots, 0] == pytest.approx(taken * 0.01, abs=1e-6) and (rows[slots, 3] == 40.0).all()
    assert (rows[others, 2:] == 0.0).all() and (modes_of(data, layout)[others] == 0).all(), "nothing for legs"
    assert (modes_of(data, layout)[slots] != 0).all()
    assert rows[WEIGHT_SLOT[robot], 0] == encoder.weight == 0.0, "the first command takes nothing yet"
    decoded, weight = ArmDecoder(model).decode(data)
    assert weight == 0.0 and decoded.q[taken] == pytest.approx(taken * 0.01, abs=1e-6)


def test_the_weight_rises_while_commanded_and_falls_while_damped():
    encoder, now = ArmEncoder(G1), 10**9
    weights = []
    for _ in range(round(UP_S / 0.002) + 5):
        encoder.encode(5, command(G1, 40.0), now)
        weights.append(encoder.weight)
        now += 2_000_000
    assert weights[-1] == 1.0 and max(np.diff(weights)) == pytest.approx(0.002 / UP_S)
    encoder.encode(5, command(G1, 0.0), now + 10**9)
    assert encoder.weight == pytest.approx(1.0 - 0.010 / DOWN_S), "a pause makes no jump"
    for _ in range(round(DOWN_S / 0.002)):
        now += 2_000_000
        data = encoder.encode(5, command(G1, 0.0), now + 10**9)
    assert encoder.weight == 0.0 == ArmDecoder(G1).decode(data)[1]
    encoder.encode(5, command(G1, 40.0), 7)
    assert encoder.weight == 0.0, "a clock that went back moves nothing"


def test_a_robot_that_lends_nothing_is_refused():
    import dataclasses

    bare = dataclasses.replace(G1, arms=None)
    with pytest.raises(LinkUnavailable, match="^unitree_g1 has no arms that its own controller lends; mode arms"):
        ArmEncoder(bare)
    with pytest.raises(ValueError, match="^unitree_g1 has no arms that its own controller lends; mode arms"):
        ArmsStage(bare)


class Rig:
    """The chain of `serve --mode arms` but the source, and the virtual robot on its own controller."""

    def __init__(self, robot: str) -> None:
        self.model = model = load_robot(robot)
        self.now = 10**9
        self.robot = VirtualRobot(model)
        self.participant = Participant("lo", DOMAIN)
        self.balancer = Balancer(self.robot)
        self.peer = DdsPeer(self.participant, self.robot, publish_hz=125, balancer=self.balancer)
        self.link = DdsLink(model, "lo", domain=DOMAIN, arms=True, clock=lambda: self.now)
        limits = SafetyLimits.of(model, kp=model.kp_ready, kd=model.kd_ready)
        assert model.arms is not None
        self.taken = model.indices(model.arms.joint_names)
        config = SupervisorConfig(token=TOKEN, started_ns=self.now, joints=tuple(self.taken.tolist()))
        self.stage, self.arms = RobotIoStage(model, limits, self.link, config), ArmsStage(model)
        self.targets: JointTargets | None = None
        self.wanted, self.sent, self.acts, self.act = model.q_stand.copy(), 0, 0, Act.NONE
        self.held = False
        self.weights: list[float] = []
        self.until(lambda: self.link.participant.publications())

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 20.0
        while not what():
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.0002)

    @property
    def mode(self) -> Mode:
        return self.stage.supervisor.mode

    def reference(self) -> Reference:
        self.sent += 1
        n = self.model.n
        return Reference(
            self.sent, 3, self.now, self.now, self.now, True, self.held, 0, 50.0,
            np.array([0.0, 0.0, self.model.stand_height_m]), np.array([1.0, 0, 0, 0]), np.zeros(3), np.zeros(3),
            self.wanted.copy(), np.zeros(n),
        )  # fmt: skip

    def tick(self) -> None:
        before = self.link.counters.received
        self.peer.tick(self.now)
        self.until(lambda: (self.link.read(), self.link.counters.received > before)[1])
        state = self.link.read()
        assert state is not None
        if self.sent * 20_000_000 <= self.now - 10**9:
            self.targets = self.arms.tick(self.reference(), state, self.mode, self.now).targets
        commands: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
        commands[0] = OperatorCommand(self.acts, self.now, TOKEN, int(self.act), False)
        out = self.stage.tick(self.targets, None, commands, 0, self.now)
        if out.sent:
            heard = self.balancer.heard
            self.until(lambda: (self.peer._balance(), self.balancer.heard > heard)[1])
            self.weights.append(self.balancer.weight)
        self.now += TICK_NS

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 1e9 / TICK_NS)):
            self.tick()

    def do(self, act: Act, mode: Mode) -> None:
        """Ask until it is done."""
        for _ in range(1000):
            if self.mode is mode:
                return
            self.act, self.acts = act, self.acts + 1
            self.tick()
        raise AssertionError(f"{mode.name} did not come; {self.mode.name}")

    def close(self) -> None:
        self.link.close()
        self.participant.close()


@pytest.fixture(params=["unitree_g1", pytest.param("unitree_h1", marks=pytest.mark.long)])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param)
    yield made
    made.close()


def test_the_arms_are_taken_smoothly_follow_and_are_given_back(rig: Rig):
    model = rig.model
    elbow = next(i for i, name in enumerate(model.joint_names) if name == "left_elbow_joint")
    legs = [i for i, name in enumerate(model.joint_names) if any(p in name for p in ("hip", "knee", "ankle"))]
    rig.run(0.2)
    rig.do(Act.NONE, Mode.IDLE)
    rig.run(0.1)
    assert set(rig.weights) == {0.0}, "damping takes nothing"
    rig.do(Act.READY, Mode.READY)
    rig.do(Act.ARM, Mode.ARMED)
    assert rig.weights[-1] == 1.0
    rig.held = True
    rig.do(Act.NONE, Mode.ACTIVE)
    rig.wanted[elbow] = model.q_stand[elbow] - 0.4
    rig.wanted[legs] += 0.2
    rig.run(2.0)
    state = rig.link.read()
    assert state is not None and rig.mode is Mode.ACTIVE
    assert state.q[elbow] - model.q_stand[elbow] < -0.25, "the arm follows"
    assert np.abs(state.q[legs] - model.q_stand[legs]).max() < 0.1, "the legs are the controller's"
    rig.do(Act.DAMP, Mode.DAMPED)
    rig.run(DOWN_S + 0.7)
    state = rig.link.read()
    assert state is not None and rig.weights[-1] == 0.0
    assert max(abs(np.diff(rig.weights))) < 2 * TICK_NS * 1e-9 / DOWN_S, "never a jump"
    assert np.abs(state.q - model.q_stand)[rig.taken].max() < 0.15, "its own controller holds the arms again"
    assert rig.peer.obeyed == 0 and rig.balancer.refused == 0


def test_without_its_own_controller_at_work_the_arms_are_refused(rig: Rig):
    def controlled(mode: str) -> None:
        import threading

        rig.peer.switcher.mode, ended = mode, threading.Event()
        ticking = threading.Thread(target=lambda: [
            (rig.peer.tick(time.monotonic_ns()), time.sleep(0.002)) for _ in iter(ended.is_set, True)
        ])  # fmt: skip
        ticking.start()
        try:
            rig.link.wait_ready(20.0)
        finally:
            ended.set()
            ticking.join(10)

    controlled("ai")
    with pytest.raises(LinkUnavailable, match="mode arms needs .*'s own controller at its balance, and none is at"):
        controlled("")
