"""The own policies of H1 and H1-2, as a fresh clone has them: found, checked, in lock step, honest about their legs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.model import Reference, RobotModel
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

ROBOTS = {robot.name: robot for robot in (H1, H1_2)}


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request: pytest.FixtureRequest) -> RobotModel:
    return ROBOTS[request.param]


@pytest.fixture(scope="module")
def default(robot: RobotModel) -> ResolvedPolicy:
    found = resolve(None, robot, folders=[])
    assert found is not None
    return found


def folder(robot: RobotModel) -> Path:
    return robot.mjcf.parent / "policies"


def test_a_fresh_clone_has_it_and_it_is_small(default: ResolvedPolicy, robot: RobotModel):
    assert default.card.name == "default"
    assert default.onnx_path == folder(robot) / "default.onnx"
    assert default.onnx_path.stat().st_size <= 2_000_000


def test_it_says_what_it_follows_and_that_legs_are_none_of_it(default: ResolvedPolicy, robot: RobotModel):
    told = "\n".join(explain(default))
    assert "legs: no" in told and "forward -0.4..0.9" in told
    assert f"height 0.85..{robot.stand_height_m:g}" in told
    assert any("golden outputs reproduced" in line for line in check(default, robot))
    story = (folder(robot) / "default.md").read_text(encoding="utf-8")
    assert "It does not follow legs" in story
    assert "Redistribution and use in source and binary forms" in story  # the teacher's notice stays with it


def test_another_robot_is_refused_by_name(default: ResolvedPolicy, robot: RobotModel):
    for other in (model for model in (H1, H1_2, G1) if model is not robot):
        with pytest.raises(WrongRobot, match=f"{robot.name}\\b.*{other.name}\\b"):
            PolicyRuntime(default.card, default.onnx_path, other, link="sim")
        with pytest.raises(WrongRobot, match=f"{robot.name}\\b.*{other.name}\\b"):
            resolve(str(default.card_path), other)


def test_it_follows_a_walking_and_turning_operator(default: ResolvedPolicy, robot: RobotModel):
    (calm,) = disturbances(["none"])
    row = run_trial(Trial(robot.name, "default", default, "walk_and_turn", calm, seconds=14.0))
    assert row["engaged"] and row["upright"]
    assert row["active_s"] > 10.0
    assert row["tracking"]["key_body_error_mm"]["median"] < 80.0


def operator(
    robot: RobotModel, now_ns: int, seq: int, forward: float = 0.0, height: float | None = None
) -> Reference:  # fmt: skip
    """An operator in the robot's stand pose, one arm swaying, who asks for a velocity and a height."""
    t_s = now_ns * 1e-9
    q = robot.q_stand.copy()
    q[robot.joint_names.index("left_elbow_joint")] += 0.3 * math.sin(3.0 * t_s)  # a frozen stream is no operator
    return Reference(
        seq=seq, source_id=1, t_ns=now_ns, t_content_ns=now_ns, t_published_ns=now_ns, valid=True, deadman=False,
        resets=0, nominal_hz=50.0, root_pos_w=np.array([forward * t_s, 0.0, height or robot.stand_height_m]),
        root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]),
        root_lin_vel_w=np.array([forward, 0.0, 0.0]), root_ang_vel_w=np.zeros(3), q=q, dq=np.zeros(robot.n),
    )  # fmt: skip


def stream(robot: RobotModel, **wish: float) -> Callable[[int], Reference]:
    count = [0]

    def references(now_ns: int) -> Reference:
        count[0] += 1
        return operator(robot, now_ns, count[0], **wish)

    return references


def test_a_kneeling_operator_is_not_engaged_and_told_why(default: ResolvedPolicy, robot: RobotModel):
    session, kneeling = Lockstep(robot, default), stream(robot, height=0.55)
    session.arm()
    session.run(kneeling, 1.2)
    assert not session.engage(kneeling)
    assert session.mode is Mode.ARMED and session.fell_at_s is None
    assert "kneels" in CANNOT[session.control.status(session.now_ns).cannot]
    upright = stream(robot)
    session.run(upright, 1.2)
    assert session.control.status(session.now_ns).cannot == 0
    assert session.engage(upright)


def test_too_fast_an_operator_is_followed_as_fast_as_it_can_and_that_is_said(
    default: ResolvedPolicy, robot: RobotModel
):  # fmt: skip
    session, standing, running = Lockstep(robot, default), stream(robot), stream(robot, forward=2.0)
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
def test_the_suite_gives_what_the_model_card_says(default: ResolvedPolicy, robot: RobotModel):
    """Every row within one run in twelve of what ships: another processor rounds differently."""
    pytest.importorskip("torch", reason="the extra `train` (torch) is not installed")
    from teleopd.service.policy.train.decoupled.export import network_of
    from teleopd.service.policy.train.decoupled.suite import Suite, acting, summary, trials
    from teleopd.service.policy.train.decoupled.walker import WALKERS

    walker, network = WALKERS[robot.name](), network_of(default.onnx_path)
    found = summary(Suite(walker, robot.kp_ready, robot.kd_ready, 2).run(trials(walker), acting(network)))
    promised = rows(folder(robot) / "default.md")
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
