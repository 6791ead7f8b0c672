"""The parent of a run when something goes wrong: it never lets a standing robot fall, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from teleopd.launch import composition, operating, service_run
from teleopd.launch.config import RunConfig
from teleopd.launch.errors import CommandError
from teleopd.launch.operating import Operating
from teleopd.launch.operator_script import BALANCING, OperatorScript
from teleopd.launch.processes import TABLE
from teleopd.launch.refusals import check_refusals
from teleopd.launch.service_run import SIGNALS, ServiceRun
from teleopd.robots.ipc.session import Session, SessionBusy, SessionOwner, session_of
from teleopd.safety.words import Act, Cause, Mode, SafetyStatus
from teleopd.service.child import REFUSED_EXIT


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def status(mode: Mode) -> SafetyStatus:
    return SafetyStatus(
        10**9, 1, int(mode), 10**9, -1, 0, 0, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(29, np.uint32), False, False, -1, 0, np.zeros(29), 0,
    )  # fmt: skip


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(said: list[str]) -> ServiceRun:
    return ServiceRun(RunConfig(kinematic=True), say=said.append)


def refused(tmp_path: Path, name: str, restarts: int = 0) -> tuple[Any, Any]:
    """An owner and the processes of a run in which that child has refused its set-up."""
    (tmp_path / f"{name}.refused").write_text("port 9763 is taken")
    def child_of(row: str, exitcode: int | None, restarts: int) -> Any:
        process = SimpleNamespace(exitcode=exitcode)
        return SimpleNamespace(process=process, reported=False, restarts=restarts, spec=TABLE[row])

    child, running = child_of(name, REFUSED_EXIT, restarts), child_of("robot-io", None, 0)
    owner = SimpleNamespace(session=Session("unitree_g1", tmp_path))
    return owner, SimpleNamespace(children={"robot-io": running, name: child})


@pytest.mark.parametrize("mode", [Mode.DAMPED, Mode.ACTIVE])
def test_a_replaced_motor_process_that_is_refused_is_tried_again(
    said: list[str], tmp_path: Path, mode: Mode
):
    owner, processes = refused(tmp_path, "robot-io", restarts=1)
    check_refusals(owner.session, processes, status(mode), said.append)
    assert said == [] and not processes.children["robot-io"].reported, "`watch` starts it anew"


@pytest.mark.parametrize("mode", [None, *(mode for mode in Mode if mode not in BALANCING)])
def test_a_part_that_cannot_be_set_up_ends_the_run_with_its_sentence(
    said: list[str], tmp_path: Path, mode: Mode | None
):
    owner, processes = refused(tmp_path, "source")
    with pytest.raises(CommandError, match="^port 9763 is taken$"):
        check_refusals(owner.session, processes, None if mode is None else status(mode), said.append)
    assert said == []


@pytest.mark.parametrize("mode", BALANCING)
def test_but_never_a_run_in_which_the_robot_is_on_its_feet(
    said: list[str], tmp_path: Path, mode: Mode
):
    owner, processes = refused(tmp_path, "source")
    for _ in range(3):
        check_refusals(owner.session, processes, status(mode), said.append)
    assert said == ["source stays down: port 9763 is taken"]


def test_a_browser_view_that_cannot_start_ends_nothing(said: list[str], tmp_path: Path):
    owner, processes = refused(tmp_path, "console")
    check_refusals(owner.session, processes, None, said.append)
    assert said == ["console stays down: port 9763 is taken"]


def test_a_terminal_that_is_gone_does_not_end_a_run():
    def broken(_sentence: str) -> None:
        raise BrokenPipeError

    ServiceRun(RunConfig(kinematic=True), say=broken).say("ACTIVE")


def test_a_signal_is_noted_and_said_later(run: ServiceRun, said: list[str]):
    run._script = OperatorScript(auto_engage=False, virtual=True, countdown_s=0.6)
    run._on_signal(signal.SIGINT, None)
    run._on_signal(signal.SIGINT, None)
    assert said == []
    assert run._asked == ["ending: back to stand, then damping; again: damp now", "damping now"]
    assert run._script.ending


class Children:
    """Stands in for the processes of a run."""

    ended = 0

    def __init__(self, _say: Callable[[str], None]) -> None:
        self.children: dict[str, Any] = {}
        self.handlers: list[Any] = []

    def end(self) -> None:
        Children.ended += 1
        assert session_of("unitree_g1").folder.is_dir(), "the folder goes last"
        os.kill(os.getpid(), signal.SIGINT)  # an impatient user: must not interrupt the ending


@pytest.fixture
def stubbed(run: ServiceRun, monkeypatch: pytest.MonkeyPatch) -> ServiceRun:
    monkeypatch.setattr(service_run, "Processes", Children)
    monkeypatch.setattr(run, "_compose", lambda _owner, _processes: None)
    Children.ended = 0
    return run


def test_a_failure_of_the_parent_walks_the_robot_down_before_it_ends(
    stubbed: ServiceRun, monkeypatch: pytest.MonkeyPatch, own_runtime_folder: Path
):
    handlers = [signal.getsignal(number) for number in SIGNALS]
    asked: list[Act] = []
    mode = [Mode.ACTIVE]
    clock = [10**9]
    causes = [0]

    def loop(_owner: object, _processes: object) -> None:
        raise ZeroDivisionError("a mistake in a report")

    def operate(_hands: Operating, _status: object, _now_ns: int) -> None:
        """The robot answers each act at once."""
        clock[0] += 50_000_000
        step = stubbed._script.step(status(mode[0])._replace(t_ns=clock[0], causes=causes[0]), clock[0])
        if step.act is not Act.NONE:
            asked.append(step.act)
        causes[0] |= (step.act is Act.STOP) << Cause.OPERATOR_STOP
        mode[0] = {Act.STOP: Mode.ARMED, Act.DAMP: Mode.DAMPED}.get(step.act, mode[0])

    monkeypatch.setattr(stubbed, "_loop", loop)
    monkeypatch.setattr(operating.Operating, "operate", operate)
    monkeypatch.setattr(operating, "TICK_S", 0.0)
    with pytest.raises(ZeroDivisionError):
        stubbed.run()
    assert asked == [Act.STOP, Act.DAMP]
    assert stubbed._script.ended
    assert Children.ended == 1
    assert not own_runtime_folder.exists()
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_walking_the_robot_down_outlives_what_failed(stubbed: ServiceRun, monkeypatch: pytest.MonkeyPatch):
    """The link that failed in the loop may fail in the way down too: the next tick tries again."""
    tries: list[int] = []

    def loop(_owner: object, _processes: object) -> None:
        raise OSError("shared memory is gone")

    def operate(hands: Operating, _status: object, _now_ns: int) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise OSError("and still is")
        hands.script = SimpleNamespace(ended=True, ending=True, ask_end=lambda: None)  # type: ignore[assignment]

    monkeypatch.setattr(stubbed, "_loop", loop)
    monkeypatch.setattr(operating.Operating, "operate", operate)
    monkeypatch.setattr(operating, "TICK_S", 0.0)
    with pytest.raises(OSError, match="^shared memory is gone$"):
        stubbed.run()
    assert len(tries) == 4 and Children.ended == 1


def test_a_set_up_that_fails_leaves_nothing_behind(
    stubbed: ServiceRun, monkeypatch: pytest.MonkeyPatch, own_runtime_folder: Path
):
    handlers = [signal.getsignal(number) for number in SIGNALS]

    def compose(_owner: object, _processes: object) -> None:
        raise CommandError("no")

    monkeypatch.setattr(stubbed, "_compose", compose)
    with pytest.raises(CommandError):
        stubbed.run()
    assert Children.ended == 1
    assert not own_runtime_folder.exists()
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_a_set_up_that_fails_lets_go_of_the_virtual_robot(
    said: list[str], monkeypatch: pytest.MonkeyPatch, own_runtime_folder: Path
):
    """Its hand was taken before anything else could fail."""
    closed: list[bool] = []
    hand = SimpleNamespace(close=lambda: closed.append(True))

    def unproven(*_given: object) -> None:
        raise CommandError("no answer of a virtual robot")

    monkeypatch.setattr(service_run, "Processes", Children)
    monkeypatch.setattr(composition, "prepare_solver", lambda _solver, _say: None)
    monkeypatch.setattr(composition, "open_hand", lambda *_given: hand)
    monkeypatch.setattr(composition, "require_virtual", unproven)
    with pytest.raises(CommandError, match="^no answer of a virtual robot$"):
        ServiceRun(RunConfig(), say=said.append).run()
    assert closed == [True]


def test_a_second_service_for_the_robot_is_refused_and_disturbs_nothing(run: ServiceRun):
    owner = SessionOwner("unitree_g1")
    try:
        with pytest.raises(SessionBusy):
            run.run()
        assert owner.session.folder.is_dir()
        assert owner.session.token
    finally:
        owner.close()


def test_nothing_engages_alone_before_the_robot_has_proved_to_be_virtual():
    acts: list[Act] = []
    held: list[bool] = []
    writer: Any = SimpleNamespace(act=lambda act, _now: acts.append(act), hold=lambda on, _now: held.append(on))
    hands = Operating(OperatorScript(auto_engage=True, virtual=True, countdown_s=0.6), writer, engages_alone=True)
    gantry = Gantry()
    hands.hand = gantry  # type: ignore[assignment]
    hands.operate(status(Mode.IDLE), 10**9)
    hands.operate(status(Mode.ACTIVE), 10**9)
    assert (acts, held) == ([], [False, False])
    gantry.proven = True
    hands.operate(status(Mode.IDLE), 10**9)
    hands.operate(status(Mode.ACTIVE), 10**9)
    assert (acts, held[2:]) == ([Act.READY], [False, True])


class Gantry:
    """Of a robot that has proved to be virtual, or not; writes down what it did."""

    proven = False

    def __init__(self) -> None:
        self.did: list[str] = []

    def is_virtual(self, _now_ns: int) -> bool:
        return self.proven

    def lower(self, _seconds: float) -> None:
        self.did.append("lower")

    def hang(self) -> None:
        self.did.append("hang")

    def reset(self) -> None:
        self.did.append("reset")


@pytest.mark.parametrize("own_balance", [False, True])
def test_the_gantry_lowers_once_hangs_once_and_takes_a_damped_robot_up_after_a_reset(own_balance: bool):
    writer: Any = SimpleNamespace(act=lambda *_: None, hold=lambda *_: None)
    script = OperatorScript(auto_engage=False, virtual=True, countdown_s=0.6)
    hands, gantry = Operating(script, writer, engages_alone=False, own_balance=own_balance), Gantry()
    hands.hand, gantry.proven = gantry, True  # type: ignore[assignment]
    for k in range(3):
        hands.operate(status(Mode.ARMED), 10**9 + k)
    assert not hands.stand_up_again(status(Mode.IDLE), Mode.READY), "nothing was damped"
    took = hands.stand_up_again(status(Mode.IDLE), Mode.DAMPED)
    hands.operate(status(Mode.ARMED), 2 * 10**9)
    script.ask_end()
    assert not hands.stand_up_again(status(Mode.IDLE), Mode.DAMPED), "the run ends"
    for k in range(3):
        hands.operate(status(Mode.READY), 3 * 10**9 + k)
    assert took is not own_balance
    assert gantry.did == ([] if own_balance else ["lower", "reset", "lower", "hang"])
