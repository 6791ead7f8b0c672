"""What the DDS link asks before anything is sent: who is there, who owns the motors; each refusal in its words."""

from __future__ import annotations

import threading

import pytest
from tests.robots.dds.conftest import DOMAIN, Permitted, Robot, Served, rows, state_of, until

from teleopd.robots.catalog import load_robot
from teleopd.robots.link import LinkTimeout, LinkUnavailable
from teleopd.robots.links.dds import link as dds_link
from teleopd.robots.links.dds.cdr import LowCmdEncoder
from teleopd.robots.links.dds.link import FOREIGN_EVERY, DdsLink
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import RobotModel, WrongHardware


def test_ready_when_the_motors_are_free(link: DdsLink, robot: Robot):
    robot.say(2)
    with Served(robot):
        assert link.wait_ready().tick == 2


def test_a_controller_at_work_is_refused_or_released(link: DdsLink, robot: Robot):
    robot.say(2)
    robot.server.mode = "ai"
    with Served(robot):
        with pytest.raises(LinkUnavailable) as caught:
            link.wait_ready()
        assert str(caught.value) == (
            "the robot's controller 'ai' owns the motors on interface 'lo'; hang the robot, which goes limp then, and "
            "give --release-controller"
        )
        assert not robot.server.released and robot.heard() == [] and link.counters.sent == 0
        link.wait_ready(release=True)
    assert robot.server.released


def test_foreign_publisher_is_counted_and_refused(link: DdsLink, robot: Robot, permitted: Permitted):
    robot.say(2)
    until(lambda: link.read() is not None)
    link.write(permitted(*rows(robot.model)))
    until(robot.heard)
    for _ in range(FOREIGN_EVERY):
        link.read()
    assert link.counters.foreign_commands == 0 and link.foreign_writers == 0, "its own commands are not foreign"
    other = Participant("lo", DOMAIN)
    foreign = other.writer("rt/lowcmd", "hg", "LowCmd_")
    until(lambda: foreign.matched == 2 and link.foreign_writers == 1)
    stop = threading.Event()

    def shout() -> None:
        while not stop.wait(0.01):
            foreign.write(LowCmdEncoder(robot.model).encode(5, *rows(robot.model)))
            robot.server.poll()

    thread = threading.Thread(target=shout)
    thread.start()
    try:
        with pytest.raises(LinkUnavailable) as caught:
            link.wait_ready()
    finally:
        stop.set()
        thread.join()
        other.close()
    assert str(caught.value) == (
        "another program sends rt/lowcmd to unitree_g1 on interface 'lo'; stop it first: two would fight over the "
        "motors"
    )
    assert link.counters.foreign_commands > 0


def test_a_host_that_is_slow_hears_a_foreign_publisher_all_the_same(
    link: DdsLink, robot: Robot, monkeypatch: pytest.MonkeyPatch
):
    """Three looks in the time it listens, with one command in all of it."""
    robot.say(2)
    until(lambda: link.read() is not None)
    monkeypatch.setattr(dds_link, "_POLL_S", 0.1)
    other = Participant("lo", DOMAIN)
    foreign = other.writer("rt/lowcmd", "hg", "LowCmd_")
    until(lambda: foreign.matched == 2 and link.foreign_writers == 1)
    link._reads = 1  # the loop's own next look is four reads away
    robot.server.poll()
    timer = threading.Timer(0.05, lambda: foreign.write(LowCmdEncoder(robot.model).encode(5, *rows(robot.model))))
    timer.start()
    try:
        with pytest.raises(LinkUnavailable, match="another program sends rt/lowcmd"):
            link._listen()
    finally:
        timer.join()
        other.close()


def test_unknown_hardware_is_refused(link: DdsLink, robot: Robot):
    robot.say(2, machine=4)
    with pytest.raises(WrongHardware, match="^unitree_g1 reports mode_machine 4, for which there are no limits"):
        link.wait_ready()


def test_silence_is_one_sentence(link: DdsLink, robot: Robot):
    with pytest.raises(LinkTimeout) as caught:
        link.wait_ready(0.05)
    assert str(caught.value) == (
        "no rt/lowstate of a unitree_g1 (unitree_hg) on interface 'lo' within 0.05 s: is the robot on, and is that the "
        "interface it is connected to?"
    )
    data = robot.encoder.encode(state_of(robot.model, 4))
    robot.states.write(data[:-1] + bytes([data[-1] ^ 1]))
    until(lambda: (link.read(), link.counters.bad_crc)[1])
    with pytest.raises(LinkTimeout) as caught:
        link.wait_ready(0.05)
    assert str(caught.value) == (
        "rt/lowstate on interface 'lo' has no good message of a unitree_g1: 1 with a wrong checksum, 0 with a wrong "
        "length"
    )


def test_two_robots_are_refused(link: DdsLink, robot: Robot):
    second = Robot(robot.model)
    try:
        until(lambda: second.states.matched)
        robot.say(2)
        with Served(robot), pytest.raises(LinkUnavailable) as caught:
            link.wait_ready()
        assert str(caught.value) == "2 robots publish rt/lowstate on interface 'lo'; leave one of them on"
    finally:
        second.participant.close()


def test_a_robot_of_the_other_family_is_not_heard(g1: RobotModel):
    h1 = Robot(load_robot("unitree_h1"))
    link = DdsLink(g1, "lo", domain=DOMAIN)
    try:
        h1.say(2)
        until(lambda: any(one.topic == "rt/lowstate" for one in link.participant.publications()))
        with pytest.raises(LinkTimeout) as caught:
            link.wait_ready(0.05)
        assert str(caught.value) == (
            "rt/lowstate on interface 'lo' is unitree_go::msg::dds_::LowState_, which no unitree_g1 sends "
            "(unitree_hg): is that another robot?"
        )
    finally:
        link.close()
        h1.participant.close()
