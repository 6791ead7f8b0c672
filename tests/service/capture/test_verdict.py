"""Each line of the verdict, alone, on both sides of its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.gate import GATE_STEPS
from teleopd.safety.words import Cause, Mode
from teleopd.service.capture.verdict import THRESHOLDS, Verdict, VerdictMeter

N, MS, T0 = MODEL.n, 1_000_000, 5_000_000_000


class Told:
    """A meter that is told of a robot that stands and follows well."""

    def __init__(self) -> None:
        self.meter = VerdictMeter(MODEL)
        self.meter.mode(Mode.ARMED, -1)
        self.meter.mode(Mode.ACTIVE, -1)
        self.t_ns = T0
        self.counts = np.zeros((1, len(GATE_STEPS)))

    def follow(self, ticks: int = 1000, *, gated: str = "", share: float = 1.0) -> Told:
        t_ns = self.t_ns + 2 * MS * np.arange(ticks)
        counts = np.repeat(self.counts, ticks, axis=0)
        if gated:
            counts[:, GATE_STEPS.index(gated)] += np.floor(np.arange(1, ticks + 1) * share)
        self.meter.add("command", t_ns, {"gate_counts": counts, "mode": np.full((ticks, 1), int(Mode.ACTIVE))})
        self.t_ns, self.counts = int(t_ns[-1]) + 2 * MS, counts[-1:]
        return self

    def stand(self, q: np.ndarray = MODEL.q_stand, quat: tuple[float, ...] = (1, 0, 0, 0), n: int = 100) -> Told:
        self.meter.add("state", np.full(n, T0), {"joint_pos": np.tile(q, (n, 1)), "imu_quat_w": np.tile(quat, (n, 1))})
        return self

    def result(self, lost: int = 0, **more: bool) -> Verdict:
        return self.meter.result(lost, **more)


def said(verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    return verdict.verdict, verdict.reasons


def test_a_good_episode_is_kept():
    told = Told().stand().follow().result()
    assert said(told) == ("keep", ()) and told.figures["followed_s"] == pytest.approx(999 * 0.002)


def test_a_robot_that_never_followed_shows_nothing():
    assert said(Told().follow(500).result()) == ("drop", ("the robot followed the operator for 1.0 s",))
    assert said(VerdictMeter(MODEL).result(0, balances=False)) == ("keep", ())


@pytest.mark.parametrize(
    ("lost", "expected"),
    [(0, ("keep", ())), (1, ("maybe", ("0.10% of the samples were lost",))),
     (10, ("maybe", ("0.99% of the samples were lost",))), (11, ("drop", ("1.09% of the samples were lost",)))],
)  # fmt: skip
def test_lost_samples(lost: int, expected: tuple[str, tuple[str, ...]]):
    assert said(Told().follow(1000).result(lost)) == expected


def test_falls_are_counted_once_each_and_only_on_the_feet():
    tilt = np.radians(61) / 2
    fallen = (np.cos(tilt), np.sin(tilt), 0, 0)
    told = Told().follow().stand().stand(quat=fallen).stand(quat=fallen).stand().stand(quat=fallen)
    assert said(told.result()) == ("drop", ("the robot fell 2 times",))
    leaning = Told().follow().stand(quat=(np.cos(np.radians(59) / 2), 0, np.sin(np.radians(59) / 2), 0))
    assert leaning.result().verdict == "keep"
    down = Told().follow()
    down.meter.mode(Mode.DAMPED, int(Cause.OPERATOR_DAMP))
    assert down.stand(quat=fallen).result().verdict == "keep"


@pytest.mark.parametrize(
    ("mode", "cause", "expected"),
    [
        (Mode.DAMPED, Cause.MOTOR_HOT, ("drop", ("a fault damped the motors 1 times",))),
        (Mode.DAMPED, Cause.OPERATOR_DAMP, ("keep", ())),
        (Mode.DAMPED, -1, ("keep", ())),
        (Mode.HOLD, Cause.SOURCE_STALE, ("maybe", ("1 times the robot stopped following (source or policy)",))),
        (Mode.RETURN, Cause.DEADMAN_RELEASED, ("keep", ())),
        (Mode.RETURN, Cause.OPERATOR_STOP, ("keep", ())),
    ],
)  # fmt: skip
def test_who_ended_the_following(mode: Mode, cause: int, expected: tuple[str, tuple[str, ...]]):
    told = Told().follow()
    told.meter.mode(mode, int(cause))
    assert said(told.result()) == expected


@pytest.mark.parametrize(
    ("step", "share", "expected"),
    [
        ("rate", 0.1, ("keep", ())), ("rate", 0.2, ("maybe", ("the safety gate changed 20.0% of the commands",))),
        ("torque", 0.6, ("drop", ("the safety gate changed 60.0% of the commands",))),
        ("box", 1.0, ("keep", ())), ("blend", 1.0, ("keep", ())),
    ],
)  # fmt: skip
def test_the_gates_part_in_it(step: str, share: float, expected: tuple[str, tuple[str, ...]]):
    assert said(Told().follow(1000, gated=step, share=share).result()) == expected


def test_a_joint_at_its_limit():
    at_limit = MODEL.q_stand.copy()
    at_limit[3] = MODEL.limits.q_upper[3] - 0.01
    assert Told().follow().stand(n=90).stand(at_limit, n=10).result().verdict == "keep"
    told = Told().follow().stand(n=80).stand(at_limit, n=20)
    assert said(told.result()) == ("maybe", ("a joint stood at its limit 20.0% of the time",))


def test_a_reference_that_jumps():
    for step_m, expected in ((0.039, "keep"), (0.041, "maybe")):
        told = Told().follow()
        pos = np.zeros((4, 3))
        pos[2:, 0] = step_m
        told.meter.add("reference", T0 + 10 * MS * np.arange(4), {"root_pos_w": pos})
        assert told.result().verdict == expected
    assert told.result().reasons == ("the reference jumped 1 times (faster than 4 m/s)",)


def test_joints_that_are_off_the_reference():
    for off, expected in ((0.29, "keep"), (0.31, "maybe"), (0.61, "drop")):
        told = Told().follow().stand()
        told.meter.add("shaped_reference", np.full(3, T0), {"joint_pos": np.tile(MODEL.q_stand + off, (3, 1))})
        assert told.result().verdict == expected and told.result().figures["tracking_rmse_rad"] == pytest.approx(off)


def test_numbers_that_are_none_are_counted_by_sample():
    told = Told().follow()
    bad = np.zeros((3, N))
    bad[1, :2] = np.nan, np.inf
    told.meter.add("target", np.full(3, T0), {"joint_pos": bad})
    assert said(told.result()) == ("drop", ("1 samples hold numbers that are none",))


def test_the_worst_line_decides_and_all_are_said():
    told = Told().follow(1000, gated="rate", share=0.2)
    told.meter.mode(Mode.DAMPED, int(Cause.MOTOR_HOT))
    verdict = told.result(1)
    assert verdict.verdict == "drop" and len(verdict.reasons) == 3


def test_the_table_is_in_order():
    assert all(line.maybe <= line.drop and line.why and "{" in line.what for line in THRESHOLDS.values())
