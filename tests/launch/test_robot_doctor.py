"""The doctor of a robot: every verdict from facts made up, and the command against a virtual robot on loopback."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from teleopd.drivers.network_facts import Interface
from teleopd.launch import cli, robot_doctor
from teleopd.launch.robot_findings import RobotFacts, findings
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LowCmdEncoder
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.robot import VirtualRobot

DOMAIN = 1 + os.getpid() % 200
ETH = Interface("eth0", "192.168.123.222", True, False, True)
TOPICS = {"rt/lowstate": ("unitree_hg::msg::dds_::LowState_", 1)}
GOOD = RobotFacts(
    "unitree_g1", "hg", (5, 15), "eth0", 0, 2.0, device=ETH, topics=TOPICS, participants=1, states=1000, state_hz=499.8,
    mode_machine=5, hottest_c=41.0, hottest_joint="left_knee_joint", remote=True, controller="", battery=80,
    tick_share=1.0001, real_time=True, locked_memory=True,
)  # fmt: skip


def said(facts: RobotFacts, *levels: str) -> list[tuple[str, str]]:
    return [(finding.what, finding.do) for finding in findings(facts) if finding.level in levels]


def test_all_is_well():
    assert said(GOOD, "problem", "note") == []
    assert [what for what, _ in said(GOOD, "ok")] == [
        "interface eth0 is up with 192.168.123.222", "DDS found 1 other on eth0, domain 0, publishing rt/lowstate",
        "rt/lowstate comes at 500 Hz, checksums right", "hardware variant 5 of unitree_g1, its limits are known",
        "the hottest motor, left_knee_joint, has 41 deg C", "battery 80 %", "the robot's clock runs at 1.0001 of ours",
        "the motors are free: no controller of the robot owns them",
        "real-time priority and locked memory are granted to this user",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "level", "what", "do"),
    [
        ({"device": ETH._replace(up=False)}, "problem", "interface eth0 is down", "ip link set eth0 up"),
        ({"device": ETH._replace(address="")}, "problem", "interface eth0 has no IPv4", "192.168.123.222/24"),
        ({"device": ETH._replace(address="10.0.0.9")}, "note", "eth0 has 10.0.0.9, which is not of", "123.0/24"),
        ({"topics": {"rt/lowstate": (TOPICS["rt/lowstate"][0], 2)}}, "problem", "2 robots publish", "leave one"),
        ({"topics": {"rt/lowstate": ("unitree_go::msg::dds_::LowState_", 1)}, "states": 0}, "problem",
         "rt/lowstate is unitree_go::msg::dds_::LowState_; a unitree_g1 sends unitree_hg::", "with --robot"),
        ({"states": 0}, "problem", "no rt/lowstate came in 2 s", "has booted"),
        ({"states": 0, "bad_crc": 3, "bad_length": 1}, "problem", "3 reports had a wrong checksum, 1 a wrong length",
         "imitate the robot"),
        ({"frozen": 2000}, "problem", "2000 reports only repeat the one before", "restart"),
        ({"state_hz": 399.0}, "problem", "rt/lowstate comes at 399 Hz instead of 500", "cable instead of Wi-Fi"),
        ({"mode_machine": 4}, "problem", "hardware variant 4 has no limits for a unitree_g1; known: 5, 15", "refused"),
        ({"faults": ("waist_yaw_joint", "left_knee_joint")}, "problem",
         "motors report a fault: waist_yaw_joint, left_knee_joint", "power the robot off"),
        ({"hottest_c": 80.0}, "problem", "left_knee_joint, has 80 deg C", "until it has cooled"),
        ({"battery": None}, "note", "the battery does not report", "lights"),
        ({"battery": 19}, "problem", "battery 19 %", "charge it"),
        ({"remote": False}, "note", "does not hear its remote control", "keep it in hand"),
        ({"commands": 1000}, "problem", "another program sends rt/lowcmd at 500 Hz", "two would fight"),
        ({"topics": TOPICS | {"rt/lowcmd": ("x", 1)}}, "note", "another program can send rt/lowcmd", "before you"),
        ({"topics": TOPICS | {"rt/arm_sdk": ("x", 1)}}, "note", "another program can send rt/arm_sdk", "mode arms"),
        ({"controller": "ai"}, "note", "the robot's controller 'ai' owns the motors", "--release-controller"),
        ({"controller": None, "controller_trouble": "no motion_switcher service"}, "problem",
         "no motion_switcher service", "restart the robot"),
        ({"tick_share": 0.99}, "note", "counter runs at 0.990 of this clock", "virtual robot"),
        ({"real_time": False}, "note", "real-time priority not granted", "rtprio"),
        ({"real_time": False, "locked_memory": False}, "note", "real-time priority and locked memory not", "memlock"),
    ],
)  # fmt: skip
def test_one_thing_wrong_is_one_line_that_says_what_to_do(changes: dict[str, object], level: str, what: str, do: str):
    found = said(replace(GOOD, **changes), "problem", "note")  # type: ignore[arg-type]
    assert len(found) == 1 and what in found[0][0] and do in found[0][1]
    assert said(replace(GOOD, **changes), level) == found  # type: ignore[arg-type]


def test_boundaries_are_fine():
    edge = replace(GOOD, state_hz=400.0, battery=20, hottest_c=79.9, tick_share=1.0019, frozen=1000)
    assert said(edge, "problem", "note") == []


def test_with_nobody_there_nothing_is_said_of_motors():
    alone = replace(GOOD, topics={}, participants=0, states=0, controller=None)
    assert said(alone, "problem", "note") == [(
        "DDS found nobody on eth0, domain 0 in 2 s",
        "is the robot on, its cable in this interface, and no firewall in between (UDP 7400 and up)?",
    )]  # fmt: skip
    refused = replace(alone, refused="DDS cannot use interface 'eth0'")
    assert said(refused, "problem") == [("DDS cannot use interface 'eth0'", "mend that first; nothing was heard")]


class Ticking:
    """A virtual robot that ticks in a thread of this process, beside somebody who commands it."""

    def __init__(self) -> None:
        self.model = load_robot("unitree_g1")
        self.participant = Participant("lo", DOMAIN)
        self.peer = DdsPeer(self.participant, VirtualRobot(self.model))
        self.other = Participant("lo", DOMAIN)
        self.foreign = self.other.writer("rt/lowcmd", "hg", "LowCmd_")
        self.packs = self.other.writer("rt/lf/bmsstate", "hg", "BmsState_")
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        zeros = np.zeros(29)
        command = LowCmdEncoder(self.model).encode(5, self.model.q_stand, zeros, zeros, zeros, zeros)
        pack = b"\0\1\0\0" + bytes(100) + bytes([63]) + bytes(63)
        while not self.stop.wait(0.002):
            self.peer.tick(time.monotonic_ns())
            self.foreign.write(command)
            self.packs.write(pack)

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.participant.close()
        self.other.close()


@pytest.fixture
def ticking() -> Iterator[Ticking]:
    made = Ticking()
    yield made
    made.close()


def test_it_hears_a_virtual_robot_and_never_commands_it(ticking: Ticking, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(robot_doctor, "ANSWER_S", 20.0)
    for _ in range(30):
        facts = robot_doctor.observe(ticking.model, "lo", DOMAIN, 0.3)
        if facts.states > 3 and facts.commands > 3 and facts.battery:
            break
    assert facts.device is not None and facts.device.name == "lo" and facts.known_variants == (5, 11, 13, 15)
    assert facts.states > 3 and facts.state_hz > 0 and (facts.bad_crc, facts.bad_length, facts.frozen) == (0, 0, 0)
    assert facts.mode_machine == 5 and facts.controller == "ai" and facts.virtual and not facts.remote
    assert facts.hottest_c == pytest.approx(25.0, abs=3.0) and facts.faults == ()
    assert facts.commands > 3 and facts.battery == 63 and facts.participants == 2
    assert facts.topics["rt/lowstate"] == ("unitree_hg::msg::dds_::LowState_", 1)
    assert facts.topics["rt/lowcmd"] == ("unitree_hg::msg::dds_::LowCmd_", 1)
    assert not ticking.peer.obeyed and ticking.peer.switcher.mode == "ai"


def test_the_command_prints_what_it_found_and_fails_for_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(robot_doctor, "ANSWER_S", 0.05)
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--robot", "unitree_g1", "--interface", "lo", "--domain", str(DOMAIN), "--seconds", "0.05",
                  "--json"])  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1 and not printed["ok"] and printed["facts"]["states"] == 0
    assert printed["findings"][1]["what"] == f"DDS found nobody on lo, domain {DOMAIN} in 0.05 s"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--robot", "unitree_g2"], "unknown robot 'unitree_g2'; did you mean 'unitree_g1'?"),
        (["--robot", "unitree_g1"], "link dds to unitree_g1 needs --interface, the network interface the robot is"),
        (["--robot", "unitree_g1", "--interface", "x9"], "this computer has no network interface 'x9'; there are: lo"),
        (["--robot", "unitree_g1", "--interface", "lo", "--domain", "233"], "--domain is 233; give 0 to 232, 0"),
        (["--interface", "lo"], "--interface lo is the robot's; name the robot too, with --robot"),
    ],
)
def test_bad_input_is_one_sentence(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", *arguments])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and sentence in said and said.count("\n") == 1
