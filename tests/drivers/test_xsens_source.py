"""XsensSource: datagrams given by hand with injected times; then the socket, for what only a socket can show."""

from __future__ import annotations

import asyncio
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.source import SourceState, SourceUnavailable
from teleopd.drivers.xsens.source import MAX_FOREIGN_NAMED, REBIND_NS, XsensSource

U32 = st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1))
SENDER = ("192.168.0.7", 50000)
PERIOD_NS = 8_000_000


class Fed:
    """A source fed datagrams one period apart; what it publishes is read from the slot, as `poses()` does."""

    def __init__(self, **options):
        self.source = XsensSource(**options)
        self.now_ns = 10**12

    def __call__(self, datagram, sender=SENDER, wait_ns=PERIOD_NS):
        """The pose this datagram published, or None."""
        self.now_ns += wait_ns
        self.source._newest.take()
        self.source.receive(memoryview(datagram), sender, self.now_ns)
        return self.source._newest.pending


@pytest.fixture
def fed():
    return Fed()


def test_a_pose_carries_what_the_datagram_said(mxtp, fed):
    pose = fed(mxtp.pose(41, 5000))
    assert pose.skeleton.family == "mvn" and pose.skeleton.body_names == MVN_SEGMENTS
    assert (pose.seq, pose.t_ns, pose.t_source_ns, pose.resets) == (41, fed.now_ns, fed.now_ns, 0)
    assert (pose.deadman, pose.buttons) == (False, frozenset())
    assert pose.valid.shape == (23,) and pose.valid.all()
    np.testing.assert_allclose(pose.pos_w[22], (0.23, -0.46, 1.25), atol=1e-7)


def test_device_time_shows_queueing(mxtp, fed):
    fed(mxtp.pose(0))
    late = fed(mxtp.pose(1), wait_ns=PERIOD_NS + 30_000_000)
    assert late.t_ns - late.t_source_ns == 30_000_000


def test_quaternion_signs_are_continuous(mxtp, fed):
    plus, minus = (mxtp.segments(quat=(s * 0.6, 0.0, s * 0.8, 0.0)) for s in (1.0, -1.0))
    quats = [fed(mxtp.pose(k, payload=p)).quat_w[3] for k, p in enumerate((minus, plus, minus, plus))]
    np.testing.assert_allclose(quats, np.tile((-0.6, 0.0, -0.8, 0.0), (4, 1)), atol=1e-7)


def test_a_consumer_that_changes_its_pose_does_not_disturb_the_next(mxtp, fed):
    fed(mxtp.pose(0)).quat_w[:] = -1.0
    assert fed(mxtp.pose(1)).quat_w[0, 0] == 1.0


def test_lost_duplicated_and_reordered_are_counted_and_not_published(mxtp, fed):
    published = [fed(mxtp.pose(k)) is not None for k in (0, 1, 1, 4, 3, 3, 5)]
    counters = fed.source.counters
    assert published == [True, True, False, True, False, False, True]
    assert (counters.received, counters.lost, counters.duplicated, counters.reordered) == (7, 1, 2, 1)


def test_a_new_recording_raises_resets_and_is_followed_at_once(mxtp, fed):
    assert [fed(mxtp.pose(k)).resets for k in (900, 901, 0, 1, 2)] == [0, 0, 1, 1, 1]
    pose = fed(mxtp.pose(3))
    assert pose.t_source_ns == pose.t_ns, "its clock is mapped anew"


def test_a_new_recording_soon_after_the_first_is_not_reordered_for_ever(mxtp, fed):
    for k in range(10):
        fed(mxtp.pose(k))
    resets = [pose and pose.resets for pose in (fed(mxtp.pose(k)) for k in range(8))]
    assert resets == [None, None, None, None, 1, 1, 1, 1]


def test_a_split_sample_is_one_pose(mxtp, fed):
    whole = mxtp.segments(67)
    cuts = ((0, 0, 30), (1, 30, 60), (0x82, 60, 67))
    parts = [mxtp.pose(6, payload=whole[32 * a : 32 * b], counter=c, props=4, fingers=40) for c, a, b in cuts]
    poses = [fed(part) for part in (parts[2], parts[0], parts[0], parts[1], parts[1])]
    assert [pose is not None for pose in poses] == [False, False, False, True, False]
    assert fed.source.counters.duplicated == 1
    np.testing.assert_allclose(poses[3].pos_w[0], (0.01, -0.02, 0.15), atol=1e-7)


def test_bad_datagrams_are_counted_and_the_stream_goes_on(mxtp, fed):
    nan = mxtp.pose(1)[:28] + struct.pack(">f", float("nan")) + mxtp.pose(1)[32:]
    for bad in (b"", mxtp.pose(1)[:700], b"x" * 760, nan, mxtp.pose(1) + bytes(9000)):
        assert fed(bad) is None
    assert fed(mxtp.pose(2)).seq == 2
    counters = fed.source.counters
    assert counters.rejected == {"truncated": 2, "wrong_magic": 1, "non_finite": 1, "oversized": 1}
    assert counters.last_rejection == "datagram is longer than 8192 B, more than any MVN datagram"
    assert counters.received == 6


