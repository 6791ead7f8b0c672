"""NatNetSource: datagrams given by hand with injected times; the server's words are written by the encoder, which
test_natnet_wire.py holds against byte tables."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.emulator import CLOCK_HZ, EmulatorOptions, NatNetEmulator, models
from teleopd.drivers.natnet.messages import FrameFlag, Kind, ServerInfo
from teleopd.drivers.natnet.network import MAX_FOREIGN_NAMED
from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.source import SourceError, SourceState, SourceUnavailable

SERVER = ("192.168.0.106", 1510)
FRAMES = ("192.168.0.106", 1511)
V = (4, 1)
INFO = ServerInfo("Motive", (3, 0, 0, 0), (4, 1, 0, 0), CLOCK_HZ, 1511, False, "239.255.42.99")
PERIOD_NS = 8_333_333
CLIP = load_motion("wave")


class Fed:
    """A source fed datagrams one period apart; what it sends is kept, what it publishes read as `poses()` does."""

    def __init__(self, info=INFO, greet=True, define=True, emulated=None, **options):
        self.source = NatNetSource(**options)
        self.sent = []
        self.source.network.command.send = lambda datagram, to: self.sent.append((datagram, to)) or ""
        self.device = NatNetEmulator(CLIP, emulated or EmulatorOptions())
        self.now_ns = 10**12
        if greet:
            self.source._session.due(self.now_ns)
            self(wire.encode_server_info(info), SERVER)
        if define:
            self(encode.encode_modeldef(models(CLIP, emulated or EmulatorOptions()), V), SERVER)

    def __call__(self, datagram, sender=FRAMES, wait_ns=PERIOD_NS):
        """The pose this datagram published, or None."""
        self.now_ns += wait_ns
        self.source._newest.take()
        self.source.receive(memoryview(datagram), sender, self.now_ns)
        return self.source._newest.pending

    def frame(self, number, *, sent_ns=None, **changes):
        """An emulated frame, sent now, one period after the last, unless told otherwise."""
        at = self.now_ns + PERIOD_NS if sent_ns is None else sent_ns
        raw = self.device.datagram(number % 400, at)
        changes["number"] = number
        return encode.encode_frame(wire.decode(raw, V).body._replace(**changes), V)

    def kinds(self):
        names = [wire.decode(datagram, V).kind.name for datagram, _ in self.sent]
        self.sent.clear()
        return names


@pytest.fixture
def fed():
    return Fed()


def test_a_pose_carries_what_the_frame_said(fed):
    pose = fed(fed.frame(41))
    assert pose.skeleton.family == "mvn" and pose.skeleton.body_names == MVN_SEGMENTS
    assert (pose.seq, pose.t_ns, pose.resets, pose.deadman, pose.buttons) == (41, fed.now_ns, 0, False, frozenset())
    assert pose.t_ns - pose.t_source_ns == pytest.approx(5_400_000, abs=200), "the server's own pipeline shows as age"
    np.testing.assert_allclose(pose.pos_w[[0, 6, 22]], CLIP.pos_w[41][[0, 6, 22]], atol=1e-6)
    assert pose.valid.all() and fed.source.counters.rejected == {}


def test_the_handshake_asks_for_everything(fed):
    assert {to for _, to in fed.sent} == {SERVER}, "the one that answered the discovery"
    assert fed.kinds() == ["CONNECT", "REQUEST", "KEEPALIVE", "ECHOREQUEST", "REQUEST_MODELDEF"]


def test_frames_before_the_servers_version_is_known_are_not_guessed_at():
    fed = Fed(greet=False, define=False)
    assert fed(fed.frame(0)) is None and fed.source.counters.rejected == {}
    assert fed.source.server is None


def test_without_definitions_frames_are_waited_with_and_then_complained_about():
    fed = Fed(define=False)
    assert [fed(fed.frame(k)) for k in range(200)] == [None] * 200
    assert fed.source.counters.rejected == {}
    for k in range(200, 300):
        fed(fed.frame(k))
    assert fed.source.counters.last_rejection == (
        "frames arrive, but 192.168.0.106 sends no model definitions from its command port 1510"
    )


def test_the_stamp_follows_the_echo_not_the_network(fed):
    """A frame 30 ms late on the way is 30 ms older; the echo's offset is exact for a symmetric way."""
    sent_ns = fed.now_ns
    fed.source._session._echoes = [sent_ns]
    fed(wire.encode_echo(sent_ns, (sent_ns + 86_400 * 10**9 + 1_000_000) // 100), SERVER, wait_ns=2_000_000)
    assert fed.source.round_trip_ns == 2_000_000
    pose = fed(fed.frame(1, sent_ns=fed.now_ns), wait_ns=30_000_000)
    assert pose.t_ns - pose.t_source_ns == pytest.approx(35_400_000, abs=200)


def test_an_echo_nobody_asked_for_does_not_move_the_clock(fed):
    fed(wire.encode_echo(12345, 1), SERVER)
    assert fed.source.round_trip_ns is None


def test_lost_duplicated_and_reordered_are_counted_and_not_published(fed):
    published = [fed(fed.frame(k)) is not None for k in (0, 1, 1, 4, 3, 3, 5)]
    counters = fed.source.counters
    assert published == [True, True, False, True, False, False, True]
    assert (counters.lost, counters.duplicated, counters.reordered) == (1, 2, 1)


def test_a_clock_jump_is_a_reset_and_asks_the_clock_anew(fed):
    fed(fed.frame(0))
    fed.kinds()
    pose = fed(fed.frame(1, sent_ns=fed.now_ns + 3600 * 10**9))
    assert pose.resets == 1
    assert pose.t_ns - pose.t_source_ns == pytest.approx(5_400_000, abs=200)
    fed.source._send(fed.source._session.due(fed.now_ns))
    assert "ECHOREQUEST" in fed.kinds()


def test_changed_models_are_asked_for_once(fed):
    fed.source._session._models_asked_ns = None
    fed.kinds()
    for k in range(30):
        fed(fed.frame(k, params=FrameFlag.MODELS_CHANGED))
        fed.source._send(fed.source._session.due(fed.now_ns))
        if k == 3:
            fed(encode.encode_modeldef(models(CLIP, EmulatorOptions()), V), SERVER, wait_ns=0)
    assert fed.kinds().count("REQUEST_MODELDEF") == 1
    assert fed.source.resets == 0, "they say the same"


def test_a_skeleton_no_definition_speaks_of_is_asked_about(fed):
    skeletons = wire.decode(fed.frame(0), V).body.skeletons
    fed(fed.frame(0, skeletons=(*skeletons, skeletons[0]._replace(id=77))))
    assert fed.source._session._models_wanted


def test_a_skeleton_that_changes_midstream_is_a_reset(fed):
    fed(fed.frame(0))
    taller = models(CLIP, EmulatorOptions())
    bones = [b._replace(offset=tuple(1.1 * v for v in b.offset)) for b in taller.skeletons[0].bones]
    taller = taller._replace(skeletons=(taller.skeletons[0]._replace(bones=tuple(bones)),))
    fed(encode.encode_modeldef(taller, V), SERVER)
    assert fed(fed.frame(2)).resets == 1


def test_two_skeletons_stop_the_stream_until_one_is_left(fed):
    one = models(CLIP, EmulatorOptions())
    two = one._replace(skeletons=(one.skeletons[0], one.skeletons[0]._replace(name="Bob", id=2)))
    fed(encode.encode_modeldef(two, V), SERVER)
    assert fed(fed.frame(1)) is None
    assert fed.source.counters.rejected == {"two_skeletons": 2}
    assert fed.source.counters.last_rejection == "2 skeletons are streamed: 'Operator', 'Bob'; choose one by name"
    fed(encode.encode_modeldef(one, V), SERVER)
    pose = fed(fed.frame(2))
    assert (pose.seq, pose.resets) == (2, 0)
    fed(encode.encode_modeldef(two, V), SERVER)
    fed(encode.encode_modeldef(one._replace(skeletons=(two.skeletons[1],)), V), SERVER)
    skeleton = wire.decode(fed.frame(3), V).body.skeletons[0]
    assert fed(fed.frame(3, skeletons=(skeleton._replace(id=2),))).resets == 1, "somebody else"


def test_rigid_bodies_alone_are_six_points():
    fed = Fed(emulated=EmulatorOptions(rigid_bodies=True))
    pose = fed(fed.frame(9))
    assert pose.valid.sum() == 6 and pose.valid[[0, 6]].all()
    np.testing.assert_allclose(pose.pos_w[pose.valid], CLIP.pos_w[9][pose.valid], atol=1e-6)


def test_bad_datagrams_are_counted_and_the_stream_goes_on(fed):
    fed(fed.frame(0))
    for bad in (b"", b"\x07\x00\xff\xff", fed.frame(1)[:500], bytes(65508)):
        assert fed(bad) is None
    assert fed(fed.frame(2)).seq == 2
    assert fed.source.counters.rejected == {"truncated": 3, "oversized": 1}


def test_foreign_senders_are_dropped_counted_and_named_once(fed, caplog):
    fed(fed.frame(0))
    others = [("10.0.0.9", 1511), ("10.0.0.9", 1511), (SERVER[0], 5000)]
    assert [fed(fed.frame(k), sender=other) for k, other in enumerate(others, 1)] == [None] * 3
    assert fed.source.counters.foreign == 3 and fed.source.foreign_senders == [others[0], others[2]]
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "optitrack: ignoring 10.0.0.9:1511; listening to 192.168.0.106:1511",
        "optitrack: ignoring 192.168.0.106:5000; listening to 192.168.0.106:1511",
    ]
    assert fed(fed.frame(9)).seq == 9
    for k in range(100):
        fed(b"x", sender=("10.0.1.1", k))
    assert len(fed.source.foreign_senders) == MAX_FOREIGN_NAMED


def test_a_restarted_server_of_another_version_is_read_in_its_own(fed):
    fed(fed.frame(0))
    fed(wire.encode_server_info(INFO._replace(natnet_version=(3, 0, 0, 0))), SERVER)
    old = encode.encode_frame(wire.decode(fed.frame(1), V).body, (3, 0))
    assert fed(old).resets == 1


def test_state_trouble_and_rate(fed):
    source = fed.source
    assert source.state_at(0) is SourceState.CLOSED and source.nominal_hz == 120.0
    fed(wire.encode(Kind.RESPONSE, np.float32(240.0).tobytes()), SERVER)
    assert source.nominal_hz == 240.0
    source._ticking = object()
    assert source.state_at(fed.now_ns) is SourceState.CONNECTING
    assert source.trouble == "192.168.0.106 answers but sends no frames"
    for k in range(60):
        fed(fed.frame(k))
    assert source.nominal_hz == pytest.approx(120.0, rel=1e-3)
    assert source.state_at(fed.now_ns + 24_990_000) is SourceState.STREAMING
    assert source.state_at(fed.now_ns + 25_010_000) is SourceState.STALE


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"port": 0}, "command port 0 or data port 0 is not between 1 and 65535"),
        ({"up_axis": "x"}, "up axis is 'x'; choose y or z"),
        ({"group": "10.0.0.1"}, "'10.0.0.1' is no multicast address; give one from 224.0.0.0 up, 'none' or nothing"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(SourceError) as error:
        NatNetSource(**options)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": "no.such.host.invalid"}, "cannot find the computer 'no.such.host.invalid': "),
        ({"local": "192.0.2.1"}, "cannot listen on 192.0.2.1: it is no address of this computer; "),
    ],
)
def test_addresses_that_cannot_be_used_are_one_sentence(options, sentence):
    with pytest.raises(SourceUnavailable) as error:
        asyncio.run(NatNetSource(**options).open())
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whatever_arrives_nothing_is_raised_and_everything_counted(data):
    """Streams of valid messages with arbitrary numbers, times and damage, from three senders."""
    fed = Fed()
    before = fed.source.counters.received
    sent = data.draw(st.integers(1, 10))
    for _ in range(sent):
        raw = bytearray(
            data.draw(
                st.sampled_from(
                    (
                        fed.frame(data.draw(st.integers(0, 2**31 - 1)), params=data.draw(st.integers(0, 15))),
                        wire.encode_server_info(INFO),
                        encode.encode_modeldef(models(CLIP, EmulatorOptions()), V),
                        wire.encode_echo(1, 2),
                    )
                )
            )
        )
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=3)):
            raw[at] = byte
        sender = data.draw(st.sampled_from((SERVER, FRAMES, ("10.0.0.9", 1))))
        fed(bytes(raw), sender, wait_ns=data.draw(st.integers(0, 2 * 10**9)))
    assert fed.source.counters.received == before + sent and fed.source.counters.lost >= 0
