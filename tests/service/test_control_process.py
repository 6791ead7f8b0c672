"""The policy tick: what safety is told, when the policy forgets, and that nothing makes it raise."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from teleopd.robots.ipc.session import Session
from teleopd.robots.ipc.slots import Slot
from teleopd.robots.model import LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.reference_guard import ReferenceGuard
from teleopd.safety.words import Mode, SafetyStatus
from teleopd.service import arms_process, bridge_process, control_process
from teleopd.service.child import REFUSED_EXIT, refusal
from teleopd.service.control_process import BALANCING, WARM_TICKS, ControlStage, tick_log
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.library import ResolvedPolicy
from teleopd.service.policy.runtime import PolicyOutput, PolicyRuntime
from teleopd.service.streams import Bus

N = MODEL.n
TICK_NS = 20_000_000


class CountingRuntime:
    """A policy that answers with the reference and counts how often it was told to forget."""

    def __init__(self) -> None:
        self.card = load_card(MODEL.mjcf.parent / "policies" / "twist2.toml")
        self.kp, self.kd = np.full(N, 40.0), np.full(N, 2.0)
        self.resets = 0
        self.healthy = True
        self.seen: list[Reference] = []

    def reset(self) -> None:
        self.resets += 1

    def step(self, reference: Reference, _state: LowState) -> PolicyOutput:
        self.seen.append(reference)
        return PolicyOutput(reference.q, self.healthy, reference.q)


@pytest.fixture
def runtime() -> CountingRuntime:
    return CountingRuntime()


@pytest.fixture
def stage(runtime: CountingRuntime) -> ControlStage:
    return ControlStage(MODEL, ReferenceGuard(MODEL), runtime)  # type: ignore[arg-type]


def reference(now_ns: int, **changes: object) -> Reference:
    """A person in the stand pose, heard just now."""
    base = Reference(
        seq=12, source_id=7, t_ns=now_ns - 3_000_000, t_content_ns=now_ns - 4_000_000, t_published_ns=now_ns,
        valid=True, deadman=True, resets=0, nominal_hz=120.0, root_pos_w=np.array([0.0, 0.0, MODEL.stand_height_m]),
        root_quat_w=np.array([1.0, 0.0, 0.0, 0.0]), root_lin_vel_w=np.zeros(3), root_ang_vel_w=np.zeros(3),
        q=MODEL.q_stand.copy(), dq=np.zeros(N),
    )  # fmt: skip
    return base._replace(**changes)  # type: ignore[arg-type]


def test_safety_learns_what_was_followed_and_how_old_it_was(
    stage: ControlStage, runtime: CountingRuntime, g1_state: LowState
):
    now = g1_state.t_ns
    sent = reference(now)
    targets = stage.tick(sent, g1_state, Mode.ACTIVE, now).targets
    assert (targets.seq, targets.t_ns) == (1, now)
    assert (targets.reference_seq, targets.reference_source_id) == (12, 7)
    assert (targets.t_reference_ns, targets.t_content_ns) == (sent.t_ns, sent.t_content_ns)
    assert (targets.reference_valid, targets.reference_hz, targets.deadman) == (True, 120.0, True)
    assert targets.kp.tobytes() == runtime.kp.tobytes()
    assert targets.pose_error_rad == pytest.approx(0.0, abs=1e-9)


def test_without_a_reference_everything_about_it_is_zero(stage: ControlStage, g1_state: LowState):
    targets = stage.tick(None, g1_state, Mode.ARMED, g1_state.t_ns).targets
    assert (targets.reference_seq, targets.reference_source_id, targets.t_reference_ns) == (0, 0, 0)
    assert (targets.reference_valid, targets.deadman, targets.reference_hz) == (False, False, 0.0)
    assert targets.pose_error_rad == np.inf


def test_targets_are_ready_after_five_live_ticks_and_never_while_unhealthy(
    stage: ControlStage, runtime: CountingRuntime, g1_state: LowState
):
    ready = [
        stage.tick(None, g1_state, Mode.READY, g1_state.t_ns + i * TICK_NS).targets.ready
        for i in range(WARM_TICKS + 1)
    ]  # fmt: skip
    assert ready == [False] * (WARM_TICKS - 1) + [True, True]
    runtime.healthy = False
    targets = stage.tick(None, g1_state, Mode.READY, g1_state.t_ns + 10 * TICK_NS).targets
    assert (targets.ready, targets.healthy) == (False, False)


def test_the_policy_forgets_each_time_it_begins_to_balance_and_only_then(
    stage: ControlStage, runtime: CountingRuntime, g1_state: LowState
):
    story = [
        (Mode.IDLE, 0), (Mode.READY, 0), (Mode.ARMED, 1), (Mode.ARMED, 1), (Mode.ACTIVE, 1), (Mode.HOLD, 1),
        (Mode.RETURN, 1), (Mode.ARMED, 1), (Mode.DAMPED, 1), (Mode.IDLE, 1), (Mode.READY, 1), (Mode.ARMED, 2),
    ]  # fmt: skip
    assert {mode for mode, _ in story if mode in BALANCING} == set(BALANCING)
    for i, (mode, resets) in enumerate(story):
        stage.tick(None, g1_state, mode, g1_state.t_ns + i * TICK_NS)
        assert runtime.resets == resets, (i, mode)


def test_a_twin_that_takes_over_stands_where_the_robot_is_by_then(
    stage: ControlStage, runtime: CountingRuntime, g1_state: LowState
):
    """Not where it was armed: the robot has walked and turned since, and nothing may call it back there."""
    def at(yaw: float, x: float) -> LowState:
        quat = np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
        return g1_state._replace(quat_w=quat, has_odometry=True, root_pos_w=np.array([x, 0.0, 0.7]))

    def told() -> tuple[float, float]:
        quat = runtime.seen[-1].root_quat_w
        return 2 * np.arctan2(quat[3], quat[0]), runtime.seen[-1].root_pos_w[0]

    now = g1_state.t_ns
    stage.tick(None, at(0.0, 0.0), Mode.ARMED, now, spare=True)
    for i in range(1, 101):
        stage.tick(None, at(0.02 * i, 0.03 * i), Mode.ACTIVE, now + i * TICK_NS, spare=True)
        assert told() == pytest.approx((0.02 * i, 0.03 * i))
    for i in range(101, 200):
        stage.tick(None, at(2.5, 4.0), Mode.RETURN, now + i * TICK_NS)
    assert told() == pytest.approx((2.0, 3.0)), "from then on it stays there"


def test_the_policy_sees_the_guarded_reference_not_the_operators(
    stage: ControlStage, runtime: CountingRuntime, g1_state: LowState
):
    now = g1_state.t_ns
    wild = reference(now, q=MODEL.limits.q_upper + 1.0, root_pos_w=np.array([5.0, 0.0, 0.1]))
    stage.tick(None, g1_state, Mode.ARMED, now)
    tick = stage.tick(wild, g1_state, Mode.ACTIVE, now + TICK_NS)
    assert runtime.seen[-1] is tick.shaped
    moved = np.abs(tick.shaped.q - MODEL.q_stand)
    assert moved.max() <= 15.0 * TICK_NS * 1e-9 + 1e-9, "15 rad/s"
    assert tick.shaped.root_pos_w[2] >= 0.40


BAD_STATES: dict[str, dict[str, Any]] = {
    "joints": {"q": np.full(N, np.nan)},
    "one speed": {"dq": np.where(np.arange(N) == 0, np.inf, 0.0)},
    "orientation": {"quat_w": np.full(4, np.nan)},
    "gyro": {"gyro_b": np.full(3, np.nan)},
    "odometry": {"has_odometry": True, "root_pos_w": np.full(3, np.nan)},
}


@pytest.mark.parametrize("what", BAD_STATES)
def test_an_unsound_state_is_answered_and_never_raised(twist2: ResolvedPolicy, g1_state: LowState, what: str):
    runtime = PolicyRuntime(twist2.card, twist2.onnx_path, MODEL, link="sim")
    stage = ControlStage(MODEL, ReferenceGuard(MODEL), runtime)
    now = g1_state.t_ns
    for i in range(WARM_TICKS):
        good = stage.tick(reference(now), g1_state, Mode.ACTIVE, now + i * TICK_NS)
    assert good.targets.healthy
    bad = g1_state._replace(**BAD_STATES[what])
    tick = stage.tick(reference(now), bad, Mode.ACTIVE, now + WARM_TICKS * TICK_NS)
    assert np.isfinite(tick.targets.q).all(), "the last good answer, or a good one"
    assert tick.targets.healthy is (what == "odometry"), "this policy reads no odometry"
    recovered = stage.tick(reference(now), g1_state, Mode.ACTIVE, now + (WARM_TICKS + 1) * TICK_NS)
    assert recovered.targets.healthy
    assert np.isfinite(recovered.targets.q).all()


def test_a_tick_is_logged_with_what_it_used(stage: ControlStage, g1_state: LowState):
    now = g1_state.t_ns
    tick = stage.tick(reference(now), g1_state, Mode.ACTIVE, now)
    row = tick_log(tick, g1_state, Mode.ACTIVE, now + 900_000)
    assert (row.mode, row.targets_seq, row.reference_seq) == (int(Mode.ACTIVE), 1, 12)
    assert (row.t_reference_ns, row.t_published_ns) == (now - 3_000_000, now + 900_000)
    assert row.reference_q.tobytes() == tick.shaped.q.tobytes()
    assert row.q.tobytes() == g1_state.q.tobytes()


@pytest.fixture
def sigterm_kept() -> Iterator[None]:
    """The entry of a process installs a handler."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_kept")
