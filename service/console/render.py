"""Offscreen pictures and videos of a run: no display, no browser. The video is made after the run, never during it."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from teleopd.robots.model import Array, RobotModel
from teleopd.service.console.errors import RenderUnavailable
from teleopd.service.console.scene import (
    BONES,
    GHOST_RGBA,
    HUMAN_RGBA,
    SIDE_M,
    Kinematics,
    Placed,
    SceneState,
    heading,
    skull,
    smoothed_heading,
)
from teleopd.service.console.trace import Trace

Pixels = npt.NDArray[np.uint8]
LEGEND = "blue: reference   orange: person"
PICTURE = (1280, 720)
"""Width and height of a picture [px]."""
VIDEO = (960, 540)
BONE_RADIUS_M = 0.028
JOINT_RADIUS_M = 0.036
SKULL_SIZE_M = (0.085, 0.075, 0.11)
CAMERA_TURN_RAD = np.radians(155.0)
"""The camera looks at the robot's front from a little to its right."""
CAMERA_ELEVATION_DEG = -8.0
CAMERA_DISTANCE_M = 3.6


LIGHT_FROM_ROBOT_M = np.array([0.9, -1.1, 3.5])
"""The one light that casts a shadow goes with the robot: MuJoCo draws shadows near the light only."""
GHOST_SCALE = 0.96
"""The ghost is a little slimmer than the robot: hidden inside it where both agree, seen where they differ."""


def _egl(width: int, height: int) -> Any:
    from mujoco.egl import GLContext

    return GLContext(width, height)


def _osmesa(width: int, height: int) -> Any:
    from mujoco.osmesa import GLContext

    return GLContext(width, height)


def _glfw(width: int, height: int) -> Any:
    from mujoco.glfw import GLContext

    return GLContext(width, height)


BACKENDS = {"egl": _egl, "osmesa": _osmesa, "glfw": _glfw}


def backends(environment: dict[str, str]) -> list[str]:
    """Which ways to draw are tried, in order: what MUJOCO_GL asks for; else EGL, OSMesa and, on a desktop, GLFW."""
    asked = environment.get("MUJOCO_GL", "").lower().strip()
    if asked in BACKENDS:
        return [asked]
    return ["egl", "osmesa"] + (["glfw"] if environment.get("DISPLAY") else [])


def open_context(width: int, height: int) -> Any:
    """A current GL context.

    Raises:
        RenderUnavailable: none of the ways works here.
    """
    tried = backends(dict(os.environ))
    reasons = []
    for name in tried:
        try:
            context = BACKENDS[name](width, height)
            context.make_current()
            return context
        except Exception as error:  # each library fails in its own way when the system lacks it
            reasons.append(f"{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            os.environ.pop("PYOPENGL_PLATFORM", None)
    raise RenderUnavailable(
        "pictures need OpenGL without a display, which this machine lacks; install it with: "
        f"apt-get install libegl1 libgl1-mesa-dri libopengl0 (tried {'; '.join(reasons)})"
    )


def stage(robot: RobotModel, width: int, height: int, fine: bool) -> mujoco.MjModel:
    """The robot on a floor grid under a soft light, for drawing only; `fine` looks better and takes eight times as long
    on a machine that draws in software."""
    return stage_spec(robot, width, height, fine).compile()


def stage_spec(robot: RobotModel, width: int, height: int, fine: bool) -> mujoco.MjSpec:
    """The same before it is compiled, for what puts more on it."""
    spec = mujoco.MjSpec.from_file(str(robot.mjcf))
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    for light in list(spec.lights):
        spec.delete(light)
    spec.add_texture(
        name="teleopd_sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.98], rgb2=[0.70, 0.77, 0.90], width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="teleopd_grid", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        mark=mujoco.mjtMark.mjMARK_EDGE, rgb1=[0.80, 0.82, 0.85], rgb2=[0.84, 0.86, 0.89],
        markrgb=[0.66, 0.69, 0.73], width=300, height=300,
    )  # fmt: skip
    material = spec.add_material(name="teleopd_floor", texrepeat=[1, 1], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "teleopd_grid"
    floors = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    if not floors:
        floors = [spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05])]
    for floor in floors:
        floor.material, floor.rgba, floor.size = "teleopd_floor", [1, 1, 1, 1], [0, 0, 0.05]
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=LIGHT_FROM_ROBOT_M, dir=-LIGHT_FROM_ROBOT_M,
        diffuse=[0.55, 0.55, 0.52], specular=[0.15, 0.15, 0.15], castshadow=True,
    )  # fmt: skip
    look = spec.visual
    look.headlight.ambient, look.headlight.diffuse = [0.38, 0.38, 0.40], [0.32, 0.32, 0.32]
    look.headlight.specular = [0.05, 0.05, 0.05]
    look.global_.offwidth, look.global_.offheight, look.global_.fovy = width, height, 36
    look.quality.shadowsize, look.quality.offsamples = (4096, 4) if fine else (2048, 0)
    look.quality.numslices, look.quality.numstacks = (28, 16) if fine else (16, 10)
    look.map.haze, look.map.shadowclip = 0.25, 2.0
    look.rgba.haze = [0.90, 0.93, 0.97, 1]
    return spec


