"""The emulated headset over real gRPC on loopback: to our client, and to the vendor's kit where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from teleopd.drivers.emulation import EmulatorError
from teleopd.drivers.faults import FaultError
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico import messages, wire
from teleopd.drivers.pico.client import PcServiceClient
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.service import PcService
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import SourceState, SourceUnavailable

CLIP = load_motion("wave")
PATIENCE_S = 30.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture(autouse=True)
def patient_emulator(monkeypatch):
    """A busy machine delays frames here, instead of having them skipped: what these tests count must all be sent."""
    monkeypatch.setattr("teleopd.drivers.pico.emulator.CATCH_UP_S", 3600.0)


def play(act):
    return asyncio.run(asyncio.wait_for(act(), PATIENCE_S))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


async def exchange(*, frames=120, rate_hz=240.0, **options):
    """Emulate so many frames to a source; returns poses, source and emulator."""
    port = free_port()
    emulator = PicoEmulator(CLIP, EmulatorOptions(port=port, rate_hz=rate_hz, **options))
    source, poses = PicoSource(port=port), []

    async def consume():
        async for pose in source.poses():
            poses.append(pose)

    running = asyncio.create_task(emulator.run(seconds=frames / rate_hz))
    await until(lambda: emulator.service is not None and emulator.service._server is not None)
    await source.open()
    consumer = asyncio.create_task(consume())
    await running
    # A headset that leaves on the way says MISSING once more than one that only leaves at the end.
    await until(lambda: source.events.get(wire.MISSING, 0) == (2 if "missing_at_s" in options else 1))
    await source.close()
    await consumer
    return poses, source, emulator


def test_three_hundred_frames_beyond_the_vendor_kits_limit_all_arrive():
    """With both hands and full precision a frame is over 16,351 B, which the vendor's kit loses."""
    poses, source, emulator = play(lambda: exchange(frames=300, hands=True, trackers=3, digits=17, grip=1.0))
    size = len(wire.decode_feedback(emulator.frame(0, 10**18)).content)
    assert 16_351 < size < 20_000
    assert emulator.sent == source.counters.received == 300
    assert (source.counters.rejected.get("json"), source.counters.lost, source.resets) == (None, 0, 0)
    assert 0 < len(poses) <= 300 and all(pose.deadman for pose in poses), "a slow consumer gets the newest only"
    assert source.device == "PA9E10MGH0000000"
    for pose in poses:
        np.testing.assert_allclose(pose.pos_w[0], emulator.clip.pos_w[pose.seq, 0], atol=1e-12)
    assert {wire.FIND, wire.CONNECT, wire.MISSING} <= set(source.events)


def test_faults_are_told_apart():
    poses, source, emulator = play(
        lambda: exchange(frames=300, rate_hz=100.0, loss=0.1, dup=0.2, reorder=0.2, jitter_ms=3.0, seed=4)
    )
    counters = source.counters
    assert counters.received == emulator.sent
    assert counters.duplicated > 15 and counters.reordered > 15 and counters.lost > 5
    times = [pose.t_source_ns for pose in poses]
    assert [pose.seq for pose in poses] == sorted({pose.seq for pose in poses}) and len(set(times)) == len(times)
    assert {pose.resets for pose in poses} == {0}


def test_recentre_and_stale_body_over_the_wire():
    poses, source, _ = play(lambda: exchange(frames=200, recenter_at_s=0.2, freeze_at_s=0.4, freeze_s=0.25))
    assert source.recentres == 1 and source.counters.rejected["stale_body"] > 10
    assert {pose.resets for pose in poses} == {0, 1, 2}


def test_a_headset_that_leaves_and_returns():
    poses, source, _ = play(lambda: exchange(frames=200, missing_at_s=0.3, missing_s=0.1))
    assert source.events[wire.MISSING] == 2 and source.events[wire.CONNECT] == 2
    assert source.counters.rejected["device_missing"] == 2
    assert {pose.resets for pose in poses} == {0, 1}


