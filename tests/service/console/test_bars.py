from __future__ import annotations

import re

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.console.bars import GREEN, ORANGE, RED, bar, bars_html
from teleopd.service.console.snapshot import NOTHING_YET


@pytest.mark.parametrize(
    ("share", "width", "colour"),
    [(-1.0, 0, GREEN), (0.3, 30, GREEN), (0.7, 70, ORANGE), (0.95, 95, RED), (7.0, 100, RED)],
)
def test_a_bar_is_as_long_as_its_share_and_says_when_it_is_much(share: float, width: int, colour: str):
    html = bar("knee", share, "5 Nm")
    assert f"width:{width}%;background:{colour}" in html and "5 Nm" in html


def test_the_joints_that_carry_most_of_their_limit_come_first(snapshot):
    tau, heat = np.zeros(MODEL.n), np.full(MODEL.n, 30.0)
    index = {name: i for i, name in enumerate(MODEL.joint_names)}
    knee, wrist = index["left_knee_joint"], index["right_wrist_yaw_joint"]
    tau[knee], tau[wrist] = -0.5 * MODEL.limits.tau_max[knee], 0.95 * MODEL.limits.tau_max[wrist]
    heat[knee] = 88.0
    html = bars_html(MODEL, snapshot._replace(state=snapshot.state._replace(tau=tau, temperature_c=heat)), 105.0)
    names = re.findall(r"white-space:nowrap\">([^<]*)<", html)
    assert names[:2] == ["right wrist yaw", "left knee"] and names[4] == "left knee"
    assert f"width:80%;background:{ORANGE}" in html and "88 °C" in html, "(88 - 20) of (105 - 20)"


def test_a_robot_that_feels_no_heat_shows_none_and_what_is_no_number_is_shown_as_full(snapshot):
    html = bars_html(MODEL, snapshot)
    assert "joint load" in html and "temperature" not in html
    tau = np.zeros(MODEL.n)
    tau[3] = np.nan
    assert RED in bars_html(MODEL, snapshot._replace(state=snapshot.state._replace(tau=tau)))


def test_without_a_robot_there_is_nothing_to_show():
    assert bars_html(MODEL, NOTHING_YET) == ""
