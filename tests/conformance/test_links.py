"""What every registered link to a robot must do, for every registered robot. A new link adds a harness here."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from teleopd.launch import registry
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkOptions, LinkUnavailable, RobotLink
from teleopd.robots.links.dds.cdr import LowCmdDecoder
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.links.lcm.link import LcmLink
from teleopd.robots.links.lcm.messages import COMMAND, MessageCodec, command_fields
from teleopd.robots.links.lcm.state import StatePublisher
from teleopd.robots.links.lcm.transport import Network
from teleopd.robots.links.sim.wire import create_sim_streams
from teleopd.robots.model import JointCommand, LowState, RobotModel

DOMAIN = 1 + os.getpid() % 200
"""Of this test process, so that tests side by side do not hear each other."""
LCM_URL = f"udpm://239.255.76.67:{20000 + os.getpid() % 20000}?ttl=0"


class Heard(NamedTuple):
    """The newest command as the robot's side of the transport sees it."""

    q: np.ndarray
    dq: np.ndarray
    tau: np.ndarray
    kp: np.ndarray
    kd: np.ndarray


class Harness(NamedTuple):
    """A link and the robot's end of its transport."""

    link: RobotLink
    publish: Callable[[LowState], None]
    """Returns once the state lies where the link will find it."""
    heard: Callable[[], Heard | None]
    """The newest command, once everything the link has sent is there."""
    lacks: frozenset[str] = frozenset()
    """Fields of LowState that this robot's messages do not have."""


def sim_harness(link_class: Any, model: RobotModel, folder: Path) -> Harness:
    session = Session(model.name, folder)
    streams = create_sim_streams(session, model.n)

    def heard() -> Heard | None:
        command = streams.command.read()
        return None if command is None else Heard(command.q, command.dq, command.tau, command.kp, command.kd)

    return Harness(link_class(session, model), lambda state: (streams.state.write(state), None)[1], heard)


class DdsRobot:
    """The robot's end of the network, in this process: kept for all tests of this file, as discovery takes a moment."""

    def __init__(self, name: str) -> None:
        model = registry.load("robot", name)
        self.participant = Participant("lo", DOMAIN)
        self.states = self.participant.writer("rt/lowstate", model.wire, "LowState_")
        self.commands = self.participant.reader("rt/lowcmd", model.wire, "LowCmd_")
        self.encoder, self.decoder = LowStateEncoder(model), LowCmdDecoder(model)


dds_robot = functools.cache(DdsRobot)


@pytest.fixture(scope="module", autouse=True)
def robots_leave_the_network() -> Iterator[None]:
    yield
    for name in registry.names("robot"):
        dds_robot(name).participant.close()
    dds_robot.cache_clear()


def until(what: Callable[[], bool]) -> None:
    """Wait for a condition that must come."""
    end = time.monotonic() + 20.0
    while not what():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.0005)


def dds_harness(_open: Any, model: RobotModel, _folder: Path) -> Harness:
    """The link without the questions before the loop, for which `tests/robots/dds` has a robot that answers."""
    robot = dds_robot(model.name)
    link = DdsLink(model, "lo", domain=DOMAIN)
    until(lambda: robot.states.matched == 1 and robot.commands.matched == 1)
    robot.commands.take()
    newest: list[Heard] = []
    arrived = 0

    def publish(state: LowState) -> None:
        before = link.counters.received
        robot.states.write(robot.encoder.encode(state))
        until(lambda: (link.read(), link.counters.received > before)[1])

    def heard() -> Heard | None:
        nonlocal arrived
        until(lambda: (take(), arrived == link.counters.sent)[1])
        return newest[-1] if newest else None

    def take() -> None:
        nonlocal arrived
        for data in robot.commands.take():
            rows = robot.decoder.decode(data)
            newest.append(Heard(rows.q, rows.dq, rows.tau, rows.kp, rows.kd))
            arrived += 1

    lacks = frozenset() if model.wire == "hg" else frozenset({"motor_fault"})
    return Harness(link, publish, heard, lacks)


def lcm_harness(_open: Any, model: RobotModel, _folder: Path) -> Harness:
    """The link without the questions before the loop, for which `tests/robots/lcm` has a robot that answers."""
    link, robot = LcmLink(model, LCM_URL), Network(LCM_URL)
    robot.subscribe(COMMAND)
    states, commands = StatePublisher(robot, model, robot=1), MessageCodec(command_fields(model.n))
    newest: list[Heard] = []

    def publish(state: LowState) -> None:
        before = link.counters.received
        states.publish(state, time.monotonic_ns())
        until(lambda: (link.read(), link.counters.received > before)[1])

    def heard() -> Heard | None:
        until(lambda: (take(), len(newest) == link.counters.sent)[1])
        return newest[-1] if newest else None

    def take() -> None:
        robot.poll()
        for data in robot.take(COMMAND):
            record = commands.decode(data)
            assert record is not None
            if int(record["sender"]) == link.sender:
                newest.append(Heard(*(record[name].astype(np.float64) for name in Heard._fields)))

    return Harness(link, publish, heard)


def absent_lcm(opens: Any, model: RobotModel, folder: Path) -> object:
    with pytest.MonkeyPatch.context() as without:
        without.setitem(sys.modules, "lcm", None)  # type: ignore[arg-type]
        return opens(Session(model.name, folder), model, LinkOptions())


