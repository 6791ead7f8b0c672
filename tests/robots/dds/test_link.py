"""The DDS link on loopback, unprivileged: what crosses, what is refused, and in which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.link import LinkTimeout, LinkUnavailable
from teleopd.robots.links.dds.cdr import LowCmdDecoder, LowCmdEncoder
from teleopd.robots.links.dds.idl import message, zero
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import (
    MotionSwitcherClient,
    MotionSwitcherError,
    MotionSwitcherServer,
)
from teleopd.robots.links.dds.transport import Participant, Reader, Writer, configuration
from teleopd.robots.model import JointCommand, LowState, RobotModel, WrongHardware

DOMAIN = 1 + os.getpid() % 200
"""Of this test process, so that tests side by side do not hear each other."""
Permitted = Callable[..., JointCommand]


def until(what: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition that must come."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.002)


def state_of(model: RobotModel, tick: int, machine: int | None = None) -> LowState:
    state = state_at_rest(model, tick=tick)._replace(q=np.arange(model.n) * 0.01)
    return state if machine is None else state._replace(mode_machine=machine)


class Robot:
    """The robot's end in this process, through another participant of the domain."""

    def __init__(self, model: RobotModel) -> None:
        self.model = model
        self.participant = Participant("lo", DOMAIN)
        self.states = self.participant.writer("rt/lowstate", model.wire, "LowState_")
        self.commands = self.participant.reader("rt/lowcmd", model.wire, "LowCmd_")
        self.server = MotionSwitcherServer(self.participant, mode="")
        self.encoder, self.decoder = LowStateEncoder(model), LowCmdDecoder(model)

    def say(self, tick: int, machine: int | None = None) -> None:
        self.states.write(self.encoder.encode(state_of(self.model, tick, machine)))

    def heard(self) -> list[bytes]:
        return self.commands.take()


@pytest.fixture
def g1() -> RobotModel:
    return load_robot("unitree_g1")


@pytest.fixture
def robot(g1: RobotModel) -> Iterator[Robot]:
    made = Robot(g1)
    yield made
    made.participant.close()


@pytest.fixture
def link(g1: RobotModel, robot: Robot) -> Iterator[DdsLink]:
    made = DdsLink(g1, "lo", domain=DOMAIN)
    until(lambda: robot.states.matched and robot.commands.matched)
    yield made
    made.close()


def rows(model: RobotModel, value: float = 0.25) -> list[np.ndarray]:
    return [np.full(model.n, value) for _ in range(5)]


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


def test_foreign_publisher_is_counted_and_refused(link: DdsLink, robot: Robot, permitted: Permitted):
    robot.say(2)
    until(lambda: link.read() is not None)
    link.write(permitted(*rows(robot.model)))
    until(robot.heard)
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


class Served:
    """Lets the robot's motion_switcher answer beside the test."""

    def __init__(self, robot: Robot) -> None:
        self._robot, self._stop = robot, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            self._robot.server.poll()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


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


# -- motion_switcher


@pytest.mark.parametrize(
    ("api", "parameter", "code", "data"),
    [(1, "", 0, "1.0.0.1"), (1002, '{"name": "ai"}', 0, ""), (1002, "{", 3204, ""), (1002, '{"name": 3}', 3204, ""),
     (1002, "[" * 5000, 3204, ""), (1003, "{}", 0, ""), (1004, "{}", 3203, ""), (7, "", 3203, "")],
)  # fmt: skip
def test_the_service_answers_each_request(robot: Robot, api: int, parameter: str, code: int, data: str):
    assert robot.server._answer(api, parameter) == (code, data)


def test_check_select_release_follow_the_mode(robot: Robot):
    server = robot.server
    assert json.loads(server._answer(1001, "{}")[1]) == {"form": "0", "name": ""} and server.released
    server._answer(1002, '{"name": "ai"}')
    assert json.loads(server._answer(1001, "{}")[1])["name"] == "ai" and not server.released
    server._answer(1003, "{}")
    assert server.released


def test_client_says_who_does_not_answer(g1: RobotModel):
    participant = Participant("lo", DOMAIN)
    try:
        with pytest.raises(LinkTimeout, match="^no motion_switcher service on interface 'lo' within 0.05 s$"):
            MotionSwitcherClient(participant).check(0.05)
    finally:
        participant.close()


