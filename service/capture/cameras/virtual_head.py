"""A camera in the robot's head that is drawn: what the robot measures of itself, in a room with coloured posts.

It runs beside the physics, never in it: it reads the robot's newest report as everyone does, so that it also shows a
real robot, standing where its odometry says or on the spot.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import av
import mujoco
import numpy as np

from teleopd.robots.model import LowState, RobotModel
from teleopd.robots.rates import Rate
from teleopd.service.capture.cameras.pictures import Picture
from teleopd.service.capture.cameras.spec import VIRTUAL_FPS, VIRTUAL_SIZE, CameraError, CameraSpec
from teleopd.service.console.errors import RenderUnavailable
from teleopd.service.console.render import open_context, stage_spec
from teleopd.service.console.scene import Kinematics

HEAD = "key_head"
"""Site of every robot's MJCF."""
AHEAD_M = 0.13
"""The lens is so far in front of that site, outside the head's own shape [m]."""
DOWN_RAD = float(np.radians(35.0))
"""It looks down to what the hands do; Unitree's own camera in the G1 looks down by 48 degrees."""
FOVY_DEG = 58.0
"""As the colour camera of a RealSense D435, high."""
POSTS, POSTS_M = 8, 2.5
"""So many posts stand around the starting place, at that distance [m]."""


def head_model(robot: RobotModel, width: int, height: int) -> mujoco.MjModel:
    """The robot with a camera called `head` in its head, on a floor among posts.

    Raises:
        CameraError: its MJCF has no site `key_head`.
    """
    spec = stage_spec(robot, width, height, fine=False)
    site = spec.site(HEAD)
    if site is None:
        raise CameraError(f"{robot.mjcf} has no site '{HEAD}', so there is no place for a head camera")
    right, up = np.array([0.0, -1.0, 0.0]), np.array([np.sin(DOWN_RAD), 0.0, np.cos(DOWN_RAD)])
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.stack([right, up, np.cross(right, up)], axis=1).ravel())
    place = np.array(site.pos) + [AHEAD_M, 0.0, 0.0]
    site.parent.add_camera(name="head", pos=place, quat=quat, fovy=FOVY_DEG)
    for i in range(POSTS):
        angle = 2 * np.pi * i / POSTS
        colour = 0.25 + 0.6 * np.array([np.cos(angle + shift) > 0 for shift in (0.0, 2.1, 4.2)])
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.08, 0.08, 0.6], rgba=[*colour, 1.0],
            pos=[POSTS_M * np.cos(angle), POSTS_M * np.sin(angle), 0.6],
        )  # fmt: skip
    return spec.compile()


class VirtualHead:
    """Draws at a constant rate; use it in the thread that made it, which holds the GL context."""

    def __init__(self, spec: CameraSpec, robot: RobotModel, state: Callable[[], LowState | None]) -> None:
        """
        Raises:
            CameraError: this machine cannot draw, or the robot has no head.
        """
        width, height = spec.size or VIRTUAL_SIZE
        self._state, self.received, self.damaged = state, 0, 0
        self._rate = Rate(spec.fps or VIRTUAL_FPS)
        model = head_model(robot, width, height)
        try:
            self._gl: Any = open_context(width, height)
        except RenderUnavailable as error:
            raise CameraError(f"camera '{spec.name}': {error}") from None
        self._model, self._data = model, mujoco.MjData(model)
        self._kinematics = Kinematics(robot, model)
        self._scene = mujoco.MjvScene(model, maxgeom=2 * model.ngeom + 50)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False  # each doubles the time where a processor draws
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._option.sitegroup[:] = 0
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "head")
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), dtype=np.uint8)

    def read(self) -> Picture | None:
        """See `PictureSource`. The time is that of the robot's report it shows."""
        self._rate.wait()
        state = self._state()
        if state is None:
            return None
        self.received += 1
        self._pose(state)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(self._pixels[::-1]), format="rgb24")
        return Picture(state.t_ns, time.monotonic_ns(), frame)

    def close(self) -> None:
        """See `PictureSource`."""
        self._context.free()
        self._gl.free()

    def _pose(self, state: LowState) -> None:
        root = state.root_pos_w
        if not state.has_odometry:
            root = np.array([0.0, 0.0, self._kinematics.standing_height(self._data, state.q, state.quat_w)])
        self._kinematics.pose(self._data, state.q, root, state.quat_w)
        mujoco.mj_camlight(self._model, self._data)
