"""XsensEmulator: what it sends, byte for byte through an independent reading, and over a real socket to the source."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest

from teleopd.drivers.emulation import EmulatorError
from teleopd.drivers.faults import FaultError
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.motion_file.resampling import null_pose, resample
from teleopd.drivers.source import SourceUnavailable
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.emulator import EmulatorOptions, XsensEmulator
from teleopd.drivers.xsens.source import XsensSource


def turning_clip(frames=60, fps=200.0):
    """A stick figure that walks along x and turns about z at 90 deg/s, positions unlike in every frame."""
    t = np.arange(frames) / fps
    pos = np.zeros((frames, 23, 3))
    pos[:, :, 0] = 0.5 * t[:, None]
    pos[:, :, 1] = np.linspace(-0.3, 0.3, 23)
    pos[:, :, 2] = np.linspace(0.9, 1.7, 23)
    quat = np.zeros((frames, 23, 4))
    quat[..., 0], quat[..., 3] = np.cos(np.pi * t / 4)[:, None], np.sin(np.pi * t / 4)[:, None]
    return MotionClip("turning", fps, pos, quat)


async def exchange(clip, source=None, *, runs=1, settle_s=0.2, **options):
    """Send a clip to a source over loopback; returns the poses, the source and the last emulator."""
    source = source or XsensSource(host="127.0.0.1", port=0)
    await source.open()
    poses = []

    async def consume():
        async for pose in source.poses():
            poses.append(pose)

    consumer = asyncio.create_task(consume())
    for _ in range(runs):
        emulator = XsensEmulator(clip, EmulatorOptions(port=source.port, **options))
        await emulator.run()
    await asyncio.sleep(settle_s)
    await source.close()
    await asyncio.wait_for(consumer, 5)
    return poses, source, emulator


def test_poses_arrive_as_the_clip_has_them():
    clip = turning_clip()
    poses, source, emulator = asyncio.run(exchange(clip))
    assert emulator.sent + emulator.skipped == 60 and emulator.unsent == 0
    assert source.counters.rejected == {} and source.counters.foreign == 0
    assert len(poses) == source.counters.delivered > 5
    for pose in poses:
        np.testing.assert_allclose(pose.pos_w, clip.pos_w[pose.seq], atol=1e-6)
        np.testing.assert_allclose(pose.quat_w, clip.quat_w[pose.seq], atol=1e-6)
    assert [p.seq for p in poses] == sorted({p.seq for p in poses})
    assert source.character_name == "turning" and source.null_pose.names[0] == "Pelvis"


def test_faults_are_counted_by_the_source():
    """Every datagram twice and one in five held back: all are told apart, none is published twice or late."""
    poses, source, emulator = asyncio.run(exchange(turning_clip(120, 240.0), dup=1.0, reorder=0.2, seed=3))
    counters = source.counters
    assert counters.duplicated >= emulator.sent // 2 - 1 > 0
    assert counters.reordered > 0
    seqs = [p.seq for p in poses]
    assert seqs == sorted(set(seqs)) and {p.resets for p in poses} == {0}


def test_loss_shows_as_gaps():
    _, source, emulator = asyncio.run(exchange(turning_clip(100, 250.0), loss=0.3, seed=1))
    assert emulator.sent < 90
    first_and_last = source.counters.received - sum(source.other_messages.values())
    assert first_and_last == emulator.sent
    assert 0 < source.counters.lost <= 100 - emulator.sent


def test_a_loop_is_a_new_recording():
    async def run():
        source = XsensSource(host="127.0.0.1", port=0)
        await source.open()
        clip = turning_clip(160, 400.0)
        emulator = XsensEmulator(clip, EmulatorOptions(port=source.port))
        stream_s = []
        sending = asyncio.create_task(emulator.run(seconds=1.0, loop=True, progress=stream_s.append))
        resets = []
        async for pose in source.poses():
            resets.append(pose.resets)
            if pose.resets == 2 and pose.seq >= 20:
                break
        await asyncio.wait_for(sending, 5)
        await source.close()
        return resets, stream_s

    resets, stream_s = asyncio.run(asyncio.wait_for(run(), 20))
    assert sorted(set(resets)) == [0, 1, 2] and resets == sorted(resets)
    assert stream_s[-1] == pytest.approx(1.0) and stream_s == sorted(stream_s)


def test_datagram_fields_by_frame():
    emulator = XsensEmulator(turning_clip(400, 120.0), EmulatorOptions(character=2))
    for frame, time_ms, extra in ((0, 0, 2), (1, 8, 0), (119, 992, 0), (120, 1000, 2), (399, 3325, 0)):
        pose, info = emulator.datagrams(frame)
        assert pose[:6] == b"MXTP02" and len(pose) == 760
        assert struct.unpack_from(">IBBIB", pose, 6) == (frame, 0x80, 23, time_ms, 2)
        assert [d[:6] for d in info] == [b"MXTP12", b"MXTP13"][:extra]


def test_freeze_holds_the_pose_while_counters_run():
    clip = turning_clip(100, 100.0)
    emulator = XsensEmulator(clip, EmulatorOptions(freeze_at_s=0.2, freeze_s=0.3))
    shown = [wire.decode(emulator.datagrams(k)[0]).body.pos_w[0, 0] for k in range(100)]
    expected = [0.5 * (20 if 20 <= k < 50 else k) / 100 for k in range(100)]
    np.testing.assert_allclose(shown, expected, atol=1e-7)


def test_resampling_is_linear_in_position_and_by_arc_in_orientation():
    clip = resample(turning_clip(61, 60.0), 100.0)
    assert (clip.fps, len(clip.pos_w)) == (100.0, 101)
    t = np.arange(101) / 100.0
    np.testing.assert_allclose(clip.pos_w[:, 5, 0], 0.5 * t, atol=1e-12)
    np.testing.assert_allclose(clip.quat_w[:, 5, 3], np.sin(np.pi * t / 4), atol=1e-9)
    assert resample(clip, 100.0) is clip


def test_null_pose_is_the_t_pose_of_the_clips_body():
    """Arms out along y, bones as long as in the clip, soles on the floor."""
    clip = load_motion("stand")
    pose = null_pose(clip)
    names = clip.skeleton.body_names
    at = {name: pose[i] for i, name in enumerate(names)}
    assert at["LeftHand"][1] > at["LeftForeArm"][1] > at["LeftUpperArm"][1] > 0 > at["RightUpperArm"][1]
    assert abs(at["LeftHand"][2] - at["LeftUpperArm"][2]) < 0.05
    for child, parent in (("LeftHand", "LeftForeArm"), ("RightFoot", "RightLowerLeg"), ("Head", "Neck")):
        c, p = names.index(child), names.index(parent)
        assert np.linalg.norm(pose[c] - pose[p]) == pytest.approx(np.linalg.norm(clip.pos_w[0, c] - clip.pos_w[0, p]))
    assert min(at["LeftToe"][2], at["RightToe"][2]) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"rate_hz": 0.0}, EmulatorError, "rate is 0.0 Hz; give 1 to 1000"),
        ({"rate_hz": float("nan")}, EmulatorError, "rate is nan Hz; give 1 to 1000"),
        ({"port": 0}, EmulatorError, "port 0 is not between 1 and 65535"),
        ({"character": 256}, EmulatorError, "character is 256; give 0 to 255"),
        ({"loss": 2.0}, FaultError, "loss is 2.0; give a share between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, error, sentence):
    with pytest.raises(error) as raised:
        XsensEmulator(turning_clip(), EmulatorOptions(**options))
    assert str(raised.value) == sentence


def test_default_port_and_address():
    assert XsensEmulator(turning_clip()).address == "udp://127.0.0.1:9763"


def test_an_address_that_does_not_resolve_is_one_sentence():
    emulator = XsensEmulator(turning_clip(), EmulatorOptions(host="no.such.host.invalid"))
    with pytest.raises(SourceUnavailable, match="^cannot send to 'no.such.host.invalid': "):
        asyncio.run(emulator.run())


def test_nobody_listening_does_not_stop_the_emulator():
    emulator = XsensEmulator(turning_clip(10), EmulatorOptions(port=9))
    asyncio.run(emulator.run())
    assert emulator.sent + emulator.skipped + emulator.unsent >= 10
