"""`teleop robot`: the virtual robot as a process on the network, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from teleopd.launch import cli
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.link import DdsLink

DOMAIN = 1 + os.getpid() % 200


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in the process of the tests asks for no priority."""
    monkeypatch.setattr("teleopd.robots.rates.request_priority", lambda priority: False)


def test_a_link_finds_it_releases_it_and_reads_it():
    """Two processes, loopback, no root: what `teleop robot` sends is what a G1 sends."""
    arguments = ["robot", "--robot", "unitree_g1", "--link", "dds", "--domain", str(DOMAIN), "--seconds", "60"]
    peer = subprocess.Popen(
        [sys.executable, "-m", "teleopd.launch.cli", *arguments], stderr=subprocess.PIPE, text=True
    )
    link = DdsLink(load_robot("unitree_g1"), "lo", domain=DOMAIN)
    try:
        first = link.wait_ready(30.0, release=True)
        end = time.monotonic() + 10.0
        while (state := link.read()) is None or state.tick <= first.tick:
            assert time.monotonic() < end
            time.sleep(0.002)
        assert first.mode_machine == 5 and link.counters.bad_crc == link.counters.bad_length == 0
        assert link.foreign_writers == 0
        peer.send_signal(2)
        said = peer.communicate(timeout=20)[1].splitlines()
    finally:
        link.close()
        peer.kill()
    assert peer.returncode == 0
    assert said[0] == f"unitree_g1 (virtual) speaks DDS on lo, domain {DOMAIN}; Ctrl-C ends it"
    assert said[1].startswith("obeyed 0 commands; refused: 0 wrong checksum, 0 wrong length, 0 before release, ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--domain", "233"], "domain is 233; valid: 0 to 232"),
        (["--interface", "a b"], "link dds to unitree_g1: this computer has no network interface 'a b'; there are: lo"),
        (["--physics-hz", "200"], "--physics-hz is 200; choose one of: 500, 1000, 2000"),
        (["--physics-hz", "1500"], "--physics-hz is 1500; choose one of: 500, 1000, 2000"),
        (["--battery", "0"], "battery is 0 %; give 1 to 100"),
        (["--link", "lcm", "--lcm-url", "x"], "'x' is not an LCM URL; write udpm://GROUP:PORT?ttl=N with a group of "
         "224.0.0.0 to 239.255.255.255, such as udpm://239.255.76.67:7667?ttl=0 (this computer only) or ttl=1 (the "
         "local network)"),
        (["--lcm-url", "udpm://239.255.76.67:7667?ttl=0"], "--lcm-url is for link lcm; give --link lcm with it"),
        (["--seconds", "0"], "--seconds is 0.0; give a positive number"),
    ],
)
def test_bad_input_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
):
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo")])
    with pytest.raises(SystemExit) as ended:
        cli.main(["robot", *arguments])
    assert ended.value.code == 2 and capsys.readouterr().err == f"teleop: {sentence}\n"
