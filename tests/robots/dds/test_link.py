"""The DDS link on loopback, unprivileged: what crosses, and what is counted and not taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.robots.dds.conftest import DOMAIN, Permitted, Robot, rows, state_of, until

from teleopd.robots.links.dds.cdr import LowCmdEncoder
from teleopd.robots.links.dds.idl import zero
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.model import RobotModel


def test_states_cross_and_a_repeated_tick_is_not_new(link: DdsLink, robot: Robot):
    assert link.read() is None and link.age_ns(5) is None
    robot.say(10)
    until(lambda: link.read() is not None)
    first = link.read()
    assert first is not None and first.tick == 10 and first.mode_machine == 5
    assert first.q == pytest.approx(np.arange(29) * 0.01)
    assert link.age_ns(first.t_ns + 7) == 7
    robot.say(10)
    until(lambda: (link.read(), link.counters.frozen)[1])
    assert link.read() is first, "fresh messages of a robot that stands still in time are not fresh states"
    robot.say(12)
    until(lambda: link.read() is not first)
    assert (link.counters.received, link.counters.bad_crc, link.counters.bad_length) == (2, 0, 0)


def test_wrong_checksum_and_wrong_length_are_counted_not_taken(link: DdsLink, robot: Robot):
    data = robot.encoder.encode(state_of(robot.model, 4))
    robot.states.write(data[:-1] + bytes([data[-1] ^ 0x80]))
    until(lambda: (link.read(), link.counters.bad_crc)[1])
    robot.states.write(data[:-8])
    assert robot.states.failed == 1, "DDS itself drops what is too short for the type"
    robot.states.write(data + bytes(4))
    until(lambda: (link.read(), link.counters.bad_length)[1])
    assert link.read() is None
    assert (link.counters.received, link.counters.bad_crc, link.counters.bad_length) == (0, 1, 1)


def test_command_crosses_with_the_variant_copied_back(link: DdsLink, robot: Robot, permitted: Permitted):
    link.write(permitted(*rows(robot.model)))
    assert link.counters.held_back == 1 and link.counters.sent == 0
    for tick, machine in ((2, 5), (4, 11)):
        robot.say(tick, machine)
        until(lambda tick=tick: (state := link.read()) is not None and state.tick == tick)
        link.write(permitted(*rows(robot.model)))
        got: list[bytes] = []
        until(lambda got=got: got.extend(robot.heard()) or got)
        assert got[0] == LowCmdEncoder(robot.model).encode(machine, *rows(robot.model))
        assert robot.decoder.decode(got[0]).mode_machine == machine
    assert (link.counters.sent, link.counters.send_failed, link.counters.hardware_changes) == (2, 0, 1)


def test_only_the_gates_commands_are_written_and_none_after_close(link: DdsLink, robot: Robot, permitted: Permitted):
    with pytest.raises(TypeError, match="^a RobotLink writes a JointCommand built by the gate, not SimpleNamespace$"):
        link.write(SimpleNamespace(q=0))  # type: ignore[arg-type]
    robot.say(2)
    until(lambda: link.read() is not None)
    last = link.read()
    link.close()
    link.close()
    link.write(permitted(*rows(robot.model)))
    assert link.counters.sent == 0 and link.read() is last


def test_a_simulators_states_are_taken_only_where_asked_for(g1: RobotModel, robot: Robot, permitted: Permitted):
    with pytest.raises(ValueError, match="^a simulator's states are taken on interface 'lo' only, not on 'eth0'$"):
        DdsLink(g1, "eth0", simulator=True)
    link = DdsLink(g1, "lo", domain=DOMAIN, simulator=True)
    try:
        until(lambda: robot.states.matched)
        bare = zero("hg", "LowState_")
        bare.imu_state.quaternion = [1.0, 0.0, 0.0, 0.0]
        robot.states.write(bytes(bare.serialize()))
        assert link.wait_ready().mode_machine == 5, "what has no limits counts as the robot of the model"
        first = link.read()
        link.write(permitted(*rows(g1)))
        got: list[bytes] = []
        until(lambda: got.extend(robot.heard()) or got)
        assert robot.decoder.decode(got[0]).mode_machine == 0, "and goes back as it came"
        robot.states.write(bytes(bare.serialize()))
        until(lambda: link.read() is not first)
        assert link.counters.bad_crc == link.counters.frozen == 0
    finally:
        link.close()


def test_a_robot_in_another_process(g1: RobotModel, permitted: Permitted):
    """G1 over loopback without root: discovery, states, motion_switcher and commands between two processes."""
    script = Path(__file__).with_name("robot_peer.py")
    peer = subprocess.Popen(
        [sys.executable, str(script), "unitree_g1", str(DOMAIN)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )
    link = DdsLink(g1, "lo", domain=DOMAIN)

    def tell(line: str, wait: bool = True) -> str:
        assert peer.stdin is not None and peer.stdout is not None
        peer.stdin.write(line + "\n")
        peer.stdin.flush()
        return peer.stdout.readline().strip() if wait else ""

    try:
        assert peer.stdout is not None and peer.stdout.readline() == "ok\n"
        tick = 0

        def speak() -> bool:
            nonlocal tick
            tick += 2
            tell(f"state {tick}")
            return link.read() is not None

        until(speak)
        tell("poll 2.0", wait=False)
        state = link.wait_ready(release=True)
        assert state.mode_machine == 5 and state.tick <= tick
        assert peer.stdout.readline() == "ok\n"
        answers: list[str] = []

        def heard() -> bool:
            link.write(permitted(*rows(g1)))
            answers.append(tell("heard"))
            return not answers[-1].startswith("0 ")

        until(heard)
        count, rejected, q_0, machine = answers[-1].split()
        assert int(count) >= 1 and (rejected, q_0, machine) == ("0", "0.250000", "5")
    finally:
        link.close()
        assert peer.stdin is not None
        peer.stdin.close()
        assert peer.wait(10) == 0, "the peer must end by itself, not with a signal"


def test_importing_the_link_loads_neither_cyclonedds_nor_anything_heavy():
    code = (
        "import sys, teleopd.robots.links.dds.link, teleopd.robots.links.dds.motion_switcher\n"
        "print([m for m in ('cyclonedds', 'mujoco', 'onnxruntime', 'asyncio', 'teleopd.robots.virtual')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
