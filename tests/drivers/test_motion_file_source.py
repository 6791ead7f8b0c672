"""Names and files, standing before and after, and playback in real time and in lock step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose
from teleopd.drivers.motion_file.clip import SEGMENT, to_local
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.leads import with_leads
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.motion_file.parametric import built_in
from teleopd.drivers.motion_file.source import MotionFileSource
from teleopd.drivers.source import Source, SourceState


class Time:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def now(self) -> int:
        return self.ns

    async def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


def play(source: MotionFileSource, time: Time, *, delays: dict[int, float] | None = None, stop: int = 10**9):
    """All poses, with the consumer taking delays[i] seconds over the i-th."""

    async def run() -> list[HumanPose]:
        got: list[HumanPose] = []
        await source.open()
        async for pose in source.poses():
            got.append(pose)
            await time.sleep((delays or {}).get(len(got) - 1, 0.0))
            if len(got) >= stop:
                await source.close()
        return got

    return asyncio.run(run())


def source_of(motion: str, **kwargs):
    time = Time()
    return MotionFileSource(motion, clock_ns=time.now, sleep=time.sleep, **kwargs), time


# ---- names and files -------------------------------------------------------------------------------------------------


def test_unknown_motion_lists_the_names() -> None:
    with pytest.raises(MotionFileError) as caught:
        load_motion("wlak")
    assert str(caught.value) == (
        "no built-in motion and no file 'wlak' (did you mean walk?); built-in are stand, wave, reach, squat, turn, "
        "step_in_place, walk, walk_and_turn; files are BVH"
    )


def test_robot_motion_and_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "walk.npz", qpos=np.zeros((2, 36)), fps=50)
    with pytest.raises(MotionFileError, match=r"walk.npz is a robot motion \(joint angles of a robot\)"):
        load_motion(tmp_path / "walk.npz")
    (tmp_path / "x.fbx").write_bytes(bytes(range(256)))
    with pytest.raises(MotionFileError, match="x.fbx: not a BVH file: it does not begin with HIERARCHY"):
        load_motion(tmp_path / "x.fbx")
    (tmp_path / "empty.bvh").touch()
    with pytest.raises(MotionFileError, match="empty.bvh: not a BVH file"):
        load_motion(tmp_path / "empty.bvh")
    with pytest.raises(MotionFileError, match="is not a file; give a BVH file or one of stand, wave"):
        load_motion(tmp_path)


def test_a_clip_from_the_data_folder(shared_data: Path) -> None:
    clip = load_motion(shared_data / "bvh" / "xsens_gmr_boxing_120Hz.bvh")
    assert (clip.name, clip.fps, clip.frames, clip.skeleton) == ("xsens_gmr_boxing_120Hz", 120.0, 4249, MVN)


# ---- leads -----------------------------------------------------------------------------------------------------------


def test_leads_stand_then_blend_without_a_jump(shared_data: Path) -> None:
    clip = load_motion(shared_data / "bvh" / "lafan1_fallAndGetUp1_subject1.bvh")  # begins and ends in a T-pose
    led = with_leads(clip, 4.0, 2.0)
    first, last = round(4.0 * clip.fps), round(2.0 * clip.fps)
    assert led.frames == clip.frames + first + last
    assert np.array_equal(led.pos_w[first:-last], clip.pos_w)
    held = led.pos_w[: first - round(1.5 * clip.fps)]
    assert np.abs(held - held[0]).max() < 6e-3  # nothing moves but the chest's breath
    legs = [SEGMENT[s + part] for s in ("Left", "Right") for part in ("UpperLeg", "LowerLeg", "Foot", "Toe")]
    assert (held[:, legs] == held[0, legs]).all()
    same = (np.diff(held, axis=0) == 0).all(axis=(1, 2))
    assert not same.any()  # a device that repeats itself bit by bit would count as frozen
    step = np.linalg.norm(np.diff(led.pos_w[: first + 1], axis=0), axis=-1)
    # the hand is 0.58 m from the shoulder and moves by 80 deg in 1.5 s: at most 1.875 * 0.58 * 1.4 / 1.5 = 1.02 m/s
    assert step.max() * clip.fps < 1.2
    assert (np.sum(led.quat_w[1:] * led.quat_w[:-1], axis=-1) >= 0).all()
    tail = np.linalg.norm(np.diff(led.pos_w[-last - 1 :], axis=0), axis=-1)
    assert tail.max() * clip.fps < 1.2


def test_neutral_has_hanging_arms_level_soles_and_the_clips_bones() -> None:
    clip = built_in("walk_and_turn")
    led = with_leads(clip, 3.0, 3.0)
    offsets, _ = to_local(led.pos_w, led.quat_w)
    own, _ = to_local(clip.pos_w, clip.quat_w)
    assert np.abs(offsets[:, 1:] - own[0, 1:]).max() < 1e-9
    for i in (0, -1):
        assert led.pos_w[i, SEGMENT["LeftToe"], 2] == pytest.approx(0.02)
        assert led.pos_w[i, SEGMENT["RightFoot"], 2] == pytest.approx(0.039 * 1.75)
        assert led.pos_w[i, SEGMENT["LeftHand"], 2] < led.pos_w[i, SEGMENT["LeftForeArm"], 2] - 0.2
        assert led.pos_w[i, 0, :2] == pytest.approx(clip.pos_w[i, 0, :2], abs=1e-9)
    # clips start in neutral standing, so the blend has nothing to do
    assert np.abs(led.pos_w[:360] - clip.pos_w[0]).max() < 6e-3


def test_short_and_impossible_leads() -> None:
    clip = built_in("wave")
    assert with_leads(clip, 0.0, 0.0).frames == clip.frames
    assert with_leads(clip, 0.5, 0.0).frames == clip.frames + 60
    for bad in (-1.0, float("nan"), 601.0):
        with pytest.raises(MotionFileError, match=f"lead-in of {bad} s; 0 to 600 s are possible"):
            with_leads(clip, bad, 0.0)


# ---- playback --------------------------------------------------------------------------------------------------------


def test_plays_every_frame_at_its_time_and_closes() -> None:
    source, time = source_of("wave")
    contract: Source = source
    assert (contract.nominal_hz, contract.skeleton, contract.state) == (120.0, MVN, SourceState.CLOSED)
    poses = play(source, time)
    assert [p.seq for p in poses] == list(range(source.clip.frames))
    expected = 5_000_000_000 + np.round(np.arange(len(poses)) * 1e9 / 120.0)
    assert np.abs(np.array([p.t_ns for p in poses]) - expected).max() <= 10
    assert np.abs(np.array([p.t_source_ns for p in poses]) - expected).max() <= 1
    assert np.array_equal(poses[77].pos_w, source.clip.pos_w[77]) and poses[77].valid.all()
    assert not poses[0].deadman and poses[0].resets == 0
    assert source.state is SourceState.CLOSED
    assert (source.counters.received, source.counters.delivered, source.counters.lost) == (len(poses), len(poses), 0)


def test_a_slow_consumer_gets_the_newest_and_the_last_frame_is_not_lost() -> None:
    source, time = source_of("wave")
    poses = play(source, time, delays={10: 0.1, 20: 100.0})
    assert [p.seq for p in poses[9:12]] == [9, 10, 22]
    assert [p.seq for p in poses[20:]] == [31, source.clip.frames - 1]
    c = source.counters
    assert c.received == source.clip.frames and c.delivered == len(poses) and c.lost == c.received - c.delivered


def test_looping_goes_on_without_a_seam() -> None:
    source, time = source_of("wave", loop=True)
    n = source.clip.frames
    poses = play(source, time, stop=2 * n + 3)
    assert [p.seq for p in poses] == list(range(2 * n + 3)) and {p.resets for p in poses} == {0}
    steps = np.abs(np.diff([p.pos_w for p in poses], axis=0)).max(axis=(1, 2))
    assert steps.max() <= 1.05 * np.abs(np.diff(source.clip.pos_w, axis=0)).max()
    assert all((np.vecdot(a.quat_w, b.quat_w) > 0.99).all() for a, b in zip(poses, poses[1:], strict=False))


def test_states() -> None:
    source, time = source_of("wave")

    async def run() -> list[SourceState]:
        seen = []
        await source.open()
        seen.append(source.state)
        poses = source.poses()
        await anext(poses)
        seen.append(source.state)
        time.ns += 26_000_000  # more than 3 periods of 1/120 s
        seen.append(source.state)
        await source.close()
        await source.close()
        seen.append(source.state)
        return seen

    assert asyncio.run(run()) == [
        SourceState.CONNECTING, SourceState.STREAMING, SourceState.STALE, SourceState.CLOSED,
    ]  # fmt: skip


def test_lock_step_needs_no_clock() -> None:
    source = MotionFileSource("squat", lead_in_s=2.0)
    pose = source.frame_at(2.0 + 1 / 120, t_ns=123)
    assert pose.seq == 241 and (pose.t_ns, pose.t_source_ns) == (123, 123)
    assert np.array_equal(pose.pos_w, built_in("squat").pos_w[1])
    assert source.frame_at(0.02 - 1e-4).seq == 2 and source.frame_at(1 / 120).seq == 1
    assert source.frame_at(-1.0).seq == 0 and source.frame_at(1e6).seq == source.clip.frames - 1
