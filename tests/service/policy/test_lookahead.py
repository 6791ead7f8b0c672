"""Lookahead: what a policy is told of frames that have not come, and that safety goes on judging the newest one."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from teleopd.robots.model import LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.words import Mode
from teleopd.service.control_process import ControlStage
from teleopd.service.policy.card import Card
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.errors import Unsupported
from teleopd.service.policy.lookahead import (
    FADE_S,
    Buffer,
    DelayLine,
    Lookahead,
    delay_s,
    extrapolate,
    with_lookahead,
    words,
)
from teleopd.service.policy.runtime import PolicyOutput

POLICIES = MODEL.mjcf.parent / "policies"
N = MODEL.n
TICK_NS = 20_000_000
MS = 1_000_000
LOWER, UPPER = MODEL.limits.q_lower, MODEL.limits.q_upper


def gentle(way: str) -> Card:
    """Looks 2, 4, 8 and 16 ticks ahead."""
    return with_lookahead(load_card(POLICIES / "layouts" / "gentle_humanoid.toml"), way)


def moving(make_reference: Callable[..., Reference], t_ns: int, speed: float = 1.0, **fields: object) -> Reference:
    """A person whose left elbow turns and whose root walks forward, both with `speed`, and who turns left at 0.5."""
    seconds = t_ns / 1e9
    q, dq = MODEL.q_stand.copy(), np.zeros(N)
    q[18], dq[18] = 0.2 + speed * seconds, speed
    yaw = 0.5 * seconds
    return make_reference(
        N, seq=t_ns // TICK_NS + 1, t_ns=t_ns, t_content_ns=t_ns, q=q, dq=dq,
        root_pos_w=np.array([speed * seconds, 0.0, 0.79]), root_lin_vel_w=np.array([speed, 0.0, 0.0]),
        root_quat_w=np.array([math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]),
        root_ang_vel_w=np.array([0.0, 0.0, 0.5]), **fields,
    )  # fmt: skip


def test_the_delay_line_gives_the_motion_of_any_moment_it_holds(make_reference):
    line, found = DelayLine(N, 8), Buffer(N)
    assert not line.read(0, found)
    for t_ns in (1 * TICK_NS, 2 * TICK_NS, 3 * TICK_NS):
        assert line.push(moving(make_reference, t_ns))
    assert line.read(45 * MS, found)
    assert found.q[18] == pytest.approx(0.2 + 0.045)
    assert found.pos[0] == pytest.approx(0.045)
    assert 2 * math.atan2(found.quat[3], found.quat[0]) == pytest.approx(0.5 * 0.045, abs=1e-6)
    assert found.dq[18] == pytest.approx(1.0)
    line.read(10 * MS, found)
    assert (found.q[18], found.dq[18]) == (pytest.approx(0.22), 0.0), "before the oldest frame it stands still"
    line.read(90 * MS, found)
    assert (found.q[18], found.dq[18]) == (pytest.approx(0.26), 1.0), "after the newest it is as it came"


def test_a_full_line_forgets_the_oldest_and_a_gap_is_held_not_bridged(make_reference):
    line, found = DelayLine(N, 3), Buffer(N)
    for i in range(1, 6):
        line.push(moving(make_reference, i * TICK_NS))
    line.read(1 * TICK_NS, found)
    assert found.q[18] == pytest.approx(0.2 + 0.06), "frames 3, 4, 5 are left"
    line.push(moving(make_reference, 300 * MS))
    line.read(200 * MS, found)
    assert (found.q[18], found.dq[18]) == (pytest.approx(0.3), 0.0), "the frame before the gap, standing still"


def test_frames_that_are_old_unsound_or_of_another_motion(make_reference):
    line, found = DelayLine(N, 4), Buffer(N)
    line.push(moving(make_reference, 100 * MS))
    assert line.push(moving(make_reference, 90 * MS)), "sound, and known already"
    line.read(95 * MS, found)
    assert found.q[18] == pytest.approx(0.3)
    assert not line.push(moving(make_reference, 120 * MS)._replace(q=np.full(N, np.nan)))
    assert not line.push(moving(make_reference, 120 * MS)._replace(q=np.zeros(N - 1)))
    line.push(moving(make_reference, 120 * MS, resets=1))
    line.read(100 * MS, found)
    assert found.q[18] == pytest.approx(0.32), "a motion that restarted has no past"


@pytest.mark.parametrize("ahead_s", [0.02, 0.1, 0.32])
def test_extrapolation_fades_as_its_formula_says(make_reference, ahead_s: float):
    start, found = moving(make_reference, 0), Buffer(N)
    extrapolate(start, ahead_s, LOWER, UPPER, found)
    reach = FADE_S * (1.0 - math.exp(-ahead_s / FADE_S))
    assert found.q[18] == pytest.approx(0.2 + reach)
    assert found.dq[18] == pytest.approx(math.exp(-ahead_s / FADE_S))
    assert found.pos[0] == pytest.approx(reach)
    assert 2 * math.atan2(found.quat[3], found.quat[0]) == pytest.approx(0.5 * reach)
    assert float(found.quat @ found.quat) == pytest.approx(1.0)


def test_extrapolation_is_bounded_and_stops_at_the_joint_limits(make_reference):
    wild = make_reference(
        N, q=UPPER - 0.01, dq=np.full(N, 15.0), root_lin_vel_w=np.array([100.0, 0.0, 0.0]),
        root_ang_vel_w=np.array([0.0, 0.0, 50.0]),
    )  # fmt: skip
    found = Buffer(N)
    extrapolate(wild, 0.32, LOWER, UPPER, found)
    assert found.q.tobytes() == UPPER.tobytes()
    assert not found.dq.any()
    assert found.pos[0] == pytest.approx(0.3)
    assert 2 * math.atan2(found.quat[3], found.quat[0]) == pytest.approx(0.5)
    low = wild._replace(q=np.zeros(N))
    extrapolate(low, 0.32, np.full(N, -9.0), np.full(N, 9.0), found)
    assert found.q == pytest.approx(np.full(N, 0.5))


def test_hold_and_a_policy_that_does_not_look_ahead_have_no_window(make_reference):
    reference = moving(make_reference, TICK_NS)
    for card in (gentle("hold"), load_card(POLICIES / "twist2.toml")):
        served = Lookahead(MODEL, card)
        assert served.present(reference, TICK_NS) is reference
        assert served.window(reference, True) is None


def test_delay_shows_what_has_come_as_what_is_coming_under_the_newest_stamps(make_reference):
    served, card = Lookahead(MODEL, gentle("delay")), gentle("delay")
    now_ns = 40 * TICK_NS
    for i in range(1, 41):
        newest = moving(make_reference, i * TICK_NS)
        present = served.present(newest, i * TICK_NS)
    assert present is not None
    assert present.q[18] == pytest.approx(0.2 + (now_ns - 320 * MS) / 1e9)
    assert (present.seq, present.t_ns, present.t_content_ns) == (newest.seq, newest.t_ns, newest.t_content_ns)
    turned = present._replace(root_pos_w=np.array([5.0, 5.0, 0.79]), q=present.q + 0.05)
    window = served.window(turned, True)
    assert window is not None
    for step, coming in zip(card.future_steps, window, strict=True):
        assert coming.q[18] == pytest.approx(present.q[18] + 0.05 + 0.02 * step)
        assert coming.root_pos_w[0] == pytest.approx(5.0 + 0.02 * step)
        yaw = 2 * math.atan2(coming.root_quat_w[3], coming.root_quat_w[0])
        assert yaw == pytest.approx(0.5 * ((now_ns - 320 * MS) / 1e9 + 0.02 * step), abs=1e-5)
    assert served.window(turned, False) is None, "nothing is coming while the guard holds or stands"


def test_a_window_turns_with_what_the_guard_has_turned(make_reference):
    served = Lookahead(MODEL, gentle("delay"))
    for i in range(1, 41):
        present = served.present(moving(make_reference, i * TICK_NS), i * TICK_NS)
    assert present is not None
    quarter = np.array([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])
    yaw = 2 * math.atan2(present.root_quat_w[3], present.root_quat_w[0])
    w, z = math.cos(yaw / 2), math.sin(yaw / 2)
    shaped = present._replace(
        root_pos_w=np.zeros(3), root_lin_vel_w=np.array([0.0, 1.0, 0.0]),
        root_quat_w=np.array([quarter[0] * w - quarter[3] * z, 0.0, 0.0, quarter[0] * z + quarter[3] * w]),
    )  # fmt: skip
    window = served.window(shaped, True)
    assert window is not None
    assert window[-1].root_pos_w == pytest.approx([0.0, 0.32, 0.0], abs=1e-9), "forward is to the left now"


def test_an_unsound_reference_reaches_the_guard_as_it_is(make_reference):
    served = Lookahead(MODEL, gentle("delay"))
    served.present(moving(make_reference, TICK_NS), TICK_NS)
    bad = moving(make_reference, 2 * TICK_NS)._replace(dq=np.full(N, np.inf))
    assert served.present(bad, 2 * TICK_NS) is bad
    assert served.present(None, 3 * TICK_NS) is None


class Watching:
    """A policy that remembers what it was shown."""

    def __init__(self, card: Card) -> None:
        self.card, self.kp, self.kd = card, np.ones(N), np.ones(N)
        self.window: list[Reference] | None = None

    def reset(self) -> None: ...

    def set_force_limit(self, newton: float) -> None: ...

    def step(self, reference: Reference, _state: LowState, window: list[Reference] | None = None) -> PolicyOutput:
        self.window = window
        return PolicyOutput(reference.q, True, reference.q)


@pytest.fixture
def delayed(g1_state: LowState, make_reference) -> tuple[ControlStage, Watching, int]:
    """A control stage with 320 ms of delay after 3 s of following, and the time of its next tick."""
    runtime = Watching(gentle("delay"))
    stage = ControlStage(MODEL, ReferenceGuard(MODEL), runtime)  # type: ignore[arg-type]
    for i in range(1, 151):
        mode = Mode.ARMED if i < 10 else Mode.ACTIVE
        stage.tick(moving(make_reference, i * TICK_NS, speed=0.3), g1_state, mode, i * TICK_NS)
    return stage, runtime, 151 * TICK_NS


def test_safety_judges_the_newest_frame_and_the_policy_follows_a_late_one(delayed, g1_state, make_reference):
    stage, runtime, now = delayed
    newest = moving(make_reference, now, speed=0.3)
    tick = stage.tick(newest, g1_state, Mode.ACTIVE, now)
    assert (tick.targets.t_reference_ns, tick.targets.t_content_ns) == (now, now)
    assert tick.shaped.q[18] == pytest.approx(0.2 + 0.3 * (now - 320 * MS) / 1e9)
    assert runtime.window is not None
    assert runtime.window[-1].q[18] == pytest.approx(newest.q[18])
    status = stage.status(now)
    assert (status.way, status.horizon_ms, status.delay_ms) == (3, 320.0, 320.0)


def test_letting_go_holds_at_once_whatever_is_still_in_the_line(delayed, g1_state: LowState, make_reference):
    stage, runtime, now = delayed
    before = stage.tick(moving(make_reference, now, speed=0.3), g1_state, Mode.ACTIVE, now).shaped
    now += TICK_NS
    held = stage.tick(moving(make_reference, now, speed=0.3), g1_state, Mode.HOLD, now).shaped
    assert held.q.tobytes() == before.q.tobytes()
    assert not held.dq.any()
    assert runtime.window is None


def test_a_silent_source_is_held_as_soon_as_its_newest_frame_is_stale(delayed, g1_state: LowState, make_reference):
    stage, runtime, now = delayed
    last = moving(make_reference, now, speed=0.3)
    for _ in range(6):
        shaped = stage.tick(last, g1_state, Mode.ACTIVE, now).shaped
        now += TICK_NS
    assert not shaped.dq.any(), "100 ms old at 50 Hz: held, though 220 ms of motion are still in the line"
    assert runtime.window is None


def test_ways_that_cannot_be_are_refused_with_one_sentence():
    card, plain = load_card(POLICIES / "layouts" / "gentle_humanoid.toml"), load_card(POLICIES / "twist2.toml")
    with pytest.raises(Unsupported, match=r"lookahead 'later' is not one of: hold, extrapolate, delay$"):
        with_lookahead(card, "later")
    with pytest.raises(Unsupported, match=r"looks 0 steps ahead, so lookahead 'delay' has nothing to serve: leave it"):
        with_lookahead(plain, "delay")
    far = msgspec.structs.replace(card, lookahead_steps=26)
    sentence = "looks 520 ms ahead, lookahead 'delay' is bounded to 500 ms: choose hold or extrapolate"
    with pytest.raises(Unsupported, match=sentence):
        with_lookahead(far, "delay")
    assert with_lookahead(msgspec.structs.replace(card, lookahead_steps=25), "delay").lookahead == "delay"
    assert with_lookahead(far, "extrapolate").lookahead == "extrapolate"
    assert with_lookahead(plain, "") is plain


def test_words_and_delay_of_each_way():
    assert [words(gentle(way)) for way in ("hold", "extrapolate", "delay")] == [
        "hold 320 ms", "extrapolate 320 ms", "delay 320 ms",
    ]  # fmt: skip
    assert [delay_s(gentle(way)) for way in ("hold", "extrapolate", "delay")] == [0.0, 0.0, 0.32]
    assert words(load_card(POLICIES / "twist2.toml")) == "none"


def test_an_extrapolated_window_stays_inside_the_joint_limits(make_reference):
    served = Lookahead(MODEL, gentle("extrapolate"))
    fast = moving(make_reference, TICK_NS)._replace(q=UPPER.copy(), dq=np.full(N, 15.0))
    window = served.window(fast, True)
    assert window is not None
    assert all((coming.q <= UPPER).all() for coming in window)