@pytest.mark.parametrize(("standby", "name"), [(False, "control"), (True, "standby")])
def test_a_policy_that_does_not_fit_is_refused_in_one_sentence(
    twist2: ResolvedPolicy, tmp_path: Path, standby: bool, name: str
):
    session = Session("unitree_g1", tmp_path)
    Bus(session, N, create=True)
    broken = tmp_path / "twist2.onnx"
    broken.write_bytes(twist2.onnx_path.read_bytes()[:-100])
    with pytest.raises(SystemExit) as ended:
        control_process.main(session, "unitree_g1", twist2._replace(onnx_path=broken), "sim", standby=standby)
    assert ended.value.code == REFUSED_EXIT
    sentence = refusal(session, name)
    assert sentence is not None
    assert "\n" not in sentence
    assert str(broken) in sentence


class Parent:
    """A service that lives, is gone, or asks for the end."""

    def __init__(self, *, asked: bool = False, orphaned: bool = False) -> None:
        self.asked, self.orphaned = asked, orphaned


def status_at(t_ns: int) -> SafetyStatus:
    return SafetyStatus(
        t_ns, 1, int(Mode.ACTIVE), 0, -1, 0, 0, np.zeros(32, np.uint32), np.zeros(8, np.uint32),
        np.zeros(N, np.uint32), True, False, -1, 1, np.zeros(N), 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("orphaned", "silent_ms", "gone"),
    [(False, 60_000, False), (True, 0, False), (True, 2000, False), (True, 2001, True)],
)
def test_an_orphaned_policy_balances_on_for_as_long_as_the_motor_process_lives(
    monkeypatch: pytest.MonkeyPatch, orphaned: bool, silent_ms: int, gone: bool
):
    now = 10**11
    monkeypatch.setattr(control_process.time, "monotonic_ns", lambda: now)
    parent: Any = Parent(orphaned=orphaned)
    assert control_process.service_gone(parent, status_at(now - silent_ms * 1_000_000)) is gone
    assert control_process.service_gone(parent, None) is orphaned


