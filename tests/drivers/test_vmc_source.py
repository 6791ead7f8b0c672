"""VmcSource: datagrams given by hand with injected times; then sockets, for what only a socket can show."""

from __future__ import annotations

import asyncio

import pytest

from teleopd.drivers.emulation import EmulatorError
from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.sender import REBIND_NS
from teleopd.drivers.source import SourceState, SourceUnavailable
from teleopd.drivers.vmc import wire
from teleopd.drivers.vmc.emulator import EmulatorOptions, VmcEmulator
from teleopd.drivers.vmc.source import VmcSource

CLIP = load_motion("walk_and_turn")
DEVICE = VmcEmulator(CLIP)
PERIOD_NS = int(1e9 / CLIP.fps)
SENDER = ("192.168.0.7", 50000)


class Fed:
    """A source fed frames one period apart; what it publishes is read from the slot, as `poses()` does."""

    def __init__(self):
        self.source = VmcSource()
        self.now_ns = 10**12

    def frame(self, number, sender=SENDER, wait_ns=PERIOD_NS, **options):
        self.now_ns += wait_ns
        return self.take(*DEVICE.datagrams(number, **options), sender=sender)

    def take(self, *datagrams, sender=SENDER):
        """The pose these datagrams published, or None."""
        self.source._newest.take()
        for datagram in datagrams:
            self.source.receive(memoryview(datagram), sender, self.now_ns)
        return self.source._newest.pending


@pytest.fixture
def fed():
    return Fed()


def test_a_pose_from_the_second_frame_on(fed):
    assert fed.frame(0) is None
    pose = fed.frame(1)
    assert pose.skeleton.body_names == MVN_SEGMENTS and pose.valid.all()
    assert (pose.seq, pose.t_ns, pose.resets) == (1, fed.now_ns, 0)
    assert (pose.deadman, pose.buttons) == (False, frozenset())
    assert fed.source.other_messages == 6, "blend shapes"


def test_sender_time_shows_queueing(fed):
    fed.frame(0)
    fed.frame(1)
    late = fed.frame(2, wait_ns=PERIOD_NS + 5_000_000)
    assert late.t_ns - late.t_source_ns == pytest.approx(5_000_000, abs=2000)


def test_a_restarted_clock_raises_resets_and_maps_anew(fed):
    for k in range(3):
        fed.frame(k, time_s=1000.0 + k / CLIP.fps)
    pose = fed.frame(3, time_s=0.0)
    assert (pose.resets, pose.t_source_ns) == (1, pose.t_ns)
    assert fed.frame(4, time_s=1 / CLIP.fps).resets == 1
    assert fed.frame(5, time_s=9e8).t_source_ns == fed.now_ns


def test_a_lost_datagram_is_counted_and_nothing_mixed_is_published(fed):
    for k in range(3):
        fed.frame(k)
    fed.now_ns += PERIOD_NS
    assert fed.take(DEVICE.datagrams(3)[0]) is None
    assert fed.frame(4).seq == 4
    assert fed.source.counters.lost == 1


@pytest.mark.parametrize(
    ("status", "reason", "sentence"),
    [
        ((0,), "not_loaded", "the sending program has no avatar loaded"),
        ((1, 0, 0), "not_calibrated", "the sending program is not calibrated; calibrate it in the T-pose"),
        ((1, 3, 0, 0), "tracking_bad", "the sending program says that its tracking is bad"),
    ],
)
def test_a_sender_that_is_not_ready_is_not_followed(fed, status, reason, sentence):
    fed.frame(0)
    assert fed.frame(1).resets == 0
    told = [wire.decode(datagram).transforms for datagram in DEVICE.datagrams(2)]
    bones = [
        wire.encode_message(wire.BONE if name else wire.ROOT, name or "root", *values)
        for part in told for name, values in part.items()
    ]  # fmt: skip
    fed.now_ns += PERIOD_NS
    assert fed.take(wire.encode_bundle([wire.encode_message(wire.STATUS, *status), *bones])) is None
    assert fed.source.counters.rejected == {reason: 1} and fed.source.counters.last_rejection == sentence
    assert fed.frame(3).resets == 1, "what comes after is acquired anew"


