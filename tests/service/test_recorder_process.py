"""The recorder as a process, and the rings between it and those that must never wait for it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from teleopd.launch.processes import Processes
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.model import JointCommand, LowState
from teleopd.robots.rates import Rate
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act, Mode, OperatorCommand, SafetyStatus
from teleopd.service import recorder_process
from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import RECORDING, RecorderStatus, as_text
from teleopd.service.capture.recover import recover
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.capture.writer import EpisodeHeader
from teleopd.service.recorder_process import Syncer, Watch
from teleopd.service.robot_io_process import _Record
from teleopd.service.robot_io_stage import RobotIoTick
from teleopd.service.streams import Bus

N, MS = MODEL.n, 1_000_000
HEADER = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",), {"task": "wave"})


@pytest.fixture
def bus(owner: SessionOwner) -> Bus:
    return Bus(owner.session, N, create=True, record=True)


def low_state(t_ns: int) -> LowState:
    return state_at_rest(MODEL, t_ns)


def safety(t_ns: int, mode: Mode, causes: int = 0) -> SafetyStatus:
    return SafetyStatus(
        t_ns, 1, int(mode), t_ns, -1, 0, causes, np.zeros(32, np.uint32), np.arange(8, dtype=np.uint32),
        np.zeros(N, np.uint32), False, False, -1, 4, MODEL.q_stand, 0,
    )  # fmt: skip


class Command:
    """The fields of a `JointCommand`, which only the gate may build."""

    q, dq, tau, kp, kd = MODEL.q_stand, np.zeros(N), np.zeros(N), MODEL.kp_ready, MODEL.kd_ready


def tick(t_ns: int, mode: Mode = Mode.ACTIVE, causes: int = 0, state: LowState | None = None) -> RobotIoTick:
    command: JointCommand = Command()  # type: ignore[assignment]
    found = low_state(t_ns) if state is None else state
    return RobotIoTick(None, safety(t_ns, mode, causes), found, None, command, True)  # type: ignore[arg-type]


def test_a_tick_of_robot_io_is_what_the_recorder_sees(bus: Bus):
    record, watch = _Record(bus), Watch(bus)
    held = low_state(10)
    record.tick(tick(10, state=held), 11)
    record.tick(tick(12, state=held, causes=4), 13)
    record.tick(tick(14, Mode.HOLD), 15)
    rows = watch.look(99).rows
    assert rows["state"]["t_ns"].tolist() == [10, 14], "a report is recorded once"
    assert rows["command"]["t_ns"].tolist() == [11, 13, 15]
    np.testing.assert_array_equal(rows["command"]["kp"][0], MODEL.kp_ready)
    assert rows["command"]["gate_counts"][2].tolist() == list(range(8)) and rows["command"]["sent"].all()
    events = [(row["t_ns"], row["mode"], row["causes"]) for row in rows["event"]]
    assert events == [(11, Mode.ACTIVE, 0), (13, Mode.ACTIVE, 4), (15, Mode.HOLD, 0)]
    assert all(len(part) == 0 for part in watch.look(100).rows.values())


def test_a_recorder_that_is_gone_costs_a_count_and_nothing_else(bus: Bus):
    record = _Record(bus)
    for t_ns in range(1, 3001):
        record.tick(tick(t_ns), t_ns)
    given = Watch(bus).look(99)
    assert given.lost["state"] == given.lost["command"] == 3000 - 2048 and given.lost["event"] == 0
    assert given.rows["command"]["t_ns"].tolist() == list(range(1, 2049)), "what was there stays"


def test_without_a_recording_nothing_is_pushed_anywhere(owner: SessionOwner):
    bus = Bus(owner.session, N, create=True)
    _Record(bus).tick(tick(1), 1)
    assert not list(owner.session.folder.glob("record_*"))


def test_acts_of_operators_are_seen_once(bus: Bus, owner: SessionOwner):
    slot = bus.slot("operator_ctl")
    slot.write(OperatorCommand(4, 1, owner.session.token, int(Act.READY), False))
    watch = Watch(bus)
    assert watch.look(1).acts == [], "what was there before is no news"
    slot.write(OperatorCommand(5, 1, owner.session.token, int(Act.STOP), False))
    assert watch.look(2).acts == [("ctl", "STOP")] and watch.look(3).acts == []


def test_a_disk_error_of_the_sync_thread_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, syncer = PartFile(tmp_path, "x"), Syncer(period_s=0.001)
    answers = iter([None, OSError(9, "Bad file descriptor"), OSError(5, "Input/output error")])
    done = []

    def sync(_file: PartFile) -> None:
        answer = next(answers, None)
        done.append(answer)
        if answer is not None:
            raise answer

    monkeypatch.setattr(PartFile, "sync", sync)
    syncer.watch(file)
    wait(lambda: len(done) > 3)
    syncer.stop()
    assert str(syncer.error()) == "[Errno 5] Input/output error" and syncer.error() is None
    file.discard()


def test_an_episode_that_ends_during_a_sync_does_not_end_the_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ended, file, syncer = PartFile(tmp_path, "a"), PartFile(tmp_path, "b"), Syncer(period_s=0.001)
    ended.close()
    synced: list[int] = []
    monkeypatch.setattr("os.fdatasync", synced.append)
    looks = []
    sync = PartFile.sync

    def counted(one: PartFile) -> None:
        looks.append(one)
        sync(one)

    monkeypatch.setattr(PartFile, "sync", counted)
    syncer.watch(ended)  # as when the recorder closed it a moment ago
    wait(lambda: len(looks) > 2)
    assert not synced and syncer.error() is None
    syncer.watch(file)
    wait(lambda: bool(synced))
    syncer.stop()
    file.discard()


def wait(done: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _commands(path: Path) -> int:
    """How many commands a file that is being written holds already."""
    try:
        return read_episode(path).streams["command"].n
    except (EpisodeError, KeyError):
        return 0


class Robot:
    """Feeds the rings as robot-io does, as fast as the test likes."""

    def __init__(self, bus: Bus) -> None:
        self._record, self._safety = _Record(bus), bus.slot("safety_status")
        self.ticks = 0

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            now_ns = time.monotonic_ns()
            self._safety.write(safety(now_ns, Mode.ACTIVE))
            self._record.tick(tick(now_ns), now_ns)
            self.ticks += 1


def test_a_killed_recorder_is_replaced_and_only_its_last_tenth_of_a_second_is_lost(
    owner: SessionOwner, bus: Bus, tmp_path: Path
):
    folder = tmp_path / "out"
    folder.mkdir()
    said: list[str] = []
    processes, robot, status = Processes(said.append), Robot(bus), bus.slot("recorder_status")
    rings = bus.ring("record_command")

    def read() -> RecorderStatus:
        found = status.read()
        assert found is not None
        return found

    def recording(other_than: str = "") -> bool:
        found: RecorderStatus | None = status.read()
        return found is not None and found.state == RECORDING and as_text(found.path) != other_than

    try:
        processes.start("recorder", session=owner.session, robot="unitree_g1", folder=str(folder), header=HEADER)
        robot.run(100)
        wait(recording)
        first, torn = as_text(read().path), Path(as_text(read().path) + ".part")
        wait(lambda: _commands(torn) == 100)  # the first flush
        child = processes.children["recorder"].process
        os.kill(child.pid or 0, signal.SIGSTOP)
        wait(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
        robot.run(2100)
        assert rings.dropped > 0 and robot.ticks == 2200, "a recorder that hangs holds up nobody"
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join(10)
        processes.watch()
        assert said == ["recorder ended by SIGKILL; restarting it"]
        wait(lambda: recording(first))
        wishes, asked_ns = EpisodeWishes(bus.slot("episode_serve"), owner.session.token), time.monotonic_ns()
        wishes.wish("end", asked_ns)
        wait(lambda: read().taken_ns >= asked_ns)
    finally:
        processes.end()
    saved = recover(torn)
    assert read_episode(saved.path).streams["command"].n == 100
    second = read_episode(Path(as_text(read().path)))
    assert second.streams["command"].n == 2048, "what the rings held went into the next episode"
    assert second.metadata["continues"] == Path(first).name and second.metadata["complete"] == "true"


@pytest.mark.long
def test_everything_older_than_150_ms_outlives_a_sigkill(owner: SessionOwner, bus: Bus, tmp_path: Path):
    """In real time, so only where nothing else runs."""
    processes, robot, status, rate = Processes(print), Robot(bus), bus.slot("recorder_status"), Rate(500.0)
    try:
        processes.start("recorder", session=owner.session, robot="unitree_g1", folder=str(tmp_path), header=HEADER)
        wait(lambda: status.read() is not None)
        for _ in range(1500):
            rate.wait()
            robot.run(1)
        child = processes.children["recorder"].process
        killed_ns = time.monotonic_ns()
        child.kill()
        child.join(10)
        path = as_text(status.read().path)
    finally:
        processes.end()
    t_ns = read_episode(recover(Path(f"{path}.part")).path).streams["command"].t_ns
    print(f"lost: the last {(killed_ns - t_ns[-1]) / 1e6:.0f} ms")
    assert killed_ns - t_ns[-1] < 150 * MS
    assert np.diff(t_ns).max() < 100 * MS, "and no hole before"


def test_the_entry_ends_in_order_when_the_service_ends_it(
    owner: SessionOwner, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In this process: an end that was asked for closes the episode."""
    robot = Robot(bus)
    robot.run(10)

    class Asked:
        orphaned, looks = False, 0

        @property
        def asked(self) -> bool:
            self.looks += 1
            return self.looks > 3

    monkeypatch.setattr(recorder_process, "Ending", Asked)
    recorder_process.main(owner.session, "unitree_g1", str(tmp_path), HEADER)
    (path,) = tmp_path.glob("*.mcap")
    assert read_episode(path).metadata["ended"] == "the run ended"
    assert bus.slot("loop_recorder").read() is None, "too short to say anything of its punctuality"


def test_a_recorder_whose_service_was_killed_closes_its_episode_once_the_robot_is_silent(
    owner: SessionOwner, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    Robot(bus).run(10)

    class Orphaned:
        asked, looks = False, 0

        @property
        def orphaned(self) -> bool:
            self.looks += 1
            if self.looks > 3:
                monkeypatch.setattr(Watch, "silent", lambda *_: True)
            return True

    monkeypatch.setattr(Watch, "silent", lambda *_: False)
    monkeypatch.setattr(recorder_process, "Ending", Orphaned)
    recorder_process.main(owner.session, "unitree_g1", str(tmp_path), HEADER)
    (path,) = tmp_path.glob("*.mcap")
    assert read_episode(path).metadata["ended"] == "the service was killed"
    assert read_episode(path).streams["command"].n == 10
