"""A policy elsewhere walks the robot, its network is cut: the real ladder, gate, policies and physics in lock step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.service.conftest import make_source_stage

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.model import JointTargets, LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import SupervisorConfig
from teleopd.safety.words import Act, Cause, Mode, OperatorCommand
from teleopd.service.bridge_stage import PUBLIC, SENDER_GONE_NS, BridgeStage, RemoteTargets
from teleopd.service.lockstep import ROBOT_IO_NS, Lockstep, PoseStream
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.robot_io_stage import RobotIoStage

N = MODEL.n
SENDER = 77


class Bridged(Lockstep):
    """The bridge beside the robot, and the policy computer that it hears; `cut` is the network in between."""

    def __init__(self, policy: ResolvedPolicy) -> None:
        super().__init__(MODEL, policy, physics_hz=500)
        self.bridge = BridgeStage(MODEL)
        self.far = self._make_control(policy)
        self.far_mode, self.cut = Mode.ARMED, False
        self.damped_there = False

    def step(self, reference: Reference | None) -> None:
        state = self.state
        if state is not None:
            far = self.far.tick(reference, state, self.far_mode, self.now_ns).targets
            if not self.cut:
                self.bridge.hear(RemoteTargets(
                    SENDER, self.now_ns, far.q, far.kp, far.kd, self.far_mode, self.damped_there,
                    (float(far.tilt_rp[0]), float(far.tilt_rp[1])),
                ))  # fmt: skip
            tick = self.control.tick(None, state, self.mode, self.now_ns, spare=self.bridge.following)
            self._targets = self.bridge.targets(tick.targets, state, self.mode, self.now_ns)
        for _ in range(self._control_ns // ROBOT_IO_NS):
            self._robot_io_tick()

    def names(self, since: int) -> list[tuple[str, int]]:
        return [(change.mode.name, change.cause) for change in self.changes[since:]]


@pytest.fixture
def walking(twist2: ResolvedPolicy, walk: MotionClip) -> tuple[Bridged, Callable[[float], None]]:
    """The far policy has walked the robot for 3 s."""
    lock = Bridged(twist2)
    lock.arm()
    stream = PoseStream(make_source_stage(), lambda i: walk.pose(i, seq=i, t_ns=0), walk.fps, walk.frames, lock.now_ns)
    lock.run(stream, 1.2)
    lock.far_mode = Mode.ACTIVE  # its operator engages: that is the deadman here
    lock.run(stream, 3.0)
    assert lock.mode is Mode.ACTIVE and lock.bridge.following and lock.fell_at_s is None
    return lock, lambda seconds: lock.run(stream, seconds)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_network_that_is_cut_mid_walk_returns_to_standing(walking: tuple[Bridged, Callable[[float], None]]):
    lock, run = walking
    since, x = len(lock.changes), lock.robot.mj_data.qpos[:2].copy()
    lock.cut = True
    run(2.5)
    assert lock.names(since) == [("HOLD", Cause.SOURCE_STALE), ("RETURN", Cause.SOURCE_LOST), ("ARMED", -1)]
    assert lock.fell_at_s is None and not lock.bridge.following
    assert np.linalg.norm(lock.robot.mj_data.qpos[:2] - x) < 0.6, "it stopped walking"


@pytest.mark.long
@pytest.mark.timeout(400)
def test_after_a_cut_only_a_new_press_engages(walking: tuple[Bridged, Callable[[float], None]]):
    lock, run = walking
    lock.cut = True
    run(5.0)
    assert lock.mode is Mode.ARMED and lock.fell_at_s is None
    lock.cut = False
    run(1.5)
    assert lock.mode is Mode.ARMED, "held there all the time, and the network is back: no press, so no engaging"
    lock.far_mode = Mode.ARMED
    run(0.2)
    lock.far_mode = Mode.ACTIVE
    run(2.0)
    assert lock.mode is Mode.ACTIVE and lock.fell_at_s is None


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_short_cut_is_bridged_and_followed_again(walking: tuple[Bridged, Callable[[float], None]]):
    lock, run = walking
    since = len(lock.changes)
    lock.cut = True
    run(0.2)
    lock.cut = False
    run(3.0)
    assert lock.names(since) == [("HOLD", Cause.SOURCE_STALE), ("ACTIVE", -1)]
    assert lock.bridge.following and lock.fell_at_s is None


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_sender_that_damps_is_not_followed_into_a_fall(walking: tuple[Bridged, Callable[[float], None]]):
    """Its own ladder lost the robot's reports for a moment: its damping is no reason for this robot to fall."""
    lock, run = walking
    since = len(lock.changes)
    lock.far_mode = Mode.DAMPED
    run(3.0)
    released = Cause.DEADMAN_RELEASED
    assert lock.names(since) == [("HOLD", released), ("RETURN", released), ("ARMED", -1)]
    assert lock.fell_at_s is None


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_operators_stop_here_counts_while_the_far_policy_goes_on(
    walking: tuple[Bridged, Callable[[float], None]],
):
    lock, run = walking
    since = len(lock.changes)
    lock.act(Act.STOP)
    run(3.0)
    assert lock.names(since) == [("RETURN", Cause.OPERATOR_STOP), ("ARMED", -1)] and lock.fell_at_s is None


