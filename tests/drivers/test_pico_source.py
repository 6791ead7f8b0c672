"""PicoSource: what it makes of messages, on injected time; no sockets."""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
import pytest

from teleopd.drivers import newest
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico import wire
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.frames import RECENTRE_XY_M
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.source import SourceState, SourceUnavailable

WALL_NS = 1_700_000_000 * 10**9
CLIP = load_motion("walk")


class Fed:
    """A source that is fed an emulator's frames at 90 Hz, delayed by 3 ms."""

    def __init__(self, source=None, **options):
        self.source = PicoSource(**(source or {}))
        self.source._newest.begin()
        self.emulator = PicoEmulator(CLIP, EmulatorOptions(**options))
        self.poses = []

    def now_ns(self, frame):
        return 10**12 + round(frame * 1e9 / 90) + 3_000_000

    def message(self, data, frame):
        before = self.source._newest.pending
        self.source.receive(data, self.now_ns(frame))
        pose = self.source._newest.pending
        if pose is not before:
            self.poses.append(pose)
        return pose if pose is not before else None

    def __call__(self, frames):
        return [self.message(self.emulator.frame(k, WALL_NS), k) for k in frames]


def altered(fed, frame, **changes):
    """A frame with keys of the inner JSON changed; None removes one."""
    feedback = wire.decode_feedback(fed.emulator.frame(frame, WALL_NS))
    outer = json.loads(feedback.content)
    inner = json.loads(outer["value"]) | changes
    outer["value"] = json.dumps({key: value for key, value in inner.items() if value is not None})
    return wire.encode_feedback(feedback._replace(content=json.dumps(outer).encode()))


def test_a_pose_is_what_the_contract_says():
    fed = Fed(grip=1.0)
    for k, pose in enumerate(fed(range(30))):
        assert (pose.seq, pose.t_ns, pose.resets, pose.deadman) == (k, fed.now_ns(k), 0, True)
        assert pose.buttons == {"left_grip", "right_grip"}
        assert 0 <= pose.t_ns - pose.t_source_ns < 1_000_000, "stamps are whole milliseconds"
        assert pose.valid.all() and pose.pos_w.dtype == pose.quat_w.dtype == np.float64
        np.testing.assert_allclose(pose.pos_w[0], fed.emulator.clip.pos_w[k, 0], atol=1e-8)
    assert fed.source.counters.received == 30 and fed.source.counters.rejected == {}
    assert fed.source.device == fed.emulator._options.device


def test_a_press_that_nobody_read_before_the_next_frame_is_not_lost():
    fed, pressed = Fed(), Fed(grip=1.0)
    fed.message(fed.emulator.frame(0, WALL_NS), 0)
    fed.message(pressed.emulator.frame(1, WALL_NS), 1)
    newest = fed.message(fed.emulator.frame(2, WALL_NS), 2)
    assert newest.buttons == {"left_grip", "right_grip"} and newest.deadman is False
    fed.source._newest.take()
    assert fed.message(fed.emulator.frame(3, WALL_NS), 3).buttons == frozenset()


def test_age_shows_the_delay_over_the_least_delayed():
    fed = Fed()
    fed(range(20))
    fed.source.receive(fed.emulator.frame(20, WALL_NS), fed.now_ns(20) + 40_000_000)
    pose = fed.source._newest.pending
    assert 40_000_000 <= pose.t_ns - pose.t_source_ns < 41_000_000


def test_a_stale_body_is_not_delivered_though_stamps_run():
    fed = Fed(grip=1.0, freeze_at_s=0.2, freeze_s=0.395)
    poses = fed(range(54))
    assert fed.source.state_at(fed.now_ns(53)) is SourceState.STALE
    poses += fed(range(54, 90))
    assert [k for k, pose in enumerate(poses) if pose is not None] == [*range(19), *range(54, 90)]
    counters = fed.source.counters
    assert fed.source.repeated == 9, "100 ms at 90 Hz"
    assert counters.rejected == {"stale_body": 26}
    assert counters.last_rejection == (
        "the body has stood still for 100 ms though frames arrive: body tracking stopped; "
        "put the headset on, or calibrate the trackers again"
    )