class EndAfter:
    """Asks for the end once the loop has looked so often."""

    orphaned = False

    def __init__(self, looks: int) -> None:
        self._left = looks

    @property
    def asked(self) -> bool:
        self._left -= 1
        return self._left < 0


class Listened(NamedTuple):
    """A session with a robot in it."""

    session: Session
    bus: Bus
    woken: list[tuple[str, int]]
    """Slots whose waiters were woken, each with its number by then."""


@pytest.fixture
def listened(g1_state: LowState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listened:
    session = Session("unitree_g1", tmp_path)
    (tmp_path / "token").write_text("5")
    bus = Bus(session, N, create=True)
    bus.slot("state").write(g1_state)
    bus.slot("safety_status").write(status_at(g1_state.t_ns))
    woken: list[tuple[str, int]] = []
    monkeypatch.setattr(Slot, "wake", lambda waked: woken.append((waked.path, waked.seq)))
    return Listened(session, bus, woken)


@pytest.mark.parametrize(("process", "standby", "slot"), [
    (control_process, False, "targets"), (control_process, True, "targets_standby"), (arms_process, False, "targets"),
])  # fmt: skip
def test_the_motor_loop_is_woken_for_each_new_target(
    twist2: ResolvedPolicy, listened: Listened, monkeypatch: pytest.MonkeyPatch,
    process: ModuleType, standby: bool, slot: str,
):  # fmt: skip
    session, bus, woken = listened
    monkeypatch.setattr(process, "Ending", lambda: EndAfter(3))
    monkeypatch.setattr(process, "request_priority", lambda _priority: False)
    more = {} if process is arms_process else {"policy": twist2, "link": "sim", "standby": standby}
    process.main(session, "unitree_g1", **more)
    assert woken == [(bus.slot(slot).path, number) for number in (1, 2, 3)], "after it was written"


class Silence:
    """Stands in for LCM: nobody sends, and reports go nowhere."""

    def __init__(self, _url: str) -> None:
        self.subscribe = self.publish = lambda *_: None
        self.poll = self.close = lambda: None
        self.take = lambda _channel: []


@pytest.mark.usefixtures("sigterm_kept")
def test_the_motor_loop_is_woken_behind_the_bridge_too(
    twist2: ResolvedPolicy, listened: Listened, monkeypatch: pytest.MonkeyPatch
):
    session, bus, woken = listened
    monkeypatch.setattr(bridge_process, "Ending", lambda: EndAfter(11))
    monkeypatch.setattr(bridge_process, "request_priority", lambda _priority: False)
    monkeypatch.setattr(bridge_process, "Network", Silence)
    bridge_process.main(session, "unitree_g1", twist2, "sim", "udpm://")
    assert woken == [(bus.slot("targets").path, number) for number in (1, 2)], "at the first tick and 20 ms later"