def test_a_loop_is_not_followed_across_its_seam():
    async def run():
        port = free_port()
        walk = load_motion("walk")
        emulator = PicoEmulator(walk, EmulatorOptions(port=port, rate_hz=20.0))
        stream_s = []
        emulator.clip = type(walk)(walk.name, 200.0, walk.pos_w[::60], walk.quat_w[::60])
        emulator._writer = type(emulator._writer)(emulator.clip)
        source = PicoSource(port=port)
        running = asyncio.create_task(emulator.run(seconds=0.6, loop=True, progress=stream_s.append))
        await source.open()
        resets = []
        async for pose in source.poses():
            resets.append(pose.resets)
            if len(resets) > 3 and running.done():
                break
            if pose.resets:
                break
        await asyncio.wait_for(running, 10)
        await source.close()
        return resets, stream_s

    resets, stream_s = play(run)
    assert resets[-1] == 1 and stream_s[-1] == pytest.approx(0.6)


def test_the_service_may_come_later_and_come_back():
    """Nothing listens; then it does; then it is gone; then it is back: each time by itself, with a new `resets`."""

    async def run():
        port = free_port()
        source = PicoSource(port=port)
        await source.open()
        await until(lambda: source.reconnect.last_failure)
        first = (source.state, source.why_silent())
        seen = []

        async def consume():
            async for pose in source.poses():
                seen.append(pose.resets)

        consumer = asyncio.create_task(consume())
        for _ in range(2):
            await PicoEmulator(CLIP, EmulatorOptions(port=port)).run(seconds=0.4)
            await until(lambda: source.reconnect.phase.name == "WAITING")
        last = source.state_at(time.monotonic_ns() + 10**9)
        await source.close()
        await consumer
        return first, seen, last, source

    first, seen, last, source = play(run)
    assert first[0] is SourceState.CONNECTING
    assert first[1] == f"no PC service answers at {source.host}:{source.port}; start XRoboToolkit's PC service there"
    assert sorted(set(seen)) == [0, 1] and last is SourceState.STALE
    assert source.reconnect.connections == 2 and source.counters.rejected["connection"] == 2
    assert source.state is SourceState.CLOSED


def test_a_newer_client_ends_the_older_ones_stream():
    async def run():
        service = PcService("127.0.0.1", 0)
        await service.start()
        first, second = (PcServiceClient("127.0.0.1", service.port) for _ in range(2))
        older = asyncio.create_task(first.run(lambda: None, lambda data, now: None))
        await service.watched.wait()
        newer = asyncio.create_task(second.run(lambda: None, lambda data, now: None))
        why = await older
        await until(lambda: service.watched.is_set())
        newer.cancel()
        await asyncio.gather(newer, return_exceptions=True)
        await service.stop()
        return why, service

    why, service = play(run)
    assert why == "the PC service ended the stream; it serves one client, and another one may have connected"
    assert service.watches == 2 and service.cancels == 1


def test_heartbeats_and_commands_reach_the_service():
    async def run():
        service = PcService("127.0.0.1", 0)
        await service.start()
        source = PicoSource(port=service.port, device="P1")
        assert not await source.control("{}")
        await source.open()
        await service.watched.wait()
        await until(lambda: service.beats >= 2)
        sent = await source.control('{"functionName":"timeTest"}')
        await source.close()
        await service.stop()
        return sent, service

    sent, service = play(run)
    assert sent and list(service.controls) == [("P1", b'{"functionName":"timeTest"}')]


def test_a_service_that_stops_answering_is_left(monkeypatch):
    """The connection stands and the stream is silent, but no heartbeat is answered."""

    async def never(self, request, context):
        await asyncio.sleep(60)
        return b""

    monkeypatch.setattr(PcService, "_beat", never)
    monkeypatch.setattr("teleopd.drivers.pico.client.BEAT_S", 0.05)

    async def run():
        service = PcService("127.0.0.1", 0)
        await service.start()
        client = PcServiceClient("127.0.0.1", service.port)
        why = await client.run(lambda: None, lambda data, now: None)
        await service.stop()
        return why, client.target

    why, target = play(run)
    assert why == f"the PC service at {target} stopped answering its heartbeat"


