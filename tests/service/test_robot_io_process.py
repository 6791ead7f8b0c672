"""The loop of robot-io: what it publishes, when it sends, and how it ends, orphaned or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import JointTargets
from teleopd.robots.rates import Histogram
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act, Cause, Mode, OperatorCommand
from teleopd.service import robot_io_process
from teleopd.service.robot_io_process import ARRIVAL_ROOM_NS, ORPHAN_STAND_S, _Loop, _Orphan
from teleopd.service.robot_io_stage import RobotIoStage
from teleopd.service.streams import Bus, LoopStatus

from .robot_io_rig import KD, KP, TICK_NS, TOKEN, N, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()


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
        self.work = Histogram()

    def wait(self, sleep: object) -> int:
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

    def watched(late_ns: int, now_ns: int) -> None:
        tick(late_ns, now_ns)
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


Period = Callable[..., int]


@pytest.fixture
def period(looped: tuple[_Loop, Bus], rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Period:
    """One period of the loop, into which targets come after so many microseconds, or none: how many commands go out
    before its end. `slot`: of the policy they come from; `took_us`: of the tick before."""
    loop, bus = looped

    def until(deadline_ns: int) -> None:
        rig.now = max(rig.now, deadline_ns)

    monkeypatch.setattr(robot_io_process, "sleep_until_ns", until)

    def one(arrival_us: int | None, slot: str = "targets", took_us: int = 0) -> int:
        begun_ns, sent, writer = rig.now, len(rig.sent), bus.slot(slot)

        def wait(reader: Slot[JointTargets], deadline_ns: int) -> bool:
            comes = arrival_us is not None and reader.path == writer.path
            at_ns = begun_ns + 1000 * arrival_us if arrival_us is not None and comes else deadline_ns + 1
            until(min(at_ns, deadline_ns))
            if at_ns > deadline_ns:
                return False
            writer.write(rig.standing_targets())
            return True

        monkeypatch.setattr(Slot, "wait", wait)
        rig.now += 1000 * took_us
        loop._sleep(begun_ns + TICK_NS)
        assert rig.now == begun_ns + TICK_NS, "whatever comes, the loop keeps its tick"
        early = len(rig.sent) - sent
        rig.robot.step(TICK_NS * 1e-9)
        loop._tick(0, rig.now)
        return early

    return one


def to_armed(looped: tuple[_Loop, Bus], rig: Rig) -> None:
    loop, bus = looped
    rig.to_armed()
    bus.slot("targets").write(rig.standing_targets())
    loop._tick(0, rig.now)


def test_targets_go_out_when_they_come_not_at_the_next_tick(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    to_armed(looped, rig)
    looped[1].ring("command_log").drain()
    begun_ns = rig.now
    assert period(None) == 0, "without any the loop only ticks"
    assert period(300) == 1
    assert looped[1].ring("command_log").drain()["t_command_ns"].tolist() == [begun_ns + TICK_NS + 300_000]
    assert period(None) == 0


def test_targets_that_come_just_before_a_tick_wait_for_it(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    to_armed(looped, rig)
    assert period((TICK_NS - ARRIVAL_ROOM_NS) // 1000 + 1) == 0
    assert period(100, took_us=(TICK_NS - ARRIVAL_ROOM_NS) // 1000 + 1) == 0, "they came during a tick that took long"
    assert period((TICK_NS - ARRIVAL_ROOM_NS) // 1000) == 1


def test_a_flood_of_targets_is_sent_once_in_ten_milliseconds(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    to_armed(looped, rig)
    assert [period(100) for _ in range(16)] == [1, 0, 0, 0, 0] * 3 + [1]


def test_nothing_is_sent_early_unless_a_policy_drives(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    rig.run(0.3)
    assert rig.mode is Mode.IDLE
    looped[0]._tick(0, rig.now)
    assert period(100) == 0
    rig.ask(Act.READY)
    rig.run(0.1)
    assert rig.mode is Mode.READY
    looped[0]._tick(0, rig.now)
    assert period(100) == 0


def test_nothing_is_sent_early_while_the_loop_ends(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    to_armed(looped, rig)
    looped[0]._shutdown = True
    assert period(100) == 0


def test_after_a_takeover_it_is_the_twin_that_is_waited_for(looped: tuple[_Loop, Bus], rig: Rig, period: Period):
    to_armed(looped, rig)
    for tick in range(60):  # the first policy says nothing any more
        if tick % 10 == 0:
            looped[1].slot("targets_standby").write(rig.standing_targets())
        period(None)
    assert looped[1].slot("safety_status").read().causes >> Cause.STANDBY_TOOK_OVER & 1
    assert period(100, "targets") == 0
    assert period(100, "targets_standby") == 1


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
