"""The compiled solver: MuJoCo's kinematics, MuJoCo's quadratic problem, and the numpy path's solution to rounding."""

from __future__ import annotations

import ast
import inspect
import os
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import mujoco
import numpy as np
import pytest

from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.motion_file.library import load_motion
from teleopd.robots.catalog import load_robot
from teleopd.robots.model import Array, RobotModel
from teleopd.service.dataset.retarget_clip import pose_of
from teleopd.service.retarget import capsules, solver_choice
from teleopd.service.retarget.compiled import cache, memory
from teleopd.service.retarget.compiled.contacts import CompiledContacts
from teleopd.service.retarget.compiled.parts import scratch
from teleopd.service.retarget.compiled.quadratic import box_qp
from teleopd.service.retarget.compiled.records import FOOT, write
from teleopd.service.retarget.compiled.shared import SHARED
from teleopd.service.retarget.compiled.tree import forward, integrate, moves, place_of, tree_of
from teleopd.service.retarget.floor import SourceFloor
from teleopd.service.retarget.foot import FootContact
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import Retargeter
from teleopd.service.retarget.solver import FastSolver
from teleopd.service.retarget.solver_choice import NoCompiler, chosen, parts
from teleopd.service.retarget.toe_lock import ToeLock

ROBOTS = ("unitree_g1", "unitree_h1", "unitree_h1_2")


def somewhere(kinematics: Kinematics, rng: np.random.Generator) -> Array:
    robot = kinematics.robot
    quat = rng.normal(size=4)
    return kinematics.qpos(
        rng.uniform(-1, 1, 3), quat / np.linalg.norm(quat), rng.uniform(robot.limits.q_lower, robot.limits.q_upper)
    )


@pytest.mark.parametrize("name", ROBOTS)
def test_kinematics_and_jacobians_are_mujocos(name: str):
    kinematics, rng = Kinematics(load_robot(name)), np.random.default_rng(3)
    model, ours, theirs = kinematics.model, mujoco.MjData(kinematics.model), mujoco.MjData(kinematics.model)
    tree, place = tree_of(kinematics), place_of(kinematics, ours)
    for _ in range(5):
        theirs.qpos[:] = somewhere(kinematics, rng)
        mujoco.mj_kinematics(model, theirs)
        mujoco.mj_comPos(model, theirs)
        forward(tree, np.array(theirs.qpos), place)
        for field in ("xpos", "xmat", "geom_xpos", "geom_xmat"):
            np.testing.assert_allclose(getattr(ours, field)[1:], getattr(theirs, field)[1:], atol=1e-13)
        np.testing.assert_allclose(ours.xquat[1:], theirs.xquat[1:], atol=1e-13)
        body, point = model.nbody - 1, rng.uniform(-1, 1, 3)
        jacobian = np.zeros((3, model.nv))
        mujoco.mj_jac(model, theirs, jacobian, None, point, body)
        found = np.zeros((3, model.nv))
        for dof in tree.chain[tree.chain_start[body] : tree.chain_start[body + 1]]:
            found[:, dof] = moves(place, int(dof), *point)
        np.testing.assert_allclose(found, jacobian, atol=1e-13)


def test_a_step_is_integrated_as_mujoco_does(robot: RobotModel):
    kinematics, rng = Kinematics(robot), np.random.default_rng(5)
    for size in (0.3, 0.0):
        start, step = somewhere(kinematics, rng), size * rng.normal(size=kinematics.model.nv)
        ours, theirs = np.array(start), np.array(start)
        integrate(tree_of(kinematics), ours, step)
        mujoco.mj_integratePos(kinematics.model, theirs, step, 1.0)
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


