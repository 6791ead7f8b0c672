"""A capture fed back: the poses of the run that was recorded, over the real wire where there is one."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import numpy as np
import pytest

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet.emulator import EmulatorOptions as MotiveOptions
from teleopd.drivers.natnet.emulator import NatNetEmulator
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.network import wire as network_wire
from teleopd.drivers.network.emulator import EmulatorOptions as PoseOptions
from teleopd.drivers.network.emulator import NetworkEmulator
from teleopd.drivers.network.source import NetworkSource
from teleopd.drivers.pico.emulator import EmulatorOptions as PicoOptions
from teleopd.drivers.pico.emulator import PicoEmulator
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import SourceState, SourceUnavailable
from teleopd.drivers.tap.pcap import read_datagrams
from teleopd.drivers.tap.source import TapError, TapSource
from teleopd.drivers.tap.tapped import TappedSource
from teleopd.drivers.tap.writer import TapWriter, connections, packet, section
from teleopd.drivers.vmc.emulator import EmulatorOptions as VmcOptions
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.drivers.vmc.source import VmcSource
from teleopd.drivers.xsens.emulator import EmulatorOptions as MvnOptions
from teleopd.drivers.xsens.emulator import XsensEmulator
from teleopd.drivers.xsens.source import XsensSource

CLIP = load_motion("wave")
EPOCH = 1_700_000_000 * 10**9
SECONDS = 1.0
SENDER, RECEIVER = ("10.0.0.2", 50000), ("10.0.0.1", 9763)


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def xsens():
    source = XsensSource(host="127.0.0.1", port=0)
    return source, lambda: XsensEmulator(CLIP, MvnOptions(host="127.0.0.1", port=source.port))


def optitrack():
    port = free_port(socket.SOCK_DGRAM)
    return NatNetSource(host="127.0.0.1", port=port), lambda: NatNetEmulator(CLIP, MotiveOptions(port=port))


def pico():
    port = free_port(socket.SOCK_STREAM)
    return PicoSource(port=port, deadman="left_grip"), lambda: PicoEmulator(
        CLIP, PicoOptions(port=port, rate_hz=60.0, grip=0.9, hands=True)
    )


def network():
    source = NetworkSource(port=0)
    return source, lambda: NetworkEmulator(
        CLIP, PoseOptions(port=source.port, rate_hz=60.0, encoding="msgpack", deadman=True, jitter_ms=20.0)
    )


def websocket():
    source = NetworkSource(port=0, transport="websocket")
    return source, lambda: NetworkEmulator(CLIP, PoseOptions(port=source.port, rate_hz=60.0, transport="websocket"))


def vmc():
    source = VmcSource(host="127.0.0.1", port=0)
    return source, lambda: VmcEmulator(CLIP, VmcOptions(port=source.port, rate_hz=60.0, dup=0.05))


def record(source, device, path):
    """Every pose of a live run, and its tap."""
    made = []

    async def run():
        tapped = TappedSource(source, TapWriter(path, EPOCH))
        publish = source._publish

        def keep(*arguments):
            publish(*arguments)
            made.append(source._newest.pending)

        source._publish = keep
        await tapped.open()
        sending = asyncio.create_task(device().run(seconds=SECONDS))

        async def drain():
            async for _ in tapped.poses():
                pass

        draining = asyncio.create_task(drain())
        await sending
        await asyncio.sleep(0.1)
        await tapped.close()
        await draining
        assert tapped.writer.dropped == 0 and tapped.writer.trouble == ""

    asyncio.run(asyncio.wait_for(run(), 30))
    return made


@pytest.mark.parametrize(
    ("rig", "name"),
    [(xsens, "xsens"), (optitrack, "optitrack"), (pico, "pico"), (network, "network"), (websocket, "network"),
     (vmc, "vmc")],
)  # fmt: skip
def test_the_poses_are_those_of_the_live_run(tmp_path, rig, name):
    source, device = rig()
    path = tmp_path / "tap.pcapng"
    live = record(source, device, path)
    tap = TapSource(str(path), keep_deadman=True, **({"deadman": "left_grip"} if name == "pico" else {}))
    assert tap.device == name
    played = []
    while (pose := tap.step(10**12)) is not None:
        played.append(pose)
    assert len(played) == len(live) > 30
    for was, now in zip(live, played, strict=True):
        assert (now.seq, now.resets, now.deadman, now.buttons) == (was.seq, was.resets, was.deadman, was.buttons)
        np.testing.assert_array_equal(now.pos_w, was.pos_w)
        np.testing.assert_array_equal(now.quat_w, was.quat_w)
        assert now.t_ns - played[0].t_ns == was.t_ns - live[0].t_ns
    if name == "pico":
        assert all(pose.deadman for pose in played[1:])
    if name != "optitrack":  # its echoes are left out
        assert [p.t_ns - p.t_source_ns for p in played] == [p.t_ns - p.t_source_ns for p in live]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.ns = 5 * 10**12

    def __call__(self):
        return self.ns

    async def sleep(self, seconds):
        self.ns += round(seconds * 1e9)


def stream(mxtp, tmp_path, frames=20, period_ns=10_000_000):
    path = tmp_path / "tap.pcapng"
    packets = (packet(EPOCH + k * period_ns, mxtp.pose(k, k * 10), SENDER, RECEIVER) for k in range(frames))
    path.write_bytes(section() + b"".join(packets))
    return path


def play(tap):
    async def run():
        await tap.open()
        assert tap.state is SourceState.CONNECTING
        return [pose async for pose in tap.poses()]

    return asyncio.run(run())


@pytest.mark.parametrize("speed", [1.0, 2.0, 0.5])
def test_packets_come_at_their_recorded_distances(mxtp, tmp_path, speed):
    clock = Clock()
    tap = TapSource(str(stream(mxtp, tmp_path)), speed=speed, clock_ns=clock, sleep=clock.sleep)
    poses = play(tap)
    assert [p.seq for p in poses] == list(range(20))
    assert [p.t_ns for p in poses] == [5 * 10**12 + int(k * 10_000_000 / speed) for k in range(20)]
    assert tap.duration_s == pytest.approx(0.19)
    assert tap.state is SourceState.CLOSED and tap.counters.delivered == 20


def test_a_late_consumer_gets_the_newest(mxtp, tmp_path):
    clock = Clock()
    tap = TapSource(str(stream(mxtp, tmp_path)), clock_ns=clock, sleep=clock.sleep)

    async def run():
        await tap.open()
        seen = []
        async for pose in tap.poses():
            seen.append(pose.seq)
            if pose.seq == 3:
                clock.ns += 55_000_000
        return seen

    assert asyncio.run(run()) == [0, 1, 2, 3, 8, *range(9, 20)]


def test_a_recorded_deadman_is_nobodys_hand(tmp_path):
    emulator = PicoEmulator(CLIP, PicoOptions(grip=1.0))
    path = tmp_path / "tap.pcapng"
    frames = (packet(EPOCH + k * 10**7, emulator.frame(k, EPOCH), ("1.1.1.1", 60061), ("1.1.1.2", 0)) for k in range(9))
    path.write_bytes(section() + connections() + b"".join(frames))
    held = {keep: {TapSource(str(path), keep_deadman=keep).step().deadman} for keep in (True, False)}
    assert held == {True: {True}, False: {False}}


def test_of_recorded_buttons_only_the_stop_is_pressed_again(tmp_path):
    """A recording may end what a robot does, never let its arms push harder."""
    frame = network_wire.decode(NetworkEmulator(CLIP, PoseOptions(deadman=True)).frame(0))
    sent = msgspec.structs.replace(frame, buttons=("stop", "force_limit_up"))
    path = tmp_path / "tap.pcapng"
    path.write_bytes(section() + packet(EPOCH, network_wire.encode(sent), SENDER, ("192.168.1.5", 9870)))
    pressed = {keep: TapSource(str(path), keep_deadman=keep).step() for keep in (True, False)}
    assert (pressed[True].deadman, pressed[True].buttons) == (True, {"stop", "force_limit_up"})
    assert (pressed[False].deadman, pressed[False].buttons) == (False, {"stop"})


def test_a_capture_that_breaks_off_is_played_to_there(mxtp, tmp_path):
    path = stream(mxtp, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    tap = TapSource(str(path))
    count = 0
    while tap.step() is not None:
        count += 1
    assert count == 19 and "declares" in tap.cut_short


def test_a_real_suit_capture_plays(shared_data):
    tap = TapSource(str(shared_data / "xsens" / "boxing_120hz_mxtp02_DERIVED.pcap"))
    assert tap.device == "xsens" and tap.duration_s == pytest.approx(35.4, abs=0.1)
    assert [tap.step().seq for _ in range(200)] == list(range(200))
    assert tap.counters.rejected == {}


def test_a_real_motive_capture_is_taken_as_live(shared_data):
    """518 frames of loose rigid bodies: the handshake is followed, and the reason for no pose is named."""
    path = shared_data / "natnet" / "mje-nz" / "raw" / "traffic.pcapng"
    tap = TapSource(str(path))
    assert tap.device == "optitrack" and tap.step() is None
    assert "enable 'Skeletons' in Motive's streaming settings" in tap.counters.last_rejection
    sent = sum(d.payload[:2] == b"\x07\x00" for d in read_datagrams(path.read_bytes()))
    assert sent == 518 and tap.counters.rejected["no_person"] >= 1


@pytest.mark.parametrize(
    ("content", "options", "error", "sentence"),
    [
        (b"", {}, SourceUnavailable, "{path} is empty; a capture (pcap, pcapng) or one packet is expected"),
        (section(), {}, TapError, "{path} holds no packets of xsens, optitrack, pico, network or vmc"),
        (section() + b"\0" * 12, {}, TapError, "{path}: block at byte 60 declares 0 B; 12 follow"),
        (section(), {"speed": 0.0}, TapError, "speed is 0.0; give a number above 0, 1 for real time"),
        (section(), {"device": "wii"}, TapError, "device is 'wii'; choose one of xsens, optitrack, pico, network, vmc"),
        (section(), {"device": "pico"}, TapError, "{path} holds no packets of pico"),
        (section() + packet(1, b"\x0a\0\0\0", SENDER, RECEIVER), {}, TapError,
         "the capture holds no answer of Motive to a CONNECT (SERVERINFO), which says how its frames are to be read; "
         "start recording before the client connects"),
    ],
)  # fmt: skip
def test_what_cannot_be_played_is_one_sentence(tmp_path, content, options, error, sentence):
    path = tmp_path / "t.pcapng"
    path.write_bytes(content)
    with pytest.raises(error) as raised:
        TapSource(str(path), **options)
    assert str(raised.value) == sentence.format(path=path)
