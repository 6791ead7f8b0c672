"""The lcm link over UDP multicast on this computer, against a robot of this process that goes wrong; no root."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.link import LinkTimeout, LinkUnavailable
from teleopd.robots.links.lcm import link as lcm_link
from teleopd.robots.links.lcm.link import LcmLink
from teleopd.robots.links.lcm.messages import COMMAND, STATE, MessageCodec, command_fields
from teleopd.robots.links.lcm.state import StatePublisher
from teleopd.robots.links.lcm.transport import Network, parse_url
from teleopd.robots.model import JointCommand, LowState, WrongHardware
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.unitree_h1.model import MODEL as H1

PORT = 20000 + os.getpid() % 20000
URL = f"udpm://239.255.76.67:{PORT}?ttl=0"
N = MODEL.n


def until(what: Callable[[], Any]) -> None:
    end = time.monotonic() + 20.0
    while not what():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.0005)


def state(tick: int, machine: int = 5) -> LowState:
    return state_at_rest(MODEL, tick=tick)._replace(mode_machine=machine, q=np.full(N, 0.01 * tick))


def command(q: float) -> JointCommand:
    made = object.__new__(JointCommand)
    made.q, made.dq, made.tau, made.kp, made.kd = (np.full(N, value) for value in (q, 0.0, 0.0, 40.0, 1.0))
    return made


class Bench:
    def __init__(self) -> None:
        self.robot, self.link = Network(URL), LcmLink(MODEL, URL)
        self.robot.subscribe(COMMAND)
        self.states = StatePublisher(self.robot, MODEL, robot=1)
        self.codec = MessageCodec(command_fields(N))

    def publish(self, tick: int, machine: int = 5, late_us: int = 0) -> None:
        """Send one report and wait until the link has judged it."""
        before = self.judged
        self.states.publish(state(tick, machine), time.monotonic_ns() - 1000 * late_us)
        until(lambda: (self.link.read(), self.judged > before)[1])

    @property
    def judged(self) -> int:
        counters = self.link.counters
        return counters.received + counters.frozen + counters.late + counters.bad_length

    def heard(self) -> list[Any]:
        self.robot.poll()
        return [self.codec.decode(data) for data in self.robot.take(COMMAND)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.link.close()
    made.robot.close()


def test_commands_carry_what_the_ladder_says(bench: Bench):
    bench.publish(1)
    bench.link.tell(5, True, np.array([0.1, -0.2]))
    bench.link.write(command(0.5))
    bench.link.write(command(0.6))
    got: list[Any] = []
    until(lambda: (got.extend(bench.heard()), len(got) == 2)[1])
    assert [int(one["seq"]) for one in got] == [1, 2] and int(got[0]["mode"]) == 5
    assert got[0]["damped_by_operator"] == 1 and got[0]["tilt_rp"].tolist() == [0.1, -0.2]
    assert int(got[0]["sender"]) == bench.link.sender and int(got[0]["timestamp_us"]) < int(got[1]["timestamp_us"])


def test_nothing_is_sent_before_the_robot_was_heard(bench: Bench):
    bench.link.write(command(0.5))
    assert bench.link.counters.held_back == 1 and bench.link.counters.sent == 0


def test_repeated_and_late_reports_are_not_news(bench: Bench):
    bench.publish(1)
    first = bench.link.read()
    bench.publish(1)
    bench.publish(2, late_us=150_000)
    assert bench.link.read() is first
    assert (bench.link.counters.frozen, bench.link.counters.late, bench.link.counters.received) == (1, 1, 1)
    bench.publish(3)
    found = bench.link.read()
    assert found is not None and found.tick == 3


def test_hardware_that_changes_is_counted_and_shown(bench: Bench):
    bench.publish(1)
    bench.publish(2, machine=4)
    found = bench.link.read()
    assert found is not None and found.mode_machine == 4 and bench.link.counters.hardware_changes == 1


def test_another_commander_and_another_robot_are_refused(bench: Bench):
    other = LcmLink(MODEL, URL)
    try:
        bench.states.publish(state(1), time.monotonic_ns())
        until(lambda: other.read() is not None)
        bench.publish(2)
        other.write(command(0.1))
        until(lambda: (bench.link.read(), bench.link.counters.foreign_commands == 1)[1])
        second = StatePublisher(bench.robot, MODEL, robot=2)
        second.publish(state(9), time.monotonic_ns())
        until(lambda: (bench.link.read(), bench.link.others)[1])
        found = bench.link.read()
        assert found is not None and found.tick == 2, "the second robot's report is not taken for the first's"
        with pytest.raises(LinkUnavailable, match=f"^2 robots publish {STATE} on .*; leave one of them on$"):
            bench.link.wait_ready(5.0)
    finally:
        other.close()


def refusal(link: LcmLink, speak: Callable[[], None]) -> str:
    with pytest.raises((LinkTimeout, LinkUnavailable, WrongHardware)) as caught:
        speak()
        link.wait_ready(0.2)
    return str(caught.value)


def test_what_came_instead_is_said(bench: Bench):
    assert refusal(bench.link, lambda: None) == (
        f"no teleopd_state of a unitree_g1 on {URL} within 0.2 s: does teleop lcm-bridge (or teleop robot --link lcm) "
        "run there, and with the same URL?"
    )
    relay = Network(URL)
    try:
        body = MessageCodec(lcm_link.command_fields(1)).encode()
        said = refusal(bench.link, lambda: (relay.publish("body_control_data", body), None)[1])
        assert said.startswith(f"body_control_data is heard on {URL}, but no teleopd_state: a relay that knows no mode")
        wrong = StatePublisher(relay, H1, robot=3)
        report = state(1)._replace(**{
            name: np.zeros(H1.n) for name in ("q", "dq", "tau", "temperature_c", "motor_fault")
        })  # fmt: skip
        said = refusal(bench.link, lambda: wrong.publish(report, time.monotonic_ns()))
        assert said == f"teleopd_state on {URL} is not of a unitree_g1: is that another robot?"
        assert bench.link.counters.bad_length == 1
    finally:
        relay.close()


def test_unknown_hardware_is_refused(bench: Bench):
    bench.publish(1, machine=4)
    with pytest.raises(WrongHardware, match="mode_machine 4"):
        bench.link.wait_ready(5.0)


@pytest.mark.parametrize(
    "url", ["", "tcp://1.2.3.4:5", "udpm://10.0.0.1:7667", "udpm://239.255.76.67:0", "udpm://239.255.76.67:7667?ttl=256",
            "udpm://239.255.76.67", "udpm://239.255.76.67:7667?ttl=0&recv_buf_size=1"],
)  # fmt: skip
def test_a_url_that_is_none_is_one_sentence(url: str):
    with pytest.raises(ValueError, match="is not an LCM URL; write udpm://GROUP:PORT"):
        parse_url(url)


def test_a_url_says_whether_it_stays_here():
    assert parse_url("udpm://239.255.76.67:7667?ttl=0").local and parse_url("udpm://239.255.76.67:7667").local
    assert not parse_url("udpm://239.255.76.67:7667?ttl=1").local