@pytest.mark.parametrize("seed", range(20))
def test_the_quadratic_problem_has_mujocos_minimum(seed: int):
    rng, n = np.random.default_rng(seed), 35
    rows = rng.normal(size=(20 + seed, n)) * rng.uniform(0.1, 10.0, n)
    hessian, gradient = rows.T @ rows + 0.5 * np.eye(n), 30.0 * rng.normal(size=n)
    lower, upper = -rng.uniform(0.0, 0.3, n), rng.uniform(0.0, 0.3, n)
    lower[:6], upper[:6] = -1e10, 1e10
    theirs, factor = np.zeros(n), np.zeros((n, n + 7))
    mujoco.mju_boxQP(theirs, factor, None, hessian, gradient, lower, upper)
    ours = np.full(n, 7.0)
    work = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n)
    assert box_qp(hessian, gradient, lower, upper, ours, work)
    assert (ours >= lower).all() and (ours <= upper).all() and ((ours == lower) | (ours == upper)).sum() > 3
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_the_minimum_is_found_where_weights_differ_a_thousandfold(seed: int):
    """Coordinates start at their bounds, and steps go far beyond them: by the conditions of a minimum, not by another
    solver; MuJoCo's gives up on nearly half of these."""
    rng, n = np.random.default_rng(seed), 35
    rows = rng.normal(size=(10 + seed, n)) * rng.uniform(0.1, 10.0, n) * 10.0 ** rng.uniform(-1.0, 3.0, (10 + seed, 1))
    hessian, gradient = rows.T @ rows + 0.5 * np.eye(n), 10.0 ** rng.uniform(0.0, 4.0) * rng.normal(size=n)
    side = rng.integers(0, 3, n)
    lower, upper = -rng.uniform(0.001, 0.3, n) * (side > 0), rng.uniform(0.001, 0.3, n) * (side < 2)
    lower[:6], upper[:6] = -1e10, 1e10
    x, work = np.zeros(n), (np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n))
    assert box_qp(hessian, gradient, lower, upper, x, work)
    assert (x >= lower).all() and (x <= upper).all() and ((x == lower) | (x == upper)).sum() > 3
    slope = hessian @ x + gradient
    pushes = np.where(x <= lower, np.minimum(slope, 0.0), np.where(x >= upper, np.maximum(slope, 0.0), slope))
    assert np.abs(pushes).max() < 1e-7 * (np.abs(gradient).max() + np.abs(hessian @ x).max())


@pytest.mark.parametrize("seed", range(40))
def test_rows_that_say_the_same_have_a_minimum_too(seed: int):
    """As a sole's corners do: the value is no more than at MuJoCo's, and than at any small change."""
    rng, n = np.random.default_rng(seed), 35
    some = rng.normal(size=(6, n)) * 10.0 ** rng.uniform(0.0, 2.9, (6, 1))
    rows = np.concatenate((rng.normal(size=(30, n)), some, some, some + 1e-9))
    hessian, gradient = rows.T @ rows + 0.5 * np.eye(n), 100.0 * rng.normal(size=n)
    lower, upper = -rng.uniform(0.0, 0.3, n), rng.uniform(0.001, 0.3, n)
    x, theirs = np.zeros(n), np.zeros(n)
    work = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n)
    assert box_qp(hessian, gradient, lower, upper, x, work)
    mujoco.mju_boxQP(theirs, np.zeros((n, n + 7)), None, hessian, gradient, lower, upper)

    def value(at: Array) -> float:
        return float(0.5 * at @ hessian @ at + gradient @ at)

    assert value(x) <= value(theirs) + 1e-9 * abs(value(theirs))
    for _ in range(50):
        assert value(x) <= value(np.clip(x + 1e-3 * rng.normal(size=n), lower, upper))


def test_numbers_that_are_not_finite_have_no_minimum():
    n = 3
    work = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n)
    for wrong in (np.nan, np.inf):
        gradient = np.array([1.0, wrong, 0.0])
        assert not box_qp(np.eye(n), gradient, -np.full(n, 1e10), np.full(n, 1e10), np.zeros(n), work)


def test_a_problem_that_is_not_convex_is_refused():
    n = 3
    work = np.zeros((n, n)), np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.intp), np.zeros(n)
    assert not box_qp(-np.eye(n), np.ones(n), -np.ones(n), np.ones(n), np.zeros(n), work)


@pytest.mark.parametrize(
    ("motion", "name"), [("walk", "unitree_g1"), ("squat", "unitree_h1"), ("reach", "unitree_h1_2")]
)
def test_both_paths_give_one_motion(motion: str, name: str):
    clip, model = load_motion(motion), load_robot(name)
    numpy_path, compiled_path = (Retargeter(model, clip.skeleton, solver=s) for s in ("fast", "compiled"))
    step = max(1, round(clip.fps / 60.0))
    for frame in range(0, min(clip.frames, 90 * step), step):
        pose = pose_of(clip, frame)
        one, other = numpy_path.update(pose), compiled_path.update(pose)
        assert one is not None and other is not None
        np.testing.assert_allclose(other.q, one.q, atol=1e-9)
        np.testing.assert_allclose(other.root_pos_w, one.root_pos_w, atol=1e-9)
        np.testing.assert_allclose(other.root_quat_w, one.root_quat_w, atol=1e-9)


