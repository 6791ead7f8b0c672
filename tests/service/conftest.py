"""The public policy, a walking person, and a robot brought to ACTIVE in lock step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from teleopd.drivers.human_pose import MVN
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.model import LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.lockstep import Lockstep, PoseStream
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.source_process import SourceStage


@pytest.fixture(scope="session")
def twist2(shared_data: Path) -> ResolvedPolicy:
    """The policy that the G1 balances with, read in place."""
    found = resolve(str(shared_data / "policies" / "twist2" / "twist2_1017_20k.onnx"), MODEL)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def walk() -> MotionClip:
    """A person who stands for 2 s and then walks."""
    return with_leads(load_motion("walk"), 2.0, 0.0)


def make_source_stage() -> SourceStage:
    return SourceStage(FrameChecks(MVN), Retargeter(MODEL, MVN, solver="auto"), source_id=7)


@pytest.fixture
def source_stage() -> SourceStage:
    return make_source_stage()


class Walking:
    """A robot in ACTIVE in the middle of its first steps. Physics at 500 Hz, to be quick."""

    def __init__(self, policy: ResolvedPolicy, clip: MotionClip, **options: object) -> None:
        self.lock = Lockstep(MODEL, policy, physics_hz=500, **options)  # type: ignore[arg-type]
        self.lock.arm()
        self.stage = make_source_stage()
        self.stream = PoseStream(
            self.stage, lambda i: clip.pose(i, seq=i, t_ns=0), clip.fps, clip.frames, self.lock.now_ns
        )
        assert self.lock.engage(self.stream)
        self.lock.run(self.stream, 3.0)
        assert self.lock.mode is Mode.ACTIVE
        self.begun = len(self.lock.changes)
        self.time_s = self.lock.time_s

    def run(self, seconds: float) -> None:
        self.lock.run(self.stream, seconds)

    @property
    def changes(self) -> list[tuple[str, int]]:
        """Modes entered since, with their causes."""
        return [(change.mode.name, change.cause) for change in self.lock.changes[self.begun :]]

    def entered_s(self, mode: Mode) -> float:
        """When a mode was first entered, counted from the start of the story [s]."""
        return next(c.t_s for c in self.lock.changes[self.begun :] if c.mode is mode) - self.time_s


@pytest.fixture
def walking(twist2: ResolvedPolicy, walk: MotionClip) -> Callable[..., Walking]:
    """Makes robots that walk."""
    return lambda **options: Walking(twist2, walk, **options)


@pytest.fixture
def g1_state() -> LowState:
    """The G1 in its stand pose, at rest, upright."""
    return state_at_rest(MODEL, 1_000_000_000)
