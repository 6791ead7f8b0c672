"""The MVN stream over TCP: cutting it into datagrams, and real sockets on loopback; UDP sockets for what differs."""

from __future__ import annotations

import asyncio
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.source import ProtocolError, SourceState, SourceUnavailable
from teleopd.drivers.udp_sender import UdpSender
from teleopd.drivers.xsens.emulator import EmulatorOptions, XsensEmulator
from teleopd.drivers.xsens.source import XsensSource
from teleopd.drivers.xsens.stream import StreamFramer
from teleopd.drivers.xsens.tcp import MAX_CONNECTIONS
from teleopd.drivers.xsens.tcp_sender import TcpSender

LOOPBACK = "127.0.0.1"


def clip(frames=30, fps=200.0):
    pos = np.zeros((frames, 23, 3))
    pos[:, :, 0] = 0.01 * np.arange(frames)[:, None]
    pos[:, :, 1], pos[:, :, 2] = np.linspace(-0.3, 0.3, 23), np.linspace(0.9, 1.7, 23)
    return MotionClip("going", fps, pos, np.tile((1.0, 0.0, 0.0, 0.0), (frames, 23, 1)))


def of_every_type():
    """One datagram after another, of all the types the emulator knows."""
    emulator = XsensEmulator(
        clip(), EmulatorOptions(datagram="01,02,05,12,13,20,25", props=2, fingers=True, split=40)
    )
    return emulator.information(0) + emulator.frame(0) + emulator.frame(1)


# --- framing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 2, 23, 24, 25, 759, 1000, 10**6])
def test_pieces_of_any_size_make_the_same_datagrams(piece):
    sent, framer, found = of_every_type(), StreamFramer(), []
    stream = b"".join(sent)
    for at in range(0, len(stream), piece):
        found += framer.feed(stream[at : at + piece])
    assert found == sent and len(sent) == 14


def test_each_datagram_comes_with_its_last_byte(mxtp):
    framer, datagram = StreamFramer(), mxtp.pose()
    assert framer.feed(datagram[:-1]) == []
    assert framer.feed(datagram[-1:]) == [datagram]


def test_streams_older_than_mvn_2019_are_cut_by_their_items(mxtp):
    old = mxtp.header(body=0, size=0) + mxtp.segments()
    joints = mxtp.header(kind=20, items=3, body=0, size=0) + bytes(60)
    assert StreamFramer().feed(old + joints + old) == [old, joints, old]


@pytest.mark.parametrize("piece", [1, 7, 10**6])
@pytest.mark.parametrize("noise", [b"x", b"MXT", b"MXTP" * 9, bytes(500), b"MXTP0" + bytes(40)])
def test_what_is_no_datagram_is_skipped_and_said_once(mxtp, noise, piece):
    good = [mxtp.pose(k) for k in range(3)]
    stream, framer, found = good[0] + noise + good[1] + good[2], StreamFramer(), []
    for at in range(0, len(stream), piece):
        found += framer.feed(stream[at : at + piece])
    assert [item for item in found if isinstance(item, bytes)] == good
    (error,) = (item for item in found if isinstance(item, ProtocolError))
    assert error.reason == "wrong_magic"
    assert str(error) == f"stream goes on with {(noise + good[1])[:6]!r}, not with b'MXTP' and two digits"


