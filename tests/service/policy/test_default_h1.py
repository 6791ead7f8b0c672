"""The H1's own policy, as a fresh clone has it: found, checked, whole in lock step, and honest about its legs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import Reference
from teleopd.robots.unitree_g1.model import MODEL as G1
from teleopd.robots.unitree_h1.model import MODEL as H1
from teleopd.robots.unitree_h1_2.model import MODEL as H1_2
from teleopd.safety.words import Mode
from teleopd.service.evaluation.disturbances import disturbances
from teleopd.service.evaluation.trial import Trial, run_trial
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.commands import CANNOT, clipped_words
from teleopd.service.policy.errors import WrongRobot
from teleopd.service.policy.explain import check, explain
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.policy.runtime import PolicyRuntime

FOLDER = H1.mjcf.parent / "policies"


@pytest.fixture(scope="module")
def default() -> ResolvedPolicy:
    found = resolve(None, H1, folders=[])
    assert found is not None
    return found


def test_a_fresh_clone_has_it_and_it_is_small(default: ResolvedPolicy):
    assert default.card.name == "default"
    assert default.onnx_path == FOLDER / "default.onnx"
    assert default.onnx_path.stat().st_size <= 2_000_000


def test_it_says_what_it_follows_and_that_legs_are_none_of_it(default: ResolvedPolicy):
    told = "\n".join(explain(default))
    assert "legs: no" in told and "forward -0.4..0.9" in told and "height 0.85..1.0342" in told
    assert any("golden outputs reproduced" in line for line in check(default, H1))
    story = (FOLDER / "default.md").read_text(encoding="utf-8")
    assert "It does not follow legs" in story
    assert "Redistribution and use in source and binary forms" in story  # the teacher's notice stays with it


@pytest.mark.parametrize("other", [H1_2, G1], ids=lambda robot: robot.name)
def test_another_robot_is_refused_by_name(default: ResolvedPolicy, other):
    with pytest.raises(WrongRobot, match=f"unitree_h1.*{other.name}"):
        PolicyRuntime(default.card, default.onnx_path, other, link="sim")
    with pytest.raises(WrongRobot, match=f"unitree_h1.*{other.name}"):
        resolve(str(default.card_path), other)


def test_it_follows_a_walking_and_turning_operator(default: ResolvedPolicy):
    (calm,) = disturbances(["none"])
    row = run_trial(Trial("unitree_h1", "default", default, "walk_and_turn", calm, seconds=14.0))
    assert row["engaged"] and row["upright"]
    assert row["active_s"] > 10.0
    assert row["tracking"]["key_body_error_mm"]["median"] < 80.0


def operator(now_ns: int, seq: int, forward: float = 0.0, height: float = H1.stand_height_m) -> Reference:
    """An operator in the H1's stand pose, one arm swaying, who asks for a velocity and a height."""
    t_s = now_ns * 1e-9
    q = H1.q_stand.copy()
    q[H1.joint_names.index("left_elbow_joint")] += 0.3 * math.sin(3.0 * t_s)  # a frozen stream is no operator
    return Reference(
        seq=seq, source_id=1, t_ns=now_ns, t_content_ns=now_ns, t_published_ns=now_ns, valid=True, deadman=False,
        resets=0, nominal_hz=50.0, root_pos_w=np.array([forward * t_s, 0.0, height]),
        root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]),
        root_lin_vel_w=np.array([forward, 0.0, 0.0]), root_ang_vel_w=np.zeros(3), q=q, dq=np.zeros(H1.n),
    )  # fmt: skip


def stream(**wish: float) -> Callable[[int], Reference]:
    count = [0]

    def references(now_ns: int) -> Reference:
        count[0] += 1
        return operator(now_ns, count[0], **wish)

    return references


def test_a_kneeling_operator_is_not_engaged_and_told_why(default: ResolvedPolicy):
    session, kneeling = Lockstep(H1, default), stream(height=0.55)
    session.arm()
    session.run(kneeling, 1.2)
    assert not session.engage(kneeling)
    assert session.mode is Mode.ARMED and session.fell_at_s is None
    assert "kneels" in CANNOT[session.control.status(session.now_ns).cannot]
    upright = stream()
    session.run(upright, 1.2)
    assert session.control.status(session.now_ns).cannot == 0
    assert session.engage(upright)


def test_too_fast_an_operator_is_followed_as_fast_as_it_can_and_that_is_said(default: ResolvedPolicy):
    session, standing, running = Lockstep(H1, default), stream(), stream(forward=2.0)
    session.arm()
    session.run(standing, 1.2)
    assert session.engage(standing)
    session.run(standing, 1.0)
    session.run(running, 4.0)
    status = session.control.status(session.now_ns)
    assert clipped_words(status.clipped) == "forward"
    assert session.mode is Mode.ACTIVE and session.fell_at_s is None
    state, tick = session.state, session.last_tick
    assert tick is not None and np.linalg.norm(tick.shaped.root_lin_vel_w) == pytest.approx(0.9)
    assert state is not None and 0.5 < math.hypot(*state.root_lin_vel_w[:2]) < 1.4


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_suite_gives_what_the_model_card_says(default: ResolvedPolicy):
    """Every row within one run in twelve of what ships: another processor rounds differently."""
    pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
    from teleopd.service.policy.train.decoupled.export import network_of
    from teleopd.service.policy.train.decoupled.suite import Suite, acting, summary, trials
    from teleopd.service.policy.train.decoupled.walker import h1

    walker, network = h1(), network_of(default.onnx_path)
    found = summary(Suite(walker, H1.kp_ready, H1.kd_ready, 2).run(trials(walker), acting(network)))
    promised = rows(FOLDER / "default.md")
    for group, (upright, of) in promised.items():
        assert found[group]["of"] == of
        assert int(str(found[group]["upright"])) >= upright - max(1, of // 12), group


def rows(path: Path) -> dict[str, tuple[int, int]]:
    """Group -> upright of how many, from the model card's table."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 3 and "/" in cells[1] and cells[1].split("/")[0].isdigit():
            upright, _, of = cells[2].partition(",")[0].partition("/")
            found[cells[0]] = (int(upright), int(of))
    assert len(found) > 10
    return found
