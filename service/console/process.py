"""The console process: reads the slots at 30 Hz and serves the browser view. It may die; nothing waits for it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from teleopd.robots.ipc.session import Session
from teleopd.robots.rates import Rate, freeze_collector
from teleopd.safety.operator import OperatorWriter
from teleopd.safety.words import Act
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.child import Ending, refuse
from teleopd.service.console.access import Access
from teleopd.service.console.desk import Desk
from teleopd.service.console.errors import ConsoleError
from teleopd.service.console.facts import RunFacts
from teleopd.service.console.keeper import Keeper
from teleopd.service.console.snapshot import read_snapshot
from teleopd.service.streams import Bus, StickWord

if TYPE_CHECKING:
    from teleopd.service.console.view import BrowserView

VIEW_HZ = 30.0


class SharedOperator:
    """The operator's mailbox for the two threads that press: the page's loop, and the gateway, which stops at once."""

    def __init__(self, writer: OperatorWriter) -> None:
        self._writer, self._lock = writer, threading.Lock()

    def act(self, act: Act, now_ns: int) -> None:
        """Send one act."""
        with self._lock:
            self._writer.act(act, now_ns)

    def hold(self, held: bool, now_ns: int) -> None:
        """Heartbeat of the deadman, or its release."""
        with self._lock:
            self._writer.hold(held, now_ns)

    def stop(self) -> None:
        """The soft stop."""
        self.act(Act.STOP, time.monotonic_ns())


def main(
    session: Session, robot: str, access: Access, operator: bool = False, stick: bool = False,
    facts: RunFacts | None = None,
) -> None:  # fmt: skip
    """Entry of the process.

    `operator`: the operator's page may ready, arm and engage; else it can only soft-stop. `stick`: it walks the robot
    too. `facts`: what the page says of the run, and what may be chosen in it.
    """
    from teleopd.robots.catalog import load_robot

    try:
        from teleopd.service.console.gateway import Gateway
        from teleopd.service.console.relay import Relay
        from teleopd.service.console.view import BrowserView
    except ImportError as error:
        missing = f"the browser view needs {error.name}; install it with: pip install 'teleopd[console]'"
        refuse(session, "console", missing)
    model = load_robot(robot)
    bus = Bus(session, model.n)
    ending = Ending()
    mailbox = SharedOperator(OperatorWriter(bus.slot("operator_console"), session.token))
    slot = bus.slot("stick")
    say = (lambda said: slot.write(StickWord(*said))) if stick else None
    secret = secrets.token_urlsafe()
    episodes = _episodes(session, bus)
    view = BrowserView(model, secret, mailbox, may_engage=operator, stick=say, episodes=episodes)
    desk = Desk()
    keeper = Keeper(model, bus, desk, asks=operator, token=session.token, facts=facts)
    try:
        relay = Relay(view.port, secret, lambda: view.stop_buttons, lambda: view.poses)
        gateway = Gateway(access, relay, mailbox.stop, desk)
    except ConsoleError as refused:
        refuse(session, "console", str(refused))
    freeze_collector()  # a soft stop would wait for it
    run(view, keeper, bus, ending)
    gateway.close()
    view.close()


def _episodes(session: Session, bus: Bus) -> Callable[[str], object] | None:
    """Where wishes of the recorder go; None where this run records nothing."""
    if not session.path("record_state").exists():
        return None
    wishes = EpisodeWishes(bus.slot("episode_console"), session.token)
    return lambda verb: wishes.wish(verb, time.monotonic_ns())


def run(view: BrowserView, keeper: Keeper, bus: Bus, ending: Ending) -> None:
    """Serve until the service ends or dies."""
    rate = Rate(VIEW_HZ)
    while not ending.now:
        rate.wait()
        now_ns = time.monotonic_ns()
        view.serve_operator(now_ns)
        snapshot = keeper.complete(read_snapshot(bus, now_ns))
        view.show(snapshot)
        keeper.serve(snapshot)