# -- the stage and the ladder, without physics ------------------------------------------------------------------------


class Standing:
    """A link to a robot that stands still in its stand pose, whatever it is told."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now, self.written = now, 0

    def read(self) -> LowState:
        now_ns = self._now()
        return state()._replace(
            t_ns=now_ns, tick=now_ns // MS, q=MODEL.q_stand, accel_b=np.array([0.0, 0.0, 9.81]),
            temperature_c=np.full(N, 30.0),
        )  # fmt: skip

    def write(self, command: object) -> None:
        self.written += 1

    def close(self) -> None:
        """Nothing to let go."""


class Ladder:
    """The real supervisor and gate on the bridge's targets; the far policy wants another elbow."""

    def __init__(self) -> None:
        self.now, self.cut, self.far_mode = 10**9, False, Mode.ARMED
        self.dead = False
        """The bridge's own process of targets is gone; its warm twin is not."""
        limits = SafetyLimits.of(MODEL, kp=np.full(N, 80.0), kd=np.full(N, 3.0))
        link = Standing(lambda: self.now)
        self.io = RobotIoStage(MODEL, limits, link, SupervisorConfig(token=1, started_ns=self.now))
        self.bridge, self.local = BridgeStage(MODEL), local_targets(MODEL.q_stand)
        self.far_q, self.twin = MODEL.q_stand.copy(), self.local
        self.targets: JointTargets | None = None
        self.act, self.acts, self.changes = Act.NONE, 0, [(Mode.BOOT, -1)]
        self.q = MODEL.q_stand

    @property
    def mode(self) -> Mode:
        return self.io.supervisor.mode

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 500)):
            if (self.now - 10**9) % (20 * MS) == 0:
                self.far_q[18] += 1e-6  # a live policy never repeats itself
                if not self.cut:
                    self.bridge.hear(remote(self.now, mode=self.far_mode)._replace(q=self.far_q.copy()))
                if not self.dead:
                    self.targets = self.bridge.targets(self.local, self.io._link.read(), self.mode, self.now)
                self.twin = self.local._replace(seq=self.twin.seq + 1, t_ns=self.now)
            commands = [OperatorCommand(self.acts, self.now, 1, int(self.act), False), *[None] * 4]
            tick = self.io.tick(self.targets, self.twin, commands, 0, self.now)
            self.q = self.q if tick.command is None else tick.command.q.copy()
            if self.mode is not self.changes[-1][0]:
                self.changes.append((self.mode, tick.status.mode_cause))
            self.now += 2 * MS

    def engaged(self) -> None:
        self.run(0.3)
        for act, seconds in ((Act.READY, 3.2), (Act.ARM, 0.1)):
            self.act, self.acts = act, self.acts + 1
            self.run(seconds)
        self.far_mode = Mode.ACTIVE
        self.far_q[18] += 0.1
        self.run(1.0)
        assert self.mode is Mode.ACTIVE and self.bridge.following
        assert self.q[18] == pytest.approx(self.far_q[18], abs=1e-3), "the far elbow"
        del self.changes[:-1]


def test_a_cut_network_is_held_then_returned_on_the_local_policy_and_waits_for_a_press():
    ladder = Ladder()
    ladder.engaged()
    ladder.cut = True
    ladder.run(0.08)
    assert ladder.mode is Mode.HOLD and not ladder.bridge.following
    ladder.run(2.0)
    assert ladder.changes[1:] == [
        (Mode.HOLD, Cause.SOURCE_STALE), (Mode.RETURN, Cause.SOURCE_LOST), (Mode.ARMED, -1)
    ]  # fmt: skip
    assert ladder.q == pytest.approx(MODEL.q_stand), "what the local policy wants"
    ladder.cut = False
    ladder.run(1.5)
    assert ladder.mode is Mode.ARMED, "the far deadman was never let go"
    ladder.far_mode = Mode.ARMED
    ladder.run(0.2)
    ladder.far_mode = Mode.ACTIVE
    ladder.run(0.1)
    assert ladder.mode is Mode.ACTIVE


def test_when_the_bridges_own_process_dies_its_warm_twin_stands_and_its_successor_follows_after_a_press():
    ladder = Ladder()
    ladder.engaged()
    ladder.dead = True
    ladder.run(1.6)
    took_over = Cause.STANDBY_TOOK_OVER
    assert ladder.changes[1:] == [(Mode.RETURN, took_over), (Mode.ARMED, -1)]
    assert ladder.q == pytest.approx(MODEL.q_stand)
    ladder.dead, ladder.bridge = False, BridgeStage(MODEL)
    ladder.run(2.0)
    assert ladder.mode is Mode.ARMED
    ladder.far_mode = Mode.ARMED
    ladder.run(0.2)
    ladder.far_mode = Mode.ACTIVE
    ladder.run(0.6)
    assert ladder.mode is Mode.ACTIVE and ladder.bridge.following


# -- the stage alone ------------------------------------------------------------------------------------------------


