"""The motor process's stage over real DDS on loopback, with a robot of this process that goes wrong.

Every tick waits until the robot's report has arrived, and time is a counter: a busy machine only makes this slower.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions
from teleopd.robots.links.dds.cdr import LowCmdDecoder, LowCmdEncoder, MotorRows, checksum_stored
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import JointTargets, LowState, RobotModel, WrongHardware
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand
from teleopd.service import robot_io_process
from teleopd.service.robot_io_stage import RobotIoStage, RobotIoTick

DOMAIN = 1 + os.getpid() % 200
N = MODEL.n
TOKEN = 5
TICK_NS = 2_000_000
KP, KD = np.full(N, 80.0), np.full(N, 3.0)


class Rig:
    """Stage, link and a robot that stands still; a test changes what the robot sends."""

    def __init__(self) -> None:
        self.now = 10**9
        self.robot = Participant("lo", DOMAIN)
        self.states = self.robot.writer("rt/lowstate", "hg", "LowState_")
        self.commands = self.robot.reader("rt/lowcmd", "hg", "LowCmd_")
        self.encoder, self.decoder = LowStateEncoder(MODEL), LowCmdDecoder(MODEL)
        self.link = DdsLink(MODEL, "lo", domain=DOMAIN, clock=lambda: self.now)
        self.until(lambda: self.states.matched == 1 and self.commands.matched == 1)
        limits = SafetyLimits.of(MODEL, kp=KP, kd=KD)
        self.stage = RobotIoStage(MODEL, limits, self.link, SupervisorConfig(token=TOKEN, started_ns=self.now))
        self.ticks, self.seq, self.act = 0, 0, Act.NONE
        self.machine = MODEL.default_mode_machine
        self.frozen = self.corrupt = False
        self.tick: RobotIoTick

    @property
    def mode(self) -> Mode:
        return self.stage.supervisor.mode

    def until(self, what: object) -> None:
        end = time.monotonic() + 20.0
        while not what():  # type: ignore[operator]
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.0002)

    def say(self) -> None:
        """One report of the robot, waited for."""
        if not self.frozen:
            self.ticks += 2
        data = self.encoder.encode(state_at_rest(MODEL, tick=self.ticks)._replace(mode_machine=self.machine))
        if self.corrupt:
            data = data[:200] + bytes([data[200] ^ 1]) + data[201:]
        counters = self.link.counters
        before = counters.received + counters.frozen + counters.bad_crc
        self.states.write(data)
        self.until(lambda: (self.link.read(), counters.received + counters.frozen + counters.bad_crc > before)[1])

    def run(self, ms: int) -> None:
        for i in range(ms // 2):
            self.now += TICK_NS
            self.say()
            if i % 10 == 0:
                self.targets = JointTargets(
                    self.now, self.now, MODEL.q_stand, KP, KD, True, True, 0, 0, 0, 0, False, 0.0, False, np.inf,
                    np.zeros(2),
                )  # fmt: skip
            words: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
            words[0] = OperatorCommand(self.seq, self.now, TOKEN, int(self.act), False)
            self.tick = self.stage.tick(self.targets, None, words, 0, self.now)

    def ask(self, act: Act) -> None:
        self.act, self.seq = act, self.seq + 1

    def to_armed(self) -> None:
        self.run(120)
        self.ask(Act.READY)
        self.run(3100)
        self.ask(Act.ARM)
        self.run(4)
        assert self.mode is Mode.ARMED

    def heard(self) -> MotorRows:
        """The newest command, once it has arrived."""
        found: list[bytes] = []
        self.run(2)
        self.until(lambda: found.extend(self.commands.take()) or found)
        assert checksum_stored(found[-1], self.decoder.layout)
        return self.decoder.decode(found[-1])

    def causes(self) -> set[Cause]:
        return {cause for cause in Cause if self.tick.output.causes >> cause & 1}


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.link.close()
    made.robot.close()


def test_the_policy_reaches_the_robot_and_nothing_does_before_idle(rig: Rig):
    rig.run(90)
    assert rig.mode is Mode.CHECK and rig.commands.take() == [] and rig.link.counters.sent == 0
    rig.to_armed()
    rig.run(1200)  # the gains blend over
    rows = rig.heard()
    assert rows.q == pytest.approx(MODEL.q_stand, abs=1e-6) and rows.kp == pytest.approx(KP)
    assert rows.enabled.all() and rows.mode_machine == 5
    status = rig.stage.link_status(7)
    counters = rig.link.counters
    assert status == (7, 5, counters.received, 0, 0, 0, counters.sent, 0, 0, 0, 0, 0, -1)
    assert status.received == rig.ticks // 2


@pytest.mark.parametrize("fault", ["corrupt", "frozen"])
def test_reports_that_do_not_count_are_a_robot_that_is_lost(rig: Rig, fault: str):
    """Fresh messages, whose checksum is wrong or whose tick stands still, keep nobody on his feet."""
    rig.to_armed()
    setattr(rig, fault, True)
    rig.run(40)
    assert rig.mode is Mode.ARMED and Cause.STATE_LATE in rig.causes()
    rig.run(4)
    assert rig.mode is Mode.DAMPED and rig.tick.status.mode_cause == Cause.STATE_LOST
    counters = rig.link.counters
    assert (counters.bad_crc, counters.frozen) == ((22, 0) if fault == "corrupt" else (0, 22))
    rows = rig.heard()
    assert not rows.kp.any() and rows.kd == pytest.approx(MODEL.kd_damp)


def test_a_variant_that_changes_is_damped_and_copied_back(rig: Rig):
    rig.to_armed()
    rig.machine = 15
    rig.run(2)
    assert rig.mode is Mode.DAMPED and rig.tick.status.mode_cause == Cause.WRONG_HARDWARE
    assert rig.heard().mode_machine == 15 and rig.link.counters.hardware_changes == 1


def test_a_second_controller_is_noticed_blocks_engaging_and_is_forgotten_when_it_stops(rig: Rig):
    rig.to_armed()
    other = Participant("lo", DOMAIN)
    try:
        foreign = other.writer("rt/lowcmd", "hg", "LowCmd_")
        rig.until(lambda: foreign.matched == 2)
        zeros = np.zeros(N)
        foreign.write(LowCmdEncoder(MODEL).encode(5, MODEL.q_stand, zeros, zeros, KP, KD))
        rig.until(lambda: (rig.link.read(), rig.link.counters.foreign_commands == 1)[1])
    finally:
        other.close()
    rig.run(2)
    assert rig.causes() == {Cause.FOREIGN_COMMANDS} and rig.mode is Mode.ARMED, "it stays on its feet"
    assert rig.tick.status.blocked_by == Cause.FOREIGN_COMMANDS
    rig.run(1996)
    assert Cause.FOREIGN_COMMANDS in rig.causes()
    rig.run(4)
    assert rig.causes() == set()
    assert rig.tick.status.cause_counts[Cause.FOREIGN_COMMANDS] == 1


class Reports:
    """A link that has heard one report of a variant, or none."""

    def __init__(self, machine: int | None) -> None:
        self._state = None if machine is None else LowState._make([machine] * len(LowState._fields))

    def read(self) -> LowState | None:
        return self._state


@pytest.mark.parametrize(("reported", "used"), [(None, 5), (5, 5), (15, 15), (4, 5)])
def test_the_limits_in_force_are_those_of_the_variant_that_was_reported(reported: int | None, used: int):
    assert robot_io_process._variant(Reports(reported), MODEL) == used  # type: ignore[arg-type]


@pytest.mark.parametrize("damp_only", [False, True])
def test_what_the_link_refuses_is_the_process_refusal(tmp_path, monkeypatch: pytest.MonkeyPatch, damp_only: bool):
    session = Session("unitree_g1", tmp_path)
    (tmp_path / "token").write_text("5")
    asked: list[object] = []

    def refusing(name: str, _session: Session, model: RobotModel, options: LinkOptions) -> None:
        asked.extend((name, options))
        raise WrongHardware(model.name, 4, [5, 15])

    monkeypatch.setattr("teleopd.robots.catalog.open_link", refusing)
    monkeypatch.setattr(robot_io_process, "request_real_time", lambda *_: "nothing granted")
    given = LinkOptions("lo", 3, release=True)
    with pytest.raises(SystemExit) as ended:
        robot_io_process.main(session, "unitree_g1", "dds", ("none", KP, KD), {}, damp_only=damp_only, options=given)
    assert ended.value.code == 3 and asked == ["dds", LinkOptions("lo", 3, release=True, at_once=damp_only)]
    assert (tmp_path / "robot-io.refused").read_text() == (
        "unitree_g1 reports mode_machine 4, for which there are no limits; known: [5, 15]"
    )
    assert (tmp_path / "robot-io.real_time").read_text() == "nothing granted"