@pytest.mark.parametrize(
    ("clip_name", "name"),
    [
        ("xsens_gmr_boxing_120Hz", "unitree_g1"), ("lafan1_fallAndGetUp1_subject1", "unitree_g1"),
        ("lafan1_fallAndGetUp1_subject1", "unitree_h1_2"),
    ],
)  # fmt: skip
def test_both_paths_give_one_motion_of_a_real_person(shared_data, clip_name: str, name: str):
    """Hands at the body in the first; knees, hands and pelvis on the floor in the second."""
    clip, robot = load_motion(str(shared_data / "bvh" / f"{clip_name}.bvh")), load_robot(name)
    numpy_path, compiled_path = (Retargeter(robot, clip.skeleton, solver=s) for s in ("fast", "compiled"))
    step = max(1, round(clip.fps / 30.0))
    floor_frames = 0
    for frame in range(0, min(clip.frames, 500 * step), step):
        pose = pose_of(clip, frame)
        one, other = numpy_path.update(pose), compiled_path.update(pose)
        assert one is not None and other is not None
        np.testing.assert_allclose(other.q, one.q, atol=1e-9, err_msg=f"frame {frame}")
        np.testing.assert_allclose(other.root_pos_w, one.root_pos_w, atol=1e-9)
        floor_frames += bool(one.root_pos_w[2] < 0.4)
    assert (floor_frames > 20) == clip_name.startswith("lafan")


def test_frames_that_lack_a_body_and_absurd_ones_are_the_same_too(robot: RobotModel, walk: list[HumanPose]):
    numpy_path, compiled_path = (Retargeter(robot, walk[0].skeleton, solver=s) for s in ("fast", "compiled"))
    valid = np.ones(len(walk[0].valid), dtype=bool)
    valid[-1] = False
    for k, pose in enumerate(walk[:40]):
        given = pose._replace(valid=valid) if k % 3 == 1 else pose
        given = given._replace(pos_w=given.pos_w * (1.0 + 0.3 * (k == 20)))
        one, other = numpy_path.update(given), compiled_path.update(given)
        assert one is not None and other is not None
        np.testing.assert_allclose(other.q, one.q, atol=1e-9)


def test_the_feet_are_known_by_the_same_names_in_both_paths(robot: RobotModel, walk: list[HumanPose]):
    """Records hold what the classes hold, field by field, and start again as they do."""
    both = [Retargeter(robot, walk[0].skeleton, solver=s) for s in ("fast", "compiled")]
    for pose in walk[:60]:
        for retargeter in both:
            retargeter.update(pose)
    plain, records = (retargeter._contacts for retargeter in both)
    assert plain is not None and isinstance(records, CompiledContacts)
    assert any(foot.stance.stands for foot in plain.feet)
    for again in (False, True):
        for foot, record in zip(plain.feet, records.feet, strict=True):
            assert differing(foot, record) == []
        assert differing(plain.ground, records.ground) == [] and records.upright
        np.testing.assert_allclose(records.sideways, plain.sideways, atol=1e-9)
        if not again:
            plain.reset()
            records.reset()
            assert not any(foot.stance.stands or foot.robot.known for foot in records.feet)


def differing(values: Any, record: Any) -> list[str]:
    """Names of the fields in which a record differs from a dataclass."""
    found = []
    for part in fields(values):
        value, other = getattr(values, part.name), record[part.name]
        if is_dataclass(value):
            found += differing(value, other)
        elif not np.allclose(value, other[: len(value)] if isinstance(value, list) else other, atol=1e-9):
            found.append(part.name)
    return found


def test_a_sole_of_too_many_corners_is_refused():
    foot = FootContact(0, 0, [[0.0, 0.0, 0.0]] * 11, 11, 0.0, [0.0] * 3, [0.0] * 3, SourceFloor(0.0, 0.0), ToeLock())
    with pytest.raises(ValueError, match="sole_points: at most 10, not 11"):
        write(np.zeros(1, dtype=FOOT)[0], foot)


def test_segments_that_cross_touch_and_are_parallel():
    x, y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    assert capsules.closest((0, 0, 0), x, 1.0, (0, 0, 0.5), y, 1.0) == (0.5, (0, 0, 0), (0, 0, 0.5))
    distance, here, there = capsules.closest((0, 0, 0), x, 1.0, (4.0, 0, 0), x, 1.0)
    assert distance == 2.0 and here == (1.0, 0, 0) and there == (3.0, 0, 0)
    distance, here, there = capsules.closest((0, 0, 0), x, 1.0, (0.5, 2.0, 0), y, 1.0)
    assert (distance, here, there) == (1.0, (0.5, 0, 0), (0.5, 1.0, 0))


def test_the_nearest_points_are_nearest(rng=np.random.default_rng(8)):
    t = np.linspace(-1.0, 1.0, 201)[:, None]
    for _ in range(50):
        c, u, d, v = rng.normal(size=(4, 3))
        u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
        grid = np.linalg.norm((c + 0.7 * t * u)[:, None] - (d + 0.4 * t * v)[None], axis=2).min()
        distance, here, there = capsules.closest(c.tolist(), u.tolist(), 0.7, d.tolist(), v.tolist(), 0.4)
        assert grid - 0.01 <= distance <= grid + 1e-12
        assert distance == pytest.approx(float(np.linalg.norm(np.subtract(here, there))))