def test_a_short_repetition_changes_nothing():
    fed = Fed(freeze_at_s=0.2, freeze_s=0.05)
    fed(range(60))
    assert {pose.resets for pose in fed.poses} == {0} and fed.source.counters.rejected == {}


def test_a_body_back_after_standing_still_does_not_continue():
    fed = Fed(freeze_at_s=0.2, freeze_s=0.2)
    poses = fed(range(60))
    assert (poses[18].resets, poses[59].resets) == (0, 1)


def test_a_recentre_is_reported_once_and_not_followed():
    fed = Fed(recenter_at_s=0.5)
    poses = fed(range(90))
    assert [pose.resets for pose in poses] == [0] * 45 + [1] * 45
    assert fed.source.recentres == 1
    jump = poses[45].pos_w[0, :2] - poses[44].pos_w[0, :2]
    assert np.linalg.norm(jump) > 0.5 * np.linalg.norm(RECENTRE_XY_M), "the pose itself is as the device says"


def test_focus_lost_stops_poses_and_the_return_does_not_continue():
    fed = Fed(grip=1.0, focus_lost_at_s=0.3, focus_lost_s=0.1)
    poses = fed(range(60))
    assert [k for k, pose in enumerate(poses) if pose is None] == list(range(27, 36))
    assert (poses[26].resets, poses[36].resets) == (0, 1)
    assert fed.source.counters.rejected == {"focus_lost": 9}
    assert fed.source.counters.last_rejection == (
        "XRoboToolkit is not in front on the headset: a menu is open, or the headset is off"
    )


def test_a_clock_that_is_set_moves_no_pose():
    for jump_s in (5.0, -5.0, 3600.0):
        fed = Fed(clock_jump_at_s=0.3, clock_jump_s=jump_s)
        poses = fed(range(60))
        assert None not in poses and {pose.resets for pose in poses} == {0}
        assert all(0 <= pose.t_ns - pose.t_source_ns < 1_000_000 for pose in poses)
        assert fed.source.counters.lost == 0


def test_duplicates_and_late_frames_are_counted_and_dropped():
    fed = Fed()
    fed(range(40))
    assert fed([39, 38, 41, 40, 42]) == [None, None, fed.poses[-2], None, fed.poses[-1]]
    counters = fed.source.counters
    assert (counters.duplicated, counters.reordered, counters.lost) == (1, 2, 0)
    assert counters.received == 45


def test_a_missing_headset_is_named_and_its_return_does_not_continue():
    fed = Fed()
    fed(range(20))
    fed.message(wire.encode_feedback(wire.Feedback(wire.MISSING, "another")), 20)
    assert fed.source.counters.rejected == {}
    fed.message(wire.encode_feedback(wire.Feedback(wire.MISSING, fed.source.device)), 20)
    assert fed.source.counters.rejected == {"device_missing": 1}
    assert fed.source.counters.last_rejection == f"headset {fed.source.device} has left the PC service"
    assert fed([22])[0].resets == 1 and fed.source.counters.lost == 0


def test_a_second_headset_is_refused_and_named():
    fed, other = Fed(device="FIRST"), Fed(device="SECOND")
    fed(range(5))
    before = len(fed.poses)
    for k in range(5, 9):
        assert fed.message(other.emulator.frame(k, WALL_NS), k) is None
    assert len(fed.poses) == before and fed.source.counters.foreign == 4
    assert fed.source.foreign_devices == ["SECOND"]
    assert fed.source.counters.last_rejection == "headset SECOND streams too; FIRST is followed"


