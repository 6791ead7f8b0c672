"""What systemd is told, over a real socket, from the words of the stages."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from teleopd.launch.processes import TABLE, Child, Processes
from teleopd.launch.watchdog import GIVEN_NS, LOOK_NS, STUCK_NS, Notifier, Watchdog
from teleopd.robots.ipc.session import SessionOwner
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service.streams import Bus, LoopStatus

S = 10**9
STAGES = ("robot-io", "control", "standby", "source")


class Manager:
    """Stands in for systemd: its end of the socket."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return Manager(tmp_path / "notify")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    owner = SessionOwner("unitree_g1")
    yield Bus(owner.session, 29, create=True)
    owner.close()


@pytest.fixture
def processes() -> Processes:
    made = Processes(print)
    stand_in: Any = None
    for name in STAGES:
        made.children[name] = Child(TABLE[name], {}, stand_in, started_ns=0)
    return made


def speak(bus: Bus, t_ns: int, *names: str) -> None:
    for name in names:
        if name == "robot-io":
            bus.slot("safety_status").write(SafetyStatus(
                t_ns, 1, 0, 0, -1, 0, 0, np.zeros(32, np.uint32), np.zeros(8, np.uint32), np.zeros(29, np.uint32),
                False, False, -1, 0, np.zeros(29), 0,
            ))  # fmt: skip
        else:
            bus.slot(f"loop_{name}").write(LoopStatus(t_ns, 50.0, 1, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))


def test_ready_comes_when_every_stage_has_spoken(manager: Manager, bus: Bus, processes: Processes):
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": manager.address}))
    speak(bus, 1, *STAGES[:3])
    watchdog.look(processes, bus, Mode.IDLE, 20 * S)
    assert manager.heard() == []
    speak(bus, 2, *STAGES)
    watchdog.look(processes, bus, Mode.IDLE, 20 * S + LOOK_NS)
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=IDLE"]


@pytest.mark.parametrize("silent", STAGES)
@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.ACTIVE])
def test_the_watchdog_is_fed_only_while_every_stage_that_the_robot_needs_goes_on(
    manager: Manager, bus: Bus, processes: Processes, silent: str, mode: Mode
):
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": manager.address}))
    now = 2 * GIVEN_NS
    for _ in range(2):
        now += LOOK_NS
        speak(bus, now, *STAGES)
        watchdog.look(processes, bus, mode, now)
    assert manager.heard()[:2] == ["READY=1", "WATCHDOG=1"]
    for later in (STUCK_NS, STUCK_NS + LOOK_NS):
        manager.heard()
        speak(bus, now + later, *(name for name in STAGES if name != silent))
        watchdog.look(processes, bus, mode, now + later)
        assert later > STUCK_NS or "WATCHDOG=1" in manager.heard()
    alone = mode is Mode.ACTIVE and silent in ("source", "standby")
    assert manager.heard() == (["WATCHDOG=1"] if alone else [f"STATUS={mode.name}; no progress of {silent}"])


def test_a_stage_that_was_just_restarted_is_given_time(manager: Manager, bus: Bus, processes: Processes):
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": manager.address}))
    now = 2 * GIVEN_NS
    speak(bus, now, *STAGES)
    watchdog.look(processes, bus, Mode.ACTIVE, now)
    manager.heard()
    processes.children["control"].started_ns = now
    for later, fed in ((LOOK_NS, True), (GIVEN_NS, True), (GIVEN_NS + LOOK_NS, False)):
        speak(bus, now + later, "robot-io", "standby", "source")
        watchdog.look(processes, bus, Mode.ACTIVE, now + later)
        assert ("WATCHDOG=1" in manager.heard()) is fed


def test_between_two_looks_nothing_is_said_and_the_end_is_told_once(manager: Manager, bus: Bus, processes: Processes):
    watchdog = Watchdog(Notifier({"NOTIFY_SOCKET": manager.address}))
    speak(bus, 1, *STAGES)
    for now in (20 * S, 20 * S + LOOK_NS - 1):
        watchdog.look(processes, bus, Mode.IDLE, now)
    assert manager.heard() == ["READY=1", "WATCHDOG=1", "STATUS=IDLE"]
    watchdog.stopping()
    watchdog.stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_without_a_manager_and_with_one_that_is_gone_nothing_happens(tmp_path: Path):
    Notifier({}).tell("READY=1")
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.tell("READY=1")
    gone.close()
    gone.tell("READY=1")


def test_an_abstract_socket_is_reached():
    name = f"@teleopd-test-{id(object())}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name[1:])
        end.settimeout(60)
        Notifier({"NOTIFY_SOCKET": name}).tell("READY=1", "STATUS=IDLE")
        assert end.recv(100) == b"READY=1\nSTATUS=IDLE"
