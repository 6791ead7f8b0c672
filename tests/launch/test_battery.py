"""The warning of a low battery."""

from __future__ import annotations

from teleopd.launch.battery import BatteryWarning
from teleopd.service.link_status import LinkStatus


def test_each_step_down_is_said_once():
    warning, said = BatteryWarning(), []
    assert warning.sentence(None) == ""
    for percent in (-1, 100, 21, 20, 20, 19, 22, 20, 16, 9, 10, 3, 2, -1):
        said.append(bool(warning.sentence(LinkStatus(1, 5, *[0] * 9, battery=percent))))
    assert said == [False, False, False, True, False, False, False, False, False, True, False, True, False, False]


def test_it_says_what_to_do():
    assert BatteryWarning().sentence(LinkStatus(1, 5, *[0] * 9, battery=18)) == (
        "battery low: 18 %; bring the robot to its gantry and end the run, as its own protection may end it otherwise"
    )
