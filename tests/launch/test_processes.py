"""The parent of the processes: restarting, reporting, ending in order. Real children of a few lines each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from teleopd.launch import processes
from teleopd.launch.processes import TABLE, ProcessCpu, Processes, ProcessSpec, run_child

TARGETS = """
import os, signal, sys, time
from pathlib import Path

def note(out, text):
    with open(out, "a") as file:
        file.write(text + "\\n")

def waits(out, **more):
    signal.signal(signal.SIGTERM, lambda *_: (note(out, "told to end"), sys.exit(0)))
    note(out, f"up {sorted(more.items())}")
    while True:
        time.sleep(0.01)

def dies(out, status=0, **more):
    note(out, f"up {sorted(more.items())}")
    sys.exit(status)

def stubborn(out):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(out, "up")
    while True:
        time.sleep(0.01)

def tells(out):
    int_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    threads = os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]
    note(out, f"{int_ignored} {threads} {Path('/proc/self/comm').read_text().strip()}")
"""


class Parent:
    """A `Processes` over a table of our own."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.out = folder / "out"
        self.processes = Processes(self.said.append)

    def start(self, name: str, **arguments: object) -> int:
        self.processes.start(name, out=str(self.out), **arguments)
        return self.pid(name)

    def pid(self, name: str) -> int:
        pid = self.processes.children[name].process.pid
        assert pid is not None
        return pid

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines() if self.out.exists() else []

    def until(self, done: Callable[[], bool], *, watching: bool = False) -> None:
        deadline = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < deadline, (self.said, self.lines())
            if watching:
                self.processes.watch()
            time.sleep(0.005)

    def gone(self, name: str) -> bool:
        return self.processes.children[name].process.exitcode is not None


