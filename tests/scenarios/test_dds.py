"""The service and a virtual G1 in a process of its own, over real DDS on loopback: no root, no shared memory between.

Paced in real time, so these run in `make test-long` only; the parts are tested without pacing in
`tests/service/test_robot_io_dds.py`, `tests/robots/dds` and `tests/launch/test_robot_link.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest
from tests.scenarios.conftest import LONG_S, TELEOP, Service, StartService, times, until

from teleopd.launch.operator_script import BALANCING
from teleopd.robots.links.dds.cdr import LowCmdEncoder
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Cause, Mode

pytestmark = pytest.mark.long
DOMAIN = 1 + os.getpid() % 200
PLAYED = ("--source", "motion_file", "--motion", "wave", "--loop")
LINK = ("--link", "dds", "--interface", "lo", "--domain", str(DOMAIN))


class Robot:
    """`teleop robot` as a process."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [*TELEOP, "robot", "--domain", str(DOMAIN), *flags], stderr=subprocess.PIPE, text=True
        )

    def end(self) -> str:
        """Its last words."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=LONG_S)[1].splitlines()[-1]


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.process.kill()
    made.process.wait(10)


@pytest.fixture
def engaged(robot: Robot, start_service: StartService) -> Service:
    service = start_service(*LINK, *PLAYED, "--auto-engage-virtual")
    service.wait_mode(Mode.ACTIVE)
    return service


def test_the_virtual_g1_engages_stays_upright_and_is_brought_down(engaged: Service, robot: Robot):
    service = engaged
    follows = service.status().tick
    until(lambda: service.status().tick > follows + 5000, "10 s of ticks")
    service.interrupt()
    assert service.end() == 0
    report = service.report()
    assert report["upright"] and report["qualification"] == "not required" and times(report, "ACTIVE")
    link = report["link"]
    assert link["mode_machine"] == 5 and link["received"] > 5000 and link["sent"] > 5000
    assert not any(link[name] for name in ("bad_crc", "bad_length", "frozen", "foreign_commands", "hardware_changes"))
    assert report["latency_ms"]["receipt_to_command"]["n"] > 100
    words = robot.end()
    assert words.startswith("obeyed ") and "refused: 0 wrong checksum, 0 wrong length, 0 before release, 0 an" in words


def test_another_program_that_commands_it_is_noticed_and_the_robot_goes_on_standing(engaged: Service):
    service = engaged
    other = Participant("lo", DOMAIN)
    try:
        foreign = other.writer("rt/lowcmd", "hg", "LowCmd_")
        until(lambda: foreign.matched >= 2, "discovery")
        # What the robot itself does when its controller owns the motors: a command that asks for nothing new.
        foreign.write(LowCmdEncoder(MODEL).encode(5, MODEL.q_stand, *np.zeros((2, 29)), MODEL.kp_ready, MODEL.kd_ready))
        service.wait_mode(Mode.RETURN)
    finally:
        other.close()
    assert service.status().causes >> Cause.FOREIGN_COMMANDS & 1
    service.wait_mode(Mode.ACTIVE)
    service.interrupt()
    assert service.end() == 0 and service.report()["upright"]
    assert service.report()["interventions"]["FOREIGN_COMMANDS"] == 1


def test_a_second_service_is_refused_and_the_first_does_not_feel_it(engaged: Service, start_service: StartService):
    started = engaged.status().tick
    second = start_service(*LINK, *PLAYED, "--unqualified")
    assert second.end() == 2
    assert "another program sends rt/lowcmd to unitree_g1 on interface 'lo'; stop it first" in second.log()
    assert engaged.status().tick > started and engaged.mode in BALANCING
    engaged.interrupt()
    assert engaged.end() == 0 and "FOREIGN_COMMANDS" not in engaged.report()["interventions"]


def test_a_robot_that_is_lost_is_damped(engaged: Service, robot: Robot):
    robot.process.send_signal(signal.SIGSTOP)
    try:
        assert engaged.wait_mode(Mode.DAMPED).mode_cause == Cause.STATE_LOST
    finally:
        robot.process.send_signal(signal.SIGCONT)
    engaged.interrupt()
    engaged.end()


def test_a_controller_at_work_is_one_sentence_and_nothing_is_sent(robot: Robot, start_service: StartService):
    service = start_service(*LINK, *PLAYED, "--unqualified")
    assert service.end() == 2
    assert "the robot's controller 'ai' owns the motors on interface 'lo'; hang the robot" in service.log()
    assert robot.end().startswith("obeyed 0 commands; refused: 0 wrong checksum, 0 wrong length, 0 before release, ")
