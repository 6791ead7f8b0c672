"""What a policy with its own legs is told: calm velocities, a height, no legs; and whom it does not follow."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from teleopd.robots.model import Reference
from teleopd.robots.unitree_h1.model import MODEL
from teleopd.service.policy.card import Capabilities, Card
from teleopd.service.policy.card_checks import problems
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.commands import CANNOT, Commands, clipped_words
from teleopd.service.policy.errors import BadCard, UnknownKey
from teleopd.service.policy.library import shipped_cards

STAND_M = MODEL.stand_height_m
ABLE = Capabilities(
    legs=False, upper_body=True, forward=(-0.4, 0.9), left=(-0.5, 0.5), turn=(-1.0, 1.0), height=(0.85, STAND_M)
)


@pytest.fixture(scope="module")
def walking_card() -> Card:
    """A card of a velocity policy for the H1, with our capabilities."""
    return msgspec.structs.replace(load_card(shipped_cards(MODEL)["unitree_rl_gym"]), capabilities=ABLE)


@pytest.fixture
def commands(walking_card: Card) -> Commands:
    return Commands(walking_card, ABLE, MODEL)


def asked(
    forward: float = 0.0, left: float = 0.0, turn: float = 0.0, height: float = STAND_M, yaw: float = 0.0,
    **joints: float,
) -> Reference:  # fmt: skip
    """The operator's reference, facing `yaw`."""
    q = MODEL.q_stand.copy()
    for name, value in joints.items():
        q[MODEL.joint_names.index(f"{name}_joint")] = value
    c, s = math.cos(yaw), math.sin(yaw)
    return Reference(
        seq=1, source_id=1, t_ns=0, t_content_ns=0, t_published_ns=0, valid=True, deadman=True, resets=0,
        nominal_hz=50.0, root_pos_w=np.array([1.0, 2.0, height]),
        root_quat_w=np.array([math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]),
        root_lin_vel_w=np.array([c * forward - s * left, s * forward + c * left, 0.0]),
        root_ang_vel_w=np.array([0.0, 0.0, turn]), q=q, dq=np.ones(MODEL.n),
    )  # fmt: skip


def after(commands: Commands, seconds: float, reference: Reference) -> Reference:
    for _ in range(round(seconds * 50)):
        told = commands.step(reference)
    return told


def test_a_walk_is_told_in_the_operators_heading(commands: Commands):
    told = after(commands, 3.0, asked(forward=0.5, left=0.2, yaw=1.0))
    c, s = math.cos(1.0), math.sin(1.0)
    assert told.root_lin_vel_w == pytest.approx([c * 0.5 - s * 0.2, s * 0.5 + c * 0.2, 0.0], abs=1e-3)
    assert commands.clipped == 0


def test_a_sudden_walk_comes_gently(commands: Commands):
    speeds = [float(commands.step(asked(forward=0.8)).root_lin_vel_w[0]) for _ in range(50)]
    assert speeds[0] == 0.0
    assert max(np.diff(speeds)) < 0.25
    assert speeds[-1] == pytest.approx(0.8, rel=0.05)


@pytest.mark.parametrize(
    ("wish", "axis", "bound", "words"),
    [
        ({"forward": 2.0}, 0, 0.9, "forward (to -0.4..0.9)"), ({"forward": -1.0}, 0, -0.4, "forward (to -0.4..0.9)"),
        ({"left": 0.8}, 1, 0.5, "left (to -0.5..0.5)"), ({"left": -3.0}, 1, -0.5, "left (to -0.5..0.5)"),
    ],
)  # fmt: skip
def test_what_is_beyond_the_range_is_clipped_and_said(commands: Commands, wish, axis: int, bound: float, words: str):
    told = after(commands, 3.0, asked(**wish))
    assert told.root_lin_vel_w[axis] == pytest.approx(bound)
    assert clipped_words(commands.clipped, ABLE) == words


def test_turns_are_clipped(commands: Commands):
    assert after(commands, 3.0, asked(turn=-2.5)).root_ang_vel_w[2] == pytest.approx(-1.0)
    assert clipped_words(commands.clipped) == "turn"


def test_a_swaying_operator_does_not_make_the_robot_step(commands: Commands):
    for tick in range(500):
        sway = 0.12 * math.sin(2 * math.pi * 0.7 * tick / 50)
        told = commands.step(asked(forward=sway, left=-sway))
        assert not told.root_lin_vel_w.any()


def test_who_stops_marches_a_moment_longer_and_then_stands(commands: Commands):
    after(commands, 2.0, asked(forward=0.5))
    steps = [commands.step(asked()).root_lin_vel_w[0] for _ in range(150)]
    assert steps[20] > 0.0
    assert steps[-1] == 0.0


