"""The browser view: robot, ghost, person, panel and operator buttons, served behind the gateway only.

A web button is a soft stop, never an emergency stop. The deadman is a true hold: the browser repeats a message while
the pointer is down, each message is one heartbeat, and robot-io drops the engagement 250 ms after the last one.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import mujoco
import numpy as np
import viser
from mjviser import ViserMujocoScene
from mjviser.conversions import merge_geoms

from teleopd.drivers.gamepad.pad import FASTEST
from teleopd.drivers.gamepad.stick import Said
from teleopd.robots.model import Array, RobotModel
from teleopd.safety.words import Act
from teleopd.service.console.bars import bars_html
from teleopd.service.console.episode_keys import EpisodeKeys
from teleopd.service.console.event_log import EventLog
from teleopd.service.console.hidden import open_hidden
from teleopd.service.console.panel import facts_html, mode_html
from teleopd.service.console.scene import (
    BONES,
    GHOST_RGBA,
    HUMAN_RGBA,
    Kinematics,
    Placed,
    SceneState,
    heading,
    scene_state,
    skull,
    smoothed_heading,
)
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.console.stick import Stick

HOLD_HZ = 20.0
"""Messages of the browser while the hold button is down; five of them may be lost before the deadman falls."""
PANEL_HZ = 6.0
FOCUS_SMOOTHING_S = 0.4
"""Time constant with which the view follows the robot over the floor [s]."""
GHOST_INSET_M = 0.004
"""The ghost is this much slimmer than the robot: hidden inside it where both agree."""
MAX_VISIBLE_GROUP = 2
"""Geoms of higher groups are collision shapes, not drawn."""


class Operator(Protocol):
    """Where the operator's acts go: `safety.operator.OperatorWriter` over the slot of this console."""

    def act(self, act: Act, now_ns: int) -> None:
        """Send one act."""

    def hold(self, held: bool, now_ns: int) -> None:
        """Heartbeat of the deadman, or its release."""


class HoldToRun:
    """Turns the browser's messages into heartbeats and releases of the deadman.

    Silence is never told as a release: robot-io drops the engagement by itself 250 ms after the last heartbeat, and
    wants a release before it counts another press. So a page that comes back from a hiccup with the finger still on the
    button engages nothing. The release is the browser's click, which ends every press, or a press on another page.
    """

    def __init__(self) -> None:
        self._heard_ns = self._sent_ns = 0
        self._let_go = False
        self._page: object = None

    def heard(self, now_ns: int, page: object = None) -> None:
        """A page says that the button is down."""
        self._let_go |= page != self._page
        self._heard_ns, self._page = now_ns, page

    def let_go(self) -> None:
        """The pointer was lifted."""
        self._let_go, self._sent_ns = True, self._heard_ns

    def step(self, now_ns: int, operator: Operator) -> None:
        """Pass on what was heard since the last step: one word, the release first."""
        if self._let_go:
            self._let_go = False
            operator.hold(False, now_ns)
        elif self._heard_ns > self._sent_ns:
            self._sent_ns = self._heard_ns
            operator.hold(True, self._heard_ns)


