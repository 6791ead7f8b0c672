"""Which processes are taken for hung, by their own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from teleopd.launch.processes import HUNG_NS, SILENT_LOOKS, TABLE, Child, Processes
from teleopd.launch.silence import PATIENCE_NS, WORDS, replace_hung
from teleopd.robots.ipc.session import SessionOwner
from teleopd.service.streams import Bus, LoopStatus, streams

START, SECOND = 10**9, 10**9


class Process:
    """Runs until it is killed."""

    def __init__(self) -> None:
        self.killed = False

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True

    def join(self, _seconds: float) -> None: ...


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    owner = SessionOwner("unitree_g1")
    yield Bus(owner.session, 29, create=True)
    owner.close()


def children(said: list[str], *names: str) -> Processes:
    made = Processes(said.append)
    for name in names:
        process: Any = Process()
        made.children[name] = Child(TABLE[name], {}, process, started_ns=START)
    return made


def speak(bus: Bus, slot: str, t_ns: int) -> None:
    bus.slot(slot).write(LoopStatus(t_ns, 50.0, 1, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))


def look(made: Processes, bus: Bus, now_ns: int, looks: int = SILENT_LOOKS) -> list[str]:
    """Names of the processes that were killed by so many looks."""
    for _ in range(looks):
        replace_hung(made, bus, now_ns)
    return [name for name, child in made.children.items() if not child.process.is_alive()]


@pytest.mark.parametrize("name", ["control", "standby"])
def test_a_process_that_falls_silent_is_killed_and_the_others_are_not(bus: Bus, name: str):
    said: list[str] = []
    made = children(said, "control", "standby")
    for slot in ("loop_control", "loop_standby"):
        speak(bus, slot, START + SECOND)
    now = START + 2 * SECOND
    for other in {"control", "standby"} - {name}:
        speak(bus, f"loop_{other}", now)
    assert look(made, bus, now, SILENT_LOOKS - 1) == []
    assert look(made, bus, now, 1) == [name]
    assert said == [f"{name} hangs; killing it"]


def test_one_word_of_either_kind_is_enough(bus: Bus):
    made = children([], "control")
    targets = SimpleNamespace(t_ns=START + 3 * SECOND)
    speak(bus, "loop_control", START + SECOND)
    real = bus.slot

    class Said:
        def slot(self, name: str) -> Any:
            return SimpleNamespace(read=lambda: targets) if name == "targets" else real(name)

    spoken: Any = Said()
    assert look(made, spoken, START + 3 * SECOND + HUNG_NS) == []
    assert look(made, spoken, START + 3 * SECOND + HUNG_NS + 1) == ["control"]


def test_a_process_that_has_not_spoken_yet_has_time_to_start(bus: Bus):
    made = children([], *WORDS)
    assert look(made, bus, START + 30 * SECOND) == []
    assert sorted(look(made, bus, START + 31 * SECOND)) == sorted(set(WORDS) - set(PATIENCE_NS))
    assert sorted(look(made, bus, START + 41 * SECOND)) == sorted(WORDS)


def test_a_source_that_builds_its_solver_is_waited_for_and_a_hung_one_is_not(bus: Bus):
    made = children([], "source")
    speak(bus, "loop_source", START + SECOND)
    assert look(made, bus, START + SECOND + PATIENCE_NS["source"]) == []
    assert look(made, bus, START + SECOND + PATIENCE_NS["source"] + 1) == ["source"]


def test_every_watched_process_and_slot_exists():
    assert set(WORDS) <= set(TABLE)
    assert {slot for slots in WORDS.values() for slot in slots} <= set(streams(29))
