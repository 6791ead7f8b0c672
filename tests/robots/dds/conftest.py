"""A robot's end of the DDS link in this process, on loopback, and the link that hears it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LowCmdDecoder
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.low_state import LowStateEncoder
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherServer
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import JointCommand, LowState, RobotModel

DOMAIN = 1 + os.getpid() % 200
"""Of this test process, so that tests side by side do not hear each other."""
Permitted = Callable[..., JointCommand]


def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition that must come."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "did not come about"
        time.sleep(0.002)


def state_of(model: RobotModel, tick: int, machine: int | None = None) -> LowState:
    state = state_at_rest(model, tick=tick)._replace(q=np.arange(model.n) * 0.01)
    return state if machine is None else state._replace(mode_machine=machine)


def rows(model: RobotModel, value: float = 0.25) -> list[np.ndarray]:
    return [np.full(model.n, value) for _ in range(5)]


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
