"""Recording beside a whole service: episodes from ARMED on, and a recorder that dies, hangs or cannot write."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.scenarios.conftest import Service, StartService, until

from teleopd.safety.words import Mode
from teleopd.service.capture.mcap_file import EpisodeError
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import FAILED, RECORDING, RecorderStatus, as_text
from teleopd.service.capture.recover import recover
from teleopd.service.streams import LoopStatus

pytestmark = [pytest.mark.xdist_group("scenarios"), pytest.mark.timeout(300), pytest.mark.long]
PLAYED = ("--policy", "default", "--source", "motion_file", "--motion", "walk", "--loop", "--auto-engage")
STANDING = (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN)
"""A busy machine may starve the source for a moment; what counts is that the policy keeps the motors."""

HOSTS_OWN = 60
"""Ticks of six seconds that a busy host may take away by itself (one without any recorder took 37 in ten);
pushes that waited for a reader would cost nearly all of them."""


def recorder(service: Service) -> RecorderStatus | None:
    found: RecorderStatus | None = service.bus.slot("recorder_status").read()
    return found


def motor_loop(service: Service) -> LoopStatus:
    found: LoopStatus | None = service.bus.slot("loop_robot_io").read()
    assert found is not None
    return found


def is_recording(service: Service, other_than: str = "") -> bool:
    status = recorder(service)
    return status is not None and status.state == RECORDING and as_text(status.path) != other_than


def test_a_recorder_that_is_killed_or_hangs_changes_nothing_for_the_robot(start_service: StartService, tmp_path: Path):
    out = tmp_path / "out"
    service = start_service(*PLAYED, "--record", str(out), "--task", "walk 'n \"turn\" 👋")
    service.wait_mode(*STANDING)
    until(lambda: is_recording(service), "an episode")
    first = as_text(recorder(service).path)  # type: ignore[union-attr]
    until(lambda: commands(Path(first + ".part")) > 500, "a second of the episode is on the disk")
    before, missed = service.status(), motor_loop(service).missed
    service.child("recorder").send_signal(signal.SIGSTOP)
    until(lambda: service.status().t_ns - before.t_ns > 6_000_000_000, "six seconds without a recorder")
    assert service.mode in STANDING
    assert motor_loop(service).missed - missed < HOSTS_OWN, "of 3000 ticks; none waits for the reader"
    assert service.bus.ring("record_command").dropped > 0
    service.child("recorder").kill()
    until(lambda: is_recording(service, first), "the next recorder's episode")
    assert service.mode in STANDING
    service.interrupt()
    assert service.end() == 0
    report = service.report()
    assert report["upright"] and report["recording"] != first
    torn = recover(Path(first + ".part"))
    for path in (torn.path, Path(report["recording"])):
        episode = read_episode(path)
        assert episode.metadata["task"] == "walk 'n \"turn\" 👋"
        assert set(episode.streams) >= {"state", "command", "target", "shaped_reference"}
        assert {"robot.xml", "config.json", "policy_card.toml"} <= set(episode.attachments)
        assert np.isfinite(episode.streams["state"].columns["joint_pos"]).all()


def test_a_killed_service_leaves_whole_episodes(start_service: StartService, tmp_path: Path):
    service = start_service(*PLAYED, "--record", str(tmp_path))
    service.wait_mode(*STANDING)
    until(lambda: is_recording(service), "an episode")
    path = Path(as_text(recorder(service).path))  # type: ignore[union-attr]
    until(lambda: commands(Path(f"{path}.part")) > 200, "some of the episode")
    service.see_children()
    service.process.kill()
    until(path.exists, "the recorder closes the episode once the robot was brought down")
    episode = read_episode(path)
    assert episode.metadata["ended"] in ("the service was killed", "the policy lost the motors")
    modes = [event["mode"] for _, event in episode.events if event["kind"] == "mode"]
    assert modes[-1] == "DAMPED", "the robot's way down is in it"


def test_a_folder_that_turns_unwritable_stops_the_recording_only(start_service: StartService, tmp_path: Path):
    """Its folder vanishes: the same as a USB stick that is pulled out between two episodes."""
    out = tmp_path / "out"
    service = start_service(*PLAYED, "--record", str(out))
    until(lambda: recorder(service) is not None, "the recorder's first word")
    out.rename(tmp_path / "gone")
    service.wait_mode(*STANDING)
    until(lambda: recorder(service).state == FAILED, "the failure")  # type: ignore[union-attr]
    assert as_text(recorder(service).sentence) == "recording stopped: No such file or directory"  # type: ignore[union-attr]
    assert service.mode in STANDING
    service.interrupt()
    assert service.end() == 0
    assert "recording: recording stopped: No such file or directory" in service.log()
    assert json.dumps(service.report()["recording"]) == "null"


def commands(path: Path) -> int:
    """How many commands a file that is being written holds already."""
    try:
        return read_episode(path, streams=("command",)).streams["command"].n
    except (EpisodeError, KeyError):
        return 0