def test_the_chosen_headset_is_followed_from_the_start():
    fed = Fed(source={"device": "SECOND"}, device="FIRST")
    assert fed(range(3)) == [None] * 3 and fed.source.foreign_devices == ["FIRST"]


@pytest.mark.parametrize(
    ("changes", "reason", "sentence"),
    [
        ({"Body": None}, "no_body",
         "frames carry no body; choose full-body tracking in XRoboToolkit and calibrate the trackers"),
        ({"Body": {"joints": [{"p": "0,0,0,0,0,0,1"}] * 23}}, "wrong_count", "body has 23 joints; 24 are expected"),
        ({"Body": {"joints": [{"p": "0,0,0,0,0,0,0"}] * 24}}, "zero_body",
         "every body joint is zero: body tracking is not running; calibrate the motion trackers"),
        ({"timeStampNs": None}, "no_stamp", "a frame carries no timeStampNs; update XRoboToolkit on the headset"),
        ({"Body": {"joints": 3}}, "json", "the device's state cannot be read as tracking JSON: "
         "Expected `array`, got `int` - at `$.Body.joints`"),
    ],
)  # fmt: skip
def test_frames_that_cannot_be_used_are_counted_with_one_sentence(changes, reason, sentence):
    fed = Fed()
    assert fed.message(altered(fed, 0, **changes), 0) is None
    assert fed.source.counters.rejected == {reason: 1}
    assert fed.source.counters.last_rejection == sentence
    assert fed.source.counters.received == 1
    assert fed.source.device is None, "what cannot be used binds no headset"


def test_noise_is_counted_and_harmless():
    fed = Fed()
    fed.message(b"\xff\xff\xff", 0)
    assert fed.source.counters.received == 1 and sum(fed.source.counters.rejected.values()) == 1
    assert fed([0])[0].seq == 0


def test_events_are_counted_in_bounded_memory():
    fed = Fed()
    for k in range(100):
        fed.message(wire.encode_feedback(wire.Feedback(f"event{k}", "x")), k)
    assert len(fed.source.events) == 17 and fed.source.events["other"] == 84


def test_extras_are_in_world_axes():
    fed = Fed(hands=True, trackers=3)
    assert fed.source.extras is None
    fed([0])
    extras, clip = fed.source.extras, fed.emulator.clip
    names = clip.skeleton.body_names
    head, hand = names.index("Head"), names.index("LeftHand")
    np.testing.assert_allclose(extras.head.pos_w, clip.pos_w[0, head], atol=1e-8)
    assert abs(extras.head.quat_w @ clip.quat_w[0, head]) == pytest.approx(1.0)
    np.testing.assert_allclose(extras.left_hand.pos_w[1], clip.pos_w[0, hand], atol=1e-8)
    assert extras.left_hand.active and extras.right_hand.pos_w.shape == (26, 3)
    assert extras.left_hand.radius_m.tolist() == [0.01] * 26
    assert [tracker.serial for tracker in extras.trackers] == ["PC2310LEFT", "PC2310RIGHT", "PC2310WAIST"]
    np.testing.assert_allclose(extras.trackers[2].pose.pos_w, clip.pos_w[0, 0], atol=1e-8)
    assert np.linalg.norm(extras.left.pose.pos_w - clip.pos_w[0, hand]) == pytest.approx(0.06)
    assert extras.t_ns == fed.now_ns(0)


def test_extras_that_cannot_be_read_do_not_harm_the_pose():
    fed = Fed()
    assert fed.message(altered(fed, 0, Hand={"leftHand": {"HandJointLocations": [{"p": "1"}]}}), 0) is not None
    assert fed.source.extras is None
    assert fed.source.counters.last_rejection == "a hand has 1 joints; 26 are expected"


def test_states_and_rate():
    fed = Fed()
    source = fed.source
    source._newest.end()
    assert source.state_at(0) is SourceState.CLOSED
    source._newest.begin()
    assert source.state_at(0) is SourceState.CONNECTING and source.nominal_hz == 72.0
    fed(range(100))
    assert source.nominal_hz == pytest.approx(90.0, rel=1e-6)
    assert source.state_at(fed.now_ns(99) + 33_000_000) is SourceState.STREAMING
    assert source.state_at(fed.now_ns(99) + 34_000_000) is SourceState.STALE


