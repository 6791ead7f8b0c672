"""What the virtual robot publishes beside LowState, read back by cyclonedds' own deserialiser and by the link."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from tests.robots.dds.conftest import DOMAIN, until

from teleopd.robots.catalog import load_robot
from teleopd.robots.links.dds.battery import bms_state
from teleopd.robots.links.dds.idl import message, zero
from teleopd.robots.links.dds.link import DdsLink
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.virtual.dds_peer import DdsPeer
from teleopd.robots.virtual.robot import VirtualRobot


@pytest.mark.parametrize("robot", ["unitree_g1", "unitree_h1"])
def test_the_link_reads_the_charge(robot: str):
    model = load_robot(robot)
    participant, link = Participant("lo", DOMAIN), DdsLink(model, "lo", domain=DOMAIN)
    try:
        peer = DdsPeer(participant, VirtualRobot(model, physics_hz=500), battery_percent=17)
        assert link.battery == -1
        until(lambda: (peer.tick(time.monotonic_ns()), link.read(), link.battery != -1)[2])
        assert link.battery == 17 and link.counters.bad_crc == link.counters.bad_length == 0
    finally:
        link.close()
        participant.close()


def test_the_battery_message_is_one():
    sample = zero("hg", "BmsState_")
    sample.soc = 63
    assert bms_state(63) == sample.serialize()
    assert message("hg", "BmsState_").deserialize(bms_state(63)).soc == 63


def test_a_charge_outside_its_range_is_refused():
    participant = Participant("lo", DOMAIN)
    try:
        with pytest.raises(ValueError, match="^battery is 0 %; give 1 to 100$"):
            DdsPeer(participant, VirtualRobot(load_robot("unitree_g1"), physics_hz=500), battery_percent=0)
    finally:
        participant.close()


def test_the_g1_has_an_imu_in_its_torso():
    """Bent at the waist the two differ by that angle; standing still the torso's shows gravity alone."""
    model = load_robot("unitree_g1")
    participant, client = Participant("lo", DOMAIN), Participant("lo", DOMAIN)
    robot = VirtualRobot(model, physics_hz=500)
    bent = model.q_stand.copy()
    bent[model.joint_names.index("waist_pitch_joint")] = 0.3
    robot.reset(q=bent)
    reader = client.reader("rt/secondary_imu", "hg", "IMUState_")
    found: list[Any] = []
    try:
        peer = DdsPeer(participant, robot)

        def settled() -> bool:
            robot.command(bent, *np.zeros((2, model.n)), np.full(model.n, 200.0), np.full(model.n, 10.0))
            peer.tick(time.monotonic_ns())
            found.extend(reader.take_messages())
            return len(found) > 100 and peer._ticks > 500

        until(settled)
        imu, pelvis = found[-1], robot.low_state(0).quat_w
        dot = abs(float(np.dot(imu.quaternion, pelvis)))
        waist = robot.low_state(0).q[model.joint_names.index("waist_pitch_joint")]
        assert 2.0 * np.arccos(min(1.0, dot)) == pytest.approx(waist, abs=0.05) and waist > 0.2
        assert imu.rpy[1] == pytest.approx(2.0 * np.arcsin(imu.quaternion[2]), abs=0.05)
        assert np.linalg.norm(imu.accelerometer) == pytest.approx(9.81, abs=0.3)
        assert imu.accelerometer[0] == pytest.approx(-9.81 * np.sin(imu.rpy[1]), abs=0.3)
        assert np.linalg.norm(imu.gyroscope) < 0.2
    finally:
        participant.close()
        client.close()