def test_a_taken_port_is_one_sentence():
    async def run():
        first = PcService("127.0.0.1", 0)
        await first.start()
        try:
            with pytest.raises(SourceUnavailable) as raised:
                await PicoEmulator(CLIP, EmulatorOptions(port=first.port)).run()
        finally:
            await first.stop()
            await first.stop()
        return first.port, str(raised.value)

    port, sentence = play(run)
    assert sentence == (
        f"cannot listen on 127.0.0.1:{port}: the port is in use, perhaps by the real PC service, or the address is not "
        "this computer's; stop the other program, or choose another port with --port"
    )


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"rate_hz": 0.5}, EmulatorError, "rate is 0.5 Hz; give 1 to 240"),
        ({"rate_hz": float("nan")}, EmulatorError, "rate is nan Hz; give 1 to 240"),
        ({"grip": 1.1}, EmulatorError, "grip is 1.1; give 0 to 1"),
        ({"trackers": 4}, EmulatorError, "trackers are 4; give 0 to 3"),
        ({"digits": 18}, EmulatorError, "digits are 18; give 6 to 17"),
        ({"port": 65536}, EmulatorError, "port 65536 is not between 0 and 65535"),
        ({"dup": 1.5}, FaultError, "dup is 1.5; give a share between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, error, sentence):
    with pytest.raises(error) as raised:
        PicoEmulator(CLIP, EmulatorOptions(**options))
    assert str(raised.value) == sentence


def test_defaults():
    emulator = PicoEmulator(CLIP)
    assert emulator.address == "grpc://127.0.0.1:60061" and emulator.clip.fps == 90.0


def test_a_frame_read_without_our_decoder():
    """Tags and JSON by hand: name, device, and what the vendor's kit looks for."""
    raw = PicoEmulator(CLIP, EmulatorOptions(grip=0.7, device="P1")).frame(9, 1_700_000_000_000_000_000)
    assert raw.startswith(b"\x0a\x0fdeviceStateJson\x7a") and b"\x0a\x02P1\x12" in raw[:40]
    inner = json.loads(json.loads(raw[raw.index(b'{"functionName"') :])["value"])
    assert inner["timeStampNs"] == 1_700_000_000_100_000_000 and inner["Input"] == 1
    assert inner["appState"] == {"focus": True} and len(inner["Body"]["joints"]) == 24
    joint = inner["Body"]["joints"][0]
    assert joint["t"] - 3_600_000_000_000 == 100_000_000
    assert [len(joint[key].split(",")) for key in ("p", "va", "wva")] == [7, 6, 6]
    assert inner["Controller"]["left"]["grip"] == 0.7
    pelvis = [float(part) for part in joint["p"].split(",")]
    position = PicoEmulator(CLIP).clip.pos_w[9, 0]
    np.testing.assert_allclose(pelvis[:3], (-position[1], position[2], -position[0]), atol=1e-8)


def test_velocities_are_those_of_the_motion():
    """va: linear velocity then acceleration; wva: angular ones; of a body that moves along x and turns about z."""
    t = np.arange(120) / 120.0
    pos, quat = np.zeros((120, 23, 3)), np.zeros((120, 23, 4))
    pos[..., 0], pos[..., 2] = 0.5 * t[:, None], np.linspace(0.9, 1.7, 23)
    quat[..., 0], quat[..., 3] = np.cos(t / 2)[:, None], np.sin(t / 2)[:, None]
    emulator = PicoEmulator(type(CLIP)("turning", 120.0, pos, quat), EmulatorOptions(rate_hz=120.0))
    raw = emulator.frame(50, 10**18)
    body = json.loads(json.loads(wire.decode_feedback(raw).content)["value"])["Body"]["joints"][3]
    va, wva = ([float(part) for part in body[key].split(",")] for key in ("va", "wva"))
    np.testing.assert_allclose(va, (0, 0, -0.5, 0, 0, 0), atol=1e-6)
    np.testing.assert_allclose(wva, (0, 1, 0, 0, 0, 0), atol=1e-4)


KIT = """
import os, sys, time
import xrobotoolkit_sdk as kit
say = lambda text: os.write(2, ("\\n" + text + "\\n").encode())
kit.init()
wanted, stamps, grips, end = int(sys.argv[1]), set(), set(), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end and len(stamps) < wanted:
    stamp = kit.get_time_stamp_ns()
    if stamp and stamp not in stamps:
        stamps.add(stamp)
        grips.add(kit.get_left_grip())
        say("SAW %d" % stamp)
    time.sleep(0.0005)
pelvis = kit.get_body_joints_pose()[0]
kit.close()
say("KIT %d %s %s" % (len(stamps), max(grips), ",".join(map(repr, pelvis))))
"""


async def start_kit(folder, port, frames):
    """The vendor's client in a process of its own. TELEOPD_PICO_SDK_PYTHON: the Python of another environment that has
    the wheel."""
    python = os.environ.get("TELEOPD_PICO_SDK_PYTHON", sys.executable)
    if python == sys.executable and importlib.util.find_spec("xrobotoolkit_sdk") is None:
        pytest.skip("xrobotoolkit-sdk is not installed: pip install 'teleopd[pico-sdk]'")
    (folder / "PXREASetting.ini").write_text(f"[Client]\nconnectAddr=127.0.0.1\nconnectPort={port}\n")
    return await asyncio.create_subprocess_exec(
        python, "-c", KIT, str(frames), "25", cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


async def heard(kit, word):
    """The next line of the kit's process that begins with `word`; its own log lines are passed over."""
    while line := (await kit.stderr.readline()).decode():
        if line.startswith(word + " "):
            return line.split()[1:]
    raise AssertionError(f"the kit's process ended and never said {word}")


def check_last(emulator, frames, answer):
    count, grip, pelvis = answer
    assert (int(count), float(grip)) == (frames, 0.75)
    sent = messages.read_poses([pelvis])[0]
    x, y, z = emulator.clip.pos_w[frames - 1, 0]
    np.testing.assert_allclose(sent[:3], (-y, z, -x), atol=1e-8)


def test_the_vendors_kit_reads_every_frame(tmp_path):
    """The genuine client wheel against our service. It keeps the newest frame only, so each is sent when the one before
    was seen: a busy machine changes nothing."""
    frames = 100
    emulator = PicoEmulator(CLIP, EmulatorOptions(port=free_port(), grip=0.75, rate_hz=30.0))

    async def run():
        service = PcService("127.0.0.1", emulator.port)
        service.greeting = emulator._arrival()
        await service.start()
        kit = await start_kit(tmp_path, emulator.port, frames)
        try:
            await service.watched.wait()
            stamps = []
            for index in range(frames):
                service.publish(emulator.frame(index, 1_700_000_000_000_000_000))
                stamps += await heard(kit, "SAW")
            return stamps, await heard(kit, "KIT")
        finally:
            await kit.communicate()
            await service.stop()

    stamps, answer = play(run)
    expected = [(1_700_000_000_000 + round(1e3 * index / 30.0 - 0.499)) * 1_000_000 for index in range(frames)]
    np.testing.assert_allclose(np.diff([int(stamp) for stamp in stamps]), np.diff(expected), atol=1.1e6)
    check_last(emulator, frames, answer)


@pytest.mark.long
def test_the_vendors_kit_keeps_up_with_ninety_frames_a_second(tmp_path):
    """Paced as a headset does; for a machine with nothing else to do."""
    frames = 300
    emulator = PicoEmulator(CLIP, EmulatorOptions(port=free_port(), grip=0.75, rate_hz=90.0))

    async def run():
        running = asyncio.create_task(emulator.run(seconds=frames / 90.0))
        await until(lambda: emulator.service is not None and emulator.service._server is not None)
        kit = await start_kit(tmp_path, emulator.port, frames)
        answer = await heard(kit, "KIT")
        await kit.communicate()
        await running
        return answer

    check_last(emulator, frames, play(run))
