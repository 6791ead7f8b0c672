"""What every registered source must do, its device emulated over the real wire on loopback.

A source whose emulator is registered under the same name is tested without a line here; others add a rig.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from teleopd.drivers.health import Content, HealthMeter
from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico.skeleton import from_mvn, to_mvn
from teleopd.drivers.source import Source, SourceCounters, SourceState, SourceUnavailable
from teleopd.drivers.tap.writer import packet, section
from teleopd.drivers.xsens import wire as xsens
from teleopd.launch import registry

MOTION = "wave"
SECONDS = 1.2
"""Of the motion, so that one pass is short."""
PATIENCE_S = 20.0


class Rig(NamedTuple):
    """A source and what feeds it once it is open."""

    source: Source
    clip: MotionClip
    """What is sent; a pose's `seq` is its frame."""
    device: Callable[[], Awaitable[None]]


def beginning(clip: MotionClip) -> MotionClip:
    frames = round(SECONDS * clip.fps)
    return replace(clip, pos_w=clip.pos_w[:frames], quat_w=clip.quat_w[:frames])


def emulated(name: str) -> Rig:
    """Source and emulator of that name, on loopback and a free port."""
    source, emulator = registry.load("source", name)(host="127.0.0.1", port=0), registry.load("emulator", name)
    clip = beginning(load_motion(MOTION))

    async def device() -> None:
        await emulator(clip, emulator.options(host="127.0.0.1", port=source.port)).run()

    return Rig(source, clip, device)


def motion_file(_name: str) -> Rig:
    async def device() -> None:
        return None

    source = registry.load("source", "motion_file")(MOTION)
    source.clip = beginning(source.clip)
    return Rig(source, source.clip, device)


def pico(name: str) -> Rig:
    """The headset's service listens and the source connects; segment T12 has no PICO joint: it arrives as derived."""
    emulator, clip = registry.load("emulator", name), beginning(load_motion(MOTION))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = emulator.options(port=port, rate_hz=clip.fps)
    frames = [to_mvn(raw) for raw in from_mvn(clip.pos_w, clip.quat_w)]
    carried = replace(clip, pos_w=np.array([f[0] for f in frames]), quat_w=np.array([f[1] for f in frames]))

    async def device() -> None:
        await emulator(clip, options).run()

    return Rig(registry.load("source", name)(port=port), carried, device)


def optitrack(name: str) -> Rig:
    """Motive serves and the source connects; its 21 bones lack two vertebrae, which arrive as derived."""
    emulator, clip = registry.load("emulator", name), load_motion(MOTION)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pos, quat = clip.pos_w.copy(), clip.quat_w.copy()
    l5, l3, t12, t8, neck = (clip.skeleton.body_names.index(n) for n in ("L5", "L3", "T12", "T8", "Neck"))
    pos[:, l3] = 0.5 * (pos[:, l5] + pos[:, t12])
    pos[:, t8] = 0.55 * pos[:, t12] + 0.45 * pos[:, neck]
    quat[:, l3], quat[:, t12] = quat[:, l5], quat[:, t8]

    async def device() -> None:
        await emulator(clip, emulator.options(port=port)).run(seconds=2.0 * SECONDS)

    source = registry.load("source", name)(host="127.0.0.1", port=port)
    return Rig(source, replace(clip, pos_w=pos, quat_w=quat), device)


