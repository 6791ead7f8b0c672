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

from teleopd.drivers.gamepad.pad import FASTEST
from teleopd.drivers.gamepad.stick import Said
from teleopd.robots.model import RobotModel
from teleopd.safety.words import Act
from teleopd.service.console.bars import bars_html
from teleopd.service.console.episode_keys import EpisodeKeys
from teleopd.service.console.event_log import EventLog
from teleopd.service.console.hidden import open_hidden
from teleopd.service.console.panel import facts_html, mode_html
from teleopd.service.console.scene import scene_state
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.console.stage import Stage
from teleopd.service.console.stick import Stick

HOLD_HZ = 20.0
"""Messages of the browser while the hold button is down; five of them may be lost before the deadman falls."""
PANEL_HZ = 6.0


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
        self.poses = b""
        """The figures' newest poses, a message for the pages; each new one is a new object."""
        self._scene = Stage(self.server, robot, self._tell)

    def _tell(self, poses: bytes) -> None:
        self.poses = poses

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
