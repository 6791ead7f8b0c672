"""Slots and rings between real processes: torn reads, killed writers, a session held and left by others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from teleopd.robots.ipc import futex
from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.rings import Ring
from teleopd.robots.ipc.session import (
    MotorsClaimed,
    SessionBusy,
    SessionMissing,
    SessionOwner,
    claim_motors,
    session_of,
)
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import Array

WIDTH = 400


class Wide(NamedTuple):
    seq: int
    x: Array
    last: int


CODEC = Codec(Wide, [("seq", "<i8"), ("x", "<f8", (WIDTH,)), ("last", "<i8")])
COMMON = f"""
import sys, time
from typing import NamedTuple
import numpy as np
from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.ipc.rings import Ring
from teleopd.robots.ipc.session import SessionOwner, session_of
class Wide(NamedTuple):
    seq: int
    x: np.ndarray
    last: int
CODEC = Codec(Wide, [("seq", "<i8"), ("x", "<f8", ({WIDTH},)), ("last", "<i8")])
from pathlib import Path
"""


def child(body: str, *arguments: str | Path, stdin: int | None = None, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMON + body, *map(str, arguments)],
        stdin=stdin, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


WRITER = """
slot = Slot.attach(Path(sys.argv[1]), CODEC)
x = np.zeros(CODEC.dtype["x"].shape)
print("go", flush=True)
i = 0
while True:
    i += 1
    x[:] = i
    slot.write(Wide(i, x, i))
"""


def test_reader_of_a_racing_writer_sees_whole_values_in_order(tmp_path: Path):
    Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    process = child(WRITER, tmp_path / "s")
    try:
        assert say(process) == "go"
        last, changes = 0, 0
        while changes < 3000:
            got = reader.read()
            if got is None or got.seq == last:
                continue
            assert got.seq == got.last and (got.x == got.seq).all(), "torn"
            assert got.seq > last, "backwards"
            last, changes = got.seq, changes + 1
    finally:
        process.kill()
        process.wait()


def test_killed_writers_never_leave_a_torn_or_stuck_slot(tmp_path: Path):
    Slot.create(tmp_path / "s", CODEC)
    reader = Slot.attach(tmp_path / "s", CODEC)
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = child(WRITER, tmp_path / "s")
        assert say(process) == "go"
        time.sleep(float(rng.uniform(0.001, 0.01)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for side in (reader, Slot.attach(tmp_path / "s", CODEC)):
            got = side.read()
            assert got is None or (got.seq == got.last and (got.x == got.seq).all())
    Slot.attach(tmp_path / "s", CODEC).write(Wide(-5, np.full(WIDTH, -5.0), -5))
    got = reader.read()
    assert got is not None and got.seq == -5 and (got.x == -5).all()


def test_ring_between_processes_loses_nothing_uncounted(tmp_path: Path):
    total = 4000
    Ring.create(tmp_path / "r", CODEC, 64)
    reader = Ring.attach(tmp_path / "r", CODEC, 64)
    process = child(
        """
ring = Ring.attach(Path(sys.argv[1]), CODEC, 64)
print("go", flush=True)
x = np.zeros(CODEC.dtype["x"].shape)
for i in range(1, int(sys.argv[2]) + 1):
    x[:] = i
    ring.push(Wide(i, x, i))
print("done", flush=True)
""",
        tmp_path / "r", total,
    )  # fmt: skip
    assert say(process) == "go"
    seen: list[int] = []
    while process.poll() is None:
        taken = reader.drain()
        assert (taken["x"] == taken["seq"][:, None]).all() and (taken["last"] == taken["seq"]).all()
        seen += taken["seq"].tolist()
    seen += reader.drain()["seq"].tolist()
    assert seen == sorted(set(seen))
    assert len(seen) + reader.dropped == total


HOLDER = """
owner = SessionOwner("toy")
print(owner.session.token, flush=True)
time.sleep(60)
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(folder))
    return folder


def test_second_service_is_refused_by_name_and_process(runtime: Path):
    process = child(HOLDER, TELEOPD_RUNTIME_DIR=str(runtime))
    try:
        token = int(say(process))
        assert token > 0 and session_of("toy").token == token and session_of("toy").pid == process.pid
        with pytest.raises(SessionBusy) as caught:
            SessionOwner("toy")
        assert str(caught.value) == (
            f"toy is already served by process {process.pid}; stop that one first (teleop ctl stop, or Ctrl-C there)"
        )
        assert session_of("toy").token == token, "the refused one must not have touched the running one"
        other = SessionOwner("other")
        other.close()
    finally:
        process.kill()
        process.wait()


def test_session_of_a_killed_service_is_taken_over_clean(runtime: Path):
    process = child(HOLDER, TELEOPD_RUNTIME_DIR=str(runtime))
    token = int(say(process))
    (runtime / "toy" / "left_behind").write_text("x")
    process.kill()
    process.wait()
    owner = SessionOwner("toy")
    assert sorted(entry.name for entry in (runtime / "toy").iterdir()) == ["pid", "token"]
    assert owner.session.token != token and owner.session.pid == os.getpid()
    owner.close()
    owner.close()
    assert not runtime.exists(), "nothing stays behind, the lock included"


ORPHANED_MOTORS = """
from teleopd.robots.ipc.session import claim_motors
claim_motors(session_of("toy"))
print("claimed", flush=True)
time.sleep(60)
"""


