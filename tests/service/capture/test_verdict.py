"""Each line of the verdict, alone, on both sides of its threshold."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.robots.capsules import Capsules
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


def test_times_that_go_back_and_silence_between_reports():
    told = Told().follow()
    assert told.result().figures["gap_s"] == pytest.approx(0.002)
    t_ns = told.t_ns + 400 * MS
    told.meter.add("state", np.array([told.t_ns, t_ns]), {
        "joint_pos": np.tile(MODEL.q_stand, (2, 1)), "imu_quat_w": np.tile([1.0, 0, 0, 0], (2, 1)),
    })  # fmt: skip
    assert said(told.result()) == ("maybe", ("robot or gate were silent for 0.40 s",))
    told.meter.add("target", np.array([T0, T0 - 1, T0]), {"joint_pos": np.zeros((3, N))})
    told.meter.add("target", np.array([T0 - 5]), {"joint_pos": np.zeros((1, N))})
    verdict, reasons = said(told.result())
    assert verdict == "drop" and "2 samples have a time before that of the sample before" in reasons


def test_a_wall_clock_that_is_set_is_said_and_never_drops():
    told = Told().follow()
    told.meter.wall_step(-50_000_000)
    assert told.result().verdict == "keep"
    told.meter.wall_step(-3_600_000_000_000)
    assert said(told.result()) == ("maybe", ("the wall clock was set by 3600.0 s meanwhile",))


def test_a_camera_that_pauses():
    for ns, expected in ((400 * MS, "keep"), (1_500 * MS, "maybe"), (2_500 * MS, "drop")):
        told = Told().follow()
        told.meter.no_picture("head", 33 * MS)
        told.meter.no_picture("head", ns)
        told.meter.no_picture("hand", 33 * MS)
        assert told.result().verdict == expected
    assert told.result().reasons == ("a camera showed nothing for 2.5 s",)


def stances(told: Told, qs: np.ndarray, quats: np.ndarray | None = None) -> Told:
    """States 20 ms apart."""
    t_ns = T0 + 20 * MS * np.arange(len(qs))
    quats = np.tile([1.0, 0, 0, 0], (len(qs), 1)) if quats is None else quats
    told.meter.add("state", t_ns, {"joint_pos": qs, "imu_quat_w": quats})
    return told


def bent(joint: str, angle: float) -> np.ndarray:
    q = MODEL.q_stand.copy()
    q[MODEL.joint_names.index(joint)] += angle
    return q


def test_a_robot_that_touches_itself():
    """The forearm turned into the chest; from standing it is there for a share of the time."""
    inside = bent("left_shoulder_roll_joint", -0.9)
    assert Capsules(MODEL).gaps(inside).min() < 0 < Capsules(MODEL).gaps(MODEL.q_stand).min()
    for share, expected in ((0.0, "keep"), (0.1, "maybe"), (0.5, "drop")):
        qs = np.tile(MODEL.q_stand, (200, 1))
        qs[: round(200 * share)] = inside
        told = stances(Told().follow(), qs)
        assert told.result().verdict == expected
        assert told.result().figures["touching_share"] == pytest.approx(share, abs=0.03)


def slide(per_look: float, looks: int = 100) -> np.ndarray:
    """Both hips roll outwards and the ankles against them: flat feet move apart, by so much a look [rad]."""
    qs = np.tile(MODEL.q_stand, (looks, 1))
    angle = per_look * np.arange(looks)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        qs[:, MODEL.joint_names.index(f"{side}_hip_roll_joint")] += sign * angle
        qs[:, MODEL.joint_names.index(f"{side}_ankle_roll_joint")] -= sign * angle
    return qs


def test_feet_that_move_apart_while_both_stand_have_slid():
    """Legs of 0.7 m: 0.2 rad on both sides move the feet apart by some 0.28 m, a slide every two centimetres."""
    meter = stances(Told().follow(), slide(0.2 / 100)).result()
    assert 10 <= meter.figures["slips"] <= 14
    assert said(meter)[0] == "maybe" and "a foot slid on the floor" in said(meter)[1][0]


def test_standing_turning_and_stepping_are_no_slides():
    still = stances(Told().follow(), slide(0.0))
    assert still.result().figures["slips"] == 0
    yaw = 0.02 * 0.02 * np.arange(1000)  # 0.02 rad/s
    turned = np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], axis=1)
    assert stances(Told().follow(), slide(0.0, 1000), turned).result().figures["slips"] == 0, "it drifts"
    steps = np.tile(MODEL.q_stand, (200, 1))
    lifted = bent("left_knee_joint", 0.6)
    wide = slide(0.05, 2)[1]
    for k in range(10):  # stands, lifts a foot, stands wider, lifts, stands as before
        steps[20 * k + 6 : 20 * k + 10] = steps[20 * k + 16 : 20 * k + 20] = lifted
        steps[20 * k + 10 : 20 * k + 16] = wide
    assert stances(Told().follow(), steps).result().figures["slips"] == 0


def test_a_robot_that_hangs_or_lies_is_not_judged_for_feet_and_arms():
    told = Told().follow()
    told.meter.mode(Mode.DAMPED, -1)
    stances(told, slide(0.2 / 100))
    assert told.result().figures["slips"] == told.result().figures["touching_share"] == 0
