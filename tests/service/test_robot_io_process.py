"""Supervisor, gate and link in one stage, with the virtual robot in this process and no policy but a standing one."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.model import JointCommand, JointTargets, LowState
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.robots.virtual.in_process import InProcessLink
from teleopd.robots.virtual.robot import VirtualRobot
from teleopd.safety.limits import SafetyLimits
from teleopd.safety.supervisor import Emit, SupervisorConfig
from teleopd.safety.words import OPERATOR_WRITERS, Act, Cause, Mode, OperatorCommand
from teleopd.service import robot_io_process
from teleopd.service.robot_io_process import ORPHAN_STAND_S, RobotIoStage, RobotIoTick, _Loop, _Orphan
from teleopd.service.streams import Bus, LoopStatus

N = MODEL.n
TOKEN = 5
TICK_NS = 2_000_000
KP, KD = np.full(N, 80.0), np.full(N, 3.0)


class Rig:
    """The stage over a virtual robot on its gantry; time is a counter."""

    def __init__(self, **config: bool) -> None:
        self.now = 10**9
        self.robot = VirtualRobot(MODEL, physics_hz=500, odometry=True)
        self.link = InProcessLink(self.robot, lambda: self.now)
        self.sent: list[JointCommand] = []
        write = self.link.write

        def record(command: JointCommand) -> None:
            self.sent.append(command)
            write(command)

        self.link.write = record  # type: ignore[method-assign]
        limits = SafetyLimits.of(MODEL, kp=KP, kd=KD)
        settings = SupervisorConfig(token=TOKEN, started_ns=self.now, **config)
        self.stage = RobotIoStage(MODEL, limits, self.link, settings)
        self.act, self.seq = Act.NONE, 0
        self.targets: JointTargets | None = None
        self.shutdown = False
        self.tick: RobotIoTick

    @property
    def mode(self) -> Mode:
        return self.stage.supervisor.mode

    def standing_targets(self, **changes: object) -> JointTargets:
        """What a policy that only stands would say now."""
        base = JointTargets(
            seq=self.now, t_ns=self.now, q=MODEL.q_stand.copy(), kp=KP, kd=KD, healthy=True, ready=True,
            reference_seq=0, reference_source_id=0, t_reference_ns=0, t_content_ns=0, reference_valid=False,
            reference_hz=0.0, deadman=False, pose_error_rad=np.inf, tilt_rp=np.zeros(2),
        )  # fmt: skip
        return base._replace(**changes)  # type: ignore[arg-type]

    def ask(self, act: Act) -> None:
        self.act, self.seq = act, self.seq + 1

    def run(self, seconds: float, *, policy: bool = True) -> None:
        for i in range(round(seconds * 500)):
            if policy and i % 10 == 0:
                self.targets = self.standing_targets()
            commands: list[OperatorCommand | None] = [None] * len(OPERATOR_WRITERS)
            commands[0] = OperatorCommand(self.seq, self.now, TOKEN, int(self.act), False)
            self.tick = self.stage.tick(self.targets, None, commands, 0, self.now, shutdown=self.shutdown)
            self.now += TICK_NS
            self.robot.step(TICK_NS * 1e-9)

    def to_armed(self) -> None:
        self.run(0.3)
        self.ask(Act.READY)
        self.run(3.2)
        self.ask(Act.ARM)
        self.run(0.1)
        assert self.mode is Mode.ARMED


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_nothing_is_sent_before_idle(rig: Rig):
    rig.run(0.08)
    assert rig.mode is Mode.CHECK
    assert rig.sent == []
    rig.run(0.2)
    assert rig.mode is Mode.IDLE
    assert not rig.sent[-1].kp.any()
    assert rig.sent[-1].kd.tobytes() == MODEL.kd_damp.tobytes()


def test_ready_walks_from_where_the_robot_is_to_the_stand_pose(rig: Rig):
    rig.run(0.3)
    assert rig.mode is Mode.IDLE
    before = rig.tick.state
    assert before is not None
    q_before = before.q.copy()
    rig.ask(Act.READY)
    rig.run(0.004)
    assert rig.mode is Mode.READY
    assert np.abs(rig.sent[-1].q - q_before).max() < 0.05, "no jump"
    rig.run(3.2)
    assert rig.tick.output.ready_to_arm
    assert np.abs(rig.sent[-1].q - MODEL.q_stand).max() < 1e-6


def test_status_says_what_was_done(rig: Rig):
    rig.to_armed()
    status = rig.tick.status
    assert (status.mode, status.mode_cause) == (int(Mode.ARMED), -1)
    assert (status.t_ns, status.tick) == (rig.now - TICK_NS, (rig.now - 10**9) // TICK_NS)
    assert rig.targets is not None
    assert status.targets_seq == rig.targets.seq
    assert status.q_command.tobytes() == rig.sent[-1].q.tobytes()


def test_new_targets_are_reported_once(rig: Rig):
    rig.to_armed()
    used = []
    for _ in range(3):
        rig.run(0.002)
        used.append(rig.tick.used)
        rig.run(0.018, policy=False)
        assert rig.tick.used is None
    assert all(targets is not None for targets in used)
    assert len({targets.seq for targets in used if targets is not None}) == 3


@pytest.mark.parametrize("part", ["q", "kp", "kd", "shape"])
def test_unsound_targets_repeat_the_last_command_and_then_damp(rig: Rig, part: str):
    rig.to_armed()
    last = rig.sent[-1].q.copy()
    bad = {"shape": np.zeros(3)}.get(part, np.full(N, np.nan))
    rig.targets = rig.standing_targets(**{"q" if part == "shape" else part: bad})
    rig.run(0.002, policy=False)
    assert rig.mode is Mode.ARMED
    assert np.abs(rig.sent[-1].q - last).max() < 0.12
    for _ in range(3):
        rig.targets = rig.standing_targets(**{"q" if part == "shape" else part: bad})
        rig.run(0.02, policy=False)
    assert rig.mode is Mode.DAMPED
    assert rig.tick.status.mode_cause == Cause.TARGETS_INVALID
    sent = np.array([np.concatenate((c.q, c.dq, c.tau, c.kp, c.kd)) for c in rig.sent])
    assert np.isfinite(sent).all()


def test_a_silent_policy_without_a_twin_damps_within_its_time(rig: Rig):
    rig.to_armed()
    assert rig.targets is not None
    silent_since = rig.targets.t_ns
    while rig.mode is Mode.ARMED:
        rig.run(0.002, policy=False)
    assert rig.mode is Mode.DAMPED
    assert rig.tick.status.mode_cause == Cause.TARGETS_LOST
    assert 100 <= (rig.now - TICK_NS - silent_since) / 1e6 <= 104


def test_shutdown_damps_from_any_mode(rig: Rig):
    rig.to_armed()
    rig.shutdown = True
    rig.run(0.002)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.SHUTDOWN)
    assert rig.tick.output.emit is Emit.DAMP
    assert not rig.sent[-1].kp.any()


def test_a_replacement_only_damps_whatever_is_asked():
    rig = Rig(damp_only=True)
    for act in (Act.RESET, Act.READY, Act.ARM):
        rig.ask(act)
        rig.run(2.1)
        assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.RESTARTED)
    assert rig.sent
    assert not any(command.kp.any() for command in rig.sent[-50:])


def test_a_dry_run_sends_nothing():
    rig = Rig(dryrun=True)
    rig.to_armed()
    assert rig.sent == []


def test_an_unsound_state_is_damped_not_followed(rig: Rig):
    rig.to_armed()
    read = rig.link.read

    def broken() -> LowState | None:
        state = read()
        return None if state is None else state._replace(t_ns=rig.now, q=np.full(N, np.nan))

    rig.link.read = broken  # type: ignore[method-assign]
    rig.run(0.1)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.STATE_INVALID)
    assert np.isfinite(rig.sent[-1].q).all()


@pytest.mark.parametrize("future", [False, True])
def test_a_report_that_comes_late_or_from_the_future_is_neither_judged_nor_used(rig: Rig, future: bool):
    """What the gate bounds by is what the supervisor has judged."""
    rig.to_armed()
    read, late_ns = rig.link.read, rig.now - 10**7

    def odd() -> LowState | None:
        state, stamp_ns = read(), rig.now + 6 * 10**7 if future else late_ns
        return None if state is None else state._replace(t_ns=stamp_ns, q=np.full(N, np.nan))

    rig.link.read = odd  # type: ignore[method-assign]
    rig.run(0.01)
    assert rig.mode is Mode.ARMED and rig.sent[-1].kp.any()
    rig.run(0.05)
    assert (rig.mode, rig.tick.status.mode_cause) == (Mode.DAMPED, Cause.STATE_LOST)


def test_an_orphan_returns_to_stand_and_damps_after_five_seconds():
    orphan = _Orphan(TOKEN, 10**9)
    assert (orphan.command.act, orphan.command.token) == (Act.STOP, TOKEN)
    assert orphan.command.engage_held is False
    assert orphan.done(10**9 + round(ORPHAN_STAND_S * 1e9)) is False
    assert orphan.done(10**9 + round(ORPHAN_STAND_S * 1e9) + 1) is True


class Ends:
    """Asks for the end, or is orphaned, from a given tick on."""

    def __init__(self, asked_after: int = 1 << 40, orphaned_after: int = 1 << 40) -> None:
        self.looks = 0
        self._asked_after, self._orphaned_after = asked_after, orphaned_after

    @property
    def orphaned(self) -> bool:
        self.looks += 1
        return self.looks > self._orphaned_after

    @property
    def asked(self) -> bool:
        return self.looks > self._asked_after


class CountedRate:
    """Deadlines that pass at once; clock, physics and a standing policy go with them."""

    def __init__(self, rig: Rig, bus: Bus) -> None:
        self._rig, self._targets, self.ticks = rig, bus.slot("targets"), 0

    def wait(self) -> int:
        self._rig.now += TICK_NS
        self._rig.robot.step(TICK_NS * 1e-9)
        if self.ticks % 10 == 0:
            self._targets.write(self._rig.standing_targets())
        self.ticks += 1
        return 0


@pytest.fixture
def looped(rig: Rig, tmp_path, monkeypatch: pytest.MonkeyPatch) -> tuple[_Loop, Bus]:
    """The process's loop over the rig, on a counted clock."""
    session = Session("unitree_g1", tmp_path)
    bus = Bus(session, N, create=True)
    monkeypatch.setattr(robot_io_process, "Rate", lambda _hz: CountedRate(rig, bus))
    monkeypatch.setattr(robot_io_process, "loop_status", lambda *_: LoopStatus(rig.now, *[0.0] * 9))
    monkeypatch.setattr(robot_io_process.time, "monotonic_ns", lambda: rig.now)
    return _Loop(session, MODEL, rig.stage, TOKEN), bus


