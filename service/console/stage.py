"""The three figures on a grid, as viser draws them: robot, ghost and person; the view's origin follows the robot.

Moving sixty bodies through viser's handles takes a third of a core at 30 Hz. Behind the gateway their poses go past it,
as one ready message of its own kind, and only the newest: a slow page skips some.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import mujoco
import numpy as np
import viser
import zstandard
from mjviser.conversions import merge_geoms
from viser._messages import SetOrientationMessage, SetPositionMessage

from teleopd.robots.model import Array, RobotModel
from teleopd.service.console.scene import (
    BONES,
    GHOST_RGBA,
    HUMAN_RGBA,
    Kinematics,
    Placed,
    SceneState,
    heading,
    skull,
    smoothed_heading,
)

FOCUS_SMOOTHING_S = 0.4
"""Time constant with which the view follows the robot over the floor [s]."""
GHOST_INSET_M = 0.004
"""The ghost is this much slimmer than the robot: hidden inside it where both agree."""
MAX_VISIBLE_GROUP = 2
"""Geoms of higher groups are collision shapes, not drawn."""
FINE_VERTICES: Final = 1000.0
"""A body with more than twice as many is drawn coarser from beyond 2 m."""


class PoseMessage:
    """Poses of nodes as viser's wire format has them: sizes, then msgpack compressed by zstd, without buffers."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=1)
        kinds = (SetPositionMessage("", (0.0, 0.0, 0.0)), SetOrientationMessage("", (1.0, 0.0, 0.0, 0.0)))
        self._position, self._orientation = (kind.as_serializable_dict([]) for kind in kinds)

    def of(self, poses: Iterable[tuple[str, list[float], list[float]]]) -> bytes:
        """One message: name of each node, its position [m] and orientation, wxyz."""
        messages = [
            message
            for name, position, wxyz in poses
            for message in (
                {**self._position, "name": name, "position": position},
                {**self._orientation, "name": name, "wxyz": wxyz},
            )
        ]
        packed = msgspec.msgpack.encode(
            {"messages": messages, "timestampSec": time.perf_counter(), "binaryBufferLengths": ()}
        )
        small = self._zstd.compress(packed)
        return len(packed).to_bytes(8, "little") + len(small).to_bytes(8, "little") + small


