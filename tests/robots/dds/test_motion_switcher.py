"""The service that takes the motors from the robot's own controller: both its ends."""

from __future__ import annotations

import json

import pytest
from tests.robots.dds.conftest import DOMAIN, Robot, Served

from teleopd.robots.link import LinkTimeout, LinkUnavailable
from teleopd.robots.links.dds.idl import zero
from teleopd.robots.links.dds.motion_switcher import MotionSwitcherClient, MotionSwitcherError
from teleopd.robots.links.dds.transport import Participant
from teleopd.robots.model import RobotModel


@pytest.mark.parametrize(
    ("api", "parameter", "code", "data"),
    [(1, "", 0, "1.0.0.1"), (1002, '{"name": "ai"}', 0, ""), (1002, "{", 3204, ""), (1002, '{"name": 3}', 3204, ""),
     (1002, "[" * 5000, 3204, ""), (1003, "{}", 0, ""), (1004, "{}", 3203, ""), (7, "", 3203, "")],
)  # fmt: skip
def test_the_service_answers_each_request(robot: Robot, api: int, parameter: str, code: int, data: str):
    assert robot.server._answer(api, parameter) == (code, data)


def test_check_select_release_follow_the_mode(robot: Robot):
    server = robot.server
    assert json.loads(server._answer(1001, "{}")[1]) == {"form": "0", "name": ""} and server.released
    server._answer(1002, '{"name": "ai"}')
    assert json.loads(server._answer(1001, "{}")[1])["name"] == "ai" and not server.released
    server._answer(1003, "{}")
    assert server.released


def test_malformed_bytes_do_not_end_the_service(robot: Robot, monkeypatch: pytest.MonkeyPatch):
    good = zero("api", "Request_")
    good.header.identity.api_id = 1002
    good.parameter = '{"name": "later"}'
    data = bytes(good.serialize())
    broken = [b"", data[:3], data[:20], data[:36] + b"\xff\xff\xff\x7f" + data[40:], data[:40] + b"\xff" * 40]
    monkeypatch.setattr(robot.server._requests, "take", lambda: [*broken, data])
    robot.server.poll()
    assert robot.server.mode == "later"


def test_client_says_who_does_not_answer(g1: RobotModel):
    participant = Participant("lo", DOMAIN)
    try:
        with pytest.raises(LinkTimeout, match="^no motion_switcher service on interface 'lo' within 0.05 s$"):
            MotionSwitcherClient(participant).check(0.05)
    finally:
        participant.close()


def test_client_refuses_codes_and_nonsense(robot: Robot, monkeypatch: pytest.MonkeyPatch):
    participant = Participant("lo", DOMAIN)
    client = MotionSwitcherClient(participant)
    try:
        with Served(robot):
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (3202, ""))
            with pytest.raises(MotionSwitcherError) as caught:
                client.release()
            assert str(caught.value) == "motion_switcher refused request 1003 on interface 'lo' with code 3202"
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (0, '{"form": 1}'))
            with pytest.raises(MotionSwitcherError, match="^motion_switcher answered CheckMode with '"):
                client.check()
            monkeypatch.setattr(robot.server, "_answer", lambda api, parameter: (0, '{"name": "stuck"}'))
            monkeypatch.setattr("teleopd.robots.links.dds.motion_switcher._SETTLE_S", 0.0)
            with pytest.raises(LinkUnavailable, match="^the robot's controller 'stuck' still owns the motors .* 5 rel"):
                client.make_free(release=True)
    finally:
        participant.close()