def test_the_loop_publishes_and_damps_for_a_second_before_the_end(looped: tuple[_Loop, Bus], rig: Rig):
    loop, bus = looped
    loop.run(Ends(asked_after=150))  # type: ignore[arg-type]
    rows = bus.ring("mode_log").drain()
    assert [Mode(mode) for mode in rows["mode"]] == [Mode.CHECK, Mode.IDLE, Mode.DAMPED]
    assert rows["cause"].tolist() == [-1, -1, int(Cause.SHUTDOWN)]
    assert bus.slot("safety_status").read().mode == Mode.DAMPED
    assert bus.slot("state").read().q.shape == (N,)
    assert 1e9 <= rig.now - rows["t_ns"][-1] <= 1e9 + 2 * TICK_NS
    assert len(rig.sent) >= 500
    assert not any(command.kp.any() for command in rig.sent)


def test_an_orphaned_loop_stands_for_five_seconds_then_damps(looped: tuple[_Loop, Bus], rig: Rig):
    loop, bus = looped
    rig.to_armed()
    orphaned_ns = rig.now
    loop.run(Ends(orphaned_after=0))  # type: ignore[arg-type]
    rows = bus.ring("mode_log").drain()
    assert [Mode(mode) for mode in rows["mode"]] == [Mode.ARMED, Mode.DAMPED]
    assert (rows["t_ns"][1] - orphaned_ns) / 1e9 == pytest.approx(ORPHAN_STAND_S, abs=0.01)
    assert (rig.now - rows["t_ns"][1]) / 1e9 == pytest.approx(1.0, abs=0.01)
    assert bus.slot("safety_status").read().causes >> Cause.OPERATOR_STOP & 1
    used = bus.ring("command_log").drain()
    assert len(used) >= 245, "the policy's targets went on to the motors"