def local_targets(q: np.ndarray) -> JointTargets:
    return JointTargets(
        1, 1, q, np.full(N, 50.0), np.full(N, 2.0), True, True, 0, 0, 0, 0, False, 0.0, False, np.inf, np.zeros(2)
    )


def remote(t_ns: int, q: float = 0.5, **changes: object) -> RemoteTargets:
    made = RemoteTargets(SENDER, t_ns, np.full(N, q), np.full(N, 80.0), np.full(N, 3.0), Mode.ACTIVE)
    return made._replace(**changes)


def state() -> LowState:
    return state_at_rest(MODEL)._replace(q=np.zeros(N))


MS = 1_000_000


def test_targets_are_followed_only_while_active_and_fresh_and_entered_by_a_blend():
    stage, local, start = BridgeStage(MODEL), local_targets(np.zeros(N)), 10**9
    stage.hear(remote(start))
    for mode in set(Mode) - {Mode.ACTIVE}:
        assert stage.targets(local, state(), mode, start).q == pytest.approx(np.zeros(N))
    ways = []
    for ms in range(0, 500, 20):
        stage.hear(remote(start + ms * MS))
        ways.append(stage.targets(local, state(), Mode.ACTIVE, start + ms * MS).q[0])
    assert ways[0] == 0.0 and ways[10] == pytest.approx(0.25) and ways[-1] == 0.5
    assert (np.diff(ways) >= 0.0).all() and max(np.diff(ways)) < 0.05
    end = start + 480 * MS
    stage.targets(local, state(), Mode.ACTIVE, end + 59 * MS)
    assert stage.following
    assert stage.targets(local, state(), Mode.ACTIVE, end + 61 * MS).q[0] == pytest.approx(0.5)
    assert not stage.following
    assert stage.targets(local, state(), Mode.ACTIVE, end + 600 * MS).q == pytest.approx(np.zeros(N))


def test_what_the_ladder_is_told_of_the_stream():
    stage, local = BridgeStage(MODEL), local_targets(np.zeros(N))
    nothing = stage.targets(local, state(), Mode.ARMED, 10**9)
    assert (nothing.reference_seq, nothing.deadman, nothing.pose_error_rad) == (0, False, np.inf)
    stage.hear(remote(10**9))
    stage.hear(remote(10**9 + 20 * MS))
    told = stage.targets(local, state(), Mode.ARMED, 10**9 + 21 * MS)
    assert (told.reference_seq, told.reference_source_id, told.reference_hz) == (2, SENDER, 50.0)
    assert (told.t_reference_ns, told.t_content_ns) == (10**9 + 20 * MS, 10**9), "its content did not change"
    assert told.deadman and told.reference_valid and told.pose_error_rad == pytest.approx(0.5)
    stage.hear(remote(10**9 + 40 * MS, mode=Mode.READY))
    told = stage.targets(local, state(), Mode.ARMED, 10**9 + 41 * MS)
    assert not told.deadman and not told.reference_valid and told.pose_error_rad == np.inf
    stage.hear(remote(10**9 + 60 * MS, kp=np.zeros(N)))
    told = stage.targets(local, state(), Mode.ACTIVE, 10**9 + 61 * MS)
    assert not told.reference_valid and not stage.following, "damping, whatever mode is said"
    stage = BridgeStage(MODEL)
    stage.hear(remote(10**9, sender=PUBLIC, mode=None))
    told = stage.targets(local, state(), Mode.ARMED, 10**9)
    assert told.reference_valid and not told.deadman, "who names no mode is engaged by the operator here"


def test_one_sender_at_a_time_and_nothing_unsound():
    stage = BridgeStage(MODEL)
    stage.hear(remote(10**9, 0.1))
    assert not stage.hear(remote(10**9 + MS, 0.9, sender=78, damped_by_operator=True)) and stage.others == 1
    for bad in (np.full(N, np.nan), np.zeros(N - 1)):
        stage.hear(remote(10**9 + 2 * MS)._replace(q=bad))
    stage.hear(remote(10**9 + 2 * MS)._replace(kp=np.full(N, -1.0)))
    stage.hear(remote(10**9 + 2 * MS)._replace(tilt_rp=(np.nan, 0.0)))
    assert stage.refused == 4
    stage.targets(local_targets(np.zeros(N)), state(), Mode.ACTIVE, 10**9 + 2 * MS)
    late = stage.targets(local_targets(np.zeros(N)), state(), Mode.ACTIVE, 10**9 + 30 * MS)
    assert stage.following and late.reference_seq == 1
    stage.hear(remote(10**9 + SENDER_GONE_NS, 0.9, sender=78))
    assert stage.targets(local_targets(np.zeros(N)), state(), Mode.ACTIVE, 2 * 10**9).reference_source_id == 78


def test_damping_is_an_act_once_and_only_when_it_is_new():
    stage = BridgeStage(MODEL)
    assert not stage.hear(remote(10**9, damped_by_operator=True)), "asked for before it was heard"
    assert not stage.hear(remote(10**9 + MS, damped_by_operator=False))
    assert stage.hear(remote(10**9 + 2 * MS, damped_by_operator=True))
    assert not stage.hear(remote(10**9 + 3 * MS, damped_by_operator=True))
