"""How hard the arms push: the knob, the filter's law, and real contact forces at a wall."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.model import LowState, Reference
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.compliance import FARTHEST_M, FARTHEST_RAD, ArmCompliance, Compliance, check_fits
from teleopd.service.force_limit import DOWN, UP, ForceLimit, ForceLimitButtons, ForceLimitWriter
from teleopd.service.lockstep import Lockstep
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.errors import Unsupported
from teleopd.service.policy.library import ResolvedPolicy, resolve
from teleopd.service.streams import ComplianceSetting, PolicyStatus

POLICIES = MODEL.mjcf.parent / "policies"
N = MODEL.n
TICK_NS = 20_000_000
LEFT = slice(15, 19)
"""Shoulder pitch, roll, yaw and elbow."""


def test_the_limit_moves_at_one_newton_a_second_within_its_range():
    limit = ForceLimit(10.0)
    assert limit.step(1) == 10.0
    limit.ask(99.0)
    values = [limit.step(1 + i * TICK_NS) for i in range(1, 301)]
    assert values[49] == pytest.approx(11.0)
    assert np.diff(values).max() == pytest.approx(0.02)
    assert values[-1] == 15.0
    limit.ask(math.inf)
    assert limit.step(302 * TICK_NS) == 15.0
    limit.ask(math.nan)
    assert limit.step(303 * TICK_NS) < 15.0, "back to the run's own"


def test_a_stalled_clock_or_a_long_pause_makes_no_jump():
    limit = ForceLimit(5.0)
    limit.step(1)
    limit.ask(15.0)
    assert limit.step(10_000_000_000) == pytest.approx(5.1)
    assert limit.step(5_000_000_000) == pytest.approx(5.1)


def test_what_has_nothing_to_act_on_is_refused():
    plain, gentle = load_card(POLICIES / "twist2.toml"), load_card(POLICIES / "layouts" / "gentle_humanoid.toml")
    with pytest.raises(Unsupported, match=r"has no force limit, so 12 N has nothing to act on: add compliance.admit"):
        check_fits(plain, 12.0, False)
    with pytest.raises(Unsupported, match=r"has a force limit of its own, so compliance.admittance is not for it"):
        check_fits(gentle, 0.0, True)
    check_fits(plain, 12.0, True)
    check_fits(gentle, 12.0, False)
    assert math.isnan(Compliance(plain, MODEL).force_limit_n)
    assert Compliance(gentle, MODEL).force_limit_n == 10.0


def test_the_newest_wish_with_the_right_token_counts_once():
    knob = Compliance(load_card(POLICIES / "layouts" / "gentle_humanoid.toml"), MODEL, 10.0)
    knob.hear([None, ComplianceSetting(5, 7, 12.0), ComplianceSetting(9, 8, 5.0), ComplianceSetting(4, 7, 6.0)], 7)
    knob.limit.step(1)
    for i in range(1, 200):
        knob.limit.step(1 + i * TICK_NS)
    assert knob.force_limit_n == 12.0


class Slot:
    def __init__(self) -> None:
        self.values: list[ComplianceSetting] = []

    def write(self, value: ComplianceSetting) -> None:
        self.values.append(value)


def test_two_buttons_of_a_device_change_it_by_a_newton_a_press():
    slot = Slot()
    buttons = ForceLimitButtons(ForceLimitWriter(slot, 3))
    status = PolicyStatus(1, 0, 0.0, 0.0, 14.2, False)
    story: list[set[str]] = [{UP}, set(), {UP}, {UP, "a"}, set(), {UP}, set(), {DOWN}, {UP, DOWN}]
    for i, held in enumerate(story):
        buttons.step(held, status, i)
    assert [value.force_limit_n for value in slot.values] == [15.0, 15.0, 14.0, 15.0]
    assert {value.token for value in slot.values} == {3}
    quiet = ForceLimitButtons(ForceLimitWriter(Slot(), 3))
    quiet.step((), None, 0)
    quiet.step({UP}, None, 1)
    quiet.step((), status, 2)
    quiet.step({UP}, status._replace(force_limit_n=math.nan), 3)


def test_a_wish_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"^force limit 4.9 N is not between 5 and 15 N$"):
        ForceLimitWriter(Slot(), 1).ask(4.9, 0)
    with pytest.raises(ValueError, match="not between"):
        ForceLimitWriter(Slot(), 1).ask(math.nan, 0)


class Bench:
    """The filter with a robot that stands still: gravity is explained, an outside force at the left wrist is not."""

    def __init__(self, g1_state: LowState) -> None:
        self.arms = ArmCompliance(MODEL)
        self.now_ns = g1_state.t_ns
        self._m = mujoco.MjModel.from_xml_path(str(MODEL.mjcf))
        self._d = mujoco.MjData(self._m)
        self._state = g1_state._replace(
            q=MODEL.q_stand.copy(), dq=np.zeros(N), quat_w=np.array([1.0, 0.0, 0.0, 0.0]), gyro_b=np.zeros(3)
        )

    def state(self, force_w: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> LowState:
        """Motor torques that balance gravity and that force: tau = bias - J^T F, by inverse dynamics."""
        m, d = self._m, self._d
        d.qpos[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
        joints = [m.joint(name).qposadr[0] for name in MODEL.joint_names]
        dofs = [m.joint(name).dofadr[0] for name in MODEL.joint_names]
        d.qpos[joints] = MODEL.q_stand
        mujoco.mj_forward(m, d)
        applied = np.zeros(m.nv)
        site = m.site("key_left_wrist")
        mujoco.mj_applyFT(m, d, np.array(force_w), np.zeros(3), d.site("key_left_wrist").xpos, site.bodyid[0], applied)
        return self._state._replace(tau=(d.qfrc_bias - applied)[dofs])

    def run(self, state: LowState, seconds: float, reference: Reference, limit: float = 10.0, acts: bool = True):
        """The last reference the filter gave."""
        for _ in range(round(seconds * 50)):
            self.now_ns += TICK_NS
            given = self.arms.step(reference, state, limit, self.now_ns, acts=acts)
        return given


@pytest.fixture
def bench(g1_state: LowState) -> Bench:
    return Bench(g1_state)


@pytest.fixture
def standing() -> Reference:
    return Reference(
        1, 1, 0, 0, 0, True, False, 0, 50.0, np.array([0.0, 0.0, 0.79]), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3),
        np.zeros(3), MODEL.q_stand.copy(), np.zeros(N),
    )  # fmt: skip


def test_without_a_force_the_reference_is_left_alone(bench: Bench, standing: Reference):
    given = bench.run(bench.state(), 1.0, standing)
    assert np.abs(given.q - standing.q).max() < 1e-9


def test_a_force_below_the_limit_moves_the_wrist_by_the_springs_law(bench: Bench, standing: Reference):
    given = bench.run(bench.state((-8.0, 0.0, 0.0)), 3.0, standing, limit=10.0)
    estimate = float(np.linalg.norm(bench.arms.forces_b[0]))
    assert 4.0 < estimate < 6.5, "8 N less the dead band of 2 N, a little lost to the damped inverse"
    assert bench.arms.deviation_m == pytest.approx(estimate / (10.0 / 0.05), rel=0.02), "F / Kp"
    assert bench.arms.forces_b[1] == pytest.approx(np.zeros(3)), "the other arm feels nothing"
    assert (given.q != standing.q).nonzero()[0].tolist() == list(range(15, 19))


def test_beyond_the_limit_it_gives_way_up_to_the_bound(bench: Bench, standing: Reference):
    given = bench.run(bench.state((-60.0, 0.0, 30.0)), 4.0, standing, limit=5.0)
    assert bench.arms.deviation_m == pytest.approx(FARTHEST_M)
    assert np.abs(given.q - standing.q).max() <= FARTHEST_RAD
    assert (given.q >= MODEL.limits.q_lower).all()
    assert (given.q <= MODEL.limits.q_upper).all()


def test_a_softer_setting_gives_way_further(bench: Bench, standing: Reference, g1_state: LowState):
    pushed = bench.state((-6.0, 0.0, 0.0))
    ways = []
    for limit in (5.0, 10.0, 15.0):
        arms = Bench(g1_state)
        arms.run(pushed, 3.0, standing, limit=limit)
        ways.append(arms.arms.deviation_m)
    assert ways[0] > 1.5 * ways[1] > 1.5 * ways[2] > 0.0


def test_it_returns_without_a_jump_when_it_may_no_longer_act(bench: Bench, standing: Reference):
    pushed = bench.state((-20.0, 0.0, 0.0))
    given = bench.run(pushed, 3.0, standing)
    before = given.q.copy()
    for _ in range(100):
        given = bench.run(pushed, 0.02, standing, acts=False)
        assert np.abs(given.q - before).max() <= 0.05, "2.5 rad/s"
        before = given.q.copy()
    bench.run(pushed, 2.0, standing, acts=False)
    assert bench.arms.deviation_m < 2e-3


BROKEN = {
    "joints": {"q": np.full(N, np.nan)}, "torques": {"tau": np.full(N, np.inf)}, "speeds": {"dq": np.full(N, np.nan)},
    "orientation": {"quat_w": np.full(4, np.nan)}, "no orientation": {"quat_w": np.zeros(4)},
    "huge torques": {"tau": np.full(N, 1e300)},
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_an_unsound_state_never_makes_a_number_that_is_none(bench: Bench, standing: Reference, what: str):
    bench.run(bench.state((-20.0, 0.0, 0.0)), 1.0, standing)
    bad = bench.state()._replace(**BROKEN[what])
    for _ in range(20):
        given = bench.run(bad, 0.02, standing)
        assert np.isfinite(given.q).all()
        assert np.abs(given.q - standing.q).max() <= FARTHEST_RAD
    given = bench.run(bench.state(), 4.0, standing)
    assert np.abs(given.q - standing.q).max() < 0.01


def test_a_limit_that_is_no_number_counts_as_no_filter(bench: Bench, standing: Reference):
    assert np.isfinite(bench.run(bench.state((-20.0, 0.0, 0.0)), 0.5, standing, limit=math.nan).q).all()


# A wall


@pytest.fixture(scope="module")
def embedded() -> ResolvedPolicy:
    found = resolve("default", MODEL)
    assert found is not None
    return found


def reaching(share: float) -> np.ndarray:
    """Both arms on their way from standing to straight ahead."""
    q = MODEL.q_stand.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        goal = {"shoulder_pitch": -0.9, "shoulder_roll": 0.15 * sign, "shoulder_yaw": 0.0, "elbow": 0.7}
        for joint, value in goal.items():
            i = MODEL.joint_names.index(f"{side}_{joint}_joint")
            q[i] += share * (value - q[i])
    return q


def wall_force(policy: ResolvedPolicy, folder: Path, limit_n: float, admittance: bool) -> float:
    """Mean normal contact force of both hands over the last second [N]; the gantry keeps the pelvis in its place."""
    wall = '<geom name="wall" type="box" pos="0.5 0 1" size="0.05 1 0.6" contype="2" conaffinity="3"/>'
    mjcf = folder / "robot_at_wall.xml"
    mjcf.write_text(MODEL.mjcf.read_text().replace("</worldbody>", wall + "</worldbody>"))
    model = dataclasses.replace(MODEL, mjcf=mjcf)
    lock = Lockstep(model, policy, physics_hz=500, force_limit_n=limit_n, admittance=admittance)
    began = [0]

    def operator(now_ns: int) -> Reference:
        seconds = (now_ns - began[0]) / 1e9 if began[0] else 0.0
        return Reference(
            now_ns // TICK_NS, 1, now_ns, now_ns, now_ns, True, False, 0, 50.0,
            np.array([0.0, 0.0, MODEL.stand_height_m]), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.zeros(3),
            reaching(min(max((seconds - 1.0) / 1.5, 0.0), 1.0)), np.zeros(N),
        )  # fmt: skip

    lock.arm(operator)
    lock.robot.hang()
    assert lock.engage(operator)
    began[0] = lock.now_ns
    m, d = lock.robot.mj_model, lock.robot.mj_data
    wall_id, forces, six = m.geom("wall").id, [], np.zeros(6)
    for _ in range(round(5.0 * 50)):
        lock.step(operator(lock.now_ns))
        forces.append(0.0)
        for i in range(d.ncon):
            if wall_id in d.contact[i].geom:
                mujoco.mj_contactForce(m, d, i, six)
                forces[-1] += six[0]
    assert lock.mode is Mode.ACTIVE
    return float(np.mean(forces[-50:]))


@pytest.mark.slow
def test_the_force_on_a_wall_follows_the_setting(embedded: ResolvedPolicy, tmp_path: Path):
    settings = ((0.0, False), (15.0, True), (5.0, True))
    off, stiff, soft = (wall_force(embedded, tmp_path, *setting) for setting in settings)
    assert off > 1.3 * stiff > 1.3 * 1.5 * soft > 0.0, (off, stiff, soft)
    assert soft < 2 * (5.0 + 2.0) * 1.35, "two hands, each at the limit plus the dead band, as far as it is estimated"
