"""The policy process is killed and the motor process hangs in the middle of a walk."""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest

from teleopd.safety.words import Cause, Mode, SafetyStatus

from .conftest import Service, StartService, times, until, without_flicker

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.slow]


class Story:
    """What was seen while the service ran."""

    def __init__(self) -> None:
        self.service: Service
        self.active_since_ns = 0
        self.killed_ns = 0
        self.hung_ns = 0
        self.second_control = 0
        self.first_control = 0
        self.damped: SafetyStatus
        self.still: SafetyStatus
        self.reset: tuple[int, str]
        self.report: dict[str, Any] = {}


@pytest.fixture(scope="module")
def story(start_service: StartService) -> Story:
    told = Story()
    service = told.service = start_service("--auto-engage")
    service.wait_mode(Mode.ARMED)
    service.emulate("--motion", "walk", "--lead-in", "1.5")
    told.active_since_ns = service.wait_mode(Mode.ACTIVE).mode_since_ns
    time.sleep(3.0)  # the first steps

    control = service.child("control")
    told.first_control = control.pid
    told.killed_ns = time.monotonic_ns()
    control.kill()
    service.wait_mode(Mode.RETURN, Mode.DAMPED)
    service.wait_mode(Mode.ARMED, Mode.DAMPED)
    until(lambda: service.has_child("control"), "control is back")
    told.second_control = service.child("control").pid
    service.wait_mode(Mode.ACTIVE, Mode.DAMPED)  # the first process leads again, and a new press engages
    time.sleep(0.5)

    told.hung_ns = time.monotonic_ns()
    service.child("robot-io").suspend()
    told.damped = service.wait_mode(Mode.DAMPED)
    code = service.ctl("reset")
    told.reset = (code.returncode, code.stderr)
    told.still = service.status()
    service.interrupt()
    service.end()
    told.report = service.report()
    return told


def test_the_warm_twin_takes_over_and_the_robot_stays_on_its_feet(story: Story):
    killed_s = times(story.report, "ACTIVE")[0] + (story.killed_ns - story.active_since_ns) / 1e9
    after = without_flicker([(mode, cause) for t, mode, cause in story.report["modes"] if t > killed_s])
    assert after[:3] == [("RETURN", "STANDBY_TOOK_OVER"), ("ARMED", None), ("ACTIVE", None)]
    assert story.report["interventions"]["STANDBY_TOOK_OVER"] == 1
    assert "TARGETS_LOST" not in story.report["interventions"]
    fell_at = story.report["fell_at_s"]
    hung_s = killed_s + (story.hung_ns - story.killed_ns) / 1e9
    assert fell_at is None or fell_at > hung_s  # only motors that hold still, and then damping, let it down


def test_the_policy_process_is_started_again(story: Story):
    assert story.first_control != story.second_control
    assert not psutil.pid_exists(story.first_control)
    assert "control ended by SIGKILL; restarting it" in story.service.log()


def test_a_new_motor_process_can_only_damp(story: Story):
    assert story.damped.mode_cause == Cause.RESTARTED
    assert story.damped.causes >> Cause.RESTARTED & 1
    assert story.reset == (1, "reset refused in mode DAMPED because of RESTARTED\n")
    assert story.still.mode == Mode.DAMPED
    damped = [(mode, cause) for _, mode, cause in story.report["modes"] if mode == "DAMPED"]
    assert damped == [("DAMPED", "RESTARTED")]
    said = story.service.log()
    assert said.index("robot-io hangs; killing it") < said.index("robot-io ended by SIGKILL; restarting it")


def test_nothing_is_left(story: Story):
    assert not story.service.runtime.exists() or list(story.service.runtime.iterdir()) == []
    assert story.service.left() == []