class BrowserView:
    """One page. All slots are read and all acts are written by the thread that calls `show` and `serve_operator`."""

    def __init__(
        self, robot: RobotModel, secret: str, operator: Operator, *, may_engage: bool,
        stick: Callable[[Said], object] | None = None, episodes: Callable[[str], object] | None = None,
    ) -> None:  # fmt: skip
        """`secret`: what the gateway shows this server. `may_engage`: offer every act; else only the soft stop, which
        can only lower authority. `stick`: where the buttons that walk the robot say so; None: there are none.
        `episodes`: takes what the operator wishes of the recorder; None: nothing is recorded.
        """
        self.server = open_hidden(secret)
        self.stop_buttons: frozenset[str] = frozenset()
        """Identifiers of what any page may press."""
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.gui.main_panel.dock_right()
        self._operator = operator
        self._acts: deque[Act] = deque(maxlen=8)
        self._hold = HoldToRun()
        self._head = self.server.gui.add_html(mode_html(NOTHING_YET))  # as tall as later: no button moves
        self._add_buttons(may_engage)
        self._say, self._stick = stick, Stick(FASTEST)
        if stick is not None and may_engage:
            self._stick.add_to(self.server)
        self._episodes = None
        if episodes is not None and may_engage:
            self._episodes = EpisodeKeys(self.server, episodes)
        self._facts = self.server.gui.add_html("")
        self._panel_due_ns = 0
        self._robot, self._log = robot, EventLog()
        self._scene = Stage(self.server, robot)

    @property
    def port(self) -> int:
        """Where the hidden server listens, on the loopback address."""
        return self.server.get_port()

    def serve_operator(self, now_ns: int) -> None:
        """Pass on what was pressed since the last call."""
        if self._acts:  # one write a call: the slot holds one word, and robot-io reads faster than this is called
            self._operator.act(self._acts.popleft(), now_ns)
        else:
            self._hold.step(now_ns, self._operator)
        if self._say is not None:
            self._say(self._stick.said())
        if self._episodes is not None:
            self._episodes.serve()

    def show(self, snapshot: Snapshot) -> None:
        """Bring page and scene up to date; costs nothing while nobody looks."""
        self._log.see(snapshot)
        if not self.server.get_clients():
            return
        if snapshot.now_ns >= self._panel_due_ns:
            self._panel_due_ns = snapshot.now_ns + round(1e9 / PANEL_HZ)
            self._head.content = mode_html(snapshot)
            more = bars_html(self._robot, snapshot) + self._log.html(snapshot.now_ns)
            self._facts.content = facts_html(snapshot) + more
            if self._episodes is not None:
                self._episodes.show(snapshot)
        state = scene_state(snapshot)
        if state is not None:
            self._scene.show(state)

    def close(self) -> None:
        """Stop serving."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()  # whose thread announces its end on the terminal

    def _add_buttons(self, may_engage: bool) -> None:
        gui = self.server.gui
        stop = self._act_button("SOFT STOP", Act.STOP, "red", "returns to stand; again: damps; no emergency stop")
        self.stop_buttons = frozenset({stop})
        if not may_engage:
            return
        hold = gui.add_button(
            "hold to run", color="green", hint="the robot follows while you hold this; let go to stop following"
        )

        async def heard(event: Any) -> None:
            self._hold.heard(time.monotonic_ns(), event.client_id)

        async def let_go(_event: Any) -> None:
            self._hold.let_go()

        hold.on_hold(heard, callback_hz=HOLD_HZ)
        hold.on_click(let_go)
        self._act_button("ready", Act.READY, "blue", "go to the stand pose; the robot hangs or is carried")
        self._act_button("arm", Act.ARM, "orange", "the policy balances; set the robot on its feet")
        self._act_button("damp", Act.DAMP, "gray", "limp at once: a standing robot falls")
        self._act_button("reset", Act.RESET, "gray", "leave DAMPED once the robot is safe")

    def _act_button(self, label: str, act: Act, color: Any, hint: str) -> str:
        """Returns the button's identifier in the page's messages."""
        button = self.server.gui.add_button(label, color=color, hint=hint)

        async def pressed(_event: Any) -> None:
            self._acts.append(act)

        button.on_click(pressed)
        return str(button._impl.uuid)


class Stage:
    """The three figures on a grid; the view's origin follows the robot over the floor."""

    def __init__(self, server: viser.ViserServer, robot: RobotModel) -> None:
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        for geom in list(spec.geoms):
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
                spec.delete(geom)
        self._model = spec.compile()
        self._kinematics = Kinematics(robot, self._model)
        self._data, self._ghost_data = mujoco.MjData(self._model), mujoco.MjData(self._model)
        self._robot = ViserMujocoScene(server, self._model, num_envs=1)
        self._robot.camera_tracking_enabled = False
        server.scene.configure_environment_map(environment_intensity=0.45)
        self._server = server
        self._grid = server.scene.add_grid(
            "/floor", infinite_grid=True, fade_distance=14.0, plane_opacity=0.5, shadow_opacity=0.3,
            plane_color=(226, 229, 233), cell_color=(198, 203, 209), section_color=(160, 167, 175),
        )  # fmt: skip
        self._ghost = self._add_ghost()
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
        with self._server.atomic():
            self._grid.position = np.array([*(-np.mod(focus[:2], 1.0)), 0.0])
            self._kinematics.pose(self._data, state.q, placed.robot_pos_w - focus, placed.robot_quat_w)
            self._robot.update_from_mjdata(self._data)
            self._show_ghost(state.reference_q, placed, focus)
            self._person.show(None if placed.human_w is None else placed.human_w - focus, state.family)

    def _show_ghost(self, q: Array | None, placed: Placed, focus: Array) -> None:
        pos_w, quat_w = placed.ghost_pos_w, placed.ghost_quat_w
        shown = q is not None and pos_w is not None and quat_w is not None
        if q is not None and pos_w is not None and quat_w is not None:
            self._kinematics.pose(self._ghost_data, q, pos_w - focus, quat_w)
        for body, handle in self._ghost.items():
            handle.visible = shown
            if shown:
                handle.position = self._ghost_data.xpos[body]
                handle.wxyz = self._ghost_data.xquat[body]

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

    def _add_ghost(self) -> dict[int, Any]:
        handles = {}
        for body in range(1, self._model.nbody):
            geoms = [
                int(geom)
                for geom in np.flatnonzero(self._model.geom_bodyid == body)
                if self._model.geom_group[geom] <= MAX_VISIBLE_GROUP
            ]
            if not geoms:
                continue
            mesh = merge_geoms(self._model, geoms)
            handles[body] = self._server.scene.add_mesh_simple(
                f"/ghost/{body}", mesh.vertices - GHOST_INSET_M * mesh.vertex_normals, mesh.faces,
                color=_rgb(GHOST_RGBA), opacity=GHOST_RGBA[3], cast_shadow=False, receive_shadow=False, visible=False,
            )  # fmt: skip
        return handles


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
