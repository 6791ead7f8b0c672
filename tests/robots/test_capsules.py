"""Forward kinematics of the capsules, against the physics engine's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mujoco
import numpy as np
import pytest

from teleopd.robots.capsules import CapsuleError, Capsules
from teleopd.robots.catalog import load_robot
from teleopd.robots.unitree_g1.model import MODEL

ROBOTS = ("unitree_g1", "unitree_h1", "unitree_h1_2")
MJCF = """<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/><body name="pelvis" pos="0 0 1">
  <freejoint/><geom name="belly" type="capsule" fromto="0 0 -.1 0 0 .1" size=".1"/>
  <body name="arm" pos="0 .3 0"><joint name="{joint}" axis="1 0 0"/>
    <geom name="hand" type="sphere" pos="0 .2 0" size=".05"/><geom name="box" type="box" size="1 1 1"/></body>
</body></worldbody></mujoco>"""


def robot_of(folder: Path, others: str = "belly", root: str = "pelvis"):
    """One arm that turns about x beside a belly."""
    path = folder / "robot.xml"
    path.write_text(MJCF.format(joint=MODEL.joint_names[0]))
    path.with_name("retarget.toml").write_text(
        f'[[solver.keep_apart]]\nshapes = ["hand", "belly"]\nothers = ["{others}", "hand"]\n'
    )
    return dataclasses.replace(MODEL, mjcf=path, root_body=root)


@pytest.mark.parametrize("name", ROBOTS)
def test_axes_lie_where_the_physics_engine_has_them(name: str):
    robot = load_robot(name)
    capsules, model = Capsules(robot), mujoco.MjModel.from_xml_path(str(robot.mjcf))
    data, rng = mujoco.MjData(model), np.random.default_rng(3)
    ids = [model.geom(capsule).id for capsule in capsules.names]
    half = np.where(model.geom_type[ids] == mujoco.mjtGeom.mjGEOM_CAPSULE, model.geom_size[ids, 1], 0.0)
    joints = [model.joint(joint).qposadr[0] for joint in robot.joint_names]
    assert capsules.radii == pytest.approx(model.geom_size[ids, 0])
    for _ in range(5):
        q = rng.uniform(robot.limits.q_lower, robot.limits.q_upper)
        data.qpos[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
        data.qpos[joints] = q
        mujoco.mj_kinematics(model, data)
        axes = data.geom_xmat[ids].reshape(-1, 3, 3)[:, :, 2] * half[:, None]
        wanted = np.stack([data.geom_xpos[ids] - axes, data.geom_xpos[ids] + axes], axis=1)
        found = capsules.axes(q)
        swapped = np.minimum(np.abs(found - wanted).max((1, 2)), np.abs(found[:, ::-1] - wanted).max((1, 2)))
        assert swapped.max() < 1e-12


def test_gaps_are_between_surfaces_and_joints_lead_to_the_root(tmp_path: Path):
    capsules = Capsules(robot_of(tmp_path))
    assert capsules.names == ("belly", "hand") and capsules.pairs.tolist() == [[0, 1]]
    q = np.zeros(MODEL.n)
    assert capsules.gaps(q) == pytest.approx([0.5 - 0.15])
    q[0] = np.pi / 2  # the hand points up from the shoulder: 0.3 aside, 0.1 above the belly's end
    assert capsules.gaps(q) == pytest.approx([np.hypot(0.3, 0.1) - 0.15])
    assert capsules.joints_of(1) == [0] and capsules.joints_of(0) == []
    g1 = Capsules(MODEL)
    names = [MODEL.joint_names[i] for i in g1.joints_of(g1.names.index("left_hand"))]
    assert names[0] == "left_wrist_yaw_joint" and names[-1] == "waist_yaw_joint" and len(names) == 10


def test_a_robot_without_a_table_has_no_pairs(tmp_path: Path):
    capsules = Capsules(dataclasses.replace(MODEL, mjcf=tmp_path / "none.xml"))
    assert capsules.names == () and len(capsules.pairs) == 0


def test_a_table_that_does_not_fit_is_one_sentence(tmp_path: Path):
    with pytest.raises(CapsuleError, match=r"robot.xml: keep_apart names 'leg', but there is no such capsule"):
        Capsules(robot_of(tmp_path, others="leg"))
    with pytest.raises(CapsuleError, match=r"robot.xml: 'box' is neither a capsule with fromto nor a sphere"):
        Capsules(robot_of(tmp_path, others="box"))
    with pytest.raises(CapsuleError, match=r"robot.xml: has no body 'trunk'"):
        Capsules(robot_of(tmp_path, root="trunk"))
