"""The link to the virtual robot, in shared memory and in process: what it takes, what it shows, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from teleopd.robots.ipc.segment import SchemaMismatch
from teleopd.robots.ipc.session import Session
from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.sim.control import SimControl
from teleopd.robots.links.sim.link import SimLink
from teleopd.robots.links.sim.wire import (
    GantryMode,
    attach_sim_streams,
    create_sim_streams,
    proves_virtual,
)
from teleopd.robots.model import JointCommand, RobotModel
from teleopd.robots.virtual.in_process import InProcessLink
from teleopd.robots.virtual.process import VirtualProcess
from teleopd.robots.virtual.robot import VirtualRobot

Permitted = Callable[..., JointCommand]
N = 7
Z = np.zeros(N)
ROWS = [np.full(N, value) for value in (0.1, 0.2, 0.3, 40.0, 5.0)]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("toy", tmp_path)


def test_without_a_virtual_robot_the_link_says_so(session: Session, toy: RobotModel):
    with pytest.raises(LinkUnavailable) as caught:
        SimLink(session, toy)
    assert str(caught.value) == f"the session of toy has no virtual robot ({session.folder / 'sim_state'} is missing)"


def test_virtual_robot_of_another_size_is_refused(session: Session, toy: RobotModel):
    create_sim_streams(session, N + 1)
    with pytest.raises(SchemaMismatch, match="were the processes started from different versions"):
        SimLink(session, toy)


def test_state_arrives_unchanged_and_is_the_same_object_until_newer(session: Session, toy: RobotModel):
    streams = create_sim_streams(session, N)
    link = SimLink(session, toy)
    assert link.read() is None
    robot = VirtualRobot(toy, odometry=True)
    robot.step(0.1)
    sent = robot.low_state(42)
    streams.state.write(sent)
    got = link.read()
    assert got is not None and link.read() is got
    for name, a, b in zip(sent._fields, sent, got, strict=True):
        assert np.array_equal(a, b), name
    kept = got.q.copy()
    robot.step(0.1)
    streams.state.write(robot.low_state(43))
    assert link.read() is not got and np.array_equal(got.q, kept)


def test_command_arrives_unchanged_and_numbered(session: Session, toy: RobotModel, permitted: Permitted):
    streams = create_sim_streams(session, N)
    link = SimLink(session, toy)
    link.write(permitted(*ROWS))
    link.write(permitted(*ROWS))
    got = streams.command.read()
    assert got is not None and got.seq == 2 and got.t_ns > 0
    for sent, name in zip(ROWS, ("q", "dq", "tau", "kp", "kd"), strict=True):
        assert np.array_equal(getattr(got, name), sent), name
    again = SimLink(session, toy)
    again.write(permitted(*ROWS))
    got = streams.command.read()
    assert got is not None and got.seq == 3, "a robot-io that was started again goes on counting"


def test_only_the_gates_commands_are_written(session: Session, toy: RobotModel):
    streams = create_sim_streams(session, N)
    robot = VirtualRobot(toy)
    look_alike = SimpleNamespace(q=Z, dq=Z, tau=Z, kp=Z, kd=Z)
    for link in (SimLink(session, toy), InProcessLink(robot, lambda: 0)):
        with pytest.raises(TypeError, match="a RobotLink writes a JointCommand built by the gate, not SimpleNamespace"):
            link.write(look_alike)  # type: ignore[arg-type]
    assert streams.command.read() is None and robot.commands_received == 0


def test_closed_link_writes_nothing_and_keeps_the_memory(session: Session, toy: RobotModel, permitted: Permitted):
    streams = create_sim_streams(session, N)
    link = SimLink(session, toy)
    link.close()
    link.close()
    link.write(permitted(*ROWS))
    assert streams.command.read() is None
    assert sorted(path.name for path in session.folder.glob("sim_*")) == [
        "sim_command", "sim_control", "sim_state", "sim_truth"
    ]  # fmt: skip


def test_in_process_link_moves_only_with_the_robot(toy: RobotModel, permitted: Permitted):
    now = [100]
    robot = VirtualRobot(toy)
    link = InProcessLink(robot, lambda: now[0])
    first = link.read()
    now[0] = 200
    assert first is not None and first.t_ns == 100 and link.read() is first
    link.write(permitted(*ROWS))
    assert link.read() is first
    robot.advance(2)
    second = link.read()
    assert second is not None and second.t_ns == 200 and second.tick == 2
    robot.reset()
    reset = link.read()
    assert reset is not None and reset is not second and reset.tick == 0
    link.write(permitted(*ROWS))
    link.close()
    link.write(permitted(*ROWS))
    assert robot.commands_received == 1


def test_robot_io_side_imports_no_physics():
    """robot-io must start without MuJoCo, onnxruntime or asyncio."""
    code = (
        "import sys, teleopd.robots.links.sim.link, teleopd.robots.links.sim.control, teleopd.robots.rates\n"
        "print([m for m in ('mujoco', 'onnxruntime', 'asyncio', 'teleopd.robots.virtual') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# -- control, truth and the proof, on the process's tick without its clock


class Rig:
    """A session with a virtual robot whose ticks the test makes."""

    def __init__(self, session: Session, toy: RobotModel) -> None:
        self.streams = create_sim_streams(session, N)
        self.robot = VirtualRobot(toy)
        self.process = VirtualProcess(attach_sim_streams(session, N), self.robot, 500)
        self.control = SimControl(session)
        self.link = SimLink(session, toy)
        self.now_ns = 10**9

    def run(self, seconds: float) -> bool:
        alive = True
        for _ in range(round(seconds * 500)):
            self.now_ns += 2_000_000
            alive = self.process.tick(self.now_ns)
        return alive


@pytest.fixture
def rig(session: Session, toy: RobotModel) -> Rig:
    return Rig(session, toy)


@pytest.mark.parametrize(("skipped", "steps"), [(0, 2), (1, 4), (5, 12), (6, 2), (50, 2)])
def test_jitter_is_made_up_and_a_stall_is_not(rig: Rig, skipped: int, steps: int):
    rig.run(0.002)
    assert rig.robot.steps == 2
    rig.now_ns += (skipped + 1) * 2_000_000
    assert rig.process.tick(rig.now_ns, skipped)
    assert rig.robot.steps - 2 == steps, "up to 10 ms at 500 Hz; nothing of a longer stall"
    state = rig.link.read()
    assert state is not None and state.t_ns == rig.now_ns and state.tick == 2 + steps
    rig.run(0.002)
    assert rig.robot.steps - 2 == steps + 2, "and nothing later"


def test_real_time_factor_shows_the_stall(rig: Rig):
    rig.run(1.6)
    truth = rig.control.truth()
    assert truth is not None and truth.real_time_factor == pytest.approx(1.0)
    rig.now_ns += 500_000_000
    rig.run(0.6)
    truth = rig.control.truth()
    assert truth is not None and truth.real_time_factor == pytest.approx(1.0 / 1.5), "1 s simulated in 1.5 s"
    rig.run(1.5)
    truth = rig.control.truth()
    assert truth is not None and truth.real_time_factor == pytest.approx(1.0), "and no more than 1 afterwards"


def test_a_command_is_obeyed_once_and_one_from_before_the_start_not_at_all(
    session: Session, toy: RobotModel, permitted: Permitted
):
    create_sim_streams(session, N)
    SimLink(session, toy).write(permitted(*ROWS))
    robot = VirtualRobot(toy)
    process = VirtualProcess(attach_sim_streams(session, N), robot, 500)
    for i in range(5):
        process.tick(i)
    assert robot.commands_received == 0
    SimLink(session, toy).write(permitted(*ROWS))
    for i in range(5):
        process.tick(i)
    assert robot.commands_received == 1


def test_gantry_holds_until_told(rig: Rig):
    rig.run(1.0)
    truth = rig.control.truth()
    assert truth is not None and truth.gantry == GantryMode.HANG and truth.gantry_force_w[2] > 200.0
    rig.control.lower(0.5)
    rig.run(0.4)
    truth = rig.control.truth()
    assert truth is not None and truth.gantry == GantryMode.LOWER
    rig.run(0.2)
    truth = rig.control.truth()
    assert truth is not None and truth.gantry == GantryMode.RELEASE and not truth.gantry_force_w.any()
    rig.control.hang()
    rig.run(0.1)
    assert rig.robot.gantry.mode is GantryMode.HANG
    rig.control.release()
    rig.run(0.1)
    assert rig.robot.gantry.mode is GantryMode.RELEASE


def test_pushes_and_resets_happen_once_each(rig: Rig):
    rig.control.release()
    rig.run(0.01)
    rig.control.push(np.array([20.0, 0.0, 0.0]), 0.1)
    rig.run(0.05)
    truth = rig.control.truth()
    assert truth is not None and truth.push_active
    rig.run(0.1)
    assert not rig.robot.push_active
    rig.control.reset()
    rig.run(0.02)
    truth = rig.control.truth()
    assert truth is not None and truth.resets == 1 and truth.gantry == GantryMode.HANG
    assert truth.sim_time_s == pytest.approx(rig.robot.time_s, abs=0.011) and rig.robot.time_s <= 0.02
    rig.run(0.1)
    assert rig.robot.time_s > 0.1, "it was put back once, not at every tick"


def test_stop_ends_the_loop(rig: Rig):
    assert rig.run(0.002)
    rig.control.stop()
    assert not rig.run(0.002)


def test_truth_is_the_physics(rig: Rig, permitted: Permitted):
    rig.link.write(permitted(Z, Z, Z, np.full(N, 100.0), np.full(N, 5.0)))
    bad = [row.copy() for row in ROWS]
    rig.run(0.002)
    bad[0][2] = np.nan
    rig.link.write(permitted(*bad))
    rig.run(0.022)
    truth = rig.control.truth()
    assert truth is not None
    assert (truth.commands_received, truth.commands_refused) == (1, 1)
    assert truth.root_pos_w == pytest.approx([0.0, 0.0, 0.72], abs=1e-3) and not truth.fallen and not truth.diverged
    state = rig.link.read()
    assert state is not None and not state.has_odometry, "the truth stays out of what the robot measures"


def test_the_nonce_proves_a_virtual_robot_of_this_host(rig: Rig, session: Session):
    assert not rig.control.is_virtual(rig.now_ns), "nobody has answered yet"
    rig.run(0.02)
    assert rig.control.is_virtual(rig.now_ns)
    assert not rig.control.is_virtual(rig.now_ns + 1_000_000_001), "it has gone silent"
    control, truth = rig.streams.control.read(), rig.streams.truth.read()
    assert control is not None and truth is not None
    assert not proves_virtual(control, truth._replace(nonce=truth.nonce + 1), rig.now_ns)
    assert not proves_virtual(control._replace(nonce=0), truth._replace(nonce=0), rig.now_ns)
    assert not proves_virtual(None, truth, rig.now_ns) and not proves_virtual(control, None, rig.now_ns)
    fresh = create_sim_streams(session, N).control.read()
    assert fresh is not None and fresh.nonce != control.nonce


def test_robot_model_is_not_changed_by_simulating_it(toy: RobotModel):
    before = replace(toy)
    VirtualRobot(toy).step(0.1)
    for name in ("kp_ready", "kd_damp", "q_stand"):
        assert np.array_equal(getattr(before, name), getattr(toy, name))