def test_a_foreign_sender_is_refused_and_a_restarted_one_followed(fed):
    for k in range(2):
        fed.frame(k)
    assert fed.frame(2, sender=("10.0.0.9", 1)) is None
    assert fed.source.counters.foreign == 2 and fed.source.foreign_senders == [("10.0.0.9", 1)]
    other = (SENDER[0], 50001)
    assert fed.frame(3, sender=other, wait_ns=REBIND_NS + 1) is None, "its first frame tells its bones"
    pose = fed.frame(4, sender=other)
    assert (pose.resets, fed.source.sender) == (1, other)


def test_bad_packets_neither_bind_nor_stop_the_stream(fed):
    assert fed.take(b"junk", wire.encode_message("/chatbox/input", 1), sender=("10.0.0.9", 1)) is None
    assert fed.source.sender is None
    fed.frame(0)
    fed.take(b"junk")
    assert fed.frame(1).seq == 1
    assert fed.source.counters.rejected == {"not_osc": 2}


def test_state(fed):
    source = fed.source
    assert source.state_at(0) is SourceState.CLOSED and source.nominal_hz == 60.0
    source._newest.begin()
    fed.frame(0)
    assert source.state_at(fed.now_ns) is SourceState.CONNECTING
    for k in range(1, 60):
        fed.frame(k)
    assert source.nominal_hz == pytest.approx(CLIP.fps, rel=1e-6)
    assert source.state_at(fed.now_ns + 2 * PERIOD_NS) is SourceState.STREAMING
    assert source.state_at(fed.now_ns + 4 * PERIOD_NS) is SourceState.STALE


def test_without_python_osc_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(wire, "_MISSING", True)
    with pytest.raises(SourceUnavailable) as error:
        asyncio.run(VmcSource(port=0).open())
    assert str(error.value) == "source vmc needs python-osc; install it with: pip install 'teleopd[osc]'"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate_hz": 0.0}, "rate is 0.0 Hz; give 1 to 1000"),
        ({"port": 70000}, "port 70000 is not between 1 and 65535"),
    ],
)
def test_impossible_emulator_settings_are_one_sentence(options, sentence):
    with pytest.raises(EmulatorError) as error:
        VmcEmulator(CLIP, EmulatorOptions(**options))
    assert str(error.value) == sentence


def test_no_datagram_is_split_on_its_way():
    assert [len(d) <= 1404 + 16 for d in DEVICE.datagrams(0)] == [True, True]


def test_the_emulator_streams_over_a_socket_with_losses():
    async def run():
        source = VmcSource(host="127.0.0.1", port=0)
        await source.open()
        emulator = VmcEmulator(CLIP, EmulatorOptions(port=source.port, loss=0.1, dup=0.1, seed=3))
        sending, seen = asyncio.create_task(emulator.run(seconds=1.0)), []

        async def take():
            async for pose in source.poses():
                seen.append(pose)

        taking = asyncio.create_task(take())
        await sending
        await asyncio.sleep(0.05)
        await source.close()
        await taking
        return seen, source.counters, emulator

    seen, counters, emulator = asyncio.run(run())
    assert len(seen) > 10 and counters.rejected == {} and counters.lost > 0 and counters.duplicated > 0
    assert all(a.seq < b.seq and a.t_source_ns <= b.t_ns for a, b in zip(seen, seen[1:], strict=False))
    assert counters.received == emulator.sent


def test_a_frame_that_was_overtaken_is_counted_and_not_followed_back(fed):
    for k in range(4):
        fed.frame(k)
    late = DEVICE.datagrams(2)[0]  # the datagram with the time of two frames ago
    assert fed.take(late) is None
    assert fed.source.counters.reordered == 1
    pose = fed.frame(4)
    assert pose is not None and pose.resets == 0 and pose.t_ns - pose.t_source_ns < 1_000_000
