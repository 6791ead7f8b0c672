"""What the pictures and the browser view show, and where: the robot, the reference as its ghost, the person beside.

The ghost stands at the robot's place with the robot's heading, so that what differs is posture; the person stands at
`side_m` to the robot's left. All positions in metres, world Z up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import mujoco
import numpy as np

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.model import Array, RobotModel
from teleopd.safety.words import Mode
from teleopd.service.console.snapshot import Snapshot
from teleopd.service.streams import FAMILIES

SIDE_M = 1.1
"""Distance between robot and person in pictures [m]."""
HEADING_SMOOTHING_S = 1.5
"""Time constant with which camera and person follow the robot's heading [s]."""
HEAD_OFFSET_M = 0.11
"""From the head's joint to the middle of the skull [m]."""
GHOST_RGBA = (0.10, 0.55, 0.95, 0.32)
HUMAN_RGBA = (0.95, 0.55, 0.20, 1.0)
_MVN_CHAINS = (
    ("Pelvis", "L5", "L3", "T12", "T8", "Neck", "Head"),
    ("T8", "RightShoulder", "RightUpperArm", "RightForeArm", "RightHand"),
    ("T8", "LeftShoulder", "LeftUpperArm", "LeftForeArm", "LeftHand"),
    ("Pelvis", "RightUpperLeg", "RightLowerLeg", "RightFoot", "RightToe"),
    ("Pelvis", "LeftUpperLeg", "LeftLowerLeg", "LeftFoot", "LeftToe"),
)
BONES: Mapping[str, tuple[tuple[int, int], ...]] = {
    "mvn": tuple(
        (MVN_SEGMENTS.index(parent), MVN_SEGMENTS.index(child))
        for chain in _MVN_CHAINS
        for parent, child in zip(chain, chain[1:], strict=False)
    ),
}
"""Skeleton family -> pairs of bodies joined by a bone; a family not named here is drawn as points."""
HEADS: Mapping[str, tuple[int, int]] = {"mvn": (MVN_SEGMENTS.index("Neck"), MVN_SEGMENTS.index("Head"))}
"""Skeleton family -> (neck, head): a skull is drawn beyond the head along that direction."""


class SceneState(NamedTuple):
    """One instant to be drawn."""

    t_s: float
    """Since the start of the run [s]."""
    mode: Mode | None
    q: Array
    """Measured joints [rad], (n,)."""
    quat_w: Array
    """Measured root orientation, wxyz."""
    root_pos_w: Array | None
    """Measured root position [m]; None without odometry: the feet are then put on the floor."""
    reference_q: Array | None = None
    """None: no ghost."""
    reference_quat_w: Array | None = None
    reference_pos_w: Array | None = None
    human_pos_w: Array | None = None
    """Body positions (bodies, 3) [m]; None: no person."""
    family: str = "mvn"


class Placed(NamedTuple):
    """Where everything stands."""

    robot_pos_w: Array
    robot_quat_w: Array
    ghost_pos_w: Array | None
    ghost_quat_w: Array | None
    human_w: Array | None
    """Body positions after moving the person beside the robot, (bodies, 3)."""


def heading(quat_w: Array) -> float:
    """Direction of the body's X axis on the floor [rad]."""
    w, x, y, z = (float(value) for value in quat_w)
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def turned(quat_w: Array, angle: float) -> Array:
    """The orientation turned about the vertical by `angle` [rad]."""
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    w, x, y, z = quat_w
    return np.array([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w])


def smoothed_heading(before: float, quat_w: Array, elapsed_s: float) -> float:
    """Follow the heading the short way round with `HEADING_SMOOTHING_S` [rad]."""
    difference = (heading(quat_w) - before + np.pi) % (2 * np.pi) - np.pi
    return float(before + difference * (1.0 - np.exp(-elapsed_s / HEADING_SMOOTHING_S)))