HARNESSES: dict[str, Callable[[Any, RobotModel, Path], Harness]] = {
    "sim": sim_harness, "dds": dds_harness, "lcm": lcm_harness,
}  # fmt: skip
ABSENT: dict[str, Callable[[Any, RobotModel, Path], object]] = {
    "sim": lambda link_class, model, folder: link_class(Session(model.name, folder / "nobody"), model),
    "dds": lambda opens, model, folder: opens(Session(model.name, folder), model, LinkOptions("wlan77")),
    "lcm": absent_lcm,
}
PAIRS = list(itertools.product(registry.names("link"), registry.names("robot")))


def permitted(rows: list[np.ndarray]) -> JointCommand:
    """A command as the gate would hand it over."""
    command = object.__new__(JointCommand)
    command.q, command.dq, command.tau, command.kp, command.kd = rows
    return command


def state_of(model: RobotModel, tick: int) -> LowState:
    """A state in which every number is different."""
    n = model.n
    values = np.random.default_rng(tick).normal(size=6 * n + 16)
    return LowState(
        t_ns=tick * 1000, tick=tick, mode_machine=model.default_mode_machine, q=values[:n], dq=values[n : 2 * n],
        tau=values[2 * n : 3 * n], quat_w=np.array([0.5, 0.5, -0.5, 0.5]), gyro_b=values[3 * n : 3 * n + 3],
        accel_b=values[3 * n + 3 : 3 * n + 6], temperature_c=20.0 + np.arange(n),
        motor_fault=np.arange(n, dtype=np.uint32), remote=np.arange(40, dtype=np.uint8), has_odometry=True,
        root_pos_w=values[-3:], root_lin_vel_w=values[-6:-3],
    )  # fmt: skip


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Harness, RobotModel]]:
    link, robot = request.param
    assert link in HARNESSES, f"link '{link}' is registered but has no harness in {__file__}"
    model = registry.load("robot", robot)
    harness = HARNESSES[link](registry.load("link", link), model, tmp_path)
    yield harness, model
    harness.link.close()


Bench = tuple[Harness, RobotModel]


def test_nothing_is_read_before_the_robot_spoke(bench: Bench):
    harness, _ = bench
    assert harness.link.read() is None and harness.link.read() is None


def test_state_crosses_in_motor_order(bench: Bench):
    harness, model = bench
    sent = state_of(model, 7)
    harness.publish(sent)
    got = harness.link.read()
    assert got is not None
    for name in ("q", "dq", "tau", "quat_w", "gyro_b", "accel_b", "temperature_c", "motor_fault", "remote"):
        wanted = np.zeros_like(getattr(sent, name)) if name in harness.lacks else getattr(sent, name)
        assert getattr(got, name) == pytest.approx(wanted, rel=1e-6, abs=1e-6), name
    assert (got.tick, got.mode_machine) == (7, model.default_mode_machine)
    assert got.q.dtype == np.float64 and got.q.shape == (model.n,)


def test_same_object_until_newer_and_old_ones_do_not_change(bench: Bench):
    harness, model = bench
    harness.publish(state_of(model, 1))
    first = harness.link.read()
    assert first is not None and harness.link.read() is first
    kept = [np.copy(item) for item in first]
    harness.publish(state_of(model, 2))
    second = harness.link.read()
    assert second is not None and second is not first and second.tick == 2
    for before, now in zip(kept, first, strict=True):
        assert np.array_equal(before, now)


def test_newest_state_wins(bench: Bench):
    harness, model = bench
    for tick in range(1, 20):
        harness.publish(state_of(model, tick))
    got = harness.link.read()
    assert got is not None and got.tick == 19


def test_command_crosses_in_motor_order_and_newest_wins(bench: Bench):
    harness, model = bench
    harness.publish(state_of(model, 1))  # some links must know the hardware before they command it
    assert harness.heard() is None
    for seed in (1, 2):
        rows = list(np.random.default_rng(seed).uniform(0.1, 1.0, (5, model.n)))
        harness.link.write(permitted(rows))
        got = harness.heard()
        assert got is not None
        for name, sent, arrived in zip(got._fields, rows, got, strict=True):
            assert arrived == pytest.approx(sent, rel=1e-6), name


def test_only_a_permitted_command_is_written(bench: Bench):
    harness, model = bench
    harness.publish(state_of(model, 1))
    rows = list(np.ones((5, model.n)))
    for wrong in (Heard(*rows), None, rows):
        with pytest.raises(TypeError, match="JointCommand"):
            harness.link.write(wrong)  # type: ignore[arg-type]
    assert harness.heard() is None


def test_writing_keeps_no_hold_of_the_callers_arrays(bench: Bench):
    harness, model = bench
    harness.publish(state_of(model, 1))
    rows = list(np.full((5, model.n), 0.5))
    harness.link.write(permitted(rows))
    rows[0][:] = 9.0
    got = harness.heard()
    assert got is not None and got.q == pytest.approx(np.full(model.n, 0.5))


def test_close_is_safe_twice_and_silences_the_link(bench: Bench):
    harness, model = bench
    harness.publish(state_of(model, 1))
    harness.link.close()
    harness.link.close()
    harness.link.write(permitted(list(np.ones((5, model.n)))))
    assert harness.heard() is None


@pytest.mark.parametrize(("link", "robot"), PAIRS)
def test_a_transport_that_is_not_there_is_a_clear_refusal(link: str, robot: str, tmp_path: Path):
    assert link in ABSENT, f"link '{link}' has no case in ABSENT of {__file__}"
    with pytest.raises(LinkUnavailable) as caught:
        ABSENT[link](registry.load("link", link), registry.load("robot", robot), tmp_path)
    assert robot in str(caught.value) and str(caught.value).count(". ") == 0
