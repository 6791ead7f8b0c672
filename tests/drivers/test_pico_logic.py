"""The pure parts behind a PICO source: stamps, joint time, origin jumps, grips and buttons; time injected."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico.body_time import BodyState, BodyTime
from teleopd.drivers.pico.messages import Controllers, ControllerSide, Tracking
from teleopd.drivers.pico.operator import BUTTONS, OperatorError, OperatorInput
from teleopd.drivers.pico.recentre import Recentre
from teleopd.drivers.pico.stamps import StampOrder
from teleopd.drivers.sequence import Order

MS, S = 1_000_000, 1_000_000_000
PERIOD = 11 * MS
N, R, D, LATE = Order.NEXT, Order.RESTART, Order.DUPLICATE, Order.REORDERED


class Stamps:
    """A `StampOrder` fed with device stamps [ms] at receive times [ms]."""

    def __init__(self, frames=0):
        self.order = StampOrder()
        self.t = 0
        for _ in range(frames):
            assert self.feed() is N

    def feed(self, ahead_ms=11, wait_ms=None):
        """A frame `ahead_ms` after the newest good one, `wait_ms` after the last; epoch 1.7e9 s."""
        self.stamp = getattr(self, "stamp", 0) + ahead_ms
        self.t += ahead_ms if wait_ms is None else wait_ms
        return self.order.judge(1_700_000_000 * S + self.stamp * MS, self.t * MS)


def test_frames_in_order_are_next():
    stamps = Stamps(200)
    assert stamps.order.lost == 0


def test_the_same_stamp_is_a_duplicate_and_an_older_one_is_late():
    stamps = Stamps(50)
    assert stamps.feed(0, 1) is D
    assert stamps.feed(22) is N and stamps.order.lost == 1
    assert stamps.feed(-11, 1) is LATE and stamps.order.lost == 0
    assert stamps.feed(22, 11) is N and stamps.order.lost == 0


@pytest.mark.parametrize(("gap_ms", "lost"), [(11, 0), (16, 0), (22, 1), (55, 4), (990, 89), (1001, 0)])
def test_lost_frames_are_estimated_from_gaps(gap_ms, lost):
    stamps = Stamps(40)
    assert stamps.feed(gap_ms) is N
    assert stamps.order.lost == lost


def test_half_of_the_frames_may_be_lost_and_the_period_is_still_known():
    rng, stamps, sent, lost = np.random.default_rng(1), Stamps(40), 0, 0
    for _ in range(2000):
        sent += 11
        if rng.random() < 0.3:
            lost += 1
        else:
            stamps.feed(sent)
            sent = 0
    assert stamps.order.lost == pytest.approx(lost, abs=8)


def test_what_an_absent_device_did_not_send_is_not_lost():
    stamps = Stamps(40)
    stamps.order.paused()
    assert stamps.feed(600) is N and stamps.order.lost == 0
    stamps.feed(22)
    assert stamps.order.lost == 1


def test_a_clock_set_back_is_followed():
    stamps = Stamps(50)
    assert stamps.feed(-199, 11) is LATE
    assert stamps.feed(-1, 11) is R
    assert stamps.feed() is N


def test_a_clock_set_back_a_little_is_followed_after_five():
    stamps = Stamps(50)
    assert [stamps.feed(ahead, 11) for ahead in (-100, 11, 11, 11, 11, 11)] == [LATE, LATE, LATE, LATE, R, N]


def test_a_clock_set_forward_is_followed():
    stamps = Stamps(50)
    assert stamps.feed(1011, 11) is N, "within a second it may be a frame that was held up"
    assert stamps.feed(1012, 11) is R
    assert stamps.feed() is N


def test_a_pause_is_no_jump():
    stamps = Stamps(50)
    assert stamps.feed(60_000) is N


def test_frames_held_up_for_seconds_come_in_a_burst():
    """The connection stalls for 3 s and then gives 270 frames at once: all are next, none restarts the clock."""
    stamps = Stamps(50)
    assert stamps.feed(11, 3000) is N
    assert {stamps.feed(11, 0) for _ in range(270)} == {N}


def test_a_clock_set_back_during_a_pause_is_noticed():
    """30 s of pause, the clock 10 s back: still ahead of the newest frame, but behind for good."""
    stamps = Stamps(50)
    orders = [stamps.feed(20_000, 30_000), *(stamps.feed() for _ in range(120))]
    assert orders.count(R) == 1 and 1000 <= 11 * orders.index(R) <= 1022


def test_joint_time_tells_new_from_repeated_and_stale():
    body = BodyTime()
    seen = [
        body.judge((t, t - 1), ("a",), at * MS) for t, at in ((5, 0), (6, 11), (6, 22), (6, 111), (6, 112), (7, 120))
    ]
    new, repeated, stale = BodyState.NEW, BodyState.REPEATED, BodyState.STALE
    assert seen == [new, new, repeated, repeated, stale, new]


def test_joint_time_that_goes_back_is_a_restart():
    body = BodyTime()
    states = [body.judge((t,), ("a",), at * MS) for t, at in ((500, 0), (3, 11), (4, 22))]
    assert states == [BodyState.NEW, BodyState.RESTARTED, BodyState.NEW]


def test_without_joint_time_the_content_counts():
    body = BodyTime()
    states = [
        body.judge((0, 0), (text,), at * MS) for text, at in (("a", 0), ("b", 11), ("b", 22), ("b", 200), ("c", 300))
    ]
    assert states == [BodyState.NEW, BodyState.NEW, BodyState.REPEATED, BodyState.STALE, BodyState.NEW]


def moved(pos, quat, xy=(0.0, 0.0), yaw=0.0):
    turn = rot.about(2, yaw)
    return rot.rotate(turn, pos) + np.array([*xy, 0.0]), rot.multiply(turn, quat)


@pytest.mark.parametrize(
    ("xy", "yaw_deg", "jumped"),
    [((0.0, 0.0), 0.0, False), ((0.05, 0.0), 0.0, False), ((0.06, 0.0), 0.0, True), ((0.0, 0.0), 8.0, False),
     ((0.0, 0.0), 10.0, True), ((0.0, 0.0), -150.0, True), ((3.0, 2.0), 20.0, True)],
)  # fmt: skip
def test_an_origin_that_jumps_moves_every_joint(xy, yaw_deg, jumped):
    clip, recentre = load_motion("stand"), Recentre()
    assert recentre.jumped(clip.pos_w[0], clip.quat_w[0], 0) is False
    assert recentre.jumped(*moved(clip.pos_w[0], clip.quat_w[0], xy, math.radians(yaw_deg)), PERIOD) is jumped
    again = moved(clip.pos_w[1], clip.quat_w[1], xy, math.radians(yaw_deg))
    assert recentre.jumped(*again, 2 * PERIOD) is False, "the new place is followed from then on"


def test_an_arm_that_jumps_is_no_recentre():
    clip, recentre = load_motion("stand"), Recentre()
    pos, quat = clip.pos_w[0].copy(), clip.quat_w[0].copy()
    recentre.jumped(clip.pos_w[0], clip.quat_w[0], 0)
    pos[:22] += 1.0
    quat[:22] = rot.about(0, 2.0)
    assert recentre.jumped(pos, quat, PERIOD) is False


def test_after_a_long_gap_nothing_is_known():
    clip, recentre = load_motion("stand"), Recentre()
    recentre.jumped(clip.pos_w[0], clip.quat_w[0], 0)
    assert recentre.jumped(clip.pos_w[0] + 5.0, clip.quat_w[0], 501 * MS) is False


@pytest.mark.parametrize("motion", ["walk_and_turn", "turn", "squat", "reach"])
def test_no_motion_looks_like_a_recentre(motion):
    clip, recentre = load_motion(motion), Recentre()
    for k in range(0, clip.frames, 2):  # 60 Hz, so that steps are long
        assert recentre.jumped(clip.pos_w[k], clip.quat_w[k], round(k / clip.fps * 1e9)) is False


def tracking(left=None, right=None, active=1):
    return Tracking(
        controller=Controllers(left and ControllerSide(**left), right and ControllerSide(**right)), input=active
    )


@pytest.mark.parametrize(
    ("deadman", "left", "right", "held"),
    [("either_grip", 0.0, 0.0, False), ("either_grip", 1.0, 0.0, True), ("either_grip", 0.0, 0.6, True),
     ("left_grip", 0.0, 1.0, False), ("left_grip", 1.0, 0.0, True), ("right_grip", 1.0, 0.0, False),
     ("right_grip", 0.0, 1.0, True), ("both_grips", 1.0, 0.59, False), ("both_grips", 0.6, 0.6, True)],
)  # fmt: skip
def test_which_grip_is_the_deadman(deadman, left, right, held):
    fingers = OperatorInput(deadman, 0.6).read(tracking({"grip": left}, {"grip": right}))
    assert fingers.deadman is held


def test_a_held_grip_does_not_flutter_around_the_threshold():
    operator = OperatorInput("left_grip", 0.6)
    depths = (0.59, 0.6, 0.55, 0.51, 0.49, 0.55, 0.6)
    held = [operator.read(tracking({"grip": depth})).deadman for depth in depths]
    assert held == [False, True, True, True, False, False, True]


@pytest.mark.parametrize("active", [0, 2])
def test_controllers_that_are_not_in_use_hold_nothing(active):
    operator = OperatorInput()
    assert operator.read(tracking({"grip": 1.0, "primary_button": True})).deadman
    assert operator.read(tracking({"grip": 1.0, "primary_button": True}, active=active)) == (False, frozenset())
    assert operator.read(Tracking()) == (False, frozenset())
    assert operator.read(Tracking(controller=Controllers())) == (False, frozenset())


def test_buttons_by_name_and_by_configured_name():
    pressed = tracking(
        {"primary_button": True, "trigger": 0.9, "menu_button": 1}, {"secondary_button": True, "axis_click": True}
    )
    assert OperatorInput().read(pressed).buttons == {"x", "left_trigger", "left_menu", "stop", "right_stick"}
    named = OperatorInput(names={"x": "force_limit_up"}).read(pressed).buttons
    assert named == {"force_limit_up", "left_trigger", "left_menu", "b", "right_stick"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"deadman": "grip"}, "deadman is 'grip'; choose one of either_grip, left_grip, right_grip, both_grips"),
        ({"threshold": 0.1}, "grip threshold is 0.1; give 0.2 to 1"),
        ({"threshold": math.nan}, "grip threshold is nan; give 0.2 to 1"),
        ({"names": {"c": "stop"}}, f"button 'c' does not exist; there are {', '.join(BUTTONS)}"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings, sentence):
    with pytest.raises(OperatorError) as raised:
        OperatorInput(**settings)
    assert str(raised.value) == sentence
