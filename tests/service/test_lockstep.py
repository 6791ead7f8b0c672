"""The whole chain in one process: deterministic, upright through losses, and nothing unsound reaches the motors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.robots.model import JointCommand, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.virtual.perturbation import perturbation
from teleopd.safety.words import Act, Cause, Mode
from teleopd.service.lockstep import START_NS, Lockstep, PoseStream
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.source_process import SourceStage

WALL_TIME = ["policy_us"]
"""The one field of a tick that a clock decides."""


class Recorded:
    """Every command that reached the robot's link."""

    def __init__(self, lock: Lockstep) -> None:
        self.commands: list[np.ndarray] = []
        link = lock.robot_io._link
        write = link.write

        def record(command: JointCommand) -> None:
            self.commands.append(np.concatenate((command.q, command.dq, command.tau, command.kp, command.kd)))
            write(command)

        link.write = record  # type: ignore[method-assign]

    @property
    def q(self) -> np.ndarray:
        return np.array(self.commands)[:, : MODEL.n]

    @property
    def kp(self) -> np.ndarray:
        return np.array(self.commands)[:, 3 * MODEL.n : 4 * MODEL.n]


def without_clock(ticks: np.ndarray) -> np.ndarray:
    kept = ticks.copy()
    for name in WALL_TIME:
        kept[name] = 0
    return kept


def test_the_ladder_is_climbed_in_order(twist2: ResolvedPolicy):
    lock = Lockstep(MODEL, twist2)
    lock.arm()
    assert [change.mode for change in lock.changes] == [Mode.CHECK, Mode.IDLE, Mode.READY, Mode.ARMED]
    assert {change.cause for change in lock.changes} == {-1}
    assert lock.fell_at_s is None


def test_engaging_without_a_source_is_refused(twist2: ResolvedPolicy):
    lock = Lockstep(MODEL, twist2)
    lock.arm()
    assert lock.engage(lambda _now: None, within_s=0.6) is False
    assert lock.mode is Mode.ARMED


def test_two_walks_with_one_seed_are_the_same_bit_by_bit(walking: Callable, twist2: ResolvedPolicy):
    def run() -> tuple[np.ndarray, np.ndarray]:
        story = walking(perturbation=perturbation("sensors"), seed=3)
        recorded = Recorded(story.lock)
        story.run(1.0)
        return without_clock(story.lock.ticks), np.array(recorded.commands)

    ticks, commands = run()
    again, again_commands = run()
    assert ticks.tobytes() == again.tobytes()
    assert commands.tobytes() == again_commands.tobytes()
    other = Lockstep(MODEL, twist2, perturbation=perturbation("sensors"), seed=4, physics_hz=500)
    other.run(lambda _now: None, 0.5)
    first = other.ticks["q"]
    assert len(first) == 24
    assert first.tobytes() != ticks["q"][:24].tobytes()
    assert np.isfinite(commands).all()
    assert (np.abs(np.diff(commands[:, : MODEL.n], axis=0)) <= 60.0 * 0.002 + 1e-9).all(), "60 rad/s, ticks of 2 ms"
    walked = ticks["root_pos_w"][-1, :2] - ticks["root_pos_w"][-50, :2]
    assert np.linalg.norm(walked) > 0.2, "the robot walks"


def test_losing_the_source_mid_walk_holds_returns_and_stays_upright(walking: Callable):
    story = walking()
    last_ns = story.stream(story.lock.now_ns).t_ns
    gone = range(story.stream._next, story.stream._next + 300)
    story.stream.lost = lambda frame: frame in gone
    story.run(4.0)
    assert story.lock.engage_held, "held all the time, and the source is back: no press, so no engaging"
    assert story.changes == [("HOLD", Cause.SOURCE_STALE), ("RETURN", Cause.SOURCE_LOST), ("ARMED", -1)]
    silent_s = (last_ns - START_NS) / 1e9 - story.time_s
    assert 0.060 <= story.entered_s(Mode.HOLD) - silent_s <= 0.100
    assert 0.400 <= story.entered_s(Mode.RETURN) - silent_s <= 0.450
    assert story.lock.fell_at_s is None
    stood = story.lock.ticks["q"][-1]
    assert np.abs(stood - MODEL.q_stand).max() < 0.5
    assert story.lock.ticks[-1]["reference_q"].tobytes() == MODEL.q_stand.tobytes(), "it tracks the stand pose"
    assert story.lock.engage(story.stream), "a new press engages"
    assert story.lock.fell_at_s is None


def test_a_short_gap_is_held_and_resumed_and_letting_go_returns(walking: Callable):
    story = walking()
    first = story.stream._next
    story.stream.lost = lambda frame: frame < first + round(0.15 * 120)
    story.run(1.5)
    assert story.changes == [("HOLD", Cause.SOURCE_STALE), ("ACTIVE", -1)]
    let_go = story.lock.time_s
    story.lock.engage_held = False
    story.run(2.0)
    released = Cause.DEADMAN_RELEASED
    assert story.changes[2:] == [("HOLD", released), ("RETURN", released), ("ARMED", -1)]
    assert story.lock.changes[-3].t_s - let_go <= 0.004
    assert 0.399 <= story.lock.changes[-2].t_s - story.lock.changes[-3].t_s <= 0.410
    assert story.lock.fell_at_s is None