def test_the_height_follows_at_a_bounded_rate_and_within_the_range(commands: Commands):
    first = commands.step(asked(height=0.9))
    assert first.root_pos_w[2] == pytest.approx(STAND_M - 0.006)
    assert after(commands, 2.0, asked(height=0.9)).root_pos_w[2] == pytest.approx(0.9)
    assert after(commands, 2.0, asked(height=0.6)).root_pos_w[2] == pytest.approx(0.85)
    assert clipped_words(commands.clipped) == "height"
    assert after(commands, 2.0, asked(height=1.2)).root_pos_w[2] == pytest.approx(STAND_M)
    assert commands.clipped == 0


def test_a_bent_robot_rises_before_it_walks(commands: Commands):
    after(commands, 2.0, asked(height=0.86))
    for _ in range(100):
        told = commands.step(asked(forward=0.8, height=0.86))
        assert not told.root_lin_vel_w.any() or told.root_pos_w[2] > STAND_M - 0.061
    assert told.root_lin_vel_w[0] == pytest.approx(0.8, rel=0.1)


def test_legs_and_lean_are_dropped_and_the_upper_body_stays(commands: Commands):
    reference = asked(left_knee=1.4, right_hip_pitch=-0.8, left_elbow=0.7, torso=0.4)
    reference = reference._replace(root_quat_w=np.array([math.cos(0.2), 0.0, math.sin(0.2), 0.0]))
    told = commands.step(reference)
    upper = [i for i, name in enumerate(MODEL.joint_names) if "shoulder" in name or "elbow" in name or "torso" in name]
    legs = [i for i in range(MODEL.n) if i not in upper]
    assert (told.q[upper] == reference.q[upper]).all()
    assert (told.q[legs] == MODEL.q_stand[legs]).all()
    assert not told.dq[legs].any()
    assert told.root_quat_w == pytest.approx([1.0, 0.0, 0.0, 0.0])
    assert reference.q[MODEL.joint_names.index("left_knee_joint")] == 1.4  # the operator's own is left alone


@pytest.mark.parametrize(
    ("operator", "why"),
    [
        (asked(), ""), (asked(height=0.8), ""), (None, ""),
        (asked(height=0.6), "kneels"), (asked(height=0.3), "kneels"),
        (asked(height=0.3)._replace(root_quat_w=np.array([0.7071, 0.0, 0.7071, 0.0])), "lies"),
        (asked(left_hip_pitch=-1.4), "leg raised"), (asked(right_knee=1.6), "leg raised"),
        (asked(left_hip_pitch=-0.5, right_hip_pitch=0.3, left_knee=0.9), ""),
    ],
)  # fmt: skip
def test_whom_the_legs_cannot_follow(commands: Commands, operator: Reference | None, why: str):
    sentence = CANNOT[commands.judge(operator)]
    assert why in sentence if why else sentence == ""


def test_numbers_that_are_none_stand_still(commands: Commands):
    told = commands.step(asked()._replace(root_lin_vel_w=np.array([np.nan, 0.0, 0.0])))
    assert not told.root_lin_vel_w.any()
    assert np.isfinite(after(commands, 1.0, asked(forward=0.5)).root_lin_vel_w).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forward": (0.1, 0.9)}, "capabilities.forward is 0.1 to 0.9, must reach from below 0 to above 0"),
        ({"height": (1.1, 0.9)}, "capabilities.height is 1.1 to 0.9, must rise from above 0"),
        ({"height": (0.0, 0.9)}, "capabilities.height is 0 to 0.9, must rise from above 0"),
        ({"turn": (-1.0, float("nan"))}, "capabilities.turn[1] is nan, must be finite"),
    ],
)
def test_impossible_ranges_are_refused(walking_card: Card, change, message: str):
    card = msgspec.structs.replace(walking_card, capabilities=msgspec.structs.replace(ABLE, **change))
    assert next(problems(card)) == message


def test_capabilities_belong_to_policies_that_walk_by_velocity(walking_card: Card):
    found = next(problems(msgspec.structs.replace(walking_card, role="tracker")))
    assert found == "role is 'tracker', a policy with capabilities follows a velocity: 'velocity'"


def test_a_card_cannot_promise_legs(tmp_path):
    text = shipped_cards(MODEL)["unitree_rl_gym"].read_text(encoding="utf-8")
    able = "upper_body = true\nforward = [-0.4, 0.9]\nleft = [-0.5, 0.5]\nturn = [-1.0, 1.0]\nheight = [0.85, 1.03]\n"
    path = tmp_path / "card.toml"
    path.write_text(text.replace("[model]", f"[capabilities]\nlegs = true\n{able}\n[model]", 1), encoding="utf-8")
    with pytest.raises(BadCard, match=r"capabilities\.legs"):
        load_card(path)
    path.write_text(text.replace("[model]", f"[capabilities]\nlegs = false\nfeet = 1\n{able}\n[model]", 1))
    with pytest.raises(UnknownKey, match="unknown key 'feet' in capabilities"):
        load_card(path)