class Painter:
    """Draws instants of one robot. Use as a context manager: it holds a GL context."""

    def __init__(self, robot: RobotModel, size: tuple[int, int] = PICTURE, fine: bool = True) -> None:
        """
        Raises:
            RenderUnavailable: this machine cannot draw.
        """
        width, height = size
        self._gl = open_context(width, height)
        self._model = stage(robot, width, height, fine)
        self._kinematics = Kinematics(robot, self._model)
        self._robot, self._ghost = mujoco.MjData(self._model), mujoco.MjData(self._model)
        self._scene = mujoco.MjvScene(self._model, maxgeom=4 * self._model.ngeom + 200)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._option.sitegroup[:] = 0
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._pixels: Pixels = np.empty((height, width, 3), dtype=np.uint8)
        self._heading: float | None = None
        self._t_s = 0.0
        self._focus = np.zeros(3)

    def __enter__(self) -> Painter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.free()
        self._gl.free()

    def draw(self, state: SceneState) -> Pixels:
        """One picture, (height, width, 3), top row first. Successive calls follow the robot smoothly."""
        self._follow(state)
        assert self._heading is not None
        placed = self._kinematics.place(self._robot, state, self._heading, SIDE_M)
        self._kinematics.pose(self._robot, state.q, placed.robot_pos_w, placed.robot_quat_w)
        self._aim(placed)
        mujoco.mj_camlight(self._model, self._robot)
        self._robot.light_xpos[-1] = placed.robot_pos_w + LIGHT_FROM_ROBOT_M
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(
            self._model, self._robot, self._option, None, self._camera, everything, self._scene
        )
        if placed.ghost_pos_w is not None and placed.ghost_quat_w is not None and state.reference_q is not None:
            self._add_ghost(state.reference_q, placed.ghost_pos_w, placed.ghost_quat_w)
        if placed.human_w is not None:
            self._add_human(placed.human_w, state.family)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        self._write_text(state)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)
        return np.flipud(self._pixels).copy()

    def _follow(self, state: SceneState) -> None:
        if self._heading is None:
            self._heading = heading(state.quat_w)
        else:
            self._heading = smoothed_heading(self._heading, state.quat_w, max(0.0, state.t_s - self._t_s))
        self._t_s = state.t_s

    def _aim(self, placed: Placed) -> None:
        assert self._heading is not None
        to_person = 0.0 if placed.human_w is None else 0.5 * SIDE_M
        left = np.array([-np.sin(self._heading), np.cos(self._heading)])
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        self._camera.lookat[:] = [*(placed.robot_pos_w[:2] + to_person * left), 0.90]
        self._camera.azimuth = np.degrees(self._heading + CAMERA_TURN_RAD)
        self._camera.elevation = CAMERA_ELEVATION_DEG
        self._camera.distance = CAMERA_DISTANCE_M

    def _add_ghost(self, q: Array, pos_w: Array, quat_w: Array) -> None:
        self._kinematics.pose(self._ghost, q, pos_w, quat_w)
        first = self._scene.ngeom
        mujoco.mjv_addGeoms(
            self._model, self._ghost, self._option, mujoco.MjvPerturb(), mujoco.mjtCatBit.mjCAT_DYNAMIC.value,
            self._scene,
        )  # fmt: skip
        for index in range(first, self._scene.ngeom):
            geom = self._scene.geoms[index]
            geom.matid = -1
            geom.size[:] *= GHOST_SCALE
            geom.rgba[:] = GHOST_RGBA
            geom.transparent = 1

    def _add_human(self, human_w: Array, family: str) -> None:
        for parent, child in BONES.get(family, ()):
            geom = self._next_geom(mujoco.mjtGeom.mjGEOM_CAPSULE, np.zeros(3))
            if geom is not None:
                mujoco.mjv_connector(
                    geom, mujoco.mjtGeom.mjGEOM_CAPSULE.value, BONE_RADIUS_M, human_w[parent], human_w[child]
                )
        for point in human_w:
            self._next_geom(mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, JOINT_RADIUS_M), point)
        middle = skull(human_w, family)
        if middle is not None:
            self._next_geom(mujoco.mjtGeom.mjGEOM_ELLIPSOID, np.array(SKULL_SIZE_M), middle)

    def _next_geom(self, kind: Any, size: Array, pos: Array | None = None) -> Any:
        if self._scene.ngeom >= self._scene.maxgeom:
            return None
        geom = self._scene.geoms[self._scene.ngeom]
        where = np.zeros(3) if pos is None else pos
        rgba = np.array(HUMAN_RGBA, dtype=np.float32)
        mujoco.mjv_initGeom(geom, kind.value, size, where, np.eye(3).ravel(), rgba)
        self._scene.ngeom += 1
        return geom

    def _write_text(self, state: SceneState) -> None:
        mode = "" if state.mode is None else state.mode.name
        big, normal = mujoco.mjtFont.mjFONT_BIG.value, mujoco.mjtFont.mjFONT_NORMAL.value
        top, bottom = mujoco.mjtGridPos.mjGRID_TOPLEFT.value, mujoco.mjtGridPos.mjGRID_BOTTOMLEFT.value
        mujoco.mjr_overlay(big, top, self._rect, f"{mode}   {state.t_s:.1f} s", "", self._context)
        mujoco.mjr_overlay(normal, bottom, self._rect, LEGEND, "", self._context)