@functools.cache
def figure(mjcf: Path) -> tuple[mujoco.MjModel, dict[int, Any]]:
    """The model without its floor, and the shape of each body that is drawn; robot and ghost share them."""
    spec = mujoco.MjSpec.from_file(str(mjcf))
    for geom in list(spec.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            spec.delete(geom)
    model = spec.compile()
    drawn = model.geom_group <= MAX_VISIBLE_GROUP
    geoms = {body: np.flatnonzero((model.geom_bodyid == body) & drawn).tolist() for body in range(1, model.nbody)}
    return model, {body: merge_geoms(model, own) for body, own in geoms.items() if own}


class Stage:
    """Draws instants on one server."""

    def __init__(
        self, server: viser.ViserServer, robot: RobotModel, tell: Callable[[bytes], object] | None = None
    ) -> None:
        """`tell`: takes the newest poses as a message for the pages; None: viser itself tells them."""
        self._model, self._shapes = figure(robot.mjcf)
        self._kinematics = Kinematics(robot, self._model)
        self._data, self._ghost_data = mujoco.MjData(self._model), mujoco.MjData(self._model)
        server.scene.configure_environment_map(environment_intensity=0.45)
        self._server, self._tell, self._message = server, tell, PoseMessage()
        self._grid = server.scene.add_grid(
            "/floor", infinite_grid=True, fade_distance=14.0, plane_opacity=0.5, shadow_opacity=0.3,
            plane_color=(226, 229, 233), cell_color=(198, 203, 209), section_color=(160, 167, 175),
        )  # fmt: skip
        self._robot = self._add_robot()
        self._ghost = self._add_ghost()
        self._ghost_shown = False
        self._person = Person(server)
        self._focus: Array = np.zeros(3)
        self._seen = False
        self._heading = 0.0
        self._t_s = 0.0
        server.initial_camera.position = (2.5, -0.9, 1.35)
        server.initial_camera.look_at = (0.0, 0.45, 0.8)

    def show(self, state: SceneState) -> None:
        """Draw one instant."""
        focus = self._follow(state, self._kinematics.place(self._data, state, self._heading).robot_pos_w)
        placed = self._kinematics.place(self._data, state, self._heading)
        self._kinematics.pose(self._data, state.q, placed.robot_pos_w - focus, placed.robot_quat_w)
        ghost = self._pose_ghost(state.reference_q, placed, focus)
        with self._server.atomic():
            self._grid.position = np.array([*(-np.mod(focus[:2], 1.0)), 0.0])
            self._person.show(None if placed.human_w is None else placed.human_w - focus, state.family)
            if self._ghost_shown != ghost:
                self._ghost_shown = ghost
                for handle in self._ghost.values():
                    handle.visible = ghost
            shown = [(self._robot, self._data), *([(self._ghost, self._ghost_data)] if ghost else [])]
            if self._tell is None:
                for handles, data in shown:
                    for body, handle in handles.items():
                        handle.position, handle.wxyz = data.xpos[body], data.xquat[body]
                return
        self._tell(self._message.of(pose for handles, data in shown for pose in _poses(handles, data)))

    def _pose_ghost(self, q: Array | None, placed: Placed, focus: Array) -> bool:
        """Put the ghost in its place; whether there is one."""
        if q is None or placed.ghost_pos_w is None or placed.ghost_quat_w is None:
            return False
        self._kinematics.pose(self._ghost_data, q, placed.ghost_pos_w - focus, placed.ghost_quat_w)
        return True

    def _follow(self, state: SceneState, robot_pos_w: Array) -> Array:
        """The point of the floor that is the view's origin."""
        target = np.array([robot_pos_w[0], robot_pos_w[1], 0.0])
        if not self._seen:
            self._seen, self._focus, self._heading = True, target, heading(state.quat_w)
        else:
            elapsed_s = max(0.0, state.t_s - self._t_s)
            self._focus = self._focus + (target - self._focus) * (1.0 - np.exp(-elapsed_s / FOCUS_SMOOTHING_S))
            self._heading = smoothed_heading(self._heading, state.quat_w, elapsed_s)
        self._t_s = state.t_s
        return self._focus

    def _add_robot(self) -> dict[int, Any]:
        handles = {}
        for body, mesh in self._shapes.items():
            coarser = FINE_VERTICES / len(mesh.vertices)
            handles[body] = self._server.scene.add_batched_meshes_trimesh(
                f"/robot/{body}", mesh, np.array([[1.0, 0.0, 0.0, 0.0]]), np.zeros((1, 3)),
                lod=((2.0, coarser),) if coarser < 0.5 else "off",
            )  # fmt: skip
        return handles

    def _add_ghost(self) -> dict[int, Any]:
        return {
            body: self._server.scene.add_mesh_simple(
                f"/ghost/{body}", mesh.vertices - GHOST_INSET_M * mesh.vertex_normals, mesh.faces,
                color=_rgb(GHOST_RGBA), opacity=GHOST_RGBA[3], cast_shadow=False, receive_shadow=False, visible=False,
            )
            for body, mesh in self._shapes.items()
        }  # fmt: skip


def _poses(handles: dict[int, Any], data: mujoco.MjData) -> Iterable[tuple[str, list[float], list[float]]]:
    positions, turns = data.xpos.tolist(), data.xquat.tolist()
    for body, handle in handles.items():
        yield handle.name, positions[body], turns[body]


def _rgb(rgba: tuple[float, float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in rgba[:3])
    return red, green, blue


class Person:
    """The skeleton: a tube for each bone, a ball for each joint, a larger one for the skull."""

    BONE_M = 0.05
    JOINT_M = 0.036
    SKULL_M = 0.10

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._balls: Any = None
        self._bones: Any = None
        self._colour = _rgb(HUMAN_RGBA)

    def show(self, human_w: Array | None, family: str) -> None:
        """Draw bodies at (bodies, 3); None hides the person."""
        if human_w is None:
            for handle in (self._balls, self._bones):
                if handle is not None:
                    handle.visible = False
            return
        middle = skull(human_w, family)
        points = human_w if middle is None else np.vstack([human_w, middle])
        pairs = BONES.get(family, ())
        if self._balls is None or len(self._balls.batched_positions) != len(points):
            self._build(len(points), middle is not None, len(pairs))
        self._balls.batched_positions = points.astype(np.float32)
        self._balls.visible = True
        if pairs:
            self._bones.points = human_w[np.array(pairs)].astype(np.float32)
            self._bones.visible = True

    def _build(self, points: int, has_skull: bool, bones: int) -> None:
        import trimesh

        ball = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
        sizes = np.full(points, self.JOINT_M, dtype=np.float32)
        if has_skull:
            sizes[-1] = self.SKULL_M
        self._balls = self._server.scene.add_batched_meshes_simple(
            "/person/joints", ball.vertices, ball.faces, np.tile([1.0, 0.0, 0.0, 0.0], (points, 1)),
            np.zeros((points, 3)), batched_scales=sizes, batched_colors=self._colour, lod="off",
        )  # fmt: skip
        if bones:
            self._bones = self._server.scene.add_line_segments(
                "/person/bones", np.zeros((bones, 2, 3)), self._colour, thickness=self.BONE_M
            )