def test_another_pose_type_says_which_one_to_choose(mxtp, fed):
    fed(mxtp.message(1, bytes(28 * 23), items=23))
    assert fed.source.counters.rejected == {"wrong_type": 1}
    assert fed.source.counters.last_rejection == (
        "pose type 01 (Euler) is streamed; in MVN's network streamer choose "
        "'Position + Orientation (Quaternion)', type 02"
    )


def test_information_messages_are_read_or_skipped(mxtp, fed):
    payload = struct.pack(">i", 1) + mxtp.text("Pelvis") + struct.pack(">3f", 0.0, 0.0, 1.0) + struct.pack(">i", 0)
    points = struct.pack(">ii", 0, 0)
    for kind, body in ((12, b"name:Ada\n"), (13, payload), (13, points), (12, b"color:ff0000\n"), (24, bytes(12))):
        assert fed(mxtp.message(kind, body)) is None
    assert fed.source.character_name == "Ada"
    assert fed.source.null_pose.names == ("Pelvis",)
    assert fed.source.other_messages == {12: 2, 13: 2, 24: 1}
    assert fed.source.counters.rejected == {}


def test_foreign_senders_are_dropped_counted_and_named_once(mxtp, fed, caplog):
    fed(mxtp.pose(0))
    others = [("10.0.0.9", 50000), ("10.0.0.9", 50000), ("192.168.0.7", 50001)]
    assert [fed(mxtp.pose(1), sender=other) for other in others] == [None] * 3
    assert fed.source.counters.foreign == 3
    assert fed.source.foreign_senders == [("10.0.0.9", 50000), ("192.168.0.7", 50001)]
    assert [record.getMessage() for record in caplog.records] == [
        "xsens: ignoring 10.0.0.9:50000; listening to 192.168.0.7:50000",
        "xsens: ignoring 192.168.0.7:50001; listening to 192.168.0.7:50000",
    ]
    assert fed(mxtp.pose(1)).seq == 1
    for k in range(100):
        fed(mxtp.pose(k), sender=("10.0.1.1", k))
    assert len(fed.source.foreign_senders) == MAX_FOREIGN_NAMED


def test_noise_does_not_bind(mxtp, fed):
    fed(b"hello", sender=("10.0.0.9", 1))
    assert fed.source.sender is None
    assert fed(mxtp.pose(0)).seq == 0
    assert fed.source.sender == SENDER


@pytest.mark.parametrize(("silence_ns", "rebound"), [(REBIND_NS, False), (REBIND_NS + 1, True)])
def test_the_same_computer_may_go_on_from_another_port_after_silence(mxtp, fed, silence_ns, rebound):
    fed(mxtp.pose(500))
    pose = fed(mxtp.pose(3), sender=("192.168.0.7", 50001), wait_ns=silence_ns)
    assert (pose is not None) is rebound
    if rebound:
        assert (pose.resets, fed.source.sender, fed.source.counters.foreign) == (1, ("192.168.0.7", 50001), 0)


def test_another_computer_never_takes_over(mxtp, fed):
    fed(mxtp.pose(0))
    assert fed(mxtp.pose(1), sender=("10.0.0.9", 50000), wait_ns=100 * REBIND_NS) is None


@pytest.mark.parametrize(("wanted", "followed"), [(None, 4), (4, 4), (1, 1)])
def test_one_character_is_followed(mxtp, wanted, followed):
    fed = Fed(character=wanted)
    published = [c for k, c in enumerate((4, 1, 4, 1)) if fed(mxtp.pose(k, character=c)) is not None]
    assert published == [followed] * 2
    assert fed.source.counters.rejected == {"other_character": 2}
    other = 5 - followed
    assert fed.source.counters.last_rejection == (
        f"character {other} is streamed too; character {followed} is followed"
    )


