"""A pad at the end of a pipe walks the virtual robot: bumper, stick, unplugged, plugged in again, B."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from teleopd.drivers.gamepad.emulator import PipePad
from teleopd.robots.model import LowState
from teleopd.safety.words import Mode

from .conftest import Service, StartService, until

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.slow]


class Story:
    """What was seen while the service ran."""

    def __init__(self) -> None:
        self.standing_m = np.zeros(3)
        self.walked_m = np.zeros(3)
        self.velocity = 0.0
        self.exit_status = -1
        self.report: dict[str, Any] = {}


def place(service: Service) -> np.ndarray:
    state = service.bus.slot("state").read()
    assert isinstance(state, LowState)
    return state.root_pos_w.copy()


def engage(service: Service, pad: PipePad) -> None:
    """Press the bumper until it counts: a press needs a source that has proved itself."""

    def pressed() -> bool:
        if service.mode is Mode.ACTIVE:
            return True
        pad.button("right_bumper", False)
        until(lambda: service.mode is not Mode.HOLD and not service.reference().deadman, "the bumper is up")
        pad.button("right_bumper", True)
        until(lambda: service.reference().deadman or service.mode is Mode.ACTIVE, "the bumper is down")
        return False

    until(lambda: service.status().blocked_by < 0, "the source has proved itself")
    until(pressed, "ACTIVE by the bumper")


@pytest.fixture(scope="module")
def story(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> Story:
    told = Story()
    pipe = tmp_path_factory.mktemp("pad") / "event7"
    pad = PipePad(pipe)
    service = start_service("--policy", "default", "--source", "gamepad", "--device", f"pad={pipe}")
    service.wait_mode(Mode.IDLE)
    service.arm()
    until(lambda: service.status().t_ns - service.status().mode_since_ns > 1_500_000_000, "it stands freely")
    engage(service, pad)
    told.standing_m = place(service)
    pad.axis("left_y", -0.7)

    def walked() -> bool:
        """A busy machine may starve the source for a moment: the robot has returned, and wants a new press."""
        if service.mode is Mode.ARMED:
            engage(service, pad)
        told.velocity = max(told.velocity, float(service.reference().root_lin_vel_w[0]))
        return float(np.linalg.norm(place(service)[:2] - told.standing_m[:2])) > 0.5

    until(walked, "it walked half a metre")
    told.walked_m = place(service)
    pad.close()
    service.wait_mode(Mode.ARMED)
    pad = PipePad(pipe)
    engage(service, pad)
    pad.button("east", True)  # a tap: held for a second it would damp
    pad.button("east", False)
    service.wait_mode(Mode.ARMED)
    service.process.terminate()
    told.exit_status = service.end()
    told.report = service.report()
    pad.close()
    return told


def test_it_walks_forward_upright(story: Story):
    assert story.report["upright"] is True and story.report["fell_at_s"] is None
    moved = story.walked_m - story.standing_m
    assert moved[0] > 0.4
    assert 0.1 < story.velocity < 0.6


def test_unplugged_it_holds_returns_and_stands_and_b_returns_too(story: Story):
    modes = [(mode, cause) for _, mode, cause in story.report["modes"]]
    lost = modes.index(("RETURN", "SOURCE_LOST"))
    assert modes[lost - 1] == ("HOLD", "SOURCE_STALE")
    assert modes[lost + 1][0] == "ARMED"
    assert ("RETURN", "OPERATOR_STOP") in modes[lost:]
    assert story.report["source"] == "gamepad"
    assert story.exit_status == 0
