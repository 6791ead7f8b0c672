"""SIGKILL and SIGSTOP of every process of a whole service, on every rung of the ladder: the outcome of the table."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from teleopd.safety.words import Cause, Mode

from .conftest import Service, StartService, until
from .operating import Operator, stands, walking

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.long]

RUNGS = (Mode.IDLE, Mode.READY, Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN, Mode.DAMPED)
BALANCING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
WATCHED = ("source", "control", "standby", "robot-io")
"""Replaced when they die and when they hang; the console and the virtual robot are only told of."""

FALLS = ("robot-io", "virtual-robot")
"""Without them nothing moves the motors any more: a robot on its feet goes down, damped, which the exit status says."""


def free_tcp_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def operator(start_service: StartService, name: str) -> Iterator[Operator]:
    view = ("--view", "--view-port", str(free_tcp_port())) if name == "console" else ()
    made = Operator(walking(start_service, *view))
    yield made
    made.close()
    made.service.kill()


def awake(process: psutil.Process) -> None:
    """What was stopped and outlived the service's end would keep the machine's memory."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def came_to(service: Service, *modes: Mode) -> None:
    until(lambda: Mode(service.status().mode) in modes, f"{modes}, it is {service.mode}\n{service.log()}")


def outcome_of_control(operator: Operator, rung: Mode) -> None:
    """The warm twin balances on; a rung without a policy is not touched."""
    service = operator.service
    if rung not in BALANCING:
        assert service.mode is rung
        return
    until(lambda: service.status().cause_counts[Cause.STANDBY_TOOK_OVER] > 0, "the twin took over")
    came_to(service, Mode.ARMED, Mode.ACTIVE)  # a deadman that is pressed anew engages again, once control is back
    assert stands(service, 2.0), service.log()
    assert service.status().cause_counts[Cause.TARGETS_LOST] == 0


def outcome_of_source(operator: Operator, rung: Mode) -> None:
    """Losing the operator never stops the policy."""
    service = operator.service
    if rung in BALANCING:
        came_to(service, Mode.ARMED, Mode.ACTIVE)
        assert stands(service, 1.0), service.log()
    else:
        assert service.mode is rung


def outcome_of_robot_io(operator: Operator, _rung: Mode) -> None:
    service = operator.service  # the one before it may have been DAMPED too: the new one says why it is
    until(lambda: service.status().mode_cause == Cause.RESTARTED, "the new motor process damps")
    assert Mode(service.status().mode) is Mode.DAMPED


def outcome_of_virtual_robot(operator: Operator, rung: Mode) -> None:
    """Nothing that is sent could be judged any more."""
    service = operator.service
    came_to(service, Mode.DAMPED)
    assert rung is Mode.DAMPED or service.status().mode_cause == Cause.STATE_LOST


def outcome_of_bystander(operator: Operator, rung: Mode) -> None:
    """Neither the twin in reserve nor the view is anything a robot stands on."""
    service = operator.service
    expected = {Mode.HOLD: (Mode.HOLD, Mode.RETURN, Mode.ARMED), Mode.RETURN: (Mode.RETURN, Mode.ARMED)}
    wanted = expected.get(rung, (rung,))
    if rung is Mode.ACTIVE:  # a busy machine may miss a frame of the source
        wanted = (Mode.ACTIVE, Mode.HOLD)
    assert service.mode in wanted
    if rung in BALANCING:
        assert stands(service, 1.0), service.log()


OUTCOMES = {
    "source": outcome_of_source, "control": outcome_of_control, "standby": outcome_of_bystander,
    "robot-io": outcome_of_robot_io, "console": outcome_of_bystander, "virtual-robot": outcome_of_virtual_robot,
}  # fmt: skip


@pytest.mark.parametrize("rung", RUNGS, ids=lambda mode: mode.name)
@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_a_process_is_lost_on_a_rung(operator: Operator, number: signal.Signals, name: str, rung: Mode):
    service = operator.service
    until(lambda: service.has_child(name), f"{name} runs")
    if name == "standby":
        until(lambda: service.bus.slot("targets_standby").read() is not None or rung is Mode.IDLE, "the twin is warm")
    operator.climb(rung)
    lost = service.child(name)
    lost.send_signal(number)
    time.sleep(0.3)
    try:
        OUTCOMES[name](operator, rung)
        if name in WATCHED:
            until(lambda: service.has_child(name, beside=lost.pid), f"a new {name}")
            how = "hangs; killing it" if number is signal.SIGSTOP else "ended by SIGKILL; restarting it"
            assert f"{name} {how}" in service.log()
    finally:
        awake(lost)
    operator.hold(False)
    service.interrupt()
    ended = service.end()
    assert ended == 0 or (ended == 1 and name in FALLS), service.log()
    assert service.left() == []