def spec(name: str, function: str, when_it_dies: str, order: int = 0) -> ProcessSpec:
    return ProcessSpec(name, f"teleopd_test_targets:{function}", when_it_dies, order)  # type: ignore[arg-type]


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    (tmp_path / "teleopd_test_targets.py").write_text(TARGETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    table = {
        row.name: row
        for row in (
            spec("worker", "waits", "restart", 1), spec("motor", "waits", "restart_damped", 0),
            spec("view", "dies", "report"), spec("mayfly", "dies", "restart"), spec("rock", "stubborn", "report"),
            spec("talker", "tells", "report"),
        )
    }  # fmt: skip
    monkeypatch.setattr(processes, "TABLE", table)
    made = Parent(tmp_path)
    yield made
    made.processes.end(grace_s=0.2)


def test_a_worker_that_is_killed_is_started_again_with_the_same_arguments(parent: Parent):
    first = parent.start("worker", colour="blue")
    parent.until(lambda: len(parent.lines()) == 1)
    assert parent.processes.alive("worker")
    os.kill(first, signal.SIGKILL)
    parent.until(lambda: parent.gone("worker"))
    assert not parent.processes.alive("worker")
    parent.processes.watch()
    parent.until(lambda: len(parent.lines()) == 2)
    assert parent.pid("worker") != first
    assert parent.lines() == ["up [('colour', 'blue')]"] * 2
    assert parent.said == ["worker ended by SIGKILL; restarting it"]


def test_the_motor_process_comes_back_in_damp_only_mode(parent: Parent):
    first = parent.start("motor")
    parent.until(lambda: len(parent.lines()) == 1)
    os.kill(first, signal.SIGKILL)
    parent.until(lambda: len(parent.lines()) == 2, watching=True)
    assert parent.lines() == ["up []", "up [('damp_only', True)]"]


def test_a_motor_process_that_hangs_is_killed_and_comes_back_in_damp_only_mode(parent: Parent):
    first = parent.start("motor")
    parent.until(lambda: len(parent.lines()) == 1)
    os.kill(first, signal.SIGSTOP)
    looks, spoke = processes.SILENT_LOOKS, time.monotonic_ns()
    late = spoke + processes.HUNG_NS
    for now in [*[late + 1] * (looks - 1), late, *[late + 1] * (looks - 1)]:  # a word in between: it is only slow
        parent.processes.watch_silence("motor", spoke, now)
        parent.processes.watch()
    assert parent.pid("motor") == first and parent.said == []
    parent.processes.watch_silence("motor", spoke, late + 1)
    parent.until(lambda: len(parent.lines()) == 2, watching=True)
    assert parent.lines()[1] == "up [('damp_only', True)]"
    assert parent.said == ["motor hangs; killing it", "motor ended by SIGKILL; restarting it"]
    for _ in range(looks + 1):
        parent.processes.watch_silence("nobody", 0, late)


def test_a_process_that_still_starts_does_not_hang(parent: Parent):
    """The last word in the slot is of the one before."""
    parent.start("motor")
    started = parent.processes.children["motor"].started_ns
    for _ in range(processes.SILENT_LOOKS + 1):
        parent.processes.watch_silence("motor", started - 10**9, started + processes.START_NS)
    assert parent.said == []
    for _ in range(processes.SILENT_LOOKS):
        parent.processes.watch_silence("motor", started - 10**9, started + processes.START_NS + processes.HUNG_NS + 1)
    assert parent.said == ["motor hangs; killing it"]


def test_what_is_only_reported_is_reported_once_and_stays_down(parent: Parent):
    parent.start("view", status=7)
    parent.until(lambda: parent.gone("view"))
    for _ in range(3):
        parent.processes.watch()
    assert parent.said == ["view ended with exit status 7"]
    assert len(parent.lines()) == 1


def test_what_dies_again_and_again_stays_down(parent: Parent, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "MAX_RESTARTS", 2)
    parent.start("mayfly")
    parent.until(lambda: any("stays down" in said for said in parent.said), watching=True)
    for _ in range(3):
        parent.processes.watch()
    assert parent.said == [
        "mayfly ended by itself; restarting it", "mayfly ended by itself; restarting it",
        "mayfly ended by itself, 3 times now; it stays down",
    ]  # fmt: skip
    assert len(parent.lines()) == 3


def test_children_end_in_the_order_of_the_table(parent: Parent):
    parent.start("worker")
    parent.start("motor")
    parent.until(lambda: len(parent.lines()) == 2)
    worker, motor = (parent.processes.children[name].process for name in ("worker", "motor"))
    ended: list[str] = []
    terminate = {"worker": worker.terminate, "motor": motor.terminate}
    for name, process in (("worker", worker), ("motor", motor)):
        process.terminate = lambda name=name: (ended.append(name), terminate[name]())  # type: ignore[method-assign]
    parent.processes.end(grace_s=20.0)
    assert ended == ["motor", "worker"]
    assert (motor.exitcode, worker.exitcode) == (0, 0)
    assert parent.lines()[2:] == ["told to end"] * 2
    assert parent.processes.children == {}
    assert parent.said == []


def test_a_child_that_will_not_end_is_killed(parent: Parent):
    pid = parent.start("rock")
    parent.until(lambda: parent.lines() == ["up"])
    parent.processes.end(grace_s=0.2)
    assert parent.said == ["rock did not end in 0 s; killing it"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_ignore_ctrl_c_compute_in_one_thread_and_have_a_name(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    parent.start("talker")
    parent.until(lambda: parent.gone("talker"))
    assert parent.lines() == ["True ('1', '1', '1') teleop:talker"]
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGQUIT", "SIGTSTP"])
def test_what_a_terminal_sends_to_all_reaches_no_child_not_even_one_that_still_starts(parent: Parent, name: str):
    """Ctrl-C, a closed terminal, Ctrl-\\, Ctrl-Z: the motor process must not end or stand still by any of them."""
    number = signal.Signals[name]
    pid = parent.start("worker")
    os.kill(pid, number)
    parent.until(lambda: len(parent.lines()) == 1)
    os.kill(pid, number)
    os.kill(pid, signal.SIGTERM)  # answered only by a process that runs
    parent.until(lambda: parent.gone("worker"))
    assert parent.lines() == ["up []", "told to end"]
    assert parent.processes.children["worker"].process.exitcode == 0
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_the_table_says_who_may_die_and_who_ends_first():
    assert {name: row.when_it_dies for name, row in TABLE.items()} == {
        "source": "restart", "control": "restart", "standby": "restart", "robot-io": "restart_damped",
        "virtual-robot": "report", "console": "report", "recorder": "restart", "cameras": "restart",
        "telemetry": "restart", "bridge": "restart", "arms": "restart",
    }  # fmt: skip
    order = {name: row.end_order for name, row in TABLE.items()}
    assert order["source"] < order["robot-io"] < order["control"] == order["standby"] < order["virtual-robot"]
    assert order["recorder"] == max(order.values()), "it closes its episode when nothing more comes"
    for name, row in TABLE.items():
        assert row.name == name
        module, _, function = row.target.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_an_unknown_target_fails_in_the_child():
    before = {number: signal.getsignal(number) for number in processes.TERMINAL_SIGNALS}
    comm = Path("/proc/self/comm").read_text()
    try:
        with pytest.raises(ModuleNotFoundError):
            run_child("nothing", "teleopd.no_such_module:main", {})
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        Path("/proc/self/comm").write_text(comm)


def test_cpu_share_is_of_another_process_and_zero_when_it_is_gone():
    cpu = ProcessCpu()
    assert cpu.percent(os.getpid()) == 0.0, "nothing is known at the first look"
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        pass
    assert 0.0 < cpu.percent(os.getpid()) <= 1600.0
    assert cpu.percent(2**22 + 1) == 0.0
