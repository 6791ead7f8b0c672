"""What a run gives its link, and what it is refused with: the interface, and the proof that a robot is virtual."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from teleopd.launch import cli, robot_link
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.config_resolution import resolve
from teleopd.launch.errors import CommandError
from teleopd.launch.robot_link import link_options, open_hand, require_virtual
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, LinkUnavailable
from teleopd.robots.links.dds.hand import DdsHand
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.unitree_g1.model import MODEL

DOMAIN = 1 + os.getpid() % 200
NAMES = ", ".join(["lo", *sorted(name for _, name in socket.if_nameindex() if name != "lo")])


def refused(**config: object) -> str:
    with pytest.raises((ConfigError, LinkUnavailable)) as caught:
        link_options(RunConfig(**config))  # type: ignore[arg-type]
    return str(caught.value)


def test_an_interface_is_explicit_and_exists():
    assert refused(link="dds") == (
        "link dds to unitree_g1 needs --interface, the network interface the robot is connected to; there are: "
        f"{NAMES} (lo is for the virtual robot)"
    )
    assert refused(link="dds", interface="wlan77") == (
        f"link dds to unitree_g1: this computer has no network interface 'wlan77'; there are: {NAMES}"
    )
    assert refused(interface="lo") == (
        "interface 'lo' is for a robot on the network; link sim needs none, as it has its own virtual robot "
        f"(interfaces here: {NAMES})"
    )
    assert refused(link="dds", interface="lo", domain=233) == "domain is 233; give 0 to 232, 0 for the vendor's robots"


def test_a_controller_is_released_only_where_that_was_asked_for():
    dds = {"link": "dds", "interface": "lo", "domain": 3}
    assert link_options(RunConfig(**dds)) == LinkOptions("lo", 3, release=False)
    assert link_options(RunConfig(**dds, release_controller=True)) == LinkOptions("lo", 3, release=True)
    assert link_options(RunConfig(**dds, auto_engage_virtual=True)) == LinkOptions("lo", 3, release=True)
    assert link_options(RunConfig()) == LinkOptions()
    assert refused(release_controller=True) == (
        "release_controller is for a robot on the network; the robot of link sim has none"
    )


def test_a_simulator_is_relaxed_about_only_on_loopback_and_never_engaged_alone():
    dds = {"link": "dds", "interface": "lo", "domain": 3}
    assert link_options(RunConfig(**dds, peer="simulator")) == LinkOptions("lo", 3, simulator=True)
    assert refused(link="dds", interface="eth0", peer="simulator") == (
        "peer simulator is refused on interface 'eth0': a robot may be connected there, whose reports must be checked"
    )
    assert refused(peer="simulator") == "peer simulator is for link dds; link 'sim' has no third-party simulator"
    assert refused(**dds, peer="simulator", auto_engage_virtual=True) == (
        "auto_engage_virtual is for the virtual robot of this project: no other simulator proves it"
    )
    assert refused(link="dds", peer="simulator").startswith("link dds to unitree_g1 needs --interface")
    with pytest.raises(ConfigError, match="^peer 'cat' is not one of: robot, simulator$"):
        resolve({"peer": "cat"}, None, {})


def test_engaging_alone_over_the_network_is_for_loopback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth9")])
    assert refused(link="dds", interface="eth9", auto_engage_virtual=True) == (
        "auto_engage_virtual is refused on interface 'eth9': a robot proves that it is virtual on 'lo' only"
    )
    assert refused(auto_engage_virtual=True) == (
        "auto_engage_virtual is for links dds and lcm; on link 'sim' give --auto-engage"
    )
    assert refused(link="other", auto_engage_virtual=True) == (
        "auto_engage_virtual is for links dds and lcm; on link 'other' only a virtual robot may engage by itself"
    )
    assert refused(link="lcm", lcm_url="udpm://239.255.76.67:7667?ttl=1", auto_engage_virtual=True) == (
        "auto_engage_virtual is refused on udpm://239.255.76.67:7667?ttl=1: a robot proves that it is virtual with "
        "ttl=0 only, which reaches no other computer"
    )
    monkeypatch.setenv("TELEOPD_RELEASE_CONTROLLER", "1")
    assert not link_options(RunConfig(link="dds", interface="eth9")).release


def test_missing_cyclonedds_names_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "cyclonedds", None)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--source", "motion_file", "--motion", "walk", "--link", "dds", "--interface", "lo"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("teleop: the dds link needs cyclonedds (")
    assert said.endswith("): pip install 'teleopd[unitree]'\n") and said.count("\n") == 1


def test_a_robot_that_proves_nothing_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str]
):
    """The whole command, against a robot as the vendor makes them."""
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(robot_link, "PROOF_S", 0.3)
    real = Participant("lo", DOMAIN)
    states = real.writer("rt/lowstate", "hg", "LowState_")
    commands = real.reader("rt/lowcmd", "hg", "LowCmd_")
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main([
                "serve", "--source", "motion_file", "--motion", "walk", "--link", "dds", "--interface", "lo",
                "--domain", str(DOMAIN), "--auto-engage-virtual", "--no-view", "--policy", "default",
            ])  # fmt: skip
        assert ended.value.code == 2 and commands.take() == [] and commands.matched == 0
        assert states.failed == 0
    finally:
        real.close()
    assert capsys.readouterr().err == (
        "teleop: --auto-engage-virtual is refused: the robot that publishes rt/lowstate on interface 'lo', domain "
        f"{DOMAIN} does not answer as a virtual one; it is honoured for a virtual robot on this computer, as started "
        "by: teleop robot --robot unitree_g1 --link dds --interface lo\n"
    )
    assert not (tmp_path / "run").exists()


def test_waiting_for_the_proof_ends_when_it_comes_and_when_it_is_given_up(monkeypatch: pytest.MonkeyPatch):
    config = RunConfig(link="dds", interface="lo", auto_engage_virtual=True)

    class Hand:
        looks = 0

        def is_virtual(self, _now_ns: int) -> bool:
            self.looks += 1
            return self.looks > 3

        def objection(self, _now_ns: int) -> str:
            return "it is made of steel"

    monkeypatch.setattr(robot_link, "_LOOK_S", 0.0)
    hand = Hand()
    require_virtual(hand, config, lambda: False)  # type: ignore[arg-type]
    assert hand.looks == 4
    with pytest.raises(CommandError, match="^--auto-engage-virtual is refused: it is made of steel; it is honoured"):
        require_virtual(Hand(), config, lambda: True)  # type: ignore[arg-type]
    with pytest.raises(CommandError, match="^--auto-engage-virtual is refused: no robot answers; it is honoured"):
        require_virtual(None, config, lambda: True)
    require_virtual(None, RunConfig(link="dds", interface="lo"), lambda: True)  # an operator engages: nothing to prove


def test_only_loopback_and_the_own_simulation_have_a_hand(monkeypatch: pytest.MonkeyPatch, tmp_path):
    session = Session("unitree_g1", tmp_path)
    said: list[str] = []
    config = {"link": "dds", "interface": "lo", "domain": DOMAIN}
    for peer, words in (("robot", []), ("simulator", [robot_link.SIMULATOR])):
        hand = open_hand(RunConfig(**config, peer=peer), session, MODEL, said.append)
        assert isinstance(hand, DdsHand) and said == words
        hand.close()
    assert open_hand(RunConfig(), session, MODEL, said.append).__class__.__name__ == "SimControl"
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth9")])
    assert open_hand(RunConfig(link="dds", interface="eth9"), session, MODEL, said.append) is None
    assert open_hand(RunConfig(link="elsewhere"), session, MODEL, said.append) is None
