from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN, HumanPose, Skeleton
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.model import Reference, RobotModel
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.solver_choice import SolverName
from teleopd.service.retarget.tables import NoTable, TableError, load_table

Person = Callable[..., HumanPose]
STRAIGHT_LEGS_M = 0.015
"""A person on straight legs keeps the robot's straight, which are 12 mm longer than those of its stand pose."""


def used(reference: Reference | None) -> Reference:
    assert reference is not None
    return reference


def yaw_of(quat: np.ndarray) -> float:
    w, x, y, z = quat
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def forward(robot: RobotModel, reference: Reference) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data = mujoco.MjData(model)
    data.qpos[:7] = np.concatenate((reference.root_pos_w, reference.root_quat_w))
    for name, value in zip(robot.joint_names, reference.q, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(model, data)
    return model, data


def test_a_person_in_the_t_pose_puts_the_robot_in_its_t_pose(robot: RobotModel, person: Person):
    reference = used(Retargeter(robot, MVN).update(person()))
    t_pose = load_table(table_path(robot)).t_pose
    for name, value in t_pose.items():
        assert reference.q[robot.joint_names.index(name)] == pytest.approx(value, abs=0.06), name
    waist = robot.indices(["waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"])
    np.testing.assert_allclose(reference.q[waist], 0.0, atol=0.05)
    np.testing.assert_allclose(reference.root_pos_w, (0.0, 0.0, robot.stand_height_m), atol=STRAIGHT_LEGS_M)
    assert yaw_of(reference.root_quat_w) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(("yaw", "xy", "z"), [(0.0, (0, 0), 0.0), (2.5, (7.0, -3.0), 0.4), (-1.6, (0.0, 1.0), -0.2)])
def test_where_the_operator_starts_does_not_matter(robot: RobotModel, person: Person, yaw: float, xy: tuple, z: float):
    """Heading becomes +X, place becomes the origin, floor becomes 0; soles on it."""
    reference = used(Retargeter(robot, MVN).update(person(yaw=yaw, xy=xy, z=z)))
    np.testing.assert_allclose(reference.root_pos_w, (0, 0, robot.stand_height_m), atol=STRAIGHT_LEGS_M)
    assert yaw_of(reference.root_quat_w) == pytest.approx(0.0, abs=0.01)
    model, data = forward(robot, reference)
    soles = [data.site(name).xpos[2] for name in robot.sole_sites]
    assert -0.01 < min(soles) <= max(soles) < 0.01


def test_a_small_and_a_tall_person_both_stand_at_stand_height(robot: RobotModel, person: Person):
    for size in (0.75, 1.2):
        pose = person()
        reference = used(Retargeter(robot, MVN).update(pose._replace(pos_w=pose.pos_w * size)))
        assert reference.root_pos_w[2] == pytest.approx(robot.stand_height_m, abs=STRAIGHT_LEGS_M)


def test_walking_and_turning_speeds_come_out_scaled(robot: RobotModel, person: Person):
    retargeter = Retargeter(robot, MVN, contacts=False)  # this person glides: feet that stand would hold on
    for i in range(40):
        t = i / 60.0
        reference = used(retargeter.update(person(xy=(0.6 * t, 0.0), t_s=1 + t, seq=i)))
    target_map = retargeter.target_map
    assert target_map is not None
    stand_leg = robot.stand_height_m - 0.1027 - 0.035  # pelvis above its hip pitch axes; ankle above the sole
    assert target_map.leg_scale == pytest.approx(stand_leg / 0.84, abs=0.005)
    np.testing.assert_allclose(reference.root_lin_vel_w, (0.6 * target_map.leg_scale, 0, 0), atol=0.005)
    retargeter.recalibrate()
    for i in range(40):
        reference = used(retargeter.update(person(yaw=1.2 * i / 60.0, t_s=5 + i / 60.0, seq=i)))
    np.testing.assert_allclose(reference.root_ang_vel_w, (0, 0, 1.2), atol=0.01)
    assert np.abs(reference.dq).max() < 0.05


def test_a_walk_stays_inside_limits_and_near_its_targets(robot: RobotModel, walk: list[HumanPose]):
    retargeter, limits = Retargeter(robot, MVN), robot.limits
    before, feet = None, []
    for n, pose in enumerate(walk, 1):
        reference = used(retargeter.update(pose, t_content_ns=77))
        assert reference.seq == n and reference.t_ns == pose.t_ns and reference.t_content_ns == 77
        assert reference.valid and reference.t_published_ns == 0 and reference.resets == 0
        assert np.all(reference.q >= limits.q_lower) and np.all(reference.q <= limits.q_upper)
        assert abs(np.linalg.norm(reference.root_quat_w) - 1.0) < 1e-9
        if before is not None:
            assert np.abs(reference.q - before.q).max() <= 20.0 / 120.0 + 1e-9
            assert np.linalg.norm(reference.root_pos_w - before.root_pos_w) < 0.03
        before = reference
        if n % 20 == 0:
            _, data = forward(robot, reference)
            assert retargeter.targets is not None and retargeter.target_map is not None
            rows = [m.robot for m in retargeter.target_map.matches]
            for side in ("left", "right"):
                row = rows.index(f"{side}_ankle_roll_link")
                feet.append(np.linalg.norm(data.body(rows[row]).xpos - retargeter.targets.pos[row]))
    assert np.mean(feet) < 0.006
    assert before is not None and before.nominal_hz == pytest.approx(120.0, rel=0.01)


def test_a_still_foot_stays_still_on_the_robot(robot: RobotModel):
    """Built-in walks plant their stance feet exactly: the target of such a foot may not move."""
    clip = load_motion("walk")
    start = clip.frames // 2
    retargeter = Retargeter(robot, MVN)
    foot, row, still = MVN.body_names.index("LeftFoot"), 4, 0
    last = None
    for i in range(start, start + 150):
        retargeter.update(clip.pose(i, seq=i, t_ns=round(i * 1e9 / clip.fps)))
        assert retargeter.targets is not None and retargeter.target_map is not None
        assert retargeter.target_map.matches[row].human == "LeftFoot"
        here = retargeter.targets.pos[row].copy()
        moved = np.abs(clip.pos_w[i, foot] - clip.pos_w[i - 1, foot]).max()
        turned = np.abs(clip.quat_w[i, foot] - clip.quat_w[i - 1, foot]).max()
        if last is not None and moved < 1e-6 and turned < 1e-6:
            still += 1
            np.testing.assert_allclose(here, last, atol=1e-5)
        last = here
    assert still > 20


def test_a_gap_acquires_anew_without_moving_the_root(robot: RobotModel, walk: list[HumanPose]):
    retargeter = Retargeter(robot, MVN)
    for pose in walk[:60]:
        before = used(retargeter.update(pose))
    late_ns = walk[59].t_ns + 260_000_000
    jumped = walk[200]._replace(pos_w=walk[200].pos_w + [4.0, 1.0, 0.0], t_ns=late_ns, t_source_ns=late_ns)
    after = used(retargeter.update(jumped))
    assert after.resets == before.resets + 1 and after.seq == before.seq + 1
    np.testing.assert_allclose(after.root_pos_w[:2], before.root_pos_w[:2], atol=0.02)
    assert yaw_of(after.root_quat_w) == pytest.approx(yaw_of(before.root_quat_w), abs=0.05)
    assert not after.root_lin_vel_w.any() and not after.dq.any()


def test_the_devices_own_reset_and_ours_do_the_same(robot: RobotModel, walk: list[HumanPose]):
    retargeter = Retargeter(robot, MVN)
    first = used(retargeter.update(walk[0]))
    assert first.resets == 0
    assert used(retargeter.update(walk[1]._replace(resets=1))).resets == 1
    assert used(retargeter.update(walk[2]._replace(resets=1))).resets == 1
    retargeter.reset()
    assert used(retargeter.update(walk[3]._replace(resets=1))).resets == 2


@pytest.mark.parametrize("frame", [0, 30, 60, 90, 120])
def test_acquiring_any_frame_is_as_good_as_having_tracked_it(robot: RobotModel, walk: list[HumanPose], frame: int):
    tracked = Retargeter(robot, MVN)
    for pose in walk[: frame + 1]:
        settled = used(tracked.update(pose))
    fresh = used(Retargeter(robot, MVN, calibration=tracked.calibration).update(walk[frame]))
    np.testing.assert_allclose(fresh.q, settled.q, atol=0.15)


def test_a_lost_hand_is_held_and_a_lost_pelvis_gives_nothing(robot: RobotModel, walk: list[HumanPose]):
    retargeter = Retargeter(robot, MVN)
    for pose in walk[:30]:
        before = used(retargeter.update(pose))
    valid = np.ones(23, dtype=bool)
    valid[MVN.body_names.index("LeftHand")] = False
    pos = walk[30].pos_w.copy()
    pos[MVN.body_names.index("LeftHand")] = np.nan
    held = used(retargeter.update(walk[30]._replace(valid=valid, pos_w=pos)))
    assert np.abs(held.q - before.q).max() < 0.05
    valid[0] = False
    assert retargeter.update(walk[31]._replace(valid=valid)) is None
    assert retargeter.problem == "the pelvis or a hip is not tracked"


@pytest.mark.parametrize("solver", ["fast", "compiled"])
@pytest.mark.parametrize("body", ["Pelvis", "LeftHand", "LeftToe"])
@pytest.mark.parametrize("what", ["pos_w", "quat_w"])
def test_numbers_that_are_not_finite_are_never_published_and_leave_nothing_behind(
    robot: RobotModel, walk: list[HumanPose], solver: SolverName, body: str, what: str
):
    """One body that is said to be tracked; some frames later the motion is what it would have been after a reset."""
    spoilt, clean = Retargeter(robot, MVN, solver=solver), Retargeter(robot, MVN, solver=solver)
    for k, pose in enumerate(walk[:60]):
        if k == 20:
            before = spoilt.targets
            values = getattr(pose, what).copy()
            values[MVN.body_names.index(body), 1] = np.nan
            assert spoilt.update(pose._replace(**{what: values})) is None
            assert spoilt.problem == "the pose has no solution: its numbers are not finite"
            assert before is spoilt.targets
            clean.reset()
            continue
        one, other = used(spoilt.update(pose)), used(clean.update(pose))
        assert one.resets == other.resets == int(k > 20)
        np.testing.assert_allclose(one.q, other.q, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("solver", ["fast", "compiled"])
def test_numbers_beyond_all_measure_are_not_published_either(
    robot: RobotModel, walk: list[HumanPose], solver: SolverName
):
    retargeter = Retargeter(robot, MVN, solver=solver)
    before = used(retargeter.update(walk[0]))
    for far in (1e160, 1e308):
        found = retargeter.update(walk[1]._replace(pos_w=walk[1].pos_w * far))
        assert found is None or np.isfinite(found.q).all()
    after = [used(retargeter.update(pose)) for pose in walk[2:8]]
    assert np.isfinite(after[-1].q).all() and np.isfinite(after[-1].root_pos_w).all()
    assert np.abs(after[-1].q - before.q).max() < 0.5


def test_nothing_is_made_before_every_body_was_seen_once(robot: RobotModel, person: Person):
    retargeter, valid = Retargeter(robot, MVN), np.ones(23, dtype=bool)
    valid[MVN.body_names.index("RightToe")] = False
    assert retargeter.update(person()._replace(valid=valid)) is None
    assert retargeter.problem.endswith("not tracked: RightToe")
    assert used(retargeter.update(person(seq=2))).seq == 1 and retargeter.problem == ""


def test_a_given_calibration_is_used(robot: RobotModel, person: Person):
    family = load_table(table_path(robot)).for_family("mvn")
    standing = Calibration.from_pose(person(), family)
    pose = person()
    crouched = pose._replace(pos_w=pose.pos_w - [0, 0, 0.1])  # floor known: 10 cm lower is lower
    low = used(Retargeter(robot, MVN, calibration=standing, contacts=False).update(crouched))
    assert low.root_pos_w[2] < robot.stand_height_m - 0.02
    grounded = used(Retargeter(robot, MVN, calibration=standing).update(crouched))  # ... and contacts find the floor
    assert grounded.root_pos_w[2] == pytest.approx(robot.stand_height_m, abs=STRAIGHT_LEGS_M)
    with pytest.raises(ValueError, match="the calibration is of skeleton 'smpl', the source's skeleton is 'mvn'"):
        Retargeter(robot, MVN, calibration=dataclasses.replace(standing, family="smpl"))


def test_a_skeleton_without_a_table_is_refused_by_name(robot: RobotModel):
    with pytest.raises(NoTable, match="from skeleton 'smpl' to robot 'unitree_g1'; 'unitree_g1' has tables for: mvn"):
        Retargeter(robot, Skeleton("smpl", ("Pelvis",)))
    with pytest.raises(TableError, match="skeleton 'mvn' has no body 'Pelvis'"):
        Retargeter(robot, Skeleton("mvn", ("Hips",)))


def test_a_robot_without_any_table_is_refused_by_name(robot: RobotModel, tmp_path: Path):
    newcomer = dataclasses.replace(robot, name="newcomer", mjcf=tmp_path / "robot.xml")
    with pytest.raises(NoTable) as refused:
        Retargeter(newcomer, MVN)
    wanted = "there is no retargeting table from skeleton 'mvn' to robot 'newcomer'; 'newcomer' has tables for: none"
    assert str(refused.value) == wanted


def test_an_unknown_solver_lists_the_known_ones(robot: RobotModel):
    with pytest.raises(ValueError, match="unknown retargeting solver 'scipy'; valid: auto, fast, compiled, mink"):
        Retargeter(robot, MVN, solver="scipy")  # type: ignore[arg-type]


def test_mink_serves_the_same_interface(robot: RobotModel, walk: list[HumanPose]):
    fast, slow = Retargeter(robot, MVN, contacts=False, avoidance=False), Retargeter(robot, MVN, solver="mink")
    for pose in walk[:20]:
        a, b = used(fast.update(pose)), used(slow.update(pose))
    np.testing.assert_allclose(a.q, b.q, atol=0.01)
    np.testing.assert_allclose(a.root_pos_w, b.root_pos_w, atol=0.002)


@pytest.mark.parametrize(
    "clip", ["xsens_gmr_boxing_120Hz", "xsens_hh_stand", "cmu_12_01_walk", "cmu_131_01_startwalkstop"]
)
def test_real_takes_are_followed(robot: RobotModel, shared_data: Path, clip: str):
    motion = load_motion(shared_data / "bvh" / f"{clip}.bvh")
    step = max(1, round(motion.fps / 60.0))
    retargeter, errors, lows = Retargeter(robot, MVN), [], []
    for k, i in enumerate(range(0, min(motion.frames, 500 * step), step)):
        reference = used(retargeter.update(motion.pose(i, seq=k, t_ns=10**9 + round(i * 1e9 / motion.fps))))
        if k % 25:
            continue
        model, data = forward(robot, reference)
        assert retargeter.targets is not None and retargeter.target_map is not None
        rows = [m.robot for m in retargeter.target_map.matches]
        error = [np.linalg.norm(data.body(r).xpos - p) for r, p in zip(rows, retargeter.targets.pos, strict=True)]
        errors.append((error[rows.index("pelvis")], error[4], error[5]))
        lows.append(min(data.site(name).xpos[2] for name in robot.sole_sites))
    assert np.mean(errors) < (0.015 if "131" in clip else 0.01)  # that take slides on its own feet, 7 cm/s
    assert abs(float(np.median(lows))) < 0.01
