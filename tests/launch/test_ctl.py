"""`teleop ctl` without processes: it believes only a live service, and waits until its act was taken."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from teleopd.launch.commands import ctl
from teleopd.launch.commands.ctl import ACTS, EXPECTED, Ctl
from teleopd.launch.errors import CommandError
from teleopd.robots.ipc.session import SessionOwner, session_of
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act, Cause, Mode, OperatorCommand, SafetyStatus
from teleopd.service.streams import Bus, PolicyStatus

N = MODEL.n


def status(mode: Mode, *, refused: int = 0, blocked_by: int = -1, causes: int = 0) -> SafetyStatus:
    """A word of a robot-io that lives ahead of now, so that any act counts as taken, on a busy machine too."""
    return SafetyStatus(
        time.monotonic_ns() + 60_000_000_000, 1, int(mode), 1, -1, 0, causes, np.zeros(32, np.uint32),
        np.zeros(8, np.uint32), np.zeros(N, np.uint32), False, False, blocked_by, 0, np.zeros(N), refused,
    )  # fmt: skip


class RobotIo:
    """Answers in the slot as robot-io would, at every sleep of the command under test."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.answers: list[SafetyStatus] = []
        self.words: list[OperatorCommand] = []

    def sleep(self, _seconds: float) -> None:
        for slot in ("operator_ctl", "operator_ctl_engage"):
            word = self.bus.slot(slot).read()
            if word is not None and word not in self.words:
                self.words.append(word)
        if self.answers:
            self.bus.slot("safety_status").write(self.answers.pop(0))


@pytest.fixture
def robot_io(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RobotIo]:
    monkeypatch.setenv("TELEOPD_RUNTIME_DIR", str(tmp_path / "run"))
    owner = SessionOwner("unitree_g1")
    made = RobotIo(Bus(owner.session, N, create=True))
    monkeypatch.setattr(ctl.time, "sleep", made.sleep)
    yield made
    owner.close()


def test_an_act_that_led_where_it_should_is_said(robot_io: RobotIo, capsys: pytest.CaptureFixture[str]):
    robot_io.bus.slot("safety_status").write(status(Mode.IDLE))
    robot_io.answers = [status(Mode.IDLE), status(Mode.READY)]
    assert Ctl("ready").run() == 0
    assert capsys.readouterr().out == "ready: READY\n"
    assert [(word.act, word.engage_held) for word in robot_io.words] == [(Act.READY, False)]


def test_a_refusal_is_said_with_its_cause(robot_io: RobotIo, capsys: pytest.CaptureFixture[str]):
    robot_io.bus.slot("safety_status").write(status(Mode.READY, refused=4))
    robot_io.answers = [status(Mode.READY, refused=5, blocked_by=int(Cause.CHECK_FAILED))]
    assert Ctl("arm").run() == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "arm refused in mode READY because of CHECK_FAILED\n")


