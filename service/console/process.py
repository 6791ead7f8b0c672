"""The console process: reads the slots at 30 Hz and serves the browser view. It may die; nothing waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from teleopd.robots.ipc.session import Session
from teleopd.robots.rates import Rate
from teleopd.service.child import Ending, refuse
from teleopd.service.console.errors import PortTaken
from teleopd.service.console.snapshot import SlotLatencies, read_snapshot
from teleopd.service.streams import Bus, StickWord

if TYPE_CHECKING:
    from teleopd.service.console.view import BrowserView

VIEW_HZ = 30.0


def main(session: Session, robot: str, port: int, operator: bool = False, stick: bool = False) -> None:
    """Entry of the process.

    `operator`: the page may ready, arm and engage; else it can only soft-stop. `stick`: it walks the robot too.
    """
    from teleopd.robots.catalog import load_robot
    from teleopd.safety.operator import OperatorWriter

    try:
        from teleopd.service.console.view import BrowserView
    except ImportError as error:
        missing = f"the browser view needs {error.name}; install it with: pip install 'teleopd[console]'"
        refuse(session, "console", missing)
    model = load_robot(robot)
    bus = Bus(session, model.n)
    ending = Ending()
    writer = OperatorWriter(bus.slot("operator_console"), session.token)
    try:
        slot = bus.slot("stick")
        say = (lambda said: slot.write(StickWord(*said))) if stick else None
        view = BrowserView(model, port, writer, may_engage=operator, stick=say)
    except PortTaken as taken:
        refuse(session, "console", str(taken))
    run(view, bus, ending)
    view.close()


def run(view: BrowserView, bus: Bus, ending: Ending) -> None:
    """Serve until the service ends or dies."""
    rate, latencies = Rate(VIEW_HZ), SlotLatencies()
    while not ending.now:
        rate.wait()
        now_ns = time.monotonic_ns()
        view.serve_operator(now_ns)
        snapshot = read_snapshot(bus, now_ns)
        latencies.sample(snapshot)
        view.show(snapshot._replace(latency=latencies.recent()))
