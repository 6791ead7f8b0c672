"""`teleop lcm-bridge` and `serve --link lcm`: what they are refused with, in one sentence, before anything runs."""

from __future__ import annotations

import sys

import pytest

from teleopd.launch import cli, registry
from teleopd.launch.bridge_run import BridgeComposition, BridgeRun
from teleopd.launch.config import RunConfig
from teleopd.launch.robot_link import link_options
from teleopd.robots.link import LinkOptions

URL = "udpm://239.255.76.67:7667?ttl=1"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("teleop: ") and said.count("\n") == 1
    return said.removeprefix("teleop: ").rstrip()


def test_a_bridge_is_refused_what_cannot_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert refused(capsys, "lcm-bridge", "--lcm-url", "tcp://x", "--interface", "lo").startswith(
        "lcm_url: 'tcp://x' is not an LCM URL; write udpm://GROUP:PORT?ttl=N"
    )
    assert refused(capsys, "lcm-bridge").startswith("link dds to unitree_g1 needs --interface")
    assert refused(capsys, "lcm-bridge", "--interface", "lo", "--safety", "tilt_error=50").startswith(
        "safety limit 'tilt_error' = 50 deg loosens the built-in 35"
    )
    with monkeypatch.context() as without_policies:
        without_policies.setattr("teleopd.launch.composition.resolve", lambda *_: None)
        assert refused(capsys, "lcm-bridge", "--interface", "lo") == (
            "the bridge needs a policy that stands by itself, and unitree_g1 has none here; give --policy"
        )
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth9")])
    assert refused(capsys, "lcm-bridge", "--interface", "eth9", "--auto-arm-virtual").startswith(
        "auto_engage_virtual is refused on interface 'eth9'"
    )
    monkeypatch.setitem(sys.modules, "lcm", None)  # type: ignore[arg-type]
    assert refused(capsys, "lcm-bridge", "--interface", "lo").endswith("): pip install 'teleopd[lcm]'")


def test_what_serve_is_refused_on_link_lcm(capsys: pytest.CaptureFixture[str]):
    played = ("serve", "--source", "motion_file", "--motion", "walk", "--policy", "default")
    over_lcm = (*played, "--link", "lcm")
    assert refused(capsys, *over_lcm, "--lcm-url", "udpm://1.2.3.4:7").startswith("lcm_url: 'udpm://1.2.3.4:7' is not")
    assert refused(capsys, *over_lcm, "--interface", "lo").startswith("interface 'lo' is for link dds; LCM goes where")
    assert refused(capsys, *over_lcm, "--release-controller").startswith("release_controller is for link dds; over LCM")
    assert refused(capsys, *played, "--lcm-url", URL) == "lcm_url is for link lcm, not for link 'sim'"
    assert link_options(RunConfig(link="lcm", lcm_url=URL)) == LinkOptions(lcm_url=URL)


def test_the_bridge_engages_nothing_by_itself(monkeypatch: pytest.MonkeyPatch):
    """The sender's deadman does, and only a robot that has proved virtual is even armed without an operator."""
    monkeypatch.setattr(registry, "check", lambda *_names: None)
    config = RunConfig(link="dds", interface="lo", source="lcm", view=False)
    monkeypatch.setattr(BridgeComposition, "_qualified", lambda _self: "not required")
    monkeypatch.setattr("teleopd.launch.composition.resolve", lambda *_names: None)
    with pytest.raises(ValueError, match="needs a policy"):
        BridgeRun(config, URL)
    parts = BridgeComposition.__new__(BridgeComposition)
    for alone in (False, True):
        parts.config = RunConfig(link="dds", auto_engage_virtual=alone)
        assert parts.engages_alone is False and parts.arms_alone is alone


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--link", "sim"], "mode arms is for link dds, where the robot's own controller balances; link 'sim' reaches"),
        (["--link", "lcm"], "mode arms is for link dds, where the robot's own controller balances; link 'lcm' reaches"),
        (["--policy", "default"], "policy does not go with mode arms: no policy balances in it"),
        (["--release-controller"], "release_controller does not go with mode arms: it must keep the legs"),
    ],
)
def test_what_does_not_go_with_arms(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str):
    said = refused(capsys, "serve", "--mode", "arms", "--link", "dds", "--interface", "lo", *arguments)
    assert said.startswith(sentence)


def test_arms_release_no_controller():
    config = RunConfig(link="dds", interface="lo", mode="arms", auto_engage_virtual=True)
    assert link_options(config) == LinkOptions("lo", arms=True)