def test_a_table_holds_what_compiled_code_can_read():
    with pytest.raises(ValueError, match="array 1: contiguous float64, intp, bool or records in 1 or 2 dimensions"):
        memory.table([np.zeros(3), np.zeros((4, 4))[:, :2]])
    with pytest.raises(ValueError, match="array 0"):
        memory.table([np.zeros(3, dtype=np.float32)])


@pytest.mark.parametrize("nv", [25, 33, 35])
def test_the_hessian_and_its_factor_do_not_share_their_place_in_a_page(nv: int):
    work = scratch(nv, 10)
    assert (work.factor.ctypes.data - work.hessian.ctypes.data) % 4096 == 2048
    work.factor[:] = 1.0
    assert work.factor.shape == work.hessian.shape == (nv, nv) and not work.hessian.any()


def test_auto_takes_what_is_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "is_ready", lambda: True)
    assert chosen("auto") == "compiled" and chosen("fast") == "fast" and chosen("mink") == "mink"
    monkeypatch.setattr(cache, "is_ready", lambda: False)
    assert chosen("auto") == "fast" and parts("auto").solver is FastSolver


def test_without_numba_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "teleopd.service.retarget.compiled.solver", None)
    with pytest.raises(NoCompiler, match=r"^solver 'compiled' needs numba, which does not .*'teleopd\[fast\]'"):
        parts("compiled")
    monkeypatch.setattr(cache, "is_ready", lambda: True)
    assert parts("auto").solver is FastSolver


def test_a_damaged_cache_is_removed_and_the_numpy_solver_serves(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A power cut leaves an empty file: numba reads it on import and pickle raises."""
    import sys

    name = "teleopd.service.retarget.compiled.solver"

    class Damaged:
        def find_spec(self, asked: str, *_: object) -> None:
            if asked == name:
                raise EOFError("Ran out of input")

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Damaged(), *sys.meta_path])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for wanted in ("auto", "compiled"):
        cache.folder().mkdir(parents=True)
        (cache.folder() / "ready").touch()
        if wanted == "auto":
            assert parts("auto").solver is FastSolver
        else:
            with pytest.raises(NoCompiler, match=r"cannot be read \(EOFError: Ran .* and is removed; start again"):
                parts("compiled")
        assert not cache.folder().exists() and not cache.is_ready()


def test_every_file_of_what_is_compiled_is_a_source_of_the_cache():
    """Functions that both paths run, and the modules that the compiled ones take names from."""
    import sys

    parts("compiled")  # imports them all
    room, files = "teleopd.service.retarget.", {inspect.getfile(function) for function in SHARED}
    for name, module in [each for each in sys.modules.items() if each[0].startswith(room + "compiled.")]:
        if not any(hasattr(each, "py_func") and each.__module__ == name for each in vars(module).values()):
            continue
        files.add(inspect.getfile(module))
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            constants = isinstance(node, ast.ImportFrom) and any(alias.name.isupper() for alias in node.names)
            if isinstance(node, ast.ImportFrom) and constants and (node.module or "").startswith(room):
                files.add(inspect.getfile(sys.modules[node.module or ""]))
    missing = sorted(Path(each).name for each in files if Path(each) not in cache.SOURCES)
    assert len(files) > 15 and missing == []


def test_the_cache_moves_with_its_sources(tmp_path, monkeypatch: pytest.MonkeyPatch):
    before = cache.folder()
    source = tmp_path / "steps.py"
    source.write_text("x = 1")
    monkeypatch.setattr(cache, "SOURCES", (*cache.SOURCES, source))
    after = cache.folder()
    assert after != before
    os.utime(source, (1.0, 1.0))
    touched = cache.folder()
    assert touched != after, "numba compiles a touched file anew"
    monkeypatch.setattr(cache, "SOURCES", (*cache.SOURCES[:-1], source.rename(tmp_path / "moved.py")))
    assert cache.folder() != touched, "numba compiles a moved file anew"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder().parent == tmp_path / "teleopd" and not cache.is_ready()


def test_every_name_has_a_solver():
    assert set(solver_choice.SOLVERS) == set(msgspec.inspect.type_info(solver_choice.SolverName).values)
    with pytest.raises(ValueError, match="unknown retargeting solver 'scipy'; valid: auto, fast, compiled, mink"):
        parts("scipy")  # type: ignore[arg-type]