def test_with_frozen_legs_a_walking_operator_leaves_the_robot_standing_on_its_spot(walking: Callable):
    story = walking(overrides={"legs_follow": 0.0})
    story.run(3.0)
    ticks, legs = story.lock.ticks, [i for i, name in enumerate(MODEL.joint_names) if "hip" in name or "knee" in name]
    assert story.lock.mode is Mode.ACTIVE and story.lock.fell_at_s is None
    assert np.linalg.norm(ticks["root_pos_w"][-1, :2] - ticks["root_pos_w"][-150, :2]) < 0.05
    assert (ticks["reference_q"][-150:][:, legs] == MODEL.q_stand[legs]).all()
    assert np.ptp(ticks["reference_q"][-150:], axis=0).max() > 0.1, "the arms follow"


def test_at_half_the_range_and_speed_the_robot_follows_less_and_stays_upright(walking: Callable):
    story = walking(overrides={"reference_range": 0.5, "reference_speed": 0.5})
    story.run(3.0)
    ticks = story.lock.ticks
    assert story.lock.mode is Mode.ACTIVE and story.lock.fell_at_s is None
    speeds = np.abs(np.diff(ticks["reference_q"][-150:], axis=0)).max() * 50.0
    assert speeds <= 4.0 + 1e-6


def test_the_warm_twin_takes_over_mid_walk(walking: Callable):
    story = walking(with_standby=True)
    story.lock.control_alive = False
    story.run(4.0)
    assert story.changes == [("RETURN", Cause.STANDBY_TOOK_OVER), ("ARMED", -1)]
    assert story.entered_s(Mode.RETURN) <= 0.100
    assert story.lock.fell_at_s is None


def test_without_a_twin_a_dead_policy_damps(walking: Callable):
    story = walking()
    recorded = Recorded(story.lock)
    story.lock.control_alive = False
    story.run(0.5)
    assert story.changes == [("DAMPED", Cause.TARGETS_LOST)]
    assert story.entered_s(Mode.DAMPED) <= 0.130
    assert not recorded.kp[-1].any()


def test_soft_stop_returns_to_stand_and_a_second_one_damps(walking: Callable):
    story = walking()
    story.lock.act(Act.STOP)
    story.run(3.0)
    assert story.changes == [("RETURN", Cause.OPERATOR_STOP), ("ARMED", -1)]
    assert story.lock.fell_at_s is None
    assert story.lock.engage(story.stream, within_s=0.6) is False
    story.lock.act(Act.STOP)
    story.run(0.1)
    assert story.changes[-1] == ("DAMPED", Cause.OPERATOR_DAMP)


def poisoned(reference: Reference, what: str) -> Reference:
    """A reference as a broken source process might write it."""
    nan = np.full(MODEL.n, np.nan)
    return {
        "q": reference._replace(q=nan),
        "dq": reference._replace(dq=nan),
        "one joint": reference._replace(q=np.where(np.arange(MODEL.n) == 3, np.inf, reference.q)),
        "root": reference._replace(root_pos_w=np.full(3, np.nan)),
        "quaternion": reference._replace(root_quat_w=np.zeros(4)),
        "velocity": reference._replace(root_lin_vel_w=np.array([np.inf, 0.0, 0.0])),
        "far": reference._replace(q=np.full(MODEL.n, 1e9)),
        "shape": reference._replace(q=np.zeros(3)),
        "stamp": reference._replace(t_ns=reference.t_ns + 10**12),
        "rate": reference._replace(nominal_hz=float("nan")),
    }[what]


def test_an_unsound_reference_never_reaches_the_motors(walking: Callable):
    story = walking()
    recorded = Recorded(story.lock)
    limits = MODEL.limits
    for what in ("q", "dq", "one joint", "root", "quaternion", "velocity", "far", "shape", "stamp", "rate"):
        story.lock.engage_held = True
        recorded.commands.clear()
        story.lock.run(lambda now, what=what: poisoned(story.stream(now), what), 0.3)
        story.run(0.3)
        assert len(recorded.commands) == 300, what
        assert np.isfinite(np.array(recorded.commands)).all(), what
        assert (recorded.q >= limits.q_lower - 1e-9).all(), what
        assert (recorded.q <= limits.q_upper + 1e-9).all(), what
        assert story.lock.mode in (Mode.ARMED, Mode.ACTIVE, Mode.HOLD, Mode.RETURN), what
    assert story.lock.fell_at_s is None, "the policy balances on, whatever the source says"
    assert Mode.DAMPED.name not in [mode for mode, _ in story.changes]


def test_pose_stream_gives_the_newest_frame_that_has_arrived(source_stage: SourceStage, walk: MotionClip):
    stream = PoseStream(
        source_stage, lambda i: walk.pose(i, seq=i, t_ns=0), 100.0, 20, start_ns=START_NS, latency_ns=30_000_000
    )
    assert stream(START_NS + 29_999_999) is None
    first = stream(START_NS + 30_000_000)
    assert first is not None
    assert first.t_ns == START_NS + 30_000_000
    later = stream(START_NS + 30_000_000 + 55_000_000)
    assert later is not None
    assert (later.t_ns, later.seq) == (START_NS + 30_000_000 + 50_000_000, 6)
    assert not stream.ended
    stream(START_NS + 10**9)
    assert stream.ended