def write_png(path: Path, pixels: Pixels) -> None:
    """Write (height, width, 3) as PNG (ISO 15948), rows unfiltered."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def snapshot(robot: RobotModel, state: SceneState, path: Path, size: tuple[int, int] = PICTURE) -> None:
    """Write one picture of an instant.

    Raises:
        RenderUnavailable: this machine cannot draw.
        OSError: the file cannot be written.
    """
    with Painter(robot, size) as painter:
        write_png(path, painter.draw(state))


def render_video(
    robot: RobotModel,
    trace: Trace,
    path: Path,
    fps: int = 30,
    size: tuple[int, int] = VIDEO,
    progress: Callable[[float], None] = lambda _share: None,
) -> int:
    """Write the run as MP4 (H.264, or MPEG-4 where the encoder is missing); returns the number of frames.

    Raises:
        RenderUnavailable: this machine cannot draw, or PyAV is not installed.
        NothingToDraw: the trace is empty.
        OSError: the file cannot be written.
    """
    try:
        import av
    except ImportError:
        raise RenderUnavailable("videos need PyAV; install it with: pip install 'teleopd[video]'") from None
    count = int(trace.duration_s * fps) + 1
    trace.at(0.0)
    draft = path.with_name(f".{path.name}.tmp.mp4")
    codec = next(name for name in ("libx264", "mpeg4") if name in av.codecs_available)
    try:
        with Painter(robot, size, fine=False) as painter, av.open(str(draft), "w") as container:
            options = {"crf": "20", "preset": "veryfast"} if codec == "libx264" else {"qscale": "3"}
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = size[0], size[1], "yuv420p"
            stream.time_base = Fraction(1, fps)
            for index in range(count):
                frame = av.VideoFrame.from_ndarray(painter.draw(trace.at(index / fps)), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, fps)
                container.mux(stream.encode(frame))
                progress((index + 1) / count)
            container.mux(stream.encode(None))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count

