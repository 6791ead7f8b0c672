"""Participants, readers and writers: the interface they are on, the types they carry, the bytes as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from tests.robots.dds.conftest import DOMAIN, Robot, state_of, until

from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.dds.idl import message
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.transport import Participant, Reader, Writer, configuration
from teleopd.robots.model import RobotModel


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


def test_message_classes_are_made_once():
    assert message("hg", "LowCmd_") is message("hg", "LowCmd_")