def test_state_and_measured_rate(mxtp, fed):
    source = fed.source
    assert source.state_at(0) is SourceState.CLOSED and source.nominal_hz == 60.0
    source._newest.begin()
    assert source.state_at(fed.now_ns) is SourceState.CONNECTING
    fed(b"noise")
    assert source.state_at(fed.now_ns) is SourceState.CONNECTING, "noise is no stream"
    for k in range(400):
        fed(mxtp.pose(k), wait_ns=4_000_000)
        assert source.nominal_hz == pytest.approx(60.0 if k < 63 else 250.0), "measured from a quarter of a second on"
    for k in range(400, 700):
        fed(mxtp.pose(k))
    assert source.nominal_hz == pytest.approx(125.0)
    assert source.state_at(fed.now_ns + 24_000_000) is SourceState.STREAMING
    assert source.state_at(fed.now_ns + 24_000_001) is SourceState.STALE
    fed(mxtp.pose(700), wait_ns=2_000_000_000)
    assert source.state_at(fed.now_ns) is SourceState.STREAMING
    assert source.nominal_hz == pytest.approx(125.0), "a pause is not a rate"


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_whatever_arrives_nothing_is_raised_and_everything_counted(mxtp, data):
    """Streams of datagrams with arbitrary counters, times and damage, from three senders."""
    fed = Fed()
    sent = data.draw(st.integers(1, 12))
    for _ in range(sent):
        raw = bytearray(mxtp.pose(data.draw(U32), data.draw(U32), character=data.draw(st.sampled_from((0, 0, 0, 1)))))
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 759), st.integers(0, 255)), max_size=2)):
            raw[at] = byte
        fed(
            bytes(raw), sender=("127.0.0.1", data.draw(st.integers(1, 3))), wait_ns=data.draw(st.integers(0, 2 * 10**9))
        )
    counters = fed.source.counters
    assert counters.received == sent and counters.lost >= 0
    unused = sum(counters.rejected.values()) + counters.foreign + counters.duplicated + counters.reordered
    assert unused <= sent


def test_real_motion_from_a_capture(fed, shared_data):
    """The 4249 datagrams of a boxing recording: every one used, at 120 Hz, positions as stated in the bytes."""
    packets = list(pcap_udp_payloads((shared_data / "xsens" / "boxing_120hz_mxtp02_DERIVED.pcap").read_bytes()))
    assert len(packets) == 4249
    for k, (t_us, payload) in enumerate(packets):
        pose = fed(payload, wait_ns=t_us * 1000 + 10**12 - fed.now_ns if k else 0)
        assert pose.seq == k
        assert pose.pos_w[6].tolist() == list(struct.unpack_from(">3f", payload, 24 + 32 * 6 + 4))
    counters = fed.source.counters
    assert (counters.rejected, counters.lost, counters.duplicated, counters.reordered) == ({}, 0, 0, 0)
    assert fed.source.nominal_hz == pytest.approx(120.0, rel=1e-3)
    assert (pose.resets, fed.source.sender) == (0, SENDER)


def pcap_udp_payloads(raw):
    """(microseconds since the first, UDP payload) of a classic pcap of raw IPv4 packets (link type 101)."""
    magic, link = struct.unpack_from("<I", raw)[0], struct.unpack_from("<I", raw, 20)[0]
    assert (magic, link) == (0xA1B2C3D4, 101)
    at, first = 24, None
    while at < len(raw):
        seconds, micros, size, _ = struct.unpack_from("<IIII", raw, at)
        packet = raw[at + 16 : at + 16 + size]
        at += 16 + size
        stamp = seconds * 1_000_000 + micros
        first = stamp if first is None else first
        yield stamp - first, packet[4 * (packet[0] & 15) + 8 :]


# --- sockets ---------------------------------------------------------------------------------------------------------


def test_port_in_use_is_one_sentence():
    async def run():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            with pytest.raises(SourceUnavailable) as error:
                await XsensSource(host="127.0.0.1", port=port).open()
        return port, str(error.value)

    port, sentence = asyncio.run(run())
    assert sentence == (
        f"UDP port {port} on 127.0.0.1 is in use by another program; stop it, or choose another port with --port"
    )


def test_an_address_of_another_computer_is_one_sentence():
    with pytest.raises(SourceUnavailable) as error:
        asyncio.run(XsensSource(host="192.0.2.1", port=0).open())
    assert str(error.value) == (
        "cannot listen on 192.0.2.1: it is no address of this computer; 0.0.0.0 listens on all of them"
    )


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_one_sentence(port):
    with pytest.raises(SourceUnavailable, match=f"^UDP port {port} is not between 0 and 65535$"):
        XsensSource(port=port)


def test_after_a_stall_the_consumer_gets_the_newest(mxtp):
    """Forty datagrams wait in the kernel while the loop is blocked: one pose comes out, the fortieth."""

    async def run():
        source = XsensSource(host="127.0.0.1", port=0)
        await source.open()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for k in range(40):
                sender.sendto(mxtp.pose(k), ("127.0.0.1", source.port))
        poses = source.poses()
        pose = await asyncio.wait_for(anext(poses), 5)
        await source.close()
        rest = [later async for later in poses]
        return pose.seq, rest, source.counters.received, source.counters.delivered

    assert asyncio.run(run()) == (39, [], 40, 1)


def test_the_port_is_free_again_after_close():
    async def run():
        first = XsensSource(host="127.0.0.1", port=0)
        await first.open()
        await first.open()
        await first.close()
        await first.close()
        second = XsensSource(host="127.0.0.1", port=first.port)
        await second.open()
        states = first.state, second.state
        await second.close()
        return states

    assert asyncio.run(run()) == (SourceState.CLOSED, SourceState.CONNECTING)
