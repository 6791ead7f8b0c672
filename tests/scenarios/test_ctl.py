"""An operator at a terminal: ready, arm, engage, let go, stop, stop; and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import Any

import numpy as np
import pytest

from teleopd.safety.words import Act, Mode, OperatorCommand

from .conftest import LONG_S, TELEOP, Service, StartService, times, until, without_flicker

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.slow]


class Story:
    """What each command answered."""

    def __init__(self) -> None:
        self.service: Service
        self.answers: dict[str, subprocess.CompletedProcess[str]] = {}
        self.refused_by_token = 0
        self.mode_after_token: Mode
        self.second_serve: subprocess.CompletedProcess[str]
        self.modes: list[Mode] = []
        self.mode_after_early_arm = Mode.BOOT
        self.exit_status = -1
        self.report: dict[str, Any] = {}

    def ask(self, name: str, *arguments: str) -> None:
        self.answers[name] = self.service.ctl(*(arguments or (name,)))


def write_with_a_wrong_token(service: Service, act: Act) -> int:
    """An act of somebody who does not hold the token; returns how many words were refused because of it."""
    slot, before = service.bus.slot("operator_device"), service.status()
    word = OperatorCommand(1, time.monotonic_ns(), service.session.token ^ 1, int(act), True)
    slot.write(word)
    until(lambda: service.status().t_ns - word.t_ns > 50_000_000, "robot-io read the slot")
    return service.status().refused_commands - before.refused_commands


def stand(told: Story) -> None:
    """Ready, up to the end of the ramp; a machine that starves the virtual robot costs a reset, as it does a person."""
    service = told.service
    for _ in range(9):
        until(lambda: service.status().blocked_by < 0, "nothing blocks what comes")
        if service.mode is Mode.DAMPED:
            service.ctl("reset")
            continue
        told.ask("ready")
        until(lambda: service.mode is not Mode.READY or bool(service.status().ready_to_arm), "the ramp to stand ended")
        if service.mode is Mode.READY:
            return


@pytest.fixture(scope="module")
def story(start_service: StartService) -> Story:
    told = Story()
    service = told.service = start_service()
    service.emulate("--motion", "stand")
    service.wait_mode(Mode.IDLE)
    told.ask("arm too early", "arm")
    told.mode_after_early_arm = service.mode
    told.refused_by_token = write_with_a_wrong_token(service, Act.READY)
    told.mode_after_token = Mode(service.status().mode)
    stand(told)
    told.second_serve = subprocess.run(
        [*TELEOP, "serve", "--no-view", "--port", "1"], env=service.environment, capture_output=True, text=True,
        timeout=LONG_S,
    )  # fmt: skip
    if service.mode is not Mode.READY:  # two services that start at once are what a small machine starves at
        stand(told)
    told.ask("arm")
    heard = service.bus.slot("source_status")
    until(lambda: heard.read() is not None and heard.read().used > 0, "the source is heard")
    for _ in range(5):  # a press counts only while the source is fresh, which a busy machine may spoil
        until(lambda: service.status().blocked_by < 0, "the source has proved itself")
        told.ask("engage", "engage", "--seconds", "1.5", "--json")
        if told.answers["engage"].returncode == 0:
            break
    service.wait_mode(Mode.ARMED)  # let go: HOLD, then RETURN
    told.ask("status", "status", "--json")
    told.ask("stop")
    told.ask("engage after a stop", "engage", "--seconds", "0.3")
    told.ask("second stop", "stop")
    service.wait_mode(Mode.DAMPED)
    time.sleep(2.1)  # DAMPED is left no sooner than 2 s later
    state = service.bus.slot("state")  # a robot still on its way down after the reset would count as one that fell
    until(lambda: float(np.abs(state.read().dq).max()) < 0.1, "it lies still")
    told.ask("reset")
    until(lambda: "the gantry set the virtual robot up again" in service.log(), "the virtual robot stands up again")
    until(lambda: service.status().blocked_by < 0, "the robot is upright: ready could follow")
    service.process.terminate()
    told.exit_status = service.end()
    told.report = service.report()
    return told


def test_every_act_is_answered_with_the_mode_it_led_to(story: Story):
    answers = {name: story.answers[name] for name in ("ready", "arm", "stop", "second stop", "reset")}
    assert {name: (a.returncode, a.stdout, a.stderr) for name, a in answers.items()} == {
        "ready": (0, "ready: READY\n", ""),
        "arm": (0, "arm: ARMED\n", ""),
        "stop": (0, "stop: ARMED\n", ""),  # it stood already: nothing to return from
        "second stop": (0, "stop: DAMPED\n", ""),
        "reset": (0, "reset: IDLE\n", ""),
    }


def test_an_act_out_of_order_is_refused_and_says_why(story: Story):
    answer = story.answers["arm too early"]
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("arm refused in mode IDLE")
    assert story.mode_after_early_arm is Mode.IDLE


def test_engage_follows_the_operator_for_as_long_as_it_runs(story: Story):
    answer = story.answers["engage"]
    assert answer.returncode == 0
    modes = [json.loads(line)["mode"] for line in answer.stdout.splitlines()]
    assert modes[:2] == ["ARMED", "ACTIVE"]
    assert set(modes) <= {"ARMED", "ACTIVE", "HOLD"}
    changes = without_flicker([(mode, cause) for _, mode, cause in story.report["modes"]])
    assert changes.count(("ACTIVE", None)) == 1
    after = changes[changes.index(("ACTIVE", None)) + 1 :][:3]
    assert after[0] in [("HOLD", "DEADMAN_RELEASED"), ("HOLD", "CONSOLE_LOST")]
    assert [mode for mode, _ in after] == ["HOLD", "RETURN", "ARMED"]


def test_status_is_machine_readable(story: Story):
    answer = json.loads(story.answers["status"].stdout)
    assert (answer["verb"], answer["ok"], answer["mode"], answer["engage_held"]) == ("status", True, "ARMED", False)
    assert isinstance(answer["causes"], list)


def test_nothing_engages_after_a_soft_stop(story: Story):
    answer = story.answers["engage after a stop"]
    assert answer.returncode == 1
    assert "engage refused in mode ARMED because of OPERATOR_STOP" in answer.stderr


def test_a_wrong_token_is_refused_and_counted(story: Story):
    assert story.refused_by_token == 1
    assert story.mode_after_token is Mode.IDLE
    assert times(story.report, "READY")[0] > times(story.report, "IDLE")[0]


def test_a_second_service_for_the_same_robot_is_refused(story: Story):
    answer = story.second_serve
    assert answer.returncode == 2
    assert answer.stderr == (
        f"teleop: unitree_g1 is already served by process {story.service.process.pid}; "
        "stop that one first (teleop ctl stop, or Ctrl-C there)\n"
    )


def test_sigterm_ends_like_ctrl_c(story: Story):
    assert story.exit_status == 0
    names = [mode for _, mode, _ in story.report["modes"]]
    assert names[-3:] == ["DAMPED", "IDLE", "DAMPED"]
    assert story.service.left() == []
    assert not os.path.exists(story.service.session.folder)
