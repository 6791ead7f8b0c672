"""Poses become references: refused ones repeat the last reference marked invalid, restarts are acquired anew."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from teleopd.drivers.health import Content, HealthMeter
from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.source import SourceCounters, SourceState, SourceUnavailable
from teleopd.robots.ipc.session import Session
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service import source_process
from teleopd.service.child import REFUSED_EXIT, Ending, refusal
from teleopd.service.device_buttons import DeviceButtons
from teleopd.service.source_process import SourceStage, human_view
from teleopd.service.streams import FAMILIES, MAX_BODIES, Bus

MS = 1_000_000


def frame(clip: MotionClip, index: int, **changes: object) -> HumanPose:
    """Frame `index` of the clip, at its time."""
    t_ns = 10**9 + round(index * 1e9 / clip.fps)
    return clip.pose(index, seq=index, t_ns=t_ns)._replace(**changes)  # type: ignore[arg-type]


def test_a_good_pose_becomes_a_reference_with_its_stamps(source_stage: SourceStage, walk: MotionClip):
    tick = source_stage.on_pose(frame(walk, 0), 10**9)
    assert tick.reference is not None
    assert tick.reference.source_id == 7
    assert (tick.reference.t_ns, tick.reference.t_content_ns, tick.reference.valid) == (10**9, 10**9, True)
    assert tick.retarget_us > 0.0
    assert (source_stage.used, source_stage.rejected) == (1, 0)


def test_the_first_pose_being_refused_gives_nothing(source_stage: SourceStage, walk: MotionClip):
    nan = np.full_like(walk.pos_w[0], np.nan)
    assert source_stage.on_pose(frame(walk, 0, pos_w=nan), 10**9).reference is None
    assert (source_stage.used, source_stage.rejected) == (0, 1)


@pytest.mark.parametrize("what", ["nan", "teleport", "old"])
def test_a_refused_pose_repeats_the_last_reference_marked_invalid(
    source_stage: SourceStage, walk: MotionClip, what: str
):
    for i in range(5):
        last = source_stage.on_pose(frame(walk, i), 10**9).reference
    bad = {
        "nan": frame(walk, 5, pos_w=np.full_like(walk.pos_w[5], np.nan)),
        "teleport": frame(walk, 5, pos_w=walk.pos_w[5] + [3.0, 0.0, 0.0]),
        "old": frame(walk, 2),
    }[what]
    tick = source_stage.on_pose(bad, bad.t_ns)
    assert last is not None
    assert tick.reference is not None
    assert tick.reference.valid is False
    assert tick.retarget_us == 0.0
    assert (tick.reference.seq, tick.reference.t_ns) == (last.seq, last.t_ns), "its age goes on"
    assert tick.reference.q.tobytes() == last.q.tobytes()
    assert (source_stage.used, source_stage.rejected) == (5, 1)
    again = source_stage.on_pose(frame(walk, 6), 10**9).reference
    assert again is not None
    assert again.valid is True
    assert again.seq == last.seq + 1


def test_a_restarted_source_is_acquired_anew_where_the_reference_was(source_stage: SourceStage, walk: MotionClip):
    for i in range(60):
        last = source_stage.on_pose(frame(walk, i), 10**9).reference
    moved = frame(walk, 61, pos_w=walk.pos_w[61] + [4.0, 2.0, 0.0], resets=1)
    tick = source_stage.on_pose(moved, moved.t_ns)
    assert last is not None
    assert tick.reference is not None
    assert tick.reference.valid is True
    assert tick.reference.resets == last.resets + 1
    assert np.linalg.norm(tick.reference.root_pos_w[:2] - last.root_pos_w[:2]) < 0.02


def test_human_view_keeps_the_pose_and_pads_with_nothing(walk: MotionClip):
    view = human_view(frame(walk, 3))
    count = len(MVN.body_names)
    assert (view.seq, view.bodies, FAMILIES[view.family]) == (3, count, "mvn")
    assert view.pos_w.shape == (MAX_BODIES, 3)
    assert view.pos_w[:count].tobytes() == walk.pos_w[3].tobytes()
    assert not view.pos_w[count:].any()
    assert not view.valid[count:].any()


class ScriptedSource:
    """Delivers what it is told, then closes; says that more was received than delivered."""

    name = "scripted"
    skeleton = MVN
    nominal_hz = 120.0

    def __init__(self, poses: list[HumanPose], refuses: str = "") -> None:
        self.counters = SourceCounters(received=40, lost=2, duplicated=3, reordered=4, foreign=5)
        self.counters.reject("truncated", "ä" * 300)
        self._poses, self._refuses = poses, refuses
        self.state = SourceState.STREAMING
        self.closed = 0

    async def open(self) -> None:
        if self._refuses:
            raise SourceUnavailable(self._refuses)

    async def poses(self) -> AsyncIterator[HumanPose]:
        for pose in self._poses:
            self.counters.delivered += 1
            yield pose
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.closed += 1


class EndAfter(Ending):
    """Ends when the file has ended and the status was written a few times."""

    def __init__(self, times: int) -> None:
        self._left = times

    @property
    def now(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "g1").mkdir()
    (tmp_path / "g1" / "token").write_text("42")
    return Session("unitree_g1", tmp_path / "g1")


def test_references_and_health_are_published(
    session: Session, source_stage: SourceStage, walk: MotionClip, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source_process, "STATUS_PERIOD_S", 0.0)
    bus = Bus(session, MODEL.n, create=True)
    source = ScriptedSource([frame(walk, 0), frame(walk, 1), frame(walk, 1), frame(walk, 2)])
    buttons = DeviceButtons(session, bus)
    gc.unfreeze()
    asyncio.run(source_process._run(source, source_stage, buttons, bus, EndAfter(20)))
    assert gc.get_freeze_count() > 0, "a full collection would make a pose stale"
    reference = bus.slot("reference").read()
    assert (reference.seq, reference.valid) == (3, True)
    assert reference.t_published_ns > 0
    assert bus.ring("reference_log").drain()["seq"].tolist() == [1, 2, 3], "repeated references are not logged"
    assert bus.slot("human").read().seq == 2
    status = bus.slot("source_status").read()
    assert (status.received, status.used, status.dropped, status.late) == (40, 3, 5, 4)
    assert status.rejected == 1 + 5 + 1, "undecodable, foreign, refused by the checks"
    assert (Content(status.content), status.resets, status.delay_p99_ms, status.jitter_ms) == (Content.FRESH, 0, 0, 0)
    assert status.last_pose_ns == frame(walk, 2).t_ns
    assert status.age_ms == pytest.approx((status.t_ns - frame(walk, 2).t_ns) / 1e6)
    assert bytes(status.last_rejection).rstrip(b"\0") == ("ä" * 120).encode()
    assert source.closed == 1


def test_the_rate_is_that_of_delivered_poses(
    session: Session, source_stage: SourceStage, walk: MotionClip, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source_process, "STATUS_PERIOD_S", 0.0)
    clock = iter(range(10**9, 10**15, 600 * MS))  # every reading is 0.6 s later
    monkeypatch.setattr(source_process.time, "monotonic_ns", lambda: next(clock))
    bus = Bus(session, MODEL.n, create=True)
    source = ScriptedSource([])
    source.counters.delivered = 90

    async def publish() -> None:
        await source_process.publish_status(source, source_stage, HealthMeter(60.0), bus, EndAfter(2))

    asyncio.run(publish())
    assert bus.slot("source_status").read().rate_hz == pytest.approx(90 / 1.2)


@pytest.fixture
def sigterm_kept() -> Iterator[None]:
    """The entry of a process installs a handler."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_kept")
@pytest.mark.parametrize("where", ["making", "opening"])
def test_a_source_that_cannot_be_set_up_refuses_with_its_sentence(session: Session, where: str):
    Bus(session, MODEL.n, create=True)

    def make() -> ScriptedSource:
        if where == "making":
            raise SourceUnavailable("no such take")
        return ScriptedSource([], refuses="no such take")

    with pytest.raises(SystemExit) as ended:
        source_process.main(session, "unitree_g1", make)
    assert ended.value.code == REFUSED_EXIT
    assert refusal(session, "source") == "no such take"