def test_client_refuses_codes_and_nonsense(robot: Robot, monkeypatch: pytest.MonkeyPatch):
    participant = Participant("lo", DOMAIN)
    client = MotionSwitcherClient(participant)
    try:
        with Served(robot):
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (3202, ""))
            with pytest.raises(MotionSwitcherError) as caught:
                client.release()
            assert str(caught.value) == "motion_switcher refused request 1003 on interface 'lo' with code 3202"
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (0, '{"form": 1}'))
            with pytest.raises(MotionSwitcherError, match="^motion_switcher answered CheckMode with '"):
                client.check()
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (0, '{"name": "stuck"}'))
            monkeypatch.setattr("teleopd.robots.links.dds.motion_switcher._SETTLE_S", 0.0)
            with pytest.raises(LinkUnavailable, match="^the robot's controller 'stuck' still owns the motors .* 5 rel"):
                client.make_free(release=True)
    finally:
        participant.close()


# -- transport


def test_loopback_is_unicast_and_a_real_interface_is_left_to_multicast():
    local = configuration("lo")
    assert '<NetworkInterface name="lo"/>' in local and "<AllowMulticast>false</AllowMulticast>" in local
    assert '<Peer address="127.0.0.1"/>' in local and "<ParticipantIndex>auto</ParticipantIndex>" in local
    real = configuration("enp3s0")
    assert '<NetworkInterface name="enp3s0"/>' in real and "Multicast" not in real and "Peer" not in real


@pytest.mark.parametrize("name", ["", "a b", '"/><x', "eth0\n"])
def test_what_is_no_interface_name_is_refused(name: str):
    with pytest.raises(ValueError, match="is not the name of a network interface; see: ip link$"):
        Participant(name, DOMAIN)


def test_missing_interface_and_wrong_domain_are_named(g1: RobotModel):
    with pytest.raises(LinkUnavailable, match=r"^DDS cannot use interface 'nowhere9' \(domain 230\): .*see: ip link$"):
        DdsLink(g1, "nowhere9", domain=230)
    with pytest.raises(ValueError, match="^domain is 233; valid: 0 to 232$"):
        Participant("lo", 233)


def test_one_domain_has_one_interface(robot: Robot):
    said = rf"^DDS domain {DOMAIN} is on interface 'lo' in this process, not 'eth7'$"
    with pytest.raises(LinkUnavailable, match=said):
        Participant("eth7", DOMAIN)


def test_vendor_types_in_the_process_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "unitree_sdk2py.idl", SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(LinkUnavailable, match="^unitree_sdk2py is loaded in this process: with cyclonedds 11 its"):
        Participant("lo", DOMAIN)


def test_public_calls_carry_the_same_bytes_as_the_raw_ones(robot: Robot):
    """The fall-back for a cyclonedds without the raw functions, and the oracle of the raw path."""
    other = Participant("lo", DOMAIN)
    reader = other.reader("rt/lowstate", "hg", "LowState_")
    data = robot.encoder.encode(state_of(robot.model, 9))
    until(lambda: robot.states.matched)

    def arrives(write: Callable[[Writer], None], take: Callable[[Reader], list[bytes]]) -> bytes:
        write(robot.states)
        got: list[bytes] = []
        until(lambda: got.extend(take(reader)) or got)
        return got[0]

    try:
        for write in (lambda w: w.write(data), lambda w: w.write_slowly(data)):
            assert arrives(write, lambda r: r.take()) == data
        reader._raw_take, robot.states._raw_write = None, None
        assert arrives(lambda w: w.write(data), lambda r: r.take()) == data
        assert robot.states.failed == 0
    finally:
        other.close()


def test_malformed_bytes_do_not_end_the_service(robot: Robot, monkeypatch: pytest.MonkeyPatch):
    good = zero("api", "Request_")
    good.header.identity.api_id = 1002
    good.parameter = '{"name": "later"}'
    data = bytes(good.serialize())
    broken = [b"", data[:3], data[:20], data[:36] + b"\xff\xff\xff\x7f" + data[40:], data[:40] + b"\xff" * 40]
    monkeypatch.setattr(robot.server._requests, "take", lambda: [*broken, data])
    robot.server.poll()
    assert robot.server.mode == "later"


# -- a process of its own


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


def test_message_classes_are_made_once():
    assert message("hg", "LowCmd_") is message("hg", "LowCmd_")


def test_importing_the_link_loads_neither_cyclonedds_nor_anything_heavy():
    code = (
        "import sys, teleopd.robots.links.dds.link, teleopd.robots.links.dds.motion_switcher\n"
        "print([m for m in ('cyclonedds', 'mujoco', 'onnxruntime', 'asyncio', 'teleopd.robots.virtual')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
