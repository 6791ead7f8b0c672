"""Whether a robot on the network is a virtual one: only the robot of this project can show it, and only on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from tests.robots.dds.conftest import DOMAIN

from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.hand import DdsHand
from teleopd.robots.links.dds.records import CONTROL_TOPIC, TRUTH_TOPIC, RecordCodec, RecordTopic
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.links.sim.wire import (
    GantryMode,
    VirtualControl,
    command_codec,
    control_codec,
    truth_codec,
)
from teleopd.robots.virtual import dds_peer, turns
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.guided import Guided
from teleopd.robots.virtual.robot import VirtualRobot

MODEL = load_robot("unitree_g1")
WHERE = f"on interface 'lo', domain {DOMAIN}"


class Rig:
    """A virtual robot whose ticks the test makes, on a clock of the test's."""

    def __init__(self) -> None:
        self.participant = Participant("lo", DOMAIN)
        self.robot = VirtualRobot(MODEL)
        self.peer = DdsPeer(self.participant, self.robot)
        self.now = 10_000_000_000

    def tick(self, more_ns: int = 2_000_000) -> int:
        self.now += more_ns
        self.peer.tick(self.now)
        return self.now

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 10.0
        while not what():
            assert time.monotonic() < end, "did not come about"
            self.tick()
            time.sleep(0.001)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.participant.close()


@pytest.fixture
def hand() -> Iterator[DdsHand]:
    made = DdsHand(MODEL, "lo", DOMAIN)
    yield made
    made.close()


class Real:
    """A robot as the vendor makes them: it reports, and has never heard of our topics."""

    def __init__(self) -> None:
        self.participant = Participant("lo", DOMAIN)
        self.states = self.participant.writer("rt/lowstate", "hg", "LowState_")


@pytest.fixture
def real() -> Iterator[Real]:
    made = Real()
    yield made
    made.participant.close()


def test_a_virtual_robot_proves_itself_for_a_second(rig: Rig, hand: DdsHand):
    assert not hand.is_virtual(rig.now)
    rig.until(lambda: hand.is_virtual(rig.now))
    assert hand.objection(rig.now) == ""
    truth = hand.truth()
    assert truth is not None and truth.pid == os.getpid() and not truth.fallen
    assert hand.is_virtual(truth.t_ns + 999_000_000)
    assert not hand.is_virtual(truth.t_ns + 1_000_000_000), "a robot that has gone silent proves nothing"


def test_a_real_robot_never_does(real: Real, hand: DdsHand):
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        assert not hand.is_virtual(time.monotonic_ns())
        time.sleep(0.01)
    assert hand.objection(time.monotonic_ns()) == (
        f"the robot that publishes rt/lowstate {WHERE} does not answer as a virtual one"
    )


def test_nobody_there(hand: DdsHand):
    assert hand.objection(time.monotonic_ns()) == f"nobody publishes rt/lowstate {WHERE}"


def test_a_virtual_robot_beside_a_real_one_vouches_for_nobody(rig: Rig, hand: DdsHand):
    rig.until(lambda: hand.is_virtual(rig.now))
    other = Real()
    try:
        rig.until(lambda: not hand.is_virtual(rig.now))
        assert hand.objection(rig.now) == f"2 robots publish rt/lowstate {WHERE}"
    finally:
        other.participant.close()
    rig.until(lambda: hand.is_virtual(rig.now))


def test_an_answer_from_elsewhere_is_no_proof(real: Real, hand: DdsHand):
    """Somebody echoes the nonce, but the reports come from another participant."""
    echo = Participant("lo", DOMAIN)
    controls = RecordTopic(control_codec(), echo, CONTROL_TOPIC, writes=False)
    truths = RecordTopic(truth_codec(), echo, TRUTH_TOPIC, writes=True)
    guided = Guided(VirtualRobot(MODEL), 500)
    try:
        end = time.monotonic() + 10.0
        while hand.truth() is None:
            assert time.monotonic() < end and not hand.is_virtual(time.monotonic_ns())
            for control in controls.take():
                guided.obey(control)
                truths.write(guided.truth(time.monotonic_ns()))
            time.sleep(0.001)
        assert hand.objection(time.monotonic_ns()) == (
            f"the virtual robot that answers {WHERE} is not the one that publishes rt/lowstate"
        )
    finally:
        echo.close()


def test_the_nonce_of_another_is_no_proof(rig: Rig, hand: DdsHand):
    other = DdsHand(MODEL, "lo", DOMAIN)
    try:
        rig.until(lambda: hand.is_virtual(rig.now))
        for _ in range(10):
            assert not other.is_virtual(rig.now), "the robot keeps to the hand that works it"
            hand.is_virtual(rig.tick())
        assert other.truth() is None
        time.sleep(0.02)
        rig.tick()  # hears the first one's last words
        rig.tick(turns.HAND_GONE_NS)  # nobody repeats the first one's wish any more
        rig.until(lambda: other.is_virtual(rig.now))
    finally:
        other.close()


def test_the_hand_works_the_gantry(rig: Rig, hand: DdsHand):
    rig.until(lambda: hand.is_virtual(rig.now))
    hand.lower(0.05)
    rig.until(lambda: (hand.truth(), rig.robot.gantry.mode is not None)[1] and _gantry(hand) == GantryMode.RELEASE)
    hand.hang()
    rig.until(lambda: _gantry(hand) == GantryMode.HANG)
    resets = rig.robot.resets
    hand.reset()
    rig.until(lambda: rig.robot.resets == resets + 1)
    hand.push(np.array([50.0, 0.0, 0.0]), 0.3)
    rig.until(lambda: (truth := hand.truth()) is not None and truth.push_active)


def _gantry(hand: DdsHand) -> int:
    truth = hand.truth()
    return -1 if truth is None else truth.gantry


def test_whoever_takes_over_finds_the_robot_at_its_start(rig: Rig):
    first = DdsHand(MODEL, "lo", DOMAIN)
    rig.until(lambda: first.is_virtual(rig.now))
    first.release()
    rig.until(lambda: _gantry(first) == GantryMode.RELEASE)
    first.close()
    first.close()
    assert not first.is_virtual(rig.now)
    rig.tick(turns.HAND_GONE_NS)
    second = DdsHand(MODEL, "lo", DOMAIN)
    try:
        rig.until(lambda: second.is_virtual(rig.now))
        assert _gantry(second) == GantryMode.HANG and rig.robot.time_s < 5.0
    finally:
        second.close()


def test_on_any_other_interface_there_is_no_hand_at_either_end():
    with pytest.raises(ValueError, match="^a virtual robot is worked on interface 'lo' only, not on 'eth0'$"):
        DdsHand(MODEL, "eth0", DOMAIN)
    assert not dds_peer._local(SimpleNamespace(interface="eth0"))  # type: ignore[arg-type]


def test_a_record_of_another_version_or_length_is_none():
    codec = RecordCodec(control_codec())
    said = VirtualControl(3, -7, False, 2, 0.5, 4, np.array([1.0, 2.0, 3.0]), 0.25, 9)
    data = codec.encode(said)
    heard = codec.decode(data + bytes(3))
    assert heard is not None and heard[:6] == said[:6] and heard.push_force_w.tolist() == [1.0, 2.0, 3.0]
    assert codec.decode(data[:-1]) is None and codec.decode(b"") is None
    assert codec.decode(data[:4] + bytes([data[4] ^ 1]) + data[5:]) is None
    assert codec.decode(b"\1" + data[1:]) is None
    assert RecordCodec(command_codec(29)).decode(data + bytes(5000)) is None
