"""Heading hold: the correction's size and sign, its bounds, and when it stays out of the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.model import LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.heading_hold import HeadingHold, allowed, wrapped

CARDS = MODEL.mjcf.parent / "policies"


def turned(yaw_rad: float) -> np.ndarray:
    return np.array([math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2)])


def reference(yaw_rad: float, rate: float = 0.0) -> Reference:
    q = np.zeros(MODEL.n)
    return Reference(1, 1, 1, 1, 1, True, True, 0, 100.0, np.zeros(3), turned(yaw_rad), np.zeros(3),
                     np.array([0.0, 0.0, rate]), q, q)  # fmt: skip


def state(yaw_rad: float) -> LowState:
    return state_at_rest(MODEL)._replace(quat_w=turned(yaw_rad))


def rate_of(hold: HeadingHold, wanted: float, measured: float, mode: Mode = Mode.ACTIVE, rate: float = 0.0) -> float:
    return float(hold.step(reference(wanted, rate), state(measured), mode).root_ang_vel_w[2])


def test_the_first_active_tick_is_the_zero():
    hold = HeadingHold()
    assert rate_of(hold, 1.0, -2.0) == 0.0
    assert rate_of(hold, 1.1, -2.0) == pytest.approx(0.2)
    assert rate_of(hold, 1.0, -1.9, rate=0.5) == pytest.approx(0.5 - 0.2)


@pytest.mark.parametrize(("error", "expected"), [(0.69, 1.38), (0.71, 1.4), (3.0, 1.4), (-0.71, -1.4), (-3.0, -1.4)])
def test_the_correction_is_bounded(error: float, expected: float):
    hold = HeadingHold()
    rate_of(hold, 0.0, 0.0)
    assert rate_of(hold, error, 0.0) == pytest.approx(expected)


def test_it_takes_the_short_way_round():
    hold = HeadingHold()
    rate_of(hold, 3.1, 3.1)
    assert rate_of(hold, -3.1, 3.1) == pytest.approx(2.0 * (2 * math.pi - 6.2))
    assert wrapped(3 * math.pi / 2) == pytest.approx(-math.pi / 2)


@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.ACTIVE])
def test_outside_active_nothing_is_changed_and_the_zero_is_forgotten(mode: Mode):
    hold = HeadingHold()
    rate_of(hold, 0.0, 0.0)
    same = reference(1.0)
    assert hold.step(same, state(0.0), mode) is same
    assert rate_of(hold, 1.0, 0.0) == 0.0


def test_a_broken_orientation_changes_nothing():
    hold = HeadingHold()
    rate_of(hold, 0.0, 0.0)
    broken = state(0.0)._replace(quat_w=np.full(4, np.nan))
    same = reference(1.0)
    assert hold.step(same, broken, Mode.ACTIVE) is same


@pytest.mark.parametrize(
    ("card", "expected"),
    [("twist2", True), ("beyondmimic_violin", False), ("unitree_rl_mjlab_dance1", False)],
)
def test_only_policies_that_follow_a_rate_and_know_no_heading(card: str, expected: bool):
    assert allowed(load_card(CARDS / f"{card}.toml")) is expected
