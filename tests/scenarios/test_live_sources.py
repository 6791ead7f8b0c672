"""Every live source through the service, its device emulated on its real wire; a headset that goes and comes back.

The grip of the emulated headset is pressed by an operator who watches the robot (`--press-when-armed`), so engaging
goes through the device's own deadman; sources without a deadman are engaged by the service itself (`--auto-engage`).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from teleopd.robots.model import Reference
from teleopd.safety.words import Mode

from .conftest import Service, StartService, until, without_flicker

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.slow]

SECONDS = 1.5
"""Followed for so long."""
JOINT_SPEED = 20.0
"""The retargeter's own speed limit of a joint [rad/s]; a reference that jumps is far beyond it."""


class Watch(threading.Thread):
    """Reads what the policy tracks as often as it can, and keeps the fastest change of a joint [rad/s]."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self.speeds: list[tuple[int, float]] = []
        """(time [ns], largest joint speed since the reference before)."""
        self._service, self._ended = service, threading.Event()

    def run(self) -> None:
        slot, last = self._service.bus.slot("shaped_reference"), None
        while not self._ended.is_set():
            now: Reference | None = slot.read()
            if now is not None and (last is None or now.t_published_ns > last.t_published_ns):
                if last is not None:
                    passed_s = max(now.t_published_ns - last.t_published_ns, 10_000_000) / 1e9
                    self.speeds.append((now.t_published_ns, float(np.abs(now.q - last.q).max() / passed_s)))
                last = now
            time.sleep(0.004)

    def end(self) -> None:
        self._ended.set()
        self.join(10.0)


class Story:
    """What was seen while the headset came, went and came back."""

    def __init__(self) -> None:
        self.report: dict[str, Any] = {}
        self.exit_status = -1
        self.held_while_arming = True
        self.content = -1
        self.speeds: list[tuple[int, float]] = []
        self.resets = (0, 0)


@pytest.fixture(scope="module")
def headset(start_service: StartService) -> Story:
    told = Story()
    service = start_service("--policy", "default", "--source", "pico", "--auto-arm")
    flags = ("--motion", "walk", "--lead-in", "8", "--press-when-armed")
    device = service.emulate(*flags, device="pico")
    service.wait_mode(Mode.READY, Mode.ARMED)
    told.held_while_arming = bool(service.status().engage_held)
    service.wait_mode(Mode.ACTIVE)
    watch = Watch(service)
    watch.start()
    time.sleep(SECONDS)
    told.content = service.bus.slot("source_status").read().content
    before = service.reference().resets
    device.kill()
    service.wait_mode(Mode.ARMED)
    service.emulate("--motion", "reach", "--press-when-armed", device="pico")  # elsewhere, in another posture
    service.wait_mode(Mode.ACTIVE)
    time.sleep(SECONDS)
    told.resets = (before, service.reference().resets)
    watch.end()
    told.speeds = watch.speeds
    service.interrupt()
    told.exit_status = service.end()
    told.report = service.report()
    return told


def test_the_emulated_grip_engages_and_only_once_the_robot_stands(headset: Story):
    assert headset.held_while_arming is False
    names = [mode for _, mode, _ in headset.report["modes"]]
    assert names[:6] == ["BOOT", "CHECK", "IDLE", "READY", "ARMED", "ACTIVE"]
    assert headset.report["upright"] is True and headset.exit_status == 0


def test_a_headset_that_comes_back_is_reengaged_by_the_ladder(headset: Story):
    changes = without_flicker([(mode, cause) for _, mode, cause in headset.report["modes"]])
    first = changes.index(("ACTIVE", None))
    after = changes[first + 1 :]
    assert after[:2] == [("HOLD", "SOURCE_STALE"), ("RETURN", "SOURCE_LOST")]
    assert [mode for mode, _ in after[2:4]] == ["ARMED", "ACTIVE"]


def test_the_reference_never_jumps(headset: Story):
    assert headset.resets[1] > headset.resets[0], "the new motion was acquired anew"
    assert len(headset.speeds) > 50
    assert max(speed for _, speed in headset.speeds) < JOINT_SPEED


def test_health_is_in_the_report(headset: Story):
    assert headset.content == 1
    health = headset.report["source_health"]
    assert health["content"]["fresh"] > 0.5 and health["age_ms"]["n"] > 10 and health["jitter_ms"]["p50"] >= 0.0


LONG = pytest.mark.long


@pytest.mark.parametrize("device", ["optitrack", pytest.param("network", marks=LONG), pytest.param("vmc", marks=LONG)])
def test_a_live_source_is_followed_and_the_robot_stays_upright(start_service: StartService, device: str):
    service = start_service("--policy", "default", "--source", device, "--auto-engage")
    service.emulate("--motion", "wave", device=device)
    service.wait_mode(Mode.ACTIVE)
    used = service.bus.slot("source_status").read().used
    until(lambda: service.bus.slot("source_status").read().used > used + 60, "a second of the motion was followed")
    service.interrupt()
    assert service.end() == 0
    report = service.report()
    assert (report["source"], report["upright"]) == (device, True)
    assert "ACTIVE" in [mode for _, mode, _ in report["modes"]]
    assert report["frames"]["used"] > 60 and report["source_health"]["content"]["fresh"] > 0.9
