"""The peer's algorithm, written anew on mink, to be measured beside ours in one run; and the peer itself if installed.

General Motion Retargeting (GMR, arXiv 2510.02252) solves every frame in two stages of differential inverse kinematics:
one solve and up to ten more while the *unweighted* mixed metre and radian norm of all errors still falls by 0.001,
damping 0.5, Levenberg-Marquardt damping 1 a task, the default joint limits. Targets: the person scaled about the world
origin (root) and about the root (bodies), times rotation offsets. All of that is kept here, with what it costs: limits
are built anew in every solve and velocity limits do not reach the solver. Weights and scales of G1 and H1 are GMR's;
those of the H1-2 are the G1's weights with the H1's scale. Rotation offsets come from the robot's T-pose, which gives
GMR's own for canonical segment frames; thighs are upright in it, as in GMR. The person is taken to be 1.75 m tall, as
GMR's BVH loader does. Joint limits are Unitree's own, where GMR's model narrows a few.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import dataclass
from typing import Any

import mink
import numpy as np
from scipy.spatial.transform import Rotation

from teleopd.drivers.human_pose import HumanPose
from teleopd.robots.model import Array, RobotModel
from teleopd.service.retarget.calibration import RobotRest
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.retargeter import table_path
from teleopd.service.retarget.tables import load_table

MAX_MORE_SOLVES = 10
STOP_BELOW = 0.001
DAMPING, LM_DAMPING = 0.5, 1.0
HEIGHT_M, ASSUMED_HEIGHT_M = 1.75, 1.8


@dataclass(frozen=True, slots=True)
class Row:
    """One robot body and the human segment it follows; weights are (position, orientation) of stages 1 and 2."""

    robot: str
    human: str
    first: tuple[float, float]
    second: tuple[float, float]
    scale: float


@dataclass(frozen=True, slots=True)
class GmrTable:
    """What GMR keeps in a JSON file."""

    rows: tuple[Row, ...]
    lift_m: float = 0.0
    """Along each target's own Z axis: GMR's negated `ground_height`."""


def _rows(limbs: dict[str, str], weights: dict[str, tuple[tuple[float, float], ...]], legs: float, arms: float) -> Any:
    """Rows of trunk and of both sides; `limbs`: robot body without its side -> human segment without its side."""
    rows = [Row("pelvis", "Pelvis", *weights["pelvis"], legs), Row("torso_link", "T8", *weights["torso"], legs)]
    for side, word in (("left", "Left"), ("right", "Right")):
        for body, segment in limbs.items():
            scale = arms if segment in ("UpperArm", "ForeArm", "Hand") else legs
            rows.append(Row(f"{side}_{body}", word + segment, *weights[segment], scale))
    return tuple(rows)


_G1_WEIGHTS = {
    "pelvis": ((0.0, 10.0), (100.0, 5.0)), "torso": ((0.0, 100.0), (0.0, 10.0)),
    "UpperLeg": ((0.0, 10.0), (10.0, 5.0)), "LowerLeg": ((0.0, 10.0), (10.0, 5.0)),
    "Foot": ((50.0, 10.0), (50.0, 10.0)), "UpperArm": ((0.0, 100.0), (5.0, 100.0)),
    "ForeArm": ((0.0, 10.0), (10.0, 5.0)), "Hand": ((0.0, 10.0), (10.0, 5.0)),
}  # fmt: skip
_H1_WEIGHTS = {
    "pelvis": ((100.0, 10.0), (10.0, 5.0)), "torso": ((0.0, 10.0), (10.0, 0.0)),
    "UpperLeg": ((0.0, 10.0), (10.0, 5.0)), "LowerLeg": ((0.0, 10.0), (10.0, 5.0)),
    "Foot": ((100.0, 10.0), (50.0, 10.0)), "UpperArm": ((0.0, 10.0), (50.0, 5.0)),
    "ForeArm": ((0.0, 10.0), (10.0, 5.0)),
}  # fmt: skip
_LEGS = {"knee_link": "LowerLeg", "ankle_roll_link": "Foot"}
_ARMS = {"shoulder_yaw_link": "UpperArm", "elbow_link": "ForeArm", "wrist_yaw_link": "Hand"}
TABLES: dict[str, GmrTable] = {
    "unitree_g1": GmrTable(_rows({"hip_yaw_link": "UpperLeg", **_LEGS, **_ARMS}, _G1_WEIGHTS, 0.9, 0.75)),
    "unitree_h1_2": GmrTable(_rows({"hip_roll_link": "UpperLeg", **_LEGS, **_ARMS}, _G1_WEIGHTS, 1.1, 1.1)),
    "unitree_h1": GmrTable(
        _rows(
            {"hip_roll_link": "UpperLeg", "knee_link": "LowerLeg", "ankle_link": "Foot",
             "shoulder_roll_link": "UpperArm", "elbow_link": "ForeArm"},
            _H1_WEIGHTS, 1.1, 1.1,
        ),
        lift_m=0.05,
    ),
}  # fmt: skip


class GmrStyle:
    """Follows canonical MVN poses; not thread-safe."""

    name = "GMR-style"

    def __init__(self, robot: RobotModel) -> None:
        """Raises KeyError for a robot without a table."""
        table = TABLES[robot.name]
        self.rows, self._lift = table.rows, np.array([0.0, 0.0, table.lift_m])
        self.kinematics = Kinematics(robot)
        rest = RobotRest.of(self.kinematics, load_table(table_path(robot)).t_pose)
        self.body_ids = self.kinematics.body_ids([row.robot for row in self.rows])
        offsets = [
            np.array([1.0, 0.0, 0.0, 0.0]) if row.human.endswith("UpperLeg") else rest.offset(int(body))
            for row, body in zip(self.rows, self.body_ids, strict=True)
        ]
        self.offsets = [Rotation.from_quat(offset, scalar_first=True) for offset in offsets]
        self.weights = np.array([row.second for row in self.rows])
        ratio = HEIGHT_M / ASSUMED_HEIGHT_M
        self._scales = [row.scale * ratio for row in self.rows]
        self._stages = [
            [(i, mink.FrameTask(row.robot, "body", *weights, lm_damping=LM_DAMPING))
             for i, row in enumerate(self.rows) if any(weights := (row.first, row.second)[stage])]
            for stage in (0, 1)
        ]  # fmt: skip
        self._limits = [mink.ConfigurationLimit(self.kinematics.model)]
        self.pos, self.quat = np.zeros((len(self.rows), 3)), np.zeros((len(self.rows), 4))
        self.solves = 0
        self.reset()

    @property
    def groups(self) -> dict[str, list[int]]:
        """Rows of feet, hands (forearms where there are none), pelvis, and of everything oriented in stage 1."""
        humans = [row.human for row in self.rows]
        hands = [i for i, human in enumerate(humans) if human.endswith("Hand")]
        return {
            "foot": [i for i, human in enumerate(humans) if human.endswith("Foot")],
            "hand": hands or [i for i, human in enumerate(humans) if human.endswith("ForeArm")],
            "pelvis": [0], "orientation": [i for i, row in enumerate(self.rows) if row.first[1] > 0.0],
        }  # fmt: skip

    def reset(self) -> None:
        """Back to the zero configuration, where GMR starts."""
        self.configuration = mink.Configuration(self.kinematics.model)

    def update(self, pose: HumanPose) -> Array:
        """One frame: root position, root wxyz, joints in motor order, (7 + n,). Targets stay in `pos` and `quat`."""
        self._set_targets(pose)
        self.solves = 0
        for stage in self._stages:
            tasks = [task for _, task in stage]
            before, after = self._error(tasks), self._solve(tasks)
            more = 0
            while before - after > STOP_BELOW and more < MAX_MORE_SOLVES:
                before, after = after, self._solve(tasks)
                more += 1
        q = self.configuration.q
        return np.concatenate((q[:7], q[self.kinematics.qpos_index]))

    def _set_targets(self, pose: HumanPose) -> None:
        """The scaled person, body by body through `Rotation`, as GMR does it."""
        at = {name: i for i, name in enumerate(pose.skeleton.body_names)}
        root = pose.pos_w[at["Pelvis"]]
        scaled_root = self._scales[0] * root
        for i, row in enumerate(self.rows):
            body = at[row.human]
            turned = Rotation.from_quat(pose.quat_w[body], scalar_first=True) * self.offsets[i]
            self.quat[i] = turned.as_quat(scalar_first=True)
            lift = Rotation.from_quat(self.quat[i], scalar_first=True).apply(self._lift)
            self.pos[i] = self._scales[i] * (pose.pos_w[body] - root) + scaled_root + lift
        for stage in self._stages:
            for i, task in stage:
                task.set_target(mink.SE3.from_rotation_and_translation(mink.SO3(self.quat[i]), self.pos[i]))

    def _error(self, tasks: list[Any]) -> float:
        return float(np.linalg.norm(np.concatenate([task.compute_error(self.configuration) for task in tasks])))

    def _solve(self, tasks: list[Any]) -> float:
        """One solve and step; the error afterwards. The limits land on `safety_break`, as in GMR."""
        dt = self.configuration.model.opt.timestep
        velocity = mink.solve_ik(self.configuration, tasks, dt, "daqp", DAMPING, self._limits)
        self.configuration.integrate_inplace(velocity, dt)
        self.solves += 1
        return self._error(tasks)


class Gmr:
    """GMR itself, fed the same poses through its table for LAFAN1 skeletons."""

    name = "GMR"
    NAMES = {"Pelvis": "Hips", "T8": "Spine2", "UpperLeg": "UpLeg", "LowerLeg": "Leg", "Foot": "FootMod",
             "UpperArm": "Arm", "ForeArm": "ForeArm", "Hand": "Hand"}  # fmt: skip

    def __init__(self, robot: RobotModel) -> None:
        """Raises ImportError where GMR is not installed, KeyError where it has no table for the robot."""
        self._module = importlib.import_module("general_motion_retargeting")
        style = GmrStyle(robot)
        self.rows, self.weights, self.groups = style.rows, style.weights, style.groups
        self._human = [self._lafan(row.human) for row in self.rows]
        self._canonical = style.offsets
        self.pos, self.quat, self.solves = style.pos, style.quat, 0
        self._gmr = self._made(robot.name)
        self._first = np.array(self._gmr.configuration.q)
        self._joints = [int(self._gmr.model.joint(name).qposadr[0]) for name in robot.joint_names]

    def _made(self, robot: str) -> Any:
        """Its retargeter; what it prints is dropped. The skeleton was called 'bvh' before it was 'bvh_lafan1'."""
        kind = self._module.GeneralMotionRetargeting
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                return kind("bvh_lafan1", robot, actual_human_height=HEIGHT_M)
            except KeyError:
                return kind("bvh", robot, actual_human_height=HEIGHT_M)

    def _lafan(self, segment: str) -> str:
        side = next((word for word in ("Left", "Right") if segment.startswith(word)), "")
        return side + self.NAMES[segment.removeprefix(side)]

    def reset(self) -> None:
        """Back to the configuration it began with."""
        self._gmr.configuration.update(np.array(self._first))

    def update(self, pose: HumanPose) -> Array:
        """See `GmrStyle.update`. Orientations are given in the frames that GMR's own offsets expect."""
        at = {name: i for i, name in enumerate(pose.skeleton.body_names)}
        frames = {}
        for name, row, offset in zip(self._human, self.rows, self._canonical, strict=True):
            turned = Rotation.from_quat(pose.quat_w[at[row.human]], scalar_first=True) * offset
            turned = turned * self._gmr.rot_offsets1[name].inv()
            frames[name] = [pose.pos_w[at[row.human]], turned.as_quat(scalar_first=True)]
        q = self._gmr.retarget(frames)
        for i, name in enumerate(self._human):
            self.pos[i], self.quat[i] = self._gmr.scaled_human_data[name]
        return np.concatenate((q[:7], q[self._joints]))


def installed_gmr(robot: RobotModel) -> Gmr | None:
    """GMR where it can be imported and knows the robot, else None."""
    try:
        return Gmr(robot)
    except (ImportError, KeyError):
        return None
