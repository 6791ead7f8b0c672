"""The virtual robot on DDS: what it sends, what it obeys, and what it counts instead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.robots.dds.conftest import DOMAIN

from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.cdr import LOW_CMD, LowCmdEncoder
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherClient
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import JointCommand, RobotModel
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.robot import VirtualRobot

Permitted = Callable[..., JointCommand]


class Rig:
    """A virtual robot, its peer and a link to it; the test makes the ticks."""

    def __init__(self, name: str, mode: str) -> None:
        self.model: RobotModel = load_robot(name)
        self.robot = VirtualRobot(self.model)
        self.participant = Participant("lo", DOMAIN)
        self.peer = DdsPeer(self.participant, self.robot, mode=mode)
        self.link = DdsLink(self.model, "lo", domain=DOMAIN)

    def until(self, what: Callable[[], object]) -> None:
        """Let the robot tick until a condition that must come."""
        end = time.monotonic() + 10.0
        while True:
            self.peer.tick(time.monotonic_ns())
            if what():
                return
            assert time.monotonic() < end, "did not come about"
            time.sleep(0.002)

    def close(self) -> None:
        self.link.close()
        self.participant.close()


@pytest.fixture(params=["unitree_g1", "unitree_h1", "unitree_h1_2"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param, mode="")
    yield made
    made.close()


@pytest.fixture
def owned() -> Iterator[Rig]:
    made = Rig("unitree_g1", mode="ai")
    yield made
    made.close()


def test_state_is_the_virtual_robots_own(rig: Rig):
    rig.until(lambda: rig.link.read() is not None)
    rig.until(lambda: (state := rig.link.read()) is not None and state.tick == rig.robot.steps)
    got, true = rig.link.read(), rig.robot.low_state(0)
    assert got is not None and (got.tick, got.mode_machine) == (true.tick, rig.model.default_mode_machine)
    for name in ("q", "dq", "tau", "quat_w", "gyro_b", "accel_b"):
        assert getattr(got, name) == pytest.approx(getattr(true, name), rel=1e-5, abs=1e-4), name
    assert got.temperature_c == pytest.approx(true.temperature_c, abs=0.5)
    assert rig.link.counters.bad_crc == rig.link.counters.bad_length == 0


def test_command_moves_the_joint_it_names(rig: Rig, permitted: Permitted):
    model = rig.model
    rig.until(lambda: rig.link.read() is not None)
    k = model.joint_names.index("left_shoulder_pitch_joint")
    q = model.q_stand.copy()
    q[k] -= 0.5
    before = rig.robot.low_state(0).q.copy()
    zero = np.zeros(model.n)

    def moved() -> bool:
        rig.link.write(permitted(q, zero, zero, model.kp_ready, model.kd_ready))
        return bool(rig.robot.low_state(0).q[k] < before[k] - 0.3)

    rig.until(moved)
    change = np.abs(rig.robot.low_state(0).q - before)
    assert np.argmax(change) == k and rig.peer.obeyed > 0 and rig.peer.bad_crc == 0


def test_nothing_is_obeyed_until_released(owned: Rig, permitted: Permitted):
    model, zero = owned.model, np.zeros(29)
    owned.until(lambda: owned.link.read() is not None)
    command = permitted(model.q_stand, zero, zero, model.kp_ready, model.kd_ready)

    def send() -> None:
        owned.link.write(command)

    owned.until(lambda: (send(), owned.peer.not_released)[1])
    assert owned.peer.obeyed == owned.robot.commands_received == 0
    owned.peer.switcher._answer(1003, "{}")
    owned.until(lambda: (send(), owned.peer.obeyed)[1])


def test_bad_commands_are_counted_and_not_obeyed(rig: Rig):
    model, zero = rig.model, np.zeros(rig.model.n)
    other = Participant("lo", DOMAIN)
    writer = other.writer("rt/lowcmd", model.wire, "LowCmd_")
    rows = model.q_stand, zero, zero, model.kp_ready, model.kd_ready
    good = LowCmdEncoder(model).encode(model.default_mode_machine, *rows)
    at = 4 + LOW_CMD[model.wire].q + 2
    try:
        rig.until(lambda: writer.matched >= 2)
        writer.write(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        rig.until(lambda: rig.peer.bad_crc)
        writer.write(good + bytes(4))
        rig.until(lambda: rig.peer.bad_length)
        if model.wire == "hg":
            writer.write(LowCmdEncoder(model).encode(0, *rows))
            rig.until(lambda: rig.peer.wrong_variant)
        assert rig.peer.obeyed == rig.robot.commands_received == 0
        writer.write(good)
        rig.until(lambda: rig.peer.obeyed)
        assert (rig.peer.bad_crc, rig.peer.bad_length) == (1, 1)
    finally:
        other.close()


def test_disabled_motors_are_limp(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    model, zero = rig.model, np.zeros(rig.model.n)
    encoder = LowCmdEncoder(model)
    encoder._message.set_mode(model.wire_slot[2], 0)
    given: list[tuple[np.ndarray, ...]] = []
    monkeypatch.setattr(rig.robot, "command", lambda *rows: given.append(rows) or True)
    rows = model.q_stand, zero, zero, model.kp_ready, model.kd_ready
    rig.peer._hear(encoder.encode(model.default_mode_machine, *rows))
    _, _, tau, kp, kd = given[0]
    assert kp[2] == kd[2] == tau[2] == 0.0
    assert np.count_nonzero(kp) == np.count_nonzero(kd) == model.n - 1


def test_missed_ticks_are_simulated_only_within_the_jitter(owned: Rig):
    steps = owned.robot.steps
    for skipped, more in ((0, 2), (1, 4), (5, 12), (6, 2)):
        owned.peer.tick(0, skipped)
        steps += more
        assert owned.robot.steps == steps


def test_rate_must_divide_the_physics(owned: Rig):
    with pytest.raises(ValueError, match="^publish_hz is 300; it must divide physics_hz 1000$"):
        DdsPeer(owned.participant, owned.robot, publish_hz=300)


def test_service_is_asked_over_the_network(owned: Rig):
    client = MotionSwitcherClient(owned.link.participant)
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.002):
            owned.peer.tick(time.monotonic_ns())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        assert client.check() == "ai"
        client.make_free(release=True)
        assert client.check() == ""
        assert owned.link.wait_ready().mode_machine == 5
    finally:
        stop.set()
        thread.join()
    assert owned.peer.switcher.released
