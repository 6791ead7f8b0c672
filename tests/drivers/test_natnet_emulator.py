"""NatNetEmulator: what it answers and sends, and source and emulator against each other over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct

import numpy as np
import pytest

from teleopd.drivers.faults import FaultError
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import wire
from teleopd.drivers.natnet.emulator import (
    BONES,
    KEEP_ALIVE_EXPIRY_NS,
    VERSIONS,
    EmulatorError,
    EmulatorOptions,
    NatNetEmulator,
)
from teleopd.drivers.natnet.messages import Kind
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.source import SourceUnavailable

CLIP = load_motion("wave")
SEGMENT = {name: i for i, name in enumerate(CLIP.skeleton.body_names)}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def exchange(*, poses=30, during=None, host="127.0.0.1", source=None, **options):
    """Take so many poses of the clip over loopback; returns them, the source and the emulator."""
    port = free_port()
    receiver = NatNetSource(host=host, port=port, **(source or {}))
    emulator = NatNetEmulator(CLIP, EmulatorOptions(port=port, **options))
    await receiver.open()
    sending = asyncio.create_task(emulator.run(loop=True))
    taken = []
    try:
        async with asyncio.timeout(20):
            async for pose in receiver.poses():
                taken.append(pose)
                if during is not None:
                    during(receiver, len(taken))
                if len(taken) == poses:
                    break
    finally:
        await receiver.close()
        await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return taken, receiver, emulator


@pytest.mark.parametrize("natnet", ["3.0", "4.2"])
def test_poses_arrive_as_the_clip_has_them_in_unicast(natnet):
    poses, source, emulator = asyncio.run(exchange(natnet=natnet))
    assert source.counters.rejected == {} and source.counters.foreign == 0
    assert source.info.natnet_version[:2] == VERSIONS[natnet] and not source.info.multicast
    same = [SEGMENT[name] for name in SEGMENT if name not in ("L3", "T12", "T8")]
    for pose in poses:
        np.testing.assert_allclose(pose.pos_w[same], CLIP.pos_w[pose.seq][same], atol=1e-6)
        turn = np.abs(np.sum(pose.quat_w[same] * CLIP.quat_w[pose.seq][same], axis=1))
        np.testing.assert_allclose(turn, 1.0, atol=1e-6)
    assert source.round_trip_ns > 0 and poses[-1].t_source_ns < poses[-1].t_ns
    assert emulator.commands[Kind.KEEPALIVE] >= 1 and emulator.commands[Kind.REQUEST_MODELDEF] == 1
    assert emulator.commands[Kind.DISCONNECT] == 1 and emulator._clients == {}


def test_multicast_on_the_servers_interface():
    poses, source, emulator = asyncio.run(exchange(multicast=True, data_port=free_port()))
    assert len(poses) == 30 and source.counters.rejected == {}
    assert source.info.multicast and Kind.KEEPALIVE not in emulator.commands


def test_a_server_is_found_without_its_address():
    poses, source, _ = asyncio.run(exchange(host="0.0.0.0", poses=5))
    assert len(poses) == 5 and source.server == "127.0.0.1"


def test_the_kernel_drops_what_another_sender_sends():
    """After the first frames, five hundred datagrams from a third socket do not even wake the source."""

    def flood(source, taken):
        if taken == 5:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                for _ in range(500):
                    other.sendto(b"garbage", ("127.0.0.1", source.network.command.port))

    poses, source, emulator = asyncio.run(exchange(during=flood, poses=20))
    assert len(poses) == 20 and source.counters.foreign == 0
    assert source.counters.received <= emulator.sent + 20


def test_faults_are_counted_by_the_source():
    poses, source, _ = asyncio.run(exchange(poses=60, dup=1.0, reorder=0.2, loss=0.1, seed=3))
    counters = source.counters
    assert counters.duplicated > 20 and counters.reordered > 0 and counters.lost > 0
    seqs = [p.seq for p in poses]
    assert seqs == sorted(set(seqs)) and {p.resets for p in poses} == {0}


def test_a_client_that_stops_its_keep_alives_is_dropped():
    emulator = NatNetEmulator(CLIP, EmulatorOptions())
    sent = []
    emulator._socket.send = lambda datagram, to: sent.append((datagram[0], to)) or True
    a, b = ("10.0.0.1", 5), ("10.0.0.2", 6)
    for client in (a, b):
        emulator._hear(memoryview(wire.encode_hello(Kind.CONNECT)), client, 0)
    emulator._hear(memoryview(wire.encode(Kind.KEEPALIVE)), b, 10**18)
    emulator._hear(memoryview(wire.encode(Kind.KEEPALIVE)), ("10.0.0.3", 7), 10**18)
    emulator._clients[a] = -KEEP_ALIVE_EXPIRY_NS
    emulator._send_frame(emulator.datagram(0, 0))
    assert sent == [(Kind.SERVERINFO, a), (Kind.SERVERINFO, b), (Kind.FRAMEOFDATA, b)]
    assert emulator.expired == 1 and set(emulator._clients) == {b}


def test_answers():
    emulator = NatNetEmulator(CLIP, EmulatorOptions(natnet="3.0"))
    info = wire.decode(emulator._answer(Kind.DISCOVERY, wire.Hello("", (0,) * 4, (0,) * 4), 0), (3, 0)).body
    assert (info.natnet_version, info.clock_hz, info.data_port) == ((3, 0, 0, 0), 10_000_000, 1511)
    rate = emulator._answer(Kind.REQUEST, "FrameRate", 0)
    assert rate == struct.pack("<HHf", 3, 4, CLIP.fps)
    assert emulator._answer(Kind.REQUEST, "Nonsense", 0)[:4] == struct.pack("<HH", 100, 264)
    echo = emulator._answer(Kind.ECHOREQUEST, wire.Echo(7, None), 1000)
    assert struct.unpack("<HHQQ", echo)[2:] == (7, (86_400 * 10**9 + 1000) // 100)
    emulator._hear(memoryview(b"noise"), ("10.0.0.1", 5), 0)
    assert emulator.commands == {}


def test_motives_bones():
    assert " ".join(bone.name for bone in BONES) == (
        "Hip Ab Chest Neck Head LShoulder LUArm LFArm LHand RShoulder RUArm RFArm RHand "
        "LThigh LShin LFoot RThigh RShin RFoot LToe RToe"
    )
    parents = {bone.name: BONES[bone.parent - 1].name if bone.parent else "" for bone in BONES}
    expected = {"Hip": "", "LHand": "LFArm", "RShoulder": "Chest", "RThigh": "Hip", "RToe": "RFoot", "LToe": "LFoot"}
    assert {name: parents[name] for name in expected} == expected


def test_freeze_and_recentre_by_frame():
    fps = CLIP.fps
    emulator = NatNetEmulator(CLIP, EmulatorOptions(freeze_at_s=0.1, freeze_s=0.2, recenter_at_s=0.5, recenter_m=2.0))
    for k, shown, shift in ((5, 5, 0), (round(0.2 * fps), round(0.1 * fps), 0), (round(0.6 * fps), None, 2.0)):
        data = wire.decode(emulator.datagram(k, 10**9), (4, 1)).body
        expected = CLIP.pos_w[k if shown is None else shown, SEGMENT["LeftHand"]] + (shift, 0, 0)
        np.testing.assert_allclose(data.skeletons[0].bones["pos"][8], expected[[1, 2, 0]], atol=1e-6)
        assert data.number == k


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"rate_hz": 0.0}, EmulatorError, "rate is 0.0 Hz; give 1 to 1000"),
        ({"port": 0}, EmulatorError, "port 0 is not between 1 and 65535"),
        ({"natnet": "2.9"}, EmulatorError, "NatNet version is '2.9'; choose 3.0, 3.1, 4.0, 4.1, 4.2"),
        ({"group": "10.0.0.1"}, EmulatorError, "'10.0.0.1' is no multicast address; Motive's own is 239.255.42.99"),
        ({"group": "foo"}, EmulatorError, "'foo' is no multicast address; Motive's own is 239.255.42.99"),
        ({"loss": 2.0}, FaultError, "loss is 2.0; give a share between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, error, sentence):
    with pytest.raises(error) as raised:
        NatNetEmulator(CLIP, EmulatorOptions(**options))
    assert str(raised.value) == sentence


def test_an_address_that_nobody_has_is_named(monkeypatch):
    def unknown(_host):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    with pytest.raises(SourceUnavailable) as raised:
        asyncio.run(NatNetEmulator(CLIP, EmulatorOptions(host="nobody.invalid", port=free_port())).run())
    assert str(raised.value) == "cannot find the address 'nobody.invalid': Name or service not known"


def test_address_and_a_taken_port():
    assert NatNetEmulator(CLIP).address == "natnet://127.0.0.1:1510 (4.1, unicast)"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(SourceUnavailable, match=f"^UDP port {port} on 127.0.0.1 is in use"):
            asyncio.run(NatNetEmulator(CLIP, EmulatorOptions(port=port)).run())