def test_a_new_service_waits_for_the_motor_process_of_a_killed_one(runtime: Path):
    service = child(HOLDER, TELEOPD_RUNTIME_DIR=str(runtime))
    token = int(say(service))
    motors = child(ORPHANED_MOTORS, TELEOPD_RUNTIME_DIR=str(runtime))
    try:
        assert say(motors) == "claimed"
        service.kill()
        service.wait()
        for _ in range(2):
            with pytest.raises(MotorsClaimed) as caught:
                SessionOwner("toy")
            assert str(caught.value) == (
                f"process {motors.pid} still writes to the motors of toy: its service was killed and it brings the "
                "robot down; try again in ten seconds"
            )
            assert session_of("toy").token == token, "the motor process keeps its memory and its operator"
        with pytest.raises(MotorsClaimed):
            claim_motors(session_of("toy"))
    finally:
        for process in (service, motors):
            process.kill()
            process.wait()
    owner = SessionOwner("toy")
    assert sorted(entry.name for entry in (runtime / "toy").iterdir()) == ["pid", "token"]
    owner.close()
    with pytest.raises(FileNotFoundError):
        claim_motors(owner.session)


def test_session_can_be_taken_again_after_close(runtime: Path):
    for _ in range(3):
        owner = SessionOwner("toy")
        with pytest.raises(SessionBusy):
            SessionOwner("toy")
        owner.close()


def test_session_files_are_the_users_alone(runtime: Path):
    owner = SessionOwner("toy")
    modes = {path: path.stat().st_mode & 0o077 for path in [runtime, runtime / "toy", runtime / "toy" / "token"]}
    owner.close()
    assert set(modes.values()) == {0}


def test_runtime_folder_others_may_write_is_refused(runtime: Path):
    runtime.mkdir()
    runtime.chmod(0o777)
    with pytest.raises(PermissionError, match="is writable by others; remove it or set TELEOPD_RUNTIME_DIR"):
        SessionOwner("toy")


def test_runtime_folder_that_is_a_link_is_refused(runtime: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    runtime.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is no folder, belongs to user"):
        SessionOwner("toy")


RACER = """
import os
from teleopd.robots.ipc.session import SessionBusy
got = 0
while got < int(sys.argv[2]):
    try:
        owner = SessionOwner("toy")
    except SessionBusy:
        continue
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))  # fails when two hold the session
    assert owner.session.pid == os.getpid() and owner.session.token > 0
    os.unlink(sys.argv[1])
    owner.close()
    got += 1
print("done", flush=True)
"""


def test_racing_services_never_hold_a_session_together(runtime: Path, tmp_path: Path):
    racers = [child(RACER, tmp_path / "held", 25, TELEOPD_RUNTIME_DIR=str(runtime)) for _ in range(3)]
    assert [say(racer) for racer in racers] == ["done"] * 3
    assert [racer.wait() for racer in racers] == [0] * 3
    assert not runtime.exists()


def test_missing_session_says_how_to_start_one(runtime: Path):
    with pytest.raises(SessionMissing) as caught:
        _ = session_of("toy").token
    assert str(caught.value) == "no service runs for toy; start one with: teleop serve --robot toy ..."
    assert session_of("toy").pid == 0


@pytest.mark.parametrize("name", ["", "../x", "G1", "a b", "a/b"])
def test_robot_names_cannot_leave_the_folder(name: str):
    with pytest.raises(ValueError, match="is not a robot name"):
        session_of(name)


def test_who_waits_for_a_slot_is_woken_by_another_process_not_by_the_deadline(tmp_path: Path):
    slot = Slot.create(tmp_path / "slot", CODEC)
    writer = child(f"""
slot = Slot.attach(Path(sys.argv[1]), CODEC)
print("there", flush=True)
sys.stdin.readline()
slot.write(Wide(1, np.zeros({WIDTH}), 1))
slot.wake()
""", tmp_path / "slot", stdin=subprocess.PIPE)  # fmt: skip
    assert writer.stdout is not None and writer.stdin is not None
    writer.stdout.readline()
    begun_ns, deadline_ns = time.monotonic_ns(), time.monotonic_ns() + 60 * 10**9
    threading.Timer(0.2, lambda: (writer.stdin.write("now\n"), writer.stdin.flush())).start()
    while not slot.wait(deadline_ns):
        assert time.monotonic_ns() < deadline_ns
    assert time.monotonic_ns() - begun_ns < 30 * 10**9, "not by the deadline"
    read = slot.read()
    assert read is not None and read.seq == 1
    writer.wait()


def test_waiting_for_a_slot_ends_at_the_deadline_and_at_once_where_there_is_news(tmp_path: Path):
    slot, writer = Slot.create(tmp_path / "slot", CODEC), Slot.attach(tmp_path / "slot", CODEC)
    deadline_ns = time.monotonic_ns() + 20_000_000
    assert slot.wait(deadline_ns) is False
    assert time.monotonic_ns() >= deadline_ns
    writer.write(Wide(1, np.zeros(WIDTH), 1))
    assert slot.wait(time.monotonic_ns() + 3600 * 10**9) is True
    slot.read()
    assert slot.wait(0) is False, "a deadline that is past"


def test_where_the_system_has_no_such_call_a_wait_is_a_sleep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(futex, "_SYSCALL", None)
    slot, deadline_ns = Slot.create(tmp_path / "slot", CODEC), time.monotonic_ns() + 5_000_000
    slot.wake()
    assert slot.wait(deadline_ns) is False and time.monotonic_ns() >= deadline_ns
