"""The virtual robot as a real process: it serves, ignores Ctrl-C, ends when asked, and does not outlive its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.links.sim.control import SimControl
from teleopd.robots.links.sim.link import SimLink
from teleopd.robots.links.sim.wire import MotorCommand, attach_sim_streams, create_sim_streams
from teleopd.robots.model import JointCommand, RobotModel
from teleopd.robots.virtual.process import VirtualOptions, VirtualProcess, main, resolve
from teleopd.robots.virtual.robot import VirtualRobot

PATIENCE_S = 60.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds; a host under load only makes it slower."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.005)


@pytest.fixture
def served(tmp_path: Path, toy: RobotModel) -> Iterator[tuple[Session, BaseProcess]]:
    session = Session("toy", tmp_path)
    create_sim_streams(session, toy.n)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=main, args=(session, toy, VirtualOptions(odometry=True)))
    process.start()
    yield session, process
    if process.is_alive():
        process.kill()
    process.join()


def test_it_serves_ignores_interrupts_and_ends_when_asked(
    served: tuple[Session, BaseProcess], toy: RobotModel, permitted: Callable[..., JointCommand]
):
    session, process = served
    link, control = SimLink(session, toy), SimControl(session)
    wait_for(lambda: control.is_virtual(time.monotonic_ns()), "the proof")
    truth = control.truth()
    assert truth is not None and truth.pid == process.pid
    zero = np.zeros(toy.n)
    link.write(permitted(zero, zero, zero, np.full(toy.n, 100.0), np.full(toy.n, 5.0)))
    wait_for(lambda: (control.truth() or truth).commands_received == 1, "hearing a command")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    state = link.read()
    assert state is not None and state.has_odometry
    wait_for(lambda: (link.read() or state).tick > state.tick + 20, "going on after Ctrl-C")
    control.stop()
    process.join(PATIENCE_S)
    assert process.exitcode == 0


def test_a_stalled_host_pauses_the_robot(served: tuple[Session, BaseProcess], toy: RobotModel):
    session, process = served
    link = SimLink(session, toy)
    wait_for(lambda: link.read() is not None, "the first state")
    before = link.read()
    assert before is not None and process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGCONT)
    wait_for(lambda: (link.read() or before).tick > before.tick + 20, "going on after the stall")
    after = link.read()
    assert after is not None
    wall_ms, simulated_ms = (after.t_ns - before.t_ns) / 1e6, after.tick - before.tick
    assert simulated_ms <= wall_ms - 250.0, "the stall was simulated after all"


def test_it_ends_when_its_parent_was_killed(tmp_path: Path, toy: RobotModel):
    session = Session("toy", tmp_path)
    create_sim_streams(session, toy.n)
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, pickle, sys, time\n"
        "from teleopd.robots.virtual.process import main\n"
        "if __name__ == '__main__':\n"
        "    arguments = pickle.load(open(sys.argv[1], 'rb'))\n"
        "    child = multiprocessing.get_context('spawn').Process(target=main, args=arguments)\n"
        "    child.start()\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "arguments").write_bytes(pickle.dumps((session, toy)))
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "arguments")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    control = SimControl(session)
    try:
        wait_for(lambda: control.is_virtual(time.monotonic_ns()), "the proof")
        parent.kill()
        parent.wait()
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "the end of the orphan")
    finally:
        parent.kill()
        if Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            os.kill(pid, signal.SIGKILL)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_without_streams_it_says_what_is_missing(tmp_path: Path, toy: RobotModel):
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(FileNotFoundError, match="no shared memory .*sim_state; is the process"):
            main(Session("toy", tmp_path), toy)
    finally:
        signal.signal(signal.SIGINT, before)


def test_options_are_checked():
    with pytest.raises(ValueError, match="publish_hz is 300; it must divide physics_hz 1000"):
        VirtualOptions(publish_hz=300)
    with pytest.raises(ValueError, match="publish_hz is 0; it must divide physics_hz 1000"):
        VirtualOptions(publish_hz=0)


def test_robot_references(toy: RobotModel):
    assert resolve(toy) is toy
    with pytest.raises(ValueError, match="'unitree_g1' is not a robot reference; write module:ATTRIBUTE"):
        resolve("unitree_g1")
    with pytest.raises(ValueError, match="'teleopd.robots.virtual.process:VirtualOptions' is a type, not a RobotModel"):
        resolve("teleopd.robots.virtual.process:VirtualOptions")


def test_it_knows_whether_somebody_commands_it(tmp_path: Path, toy: RobotModel):
    """A robot outlives the parent of its service for as long as the motor process brings it to stand."""
    session = Session("toy", tmp_path)
    create_sim_streams(session, toy.n)
    streams = attach_sim_streams(session, toy.n)
    process = VirtualProcess(streams, VirtualRobot(toy, physics_hz=1000), publish_hz=500)
    zero = np.zeros(toy.n)

    def ticks(count: int) -> bool:
        for _ in range(count):
            assert process.tick(10**9)
        return process.commanded

    assert ticks(999) is True and ticks(1) is False, "two seconds"
    streams.command.write(MotorCommand(10**9, 1, zero, zero, zero, zero, zero))
    assert ticks(1000) is True and ticks(1) is False