class Script:
    """A link that feeds frames at given delays [ms], giving the consumer a turn after each, and then stays silent."""

    def __init__(self, delays_ms):
        self.delays_ms = delays_ms
        self.runs = 0
        self.over = asyncio.Event()

    async def run(self, connected, receive):
        self.runs += 1
        connected()
        emulator = PicoEmulator(CLIP)
        frames = [emulator.frame(k, WALL_NS) for k in range(len(self.delays_ms))]
        for k, delay_ms in enumerate(self.delays_ms):
            receive(frames[k], 10**12 + round(k * 1e9 / 90) + round(delay_ms * 1e6))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.over.set()
        await asyncio.sleep(60)


def test_frames_that_were_held_up_are_skipped_for_the_newest(monkeypatch):
    """Ten frames in time, then thirty that a stall of 0.4 s held back: of those, the last is handed on."""
    monkeypatch.setattr(newest, "SETTLE_S", 0.5)  # as busy as this machine may be, it is through by then

    async def run():
        link = Script([1.0] * 10 + [400.0 - 11.1 * k for k in range(30)])
        source, seen = PicoSource(link=link), []
        await source.open()
        async for pose in source.poses():
            seen.append(pose.seq)
            if pose.seq == 39:
                await source.close()
        return seen, source.counters.received

    seen, received = asyncio.run(asyncio.wait_for(run(), 20))
    assert seen[:10] == list(range(10)) and seen[-1] == 39 and received == 40
    assert len(seen) < 20, "a queue was walked through"


def test_a_link_that_raises_is_tried_again():
    class Broken:
        async def run(self, connected, receive):
            raise OSError("no such thing")

    async def run():
        source = PicoSource(link=Broken())
        await source.open()
        while source.reconnect.attempts < 2:
            await asyncio.sleep(0.01)
        await source.close()
        return source.why_silent()

    assert asyncio.run(asyncio.wait_for(run(), 20)) == "the connection failed: OSError: no such thing"


def test_what_is_missing_is_said_in_plain_words():
    source = PicoSource()
    source.reconnect.begin(0)
    source.reconnect.failed(0, "no PC service answers at 127.0.0.1:60061; start XRoboToolkit's PC service there")
    assert source.why_silent() == source.reconnect.last_failure
    source.reconnect.begin(1)
    source.reconnect.connected(1)
    assert source.why_silent() == (
        "the PC service runs, but no headset is connected to it; connect in XRoboToolkit on the headset"
    )
    source.receive(wire.encode_feedback(wire.Feedback(wire.FIND, "P1")), 2)
    assert source.why_silent() == (
        "a headset is connected, but sends no tracking; switch on 'Send' in XRoboToolkit on the headset"
    )


def test_a_grip_is_pressed_when_it_is():
    fed = Fed(grip=1.0, grip_at_s=0.1)
    assert [pose.deadman for pose in fed(range(20))] == [False] * 9 + [True] * 11


def test_an_unknown_backend_is_one_sentence():
    with pytest.raises(SourceUnavailable, match="^backend is 'usb'; choose one of grpc, sdk$"):
        PicoSource(backend="usb")


@pytest.mark.parametrize("port", [0, 65536])
def test_an_impossible_port_is_one_sentence(port):
    with pytest.raises(SourceUnavailable, match=f"^port {port} of the PC service is not between 1 and 65535$"):
        asyncio.run(PicoSource(port=port).open())


def test_without_grpcio_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SourceUnavailable) as raised:
        asyncio.run(PicoSource().open())
    assert str(raised.value) == "PICO needs the package grpcio; install it with: pip install 'teleopd[pico]'"