def test_lengths_that_cannot_be_are_refused(mxtp):
    found = StreamFramer().feed(mxtp.header(size=8169) + mxtp.header(kind=12, body=0, size=0) + mxtp.pose())
    assert str(found[0]) == "datagram is longer than 8192 B, more than any MVN datagram"
    assert found[1:] == [mxtp.pose()], "one gap, one complaint"
    (error,) = StreamFramer().feed(mxtp.header(kind=12, body=0, size=0))
    assert (error.reason, str(error)) == ("no_length", "stream has a datagram of type 12 without a length")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_stream_holds_more_than_a_datagram_or_raises(mxtp, data):
    stream = bytearray(b"".join(mxtp.pose(k) for k in range(4)))
    for _ in range(data.draw(st.integers(0, 8))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    framer, taken = StreamFramer(), 0
    for at in range(0, len(stream), 97):
        taken += sum(len(item) for item in framer.feed(stream[at : at + 97]) if isinstance(item, bytes))
        assert len(framer._bytes) < 8192
    assert taken <= len(stream)


# --- sockets ---------------------------------------------------------------------------------------------------------


async def opened(**options):
    source = XsensSource(host=LOOPBACK, port=0, **options)
    await source.open()
    return source


async def until(condition):
    """Give the loop turns until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def connected(source):
    reader, writer = await asyncio.open_connection(LOOPBACK, source.port)
    return reader, writer


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_emulator_reaches_the_source(transport):
    async def run():
        source = await opened(transport=transport)
        poses = []

        async def consume():
            async for pose in source.poses():
                poses.append(pose)

        consumer = asyncio.create_task(consume())
        options = EmulatorOptions(
            port=source.port, transport=transport, datagram="01,02,05,12,13,20,25", props=2, fingers=True, split=40
        )
        emulator = XsensEmulator(clip(12, 40.0), options)
        await emulator.run()
        last = clip(12).pos_w[-1]
        await until(lambda: poses and np.allclose(poses[-1].pos_w, last, atol=1e-6))
        await source.close()
        await asyncio.wait_for(consumer, 5)
        return source, emulator, poses

    source, emulator, poses = asyncio.run(run())
    assert emulator.address == f"{transport}://127.0.0.1:{source.port}"
    assert source.counters.rejected == {} and source.counters.foreign == 0 and source.counters.lost <= emulator.skipped
    assert emulator.sent + 6 * emulator.skipped == 6 * 12 and emulator.unsent == 0
    assert len(source.extras.left_hand.ids) == 20 and len(source.extras.props.ids) == 2
    assert source.character_name == "going" and source.null_pose.names[0] == "Pelvis"
    for pose in poses:
        np.testing.assert_allclose(pose.pos_w, clip().pos_w[pose.seq], atol=1e-6)


def test_one_byte_at_a_time_over_a_socket(mxtp):
    async def run():
        source = await opened(transport="tcp")
        _, writer = await connected(source)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in mxtp.pose(3) + mxtp.pose(4):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await until(lambda: source.counters.received == 2)
        pose = await asyncio.wait_for(anext(source.poses()), 5)
        writer.close()
        await source.close()
        return pose.seq

    assert asyncio.run(run()) == 4


def test_after_a_stall_the_consumer_gets_the_newest(mxtp):
    async def run():
        source = await opened(transport="tcp")
        _, writer = await connected(source)
        writer.write(b"".join(mxtp.pose(k) for k in range(40)))
        await until(lambda: source.counters.received == 40)
        pose = await asyncio.wait_for(anext(source.poses()), 5)
        writer.close()
        await source.close()
        return pose.seq, source.counters.delivered

    assert asyncio.run(run()) == (39, 1)


def test_mvn_may_hang_up_and_come_back(mxtp):
    async def run():
        source = await opened(transport="tcp")
        seen = []
        for round_ in range(3):
            _, writer = await connected(source)
            writer.write(mxtp.pose(10 * round_))
            await until(lambda: source.counters.received == round_ + 1)  # noqa: B023
            seen.append((source.take().resets, source.sender[1]))
            writer.close()
            await until(lambda: not source._listener._connections)
        await source.close()
        return seen, source.counters

    seen, counters = asyncio.run(run())
    assert [resets for resets, _ in seen] == [0, 1, 2] and len({port for _, port in seen}) == 3
    assert counters.foreign == 0 and counters.rejected == {}


def test_a_second_connection_is_foreign_and_garbage_is_hung_up_on(mxtp):
    async def run():
        source = await opened(transport="tcp")
        _, good = await connected(source)
        good.write(mxtp.pose(0))
        await until(lambda: source.counters.received == 1)
        _, second = await connected(source)
        second.write(mxtp.pose(1))
        await until(lambda: source.counters.foreign == 1)
        reader, noise = await connected(source)
        noise.write(b"GET / HTTP/1.1\r\nHost: robot\r\n\r\n")
        end = await asyncio.wait_for(reader.read(), 5)
        good.write(b"?" + mxtp.pose(1))
        await until(lambda: source.counters.received == 3)
        pose = source.take()
        named = [port for _, port in source.foreign_senders], second.get_extra_info("sockname")[1]
        for writer in (good, second, noise):
            writer.close()
        await source.close()
        return end, pose.seq, source.counters.rejected, named

    end, seq, rejected, (foreign, second) = asyncio.run(run())
    assert (end, seq, rejected) == (b"", 1, {"wrong_magic": 2})
    assert foreign == [second]


def test_idle_connections_cannot_keep_mvn_out(mxtp):
    async def run():
        source = await opened(transport="tcp")
        idle = [(await connected(source))[1] for _ in range(MAX_CONNECTIONS)]
        _, mvn = await connected(source)
        mvn.write(mxtp.pose(0))
        await until(lambda: source.counters.received == 1)
        more = [(await connected(source))[1] for _ in range(2 * MAX_CONNECTIONS)]
        mvn.write(mxtp.pose(1))
        await until(lambda: source.counters.received == 2)
        held = len(source._listener._connections)
        for writer in (*idle, *more, mvn):
            writer.close()
        await source.close()
        return held, source.take().seq

    assert asyncio.run(run()) == (MAX_CONNECTIONS, 1)


def test_a_tap_sees_every_datagram(mxtp):
    async def run():
        source, seen = await opened(transport="tcp"), []
        source.record(lambda data, sender, receiver, now_ns: seen.append((bytes(data), sender, receiver)))
        _, writer = await connected(source)
        writer.write(mxtp.pose(0) + mxtp.pose(1))
        await until(lambda: len(seen) == 2)
        peer = writer.get_extra_info("sockname")
        writer.close()
        await source.close()
        return seen, [(mxtp.pose(k), peer, (LOOPBACK, source.port)) for k in range(2)]

    seen, expected = asyncio.run(run())
    assert seen == expected


def test_closing_ends_the_connection_and_frees_the_port(mxtp):
    async def run():
        first = await opened(transport="tcp")
        await first.open()
        reader, writer = await connected(first)
        writer.write(mxtp.pose(0))
        await until(lambda: first.counters.received == 1)
        await first.close()
        await first.close()
        end = await asyncio.wait_for(reader.read(), 5)
        second = XsensSource(host=LOOPBACK, port=first.port, transport="tcp")
        await second.open()
        states = first.state, second.state
        with pytest.raises(SourceUnavailable) as error:
            await XsensSource(host=LOOPBACK, port=first.port, transport="tcp").open()
        await second.close()
        writer.close()
        return end, states, str(error.value), first.port

    end, states, sentence, port = asyncio.run(run())
    assert end == b"" and states == (SourceState.CLOSED, SourceState.CONNECTING)
    assert sentence == (
        f"TCP port {port} on 127.0.0.1 is in use by another program; stop it, or choose another port with --port"
    )


# --- the emulator's connection ---------------------------------------------------------------------------------------


def test_nobody_listening_is_one_sentence():
    async def run():
        with socket.socket() as other:
            other.bind((LOOPBACK, 0))
            port = other.getsockname()[1]
            with pytest.raises(SourceUnavailable) as error:
                await TcpSender(LOOPBACK, port, patience_s=0.0).connect()
        return port, str(error.value)

    port, sentence = asyncio.run(run())
    assert sentence.startswith(f"cannot connect to 127.0.0.1:{port}: ") and "refused" in sentence


def test_the_receiver_may_come_later(mxtp):
    async def run():
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]
        sender = TcpSender(LOOPBACK, port)
        connecting = asyncio.create_task(sender.connect())
        await asyncio.sleep(0.05)
        source = XsensSource(host=LOOPBACK, port=port, transport="tcp")
        await source.open()
        await asyncio.wait_for(connecting, 20)
        sender.send(mxtp.pose(0))
        await until(lambda: source.counters.received == 1)
        await sender.close()
        await sender.close()
        await source.close()
        return sender.sent

    assert asyncio.run(run()) == 1


def test_a_receiver_that_does_not_read_gets_whole_datagrams_or_none():
    """Full buffers drop datagrams, never parts of one: what arrives is cut without a gap."""

    async def run():
        with socket.socket() as listener:
            listener.bind((LOOPBACK, 0))
            listener.listen()
            sender = TcpSender(LOOPBACK, listener.getsockname()[1])
            await sender.connect()
            receiver, _ = listener.accept()
            sent, datagram = 0, b"MXTP02" + struct.pack(">IBBIBBBBHH", 0, 128, 23, 0, 0, 23, 0, 0, 0, 736) + bytes(736)
            while not sender.unsent and sent < 10**5:
                sender.send(datagram)
                sent += 1
            framer, found, received = StreamFramer(), [], b"go"
            receiver.setblocking(False)
            closing = asyncio.create_task(sender.close())
            loop = asyncio.get_running_loop()
            while received:
                received = await asyncio.wait_for(loop.sock_recv(receiver, 1 << 20), 5)
                found += framer.feed(received)
            await closing
            receiver.close()
            return sender, sent, found, datagram

    sender, sent, found, datagram = asyncio.run(run())
    assert sender.unsent == 1 and sender.sent == sent - 1
    assert len(found) == sender.sent and set(found) == {datagram}


def test_a_receiver_that_hangs_up_is_one_sentence():
    async def run():
        source = await opened(transport="tcp")
        emulator = XsensEmulator(clip(400), EmulatorOptions(port=source.port, transport="tcp"))
        sending = asyncio.create_task(emulator.run())
        await until(lambda: source.counters.received > 3)
        await source.close()
        with pytest.raises(SourceUnavailable) as error:
            await asyncio.wait_for(sending, 10)
        return str(error.value), source.port

    sentence, port = asyncio.run(run())
    assert sentence.startswith(f"127.0.0.1:{port} hung up: ")


def test_udp_characters_from_two_ports(mxtp):
    """MVN streams every character from a socket of its own; the chosen one is followed, the other named."""

    async def run():
        source = await opened(character=1)
        with UdpSender(LOOPBACK, source.port) as first, UdpSender(LOOPBACK, source.port) as second:
            for k in range(5):
                first.send(mxtp.pose(k, character=0))
                second.send(mxtp.pose(k, character=1))
            await until(lambda: source.counters.received == 10)
        pose = source.take()
        await source.close()
        return pose.seq, source.counters

    seq, counters = asyncio.run(run())
    assert (seq, counters.foreign, counters.rejected) == (4, 0, {"other_character": 5})
    assert counters.last_rejection == "character 0 is streamed too; character 1 is followed"