def test_an_orphan_that_was_stopped_already_is_not_stopped_a_second_time(looped: tuple[_Loop, Bus], rig: Rig):
    loop, bus = looped
    rig.to_armed()
    bus.slot("operator_ctl").write(OperatorCommand(9, rig.now, TOKEN, int(Act.STOP), False))
    orphaned_ns = rig.now
    loop.run(Ends(orphaned_after=50))  # type: ignore[arg-type]
    rows = bus.ring("mode_log").drain()
    assert [Mode(mode) for mode in rows["mode"]] == [Mode.ARMED, Mode.DAMPED]
    assert rows["cause"][1] == Cause.SHUTDOWN
    assert (rows["t_ns"][1] - orphaned_ns) / 1e9 == pytest.approx(ORPHAN_STAND_S + 0.1, abs=0.02)


def test_an_orphan_that_was_reset_is_stopped_again_so_that_nobody_engages_it_before_it_is_damped(
    looped: tuple[_Loop, Bus], rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    loop, bus = looped
    rig.to_armed()
    slot = bus.slot("operator_ctl")
    stopped: list[bool] = []
    tick = loop._tick

    def watched(late_ns: int, now_ns: int, shutdown: bool, orphan: _Orphan | None) -> None:
        tick(late_ns, now_ns, shutdown, orphan)
        stopped.append(bool(bus.slot("safety_status").read().causes >> Cause.OPERATOR_STOP & 1))
        if len(stopped) == 100:
            slot.write(OperatorCommand(9, rig.now, TOKEN, int(Act.RESET), False))

    monkeypatch.setattr(loop, "_tick", watched)
    loop.run(Ends(orphaned_after=0))  # type: ignore[arg-type]
    assert stopped[:100] == [True] * 100
    assert stopped[100:103] == [False, True, True], "reset, and stopped in the next tick"
    assert all(stopped[101:])
    rows = bus.ring("mode_log").drain()
    assert [Mode(mode) for mode in rows["mode"]] == [Mode.ARMED, Mode.DAMPED]
    assert rows["cause"][1] == Cause.SHUTDOWN


def test_a_process_that_fails_leaves_damping_not_a_live_target(rig: Rig):
    rig.to_armed()
    assert rig.sent[-1].kp.any()
    rig.stage.give_up(rig.now)
    assert not rig.sent[-1].kp.any() and rig.sent[-1].kd.all()
    count = len(rig.sent)
    rig.link.write = lambda _command: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    rig.stage.give_up(rig.now)
    assert len(rig.sent) == count


@pytest.mark.parametrize("ms, config", [(0, {}), (50, {}), (300, {"dryrun": True})])
def test_a_process_that_fails_before_it_sends_says_nothing(ms: int, config: dict[str, bool]):
    rig = Rig(**config)
    rig.run(ms / 1e3)
    rig.stage.give_up(rig.now)
    assert rig.sent == []


def test_whatever_ends_the_loop_the_last_word_is_damping_and_the_link_is_closed(
    rig: Rig, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    closed: list[bool] = []
    rig.link.close = lambda: closed.append(bool(rig.sent[-1].kp.any()))  # type: ignore[method-assign]
    (tmp_path / "token").write_text(str(TOKEN))

    class Failing:
        def __init__(self, _session: Session, _model: object, stage: RobotIoStage, _token: int) -> None:
            rig.stage = stage

        def run(self, _ending: object) -> None:
            rig.to_armed()
            raise MemoryError

    monkeypatch.setattr(robot_io_process, "_Loop", Failing)
    monkeypatch.setattr(robot_io_process, "Ending", lambda: None)
    monkeypatch.setattr(robot_io_process, "request_real_time", lambda *_: "")
    monkeypatch.setattr(robot_io_process.time, "monotonic_ns", lambda: rig.now)
    monkeypatch.setattr("teleopd.robots.catalog.open_link", lambda *_: rig.link)
    with pytest.raises(MemoryError):
        robot_io_process.main(Session("unitree_g1", tmp_path), "unitree_g1", "sim", ("none", KP, KD), {})
    assert closed == [False]
