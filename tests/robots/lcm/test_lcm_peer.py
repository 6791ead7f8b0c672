"""The virtual robot as an LCM peer, and its proof that it is virtual: real multicast on this computer, no waiting for
time: every look makes the robot tick."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from teleopd.robots.links.lcm.hand import LcmHand
from teleopd.robots.links.lcm.messages import (
    BODY,
    COMMAND,
    ESTIMATOR,
    ESTIMATOR_FIELDS,
    TARGETS,
    MessageCodec,
    body_fields,
    command_fields,
    targets_fields,
)
from teleopd.robots.links.lcm.state import StatePublisher
from teleopd.robots.links.lcm.transport import Network
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.virtual.gantry import GantryMode
from teleopd.robots.virtual.lcm_peer import LcmPeer
from teleopd.robots.virtual.robot import VirtualRobot

PORT = 20000 + os.getpid() % 20000
URL = f"udpm://239.255.76.68:{PORT}?ttl=0"
N = MODEL.n


class Bench:
    def __init__(self) -> None:
        self.network, self.client = Network(URL), Network(URL)
        self.robot = VirtualRobot(MODEL, physics_hz=500)
        self.peer = LcmPeer(self.network, self.robot)

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 20.0
        while not what():
            assert time.monotonic() < end, "did not come about"
            self.peer.tick(time.monotonic_ns())


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.network.close()
    made.client.close()


def send(bench: Bench, t_us: int, kp: float = 40.0) -> None:
    bench.client.publish(COMMAND, MessageCodec(command_fields(N)).encode(
        sender=5, timestamp_us=t_us, q=MODEL.q_stand, kp=np.full(N, kp), kd=np.full(N, 2.0),
    ))  # fmt: skip


def test_commands_are_obeyed_once_each_and_others_counted(bench: Bench):
    send(bench, 1_000_000)
    bench.until(lambda: bench.peer.obeyed == 1)
    send(bench, 1_000_000)
    bench.until(lambda: bench.peer.late == 1)
    bench.client.publish(COMMAND, b"not a command")
    bench.until(lambda: bench.peer.bad_length == 1)
    assert bench.peer.obeyed == 1 and bench.robot.commands_received == 1


def test_a_program_that_speaks_the_public_channels_alone_finds_its_robot(bench: Bench):
    """Targets without gains, reports as public relays send them."""
    for channel in (BODY, ESTIMATOR):
        bench.client.subscribe(channel)
    targets = MessageCodec(targets_fields(N))
    bench.client.publish(TARGETS, targets.encode(q_des=MODEL.q_stand, timestamp_us=7))
    bench.until(lambda: bench.peer.obeyed == 1)
    assert bench.robot._kp == pytest.approx(MODEL.kp_ready)
    found: dict[str, list[bytes]] = {BODY: [], ESTIMATOR: []}

    def look() -> bool:
        bench.client.poll()
        for channel, taken in found.items():
            taken += bench.client.take(channel)
        return all(found.values())

    bench.until(look)
    body = MessageCodec(body_fields(N)).decode(found[BODY][-1])
    attitude = MessageCodec(ESTIMATOR_FIELDS).decode(found[ESTIMATOR][-1])
    assert body["q"] == pytest.approx(MODEL.q_stand, abs=0.3)
    assert np.linalg.norm(attitude["quat"]) == pytest.approx(1.0, abs=1e-5) and attitude["quat"][0] > 0.9


def test_it_proves_itself_and_is_worked(bench: Bench):
    hand = LcmHand(MODEL, URL)
    try:
        assert "nobody publishes teleopd_state" in hand.objection(time.monotonic_ns())
        bench.until(lambda: hand.is_virtual(time.monotonic_ns()))
        assert hand.objection(time.monotonic_ns()) == ""
        hand.release()
        bench.until(lambda: bench.robot.gantry.mode is GantryMode.RELEASE)
        before = bench.robot.resets
        hand.reset()
        bench.until(lambda: bench.robot.resets == before + 1 and bench.robot.gantry.mode is GantryMode.HANG)
    finally:
        hand.close()


def test_a_second_robot_on_the_url_ends_the_proof(bench: Bench):
    """A real one, whose bridge answers no nonce, beside a virtual one that does."""
    hand, real = LcmHand(MODEL, URL), StatePublisher(bench.client, MODEL, robot=9)
    try:
        bench.until(lambda: hand.is_virtual(time.monotonic_ns()))
        real.publish(bench.robot.low_state(0), time.monotonic_ns())
        bench.until(lambda: not hand.is_virtual(time.monotonic_ns()))
        assert "2 robots publish teleopd_state" in hand.objection(time.monotonic_ns())
    finally:
        hand.close()


def test_a_robot_that_shows_no_nonce_is_not_virtual(bench: Bench):
    hand, real = LcmHand(MODEL, URL), StatePublisher(bench.client, MODEL, robot=9)
    try:
        until = time.monotonic() + 20.0
        while not hand._heard:
            assert time.monotonic() < until
            real.publish(bench.robot.low_state(0), time.monotonic_ns())
            hand.truth()
        assert "does not answer as a virtual one" in hand.objection(time.monotonic_ns())
    finally:
        hand.close()


def test_where_others_can_hear_there_is_no_hand():
    with pytest.raises(ValueError, match="ttl=0 only"):
        LcmHand(MODEL, f"udpm://239.255.76.68:{PORT}?ttl=1")