def test_a_stop_that_changes_no_mode_is_waited_for_and_not_called_refused(
    robot_io: RobotIo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    stopped = status(Mode.ARMED, causes=1 << Cause.OPERATOR_STOP)
    before = stopped._replace(t_ns=time.monotonic_ns(), causes=0)
    robot_io.bus.slot("safety_status").write(before)
    robot_io.answers = [before, stopped]
    assert Ctl("stop", json=True).run() == 0
    assert '"causes": ["OPERATOR_STOP"]' in capsys.readouterr().out, "not the state from before the act"


def test_a_reset_of_a_soft_stop_succeeds_where_the_robot_stands(
    robot_io: RobotIo, capsys: pytest.CaptureFixture[str]
):
    robot_io.bus.slot("safety_status").write(status(Mode.ARMED))
    assert Ctl("reset").run() == 0
    assert capsys.readouterr().out == "reset: ARMED\n"


def test_what_a_dead_service_left_behind_is_not_believed(robot_io: RobotIo, monkeypatch: pytest.MonkeyPatch):
    old = status(Mode.ACTIVE)._replace(t_ns=time.monotonic_ns() - 1_500_000_000)
    robot_io.bus.slot("safety_status").write(old)
    clock = iter(range(1000))
    monkeypatch.setattr(ctl.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(CommandError) as error:
        Ctl("status").run()
    assert str(error.value) == "the service published no state within 5 s; is robot-io running?"


def test_engage_that_never_followed_anybody_says_why(robot_io: RobotIo, capsys: pytest.CaptureFixture[str]):
    robot_io.bus.slot("safety_status").write(status(Mode.ARMED, blocked_by=int(Cause.SOURCE_LOST)))
    assert Ctl("engage", seconds=0.0).run() == 1
    assert capsys.readouterr().err.splitlines()[-1] == "engage refused in mode ARMED because of SOURCE_LOST"


def test_engage_holds_the_deadman_and_lets_go_at_the_end(
    robot_io: RobotIo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    robot_io.bus.slot("safety_status").write(status(Mode.ARMED))
    robot_io.answers = [status(Mode.ACTIVE)]
    clock = iter([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    monkeypatch.setattr(ctl.time, "monotonic", lambda: next(clock, 99.0))
    assert Ctl("engage", seconds=1.0).run() == 0
    assert capsys.readouterr().out == "engage: ARMED\nengage: ACTIVE\n"
    last = robot_io.bus.slot("operator_ctl_engage").read()
    assert robot_io.words[0].engage_held is True
    assert (last.engage_held, last.act) == (False, Act.NONE)


def test_one_terminal_holds_the_deadman_and_any_terminal_stops(
    robot_io: RobotIo, capsys: pytest.CaptureFixture[str]
):
    robot_io.bus.slot("safety_status").write(status(Mode.ACTIVE))
    session = ctl.session_of("unitree_g1")
    with ctl._locked(session.path("operator_ctl_engage.lock"), 0.0, ctl.HELD_ELSEWHERE):
        with pytest.raises(CommandError, match=r"^another `teleop ctl engage` holds the deadman of this robot$"):
            Ctl("engage", seconds=1.0).run()
        assert Ctl("status").run() == 0, "looking is free"
        robot_io.answers = [status(Mode.DAMPED)]
        assert Ctl("damp").run() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "damp: DAMPED"
    assert [(word.act, word.engage_held) for word in robot_io.words] == [(Act.DAMP, False)]


def test_every_act_has_a_mode_to_expect():
    assert set(ACTS) == set(EXPECTED)
    assert set(ACTS.values()) == set(Act) - {Act.NONE}


def test_the_force_limit_is_asked_for_where_something_can_obey(robot_io: RobotIo, capsys: pytest.CaptureFixture[str]):
    robot_io.bus.slot("safety_status").write(status(Mode.ACTIVE))
    assert Ctl(verb="compliance", force_limit=8.0).run() == 1
    assert capsys.readouterr().err == "compliance refused: no policy runs yet\n"
    obeys = PolicyStatus(1, 0, 0.0, 0.0, float("nan"), False)
    robot_io.bus.slot("policy_status").write(obeys)
    assert Ctl(verb="compliance", force_limit=8.0).run() == 1
    refusal = "compliance refused: the policy has no force limit and compliance.admittance is off\n"
    assert capsys.readouterr().err == refusal
    robot_io.bus.slot("policy_status").write(obeys._replace(force_limit_n=10.0))
    with pytest.raises(CommandError, match=r"^force limit 16 N is not between 5 and 15 N$"):
        Ctl(verb="compliance", force_limit=16.0).run()
    assert robot_io.bus.slot("compliance_ctl").read() is None
    assert Ctl(verb="compliance", force_limit=8.0).run() == 0
    assert capsys.readouterr().out == "force limit: 10.0 N, on the way to 8 N at 1 N/s\n"
    assert robot_io.bus.slot("compliance_ctl").read().force_limit_n == 8.0
    assert Ctl(verb="compliance").run() == 0
    assert np.isnan(robot_io.bus.slot("compliance_ctl").read().force_limit_n)


@pytest.mark.parametrize("verb", ["stop", "damp"])
def test_a_stop_before_anything_is_sent_is_said_to_be_noted(
    robot_io: RobotIo, capsys: pytest.CaptureFixture[str], verb: str
):
    robot_io.bus.slot("safety_status").write(status(Mode.CHECK))
    robot_io.answers = [status(Mode.CHECK, causes=1 << Cause.OPERATOR_DAMP)]
    assert Ctl(verb).run() == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == f"{verb}: noted in CHECK; damps before anything moves\n"


def test_a_writer_that_hangs_is_not_waited_for_for_ever(
    robot_io: RobotIo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    robot_io.bus.slot("safety_status").write(status(Mode.IDLE))
    clock = [time.monotonic()]

    def later(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(ctl, "time", SimpleNamespace(
        monotonic=lambda: clock[0], sleep=later, monotonic_ns=time.monotonic_ns
    ))  # fmt: skip
    began = clock[0]
    with open(session_of("unitree_g1").path("operator_ctl.lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match=r"^another `teleop ctl` has kept .* slot for 1 s and hangs: end it;"):
            Ctl("damp").run()
    assert clock[0] - began == pytest.approx(1.0, abs=0.02)


def test_what_the_policy_cannot_follow_is_said(robot_io: RobotIo, capsys: pytest.CaptureFixture[str]):
    robot_io.bus.slot("safety_status").write(status(Mode.ARMED))
    robot_io.bus.slot("policy_status").write(PolicyStatus(1, 0, 0.0, 0.0, float("nan"), False, clipped=9, cannot=1))
    assert Ctl("status").run() == 0
    assert capsys.readouterr().out == (
        "ARMED, no source yet, causes: none; forward and height beyond the policy's range, clipped; the operator "
        "kneels, sits or lies lower than this policy's legs go: stand up to engage\n"
    )