def vmc(name: str) -> Rig:
    """The protocol numbers no frames, so none is skipped here; L3 has no humanoid bone: it arrives as derived."""
    emulator, clip = registry.load("emulator", name), beginning(load_motion(MOTION))
    source = registry.load("source", name)(host="127.0.0.1", port=0)
    pos, quat = clip.pos_w.copy(), clip.quat_w.copy()
    l5, l3, t12 = (clip.skeleton.body_names.index(n) for n in ("L5", "L3", "T12"))
    pos[:, l3] = pos[:, l5] + (0.38 - 0.18) / (0.56 - 0.18) * (pos[:, t12] - pos[:, l5])
    quat[:, l3] = quat[:, l5]

    async def device() -> None:
        sender = emulator(clip, emulator.options(host="127.0.0.1", port=source.port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for frame in range(clip.frames):
                for datagram in sender.datagrams(frame):
                    sock.sendto(datagram, ("127.0.0.1", source.port))
                await asyncio.sleep(1.0 / clip.fps)

    return Rig(source, replace(clip, pos_w=pos, quat_w=quat), device)


def network_websocket(name: str) -> Rig:
    """The same frames over WebSocket, as MessagePack, Y-up."""
    emulator, clip = registry.load("emulator", name), beginning(load_motion(MOTION))
    source = registry.load("source", name)(port=0, transport="websocket", token="secret")

    async def device() -> None:
        options = emulator.options(
            port=source.port, transport="websocket", token="secret", encoding="msgpack", up="y"
        )
        await emulator(clip, options).run()

    return Rig(source, clip, device)


def tap(name: str) -> Rig:
    """A recorded MVN stream, at the clip's own pace."""
    clip = beginning(load_motion(MOTION))
    device, file = ("127.0.0.1", 40000), tempfile.NamedTemporaryFile(suffix=".pcapng", delete=False)
    with file:
        file.write(section())
        for frame in range(clip.frames):
            raw = xsens.encode_pose(
                clip.pos_w[frame], clip.quat_w[frame], sample=frame, time_code_ms=round(frame * 1000 / clip.fps)
            )
            file.write(packet(10**18 + round(frame * 1e9 / clip.fps), raw, device, ("127.0.0.1", xsens.DEFAULT_PORT)))

    async def nothing() -> None:
        return None

    try:
        return Rig(registry.load("source", name)(file.name), clip, nothing)
    finally:
        os.unlink(file.name)


RIGS: dict[str, Callable[[str], Rig]] = {
    "tap": tap,
    "motion_file": motion_file, "optitrack": optitrack, "pico": pico, "vmc": vmc,
}  # fmt: skip
VARIANTS: dict[str, Callable[[], Rig]] = {"network+websocket": lambda: network_websocket("network")}
"""Other ways to a registered source."""
CONNECTING = {"optitrack", "pico"}
"""Sources that connect to their device's service instead of listening: several may."""
NO_DEVICE_CLOCK = {"gamepad", "keyboard", "stick"}
"""Sources whose device stamps nothing."""
VELOCITY = [
    name for name in registry.names("source") if getattr(registry.load("source", name), "delivers", "") == "velocity"
]
"""Sources of velocity commands keep a contract of their own: test_velocity_sources.py."""
NAMES = [name for name in registry.names("source") if name not in VELOCITY]
EMULATED = registry.names("emulator")


@pytest.fixture(params=[*NAMES, *VARIANTS])
def rig(request: pytest.FixtureRequest) -> Rig:
    return make(request.param)


def make(name: str) -> Rig:
    if name in VARIANTS:
        return VARIANTS[name]()
    if name not in RIGS and name not in EMULATED:
        pytest.fail(f"source '{name}' has neither an emulator of that name nor a rig in {__file__}")
    return RIGS.get(name, emulated)(name)


def play(rig: Rig, act: Callable[[Any], Awaitable[Any]]) -> Any:
    """Open, let the device send, and run `act` on the iterator of poses; closes whatever happens."""

    async def run() -> Any:
        await rig.source.open()
        sending = asyncio.create_task(rig.device())
        try:
            return await asyncio.wait_for(act(rig.source.poses()), PATIENCE_S)
        finally:
            sending.cancel()
            await rig.source.close()
            await asyncio.gather(sending, return_exceptions=True)

    return asyncio.run(run())


async def take(poses: Any, count: int) -> list[HumanPose]:
    return [await anext(poses) for _ in range(count)]


def test_every_source_is_covered():
    assert set(NAMES) <= set(RIGS) | set(EMULATED)
    assert set(EMULATED) <= set(NAMES), "an emulator without a source"


def test_before_it_is_open(rig):
    source = rig.source
    assert source.name and source.nominal_hz > 0.0
    assert source.skeleton.family and len(set(source.skeleton.body_names)) == len(source.skeleton.body_names) > 0
    assert source.counters == SourceCounters()
    assert source.state is SourceState.CLOSED


def test_states_from_open_to_close(rig):
    async def run() -> list[SourceState]:
        await rig.source.open()
        states = [rig.source.state]
        await rig.source.close()
        await rig.source.close()
        return [*states, rig.source.state]

    assert asyncio.run(run()) == [SourceState.CONNECTING, SourceState.CLOSED]


def test_poses_are_what_the_contract_says(rig):
    n = len(rig.source.skeleton.body_names)
    poses = play(rig, lambda stream: take(stream, 12))
    for pose in poses:
        assert pose.skeleton == rig.source.skeleton
        assert pose.pos_w.shape == (n, 3) and pose.quat_w.shape == (n, 4) and pose.valid.shape == (n,)
        assert pose.pos_w.dtype == pose.quat_w.dtype == np.float64 and pose.valid.dtype == np.bool_
        assert np.isfinite(pose.pos_w).all()
        np.testing.assert_allclose(np.linalg.norm(pose.quat_w, axis=1), 1.0, atol=1e-12)
        assert pose.t_source_ns <= pose.t_ns
        assert isinstance(pose.buttons, frozenset)
    for before, after in zip(poses, poses[1:], strict=False):
        assert after.seq > before.seq and after.t_ns > before.t_ns and after.resets == before.resets
        assert (np.sum(before.quat_w * after.quat_w, axis=1) > 0.0).all(), "a quaternion changed its sign"
    assert rig.source.counters.delivered == 12 <= rig.source.counters.received
    assert rig.source.counters.rejected == {}


def test_poses_carry_the_motion(rig):
    """Frame for frame, in order. Where frames carry no number, a datagram that the system loses shifts the count, and
    a frame whose datagrams it holds apart counts as two that are not whole."""
    came = []
    for pose in play(rig, lambda stream: take(stream, 12)):
        frame = int(np.abs(rig.clip.pos_w - pose.pos_w).max(axis=(1, 2)).argmin())
        came.append((frame, pose.seq))
        np.testing.assert_allclose(pose.pos_w, rig.clip.pos_w[frame], atol=1e-6)
        turn = np.abs(np.sum(pose.quat_w * rig.clip.quat_w[frame], axis=1))
        np.testing.assert_allclose(turn, 1.0, atol=1e-6)
    frames, numbers = np.array(came).T
    assert (np.diff(frames) > 0).all() and (np.diff(numbers) > 0).all(), "a frame came twice, or out of order"
    assert rig.source.name == "vmc" or (np.diff(frames - numbers) >= 0).all(), "more frames than the device made"


def test_its_health_is_measured_as_everyone_elses(rig):
    """Times are on this host's monotonic clock whatever the device's is, and say more than the receipt does."""
    meter, poses = HealthMeter(rig.source.nominal_hz), play(rig, lambda stream: take(stream, 12))
    for pose in poses:
        meter.pose(pose)
    health = meter.figures(rig.source.counters, poses[-1].t_ns)
    assert health.content is Content.FRESH and health.resets == 0
    assert 0.0 <= health.age_ms < 1000.0 * PATIENCE_S and 0.0 <= health.delay_p50_ms <= health.delay_p99_ms
    assert 0.0 <= health.loss < 1.0 and health.rate_hz > 0.0
    assert rig.source.name in NO_DEVICE_CLOCK or any(pose.t_source_ns < pose.t_ns for pose in poses)


def test_a_slow_consumer_gets_the_newest_and_no_queue(rig):
    """After a nap of 0.3 s the frames in between are gone, and the ones after come one by one."""

    async def act(stream: Any) -> list[HumanPose]:
        first = await take(stream, 2)
        await asyncio.sleep(0.3)
        return first + await take(stream, 2)

    poses = play(rig, act)
    frames_slept = 0.3 * rig.clip.fps
    assert poses[2].seq - poses[1].seq >= frames_slept / 2
    assert poses[3].seq > poses[2].seq
    assert rig.source.counters.delivered == 4


def test_it_streams_and_then_says_that_it_no_longer_does(rig):
    async def act(stream: Any) -> SourceState:
        async for _ in stream:
            if rig.source.state is SourceState.STREAMING:
                break
        else:
            pytest.fail("ended without ever streaming")
        await _until_quiet(rig.source, stream)
        return rig.source.state

    assert play(rig, act) in (SourceState.STALE, SourceState.CLOSED)


async def _until_quiet(source: Source, stream: Any) -> None:
    async def drain() -> None:
        async for _ in stream:
            pass

    draining = asyncio.create_task(drain())
    while source.state is SourceState.STREAMING:
        await asyncio.sleep(0.01)
    draining.cancel()


def test_close_ends_the_stream(rig):
    async def act(stream: Any) -> int:
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 3:
                await rig.source.close()
        return seen

    assert play(rig, act) == 3
    assert rig.source.state is SourceState.CLOSED


@pytest.mark.parametrize("name", sorted(set(EMULATED) - CONNECTING))
def test_a_taken_port_is_refused_in_one_sentence(name):
    async def run() -> tuple[int, str]:
        first = registry.load("source", name)(host="127.0.0.1", port=0)
        await first.open()
        try:
            with pytest.raises(SourceUnavailable) as error:
                await registry.load("source", name)(host="127.0.0.1", port=first.port).open()
        finally:
            await first.close()
        return first.port, str(error.value)

    port, sentence = asyncio.run(run())
    assert str(port) in sentence and "in use" in sentence and "\n" not in sentence