class Kinematics:
    """Body poses of one robot for drawing, from a compiled model that may hold more than the robot (floor, lights)."""

    def __init__(self, robot: RobotModel, model: mujoco.MjModel) -> None:
        self.model = model
        joints = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in robot.joint_names]
        self._q_at = model.jnt_qposadr[joints]
        root = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, robot.root_body)
        self._root_at = int(model.jnt_qposadr[model.body_jntadr[root]])
        self._soles = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, name) for name in robot.sole_sites]

    def pose(self, data: mujoco.MjData, q: Array, pos_w: Array, quat_w: Array) -> None:
        """Put joints and root into `data` and compute where its bodies are."""
        at = self._root_at
        data.qpos[at : at + 3] = pos_w
        data.qpos[at + 3 : at + 7] = quat_w
        data.qpos[self._q_at] = q
        mujoco.mj_kinematics(self.model, data)

    def standing_height(self, data: mujoco.MjData, q: Array, quat_w: Array) -> float:
        """Height of the root at which the lowest sole point touches the floor [m]."""
        self.pose(data, q, np.zeros(3), quat_w)
        return -float(data.site_xpos[self._soles, 2].min())

    def place(self, data: mujoco.MjData, state: SceneState, side_heading: float, side_m: float = SIDE_M) -> Placed:
        """Where robot, ghost and person stand; `side_heading` [rad] says which way the robot's left is taken."""
        if state.root_pos_w is None:
            xy = np.zeros(2) if state.reference_pos_w is None else state.reference_pos_w[:2]
            robot_pos = np.array([*xy, self.standing_height(data, state.q, state.quat_w)])
        else:
            robot_pos = state.root_pos_w
        turn = 0.0
        ghost_pos = ghost_quat = None
        if state.reference_quat_w is not None:
            turn = heading(state.quat_w) - heading(state.reference_quat_w)
            ghost_quat = turned(state.reference_quat_w, turn)
            height = robot_pos[2] if state.reference_pos_w is None else state.reference_pos_w[2]
            ghost_pos = np.array([robot_pos[0], robot_pos[1], height])
        human = None
        if state.human_pos_w is not None and len(state.human_pos_w):
            side = side_m * np.array([-np.sin(side_heading), np.cos(side_heading)])
            human = _beside(state.human_pos_w, turn, robot_pos[:2] + side)
        return Placed(robot_pos, state.quat_w, ghost_pos, ghost_quat, human)


def _beside(human_pos_w: Array, turn: float, xy: Array) -> Array:
    """The person turned by `turn` about the vertical through the first body, which is moved to `xy`."""
    c, s = np.cos(turn), np.sin(turn)
    relative = human_pos_w[:, :2] - human_pos_w[0, :2]
    placed = human_pos_w.copy()
    placed[:, 0] = c * relative[:, 0] - s * relative[:, 1] + xy[0]
    placed[:, 1] = s * relative[:, 0] + c * relative[:, 1] + xy[1]
    return placed


def skull(human_w: Array, family: str) -> Array | None:
    """Middle of the skull (3,), None for families without a known head."""
    if family not in HEADS:
        return None
    neck, head = (human_w[index] for index in HEADS[family])
    length = float(np.linalg.norm(head - neck))
    return np.asarray(head + HEAD_OFFSET_M * (head - neck) / length) if length > 1e-6 else None


def scene_state(snapshot: Snapshot) -> SceneState | None:
    """The newest slot values as one instant to be drawn; None before there is a robot pose.

    Without a robot (preview) the reference itself is drawn as the robot.
    """
    state, human = snapshot.state, snapshot.human
    reference = snapshot.reference if snapshot.shaped is None else snapshot.shaped
    person = None if human is None else human.pos_w[: human.bodies]
    family = "mvn" if human is None else FAMILIES[human.family]
    seconds = snapshot.now_ns / 1e9
    if state is None:
        if reference is None:
            return None
        shown = SceneState(seconds, snapshot.mode, reference.q, reference.root_quat_w, reference.root_pos_w)
        return shown._replace(human_pos_w=person, family=family)
    return SceneState(
        seconds,
        snapshot.mode,
        state.q,
        state.quat_w,
        state.root_pos_w if state.has_odometry else None,
        None if reference is None else reference.q,
        None if reference is None else reference.root_quat_w,
        None if reference is None else reference.root_pos_w,
        person,
        family,
    )
