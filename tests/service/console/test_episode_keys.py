"""Buttons of the operator's page for episodes: a real page, the real slot, the label that says what comes next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.service.console.served import CAMERA, said, serving

from teleopd.robots.ipc.session import Session
from teleopd.service.capture.records import RECORDING, VERBS, WAITING, RecorderStatus, as_bytes
from teleopd.service.console.process import _episodes
from teleopd.service.console.snapshot import NOTHING_YET, Snapshot
from teleopd.service.console.view import BrowserView
from teleopd.service.streams import Bus


def recorder(state: int) -> Snapshot:
    status = RecorderStatus(1, state, 1, 0, 0, 0, False, as_bytes("", 1024), as_bytes("", 400))
    return NOTHING_YET._replace(now_ns=1, recorder=status)


def labels(view: BrowserView) -> list[str]:
    return [handle.label for handle in view.server.gui._gui_input_handle_from_uuid.values()]


def test_a_page_begins_and_ends_episodes_and_the_button_says_what_it_would_do():
    wishes: list[str] = []
    with serving(episodes=wishes.append) as console, console.page() as page:
        keys = console.view._episodes
        assert keys is not None
        page.recv(timeout=10)
        page.send(said(CAMERA))

        def press(label: str) -> str:
            count, deadline = len(wishes), time.monotonic() + 60.0
            page.send(said({"type": "GuiUpdateMessage", "uuid": console.button(label), "updates": {"value": True}}))
            while len(wishes) == count:
                assert time.monotonic() < deadline
                console.view.serve_operator(time.monotonic_ns())
                time.sleep(0.005)
            return wishes[-1]

        assert press("start episode") == "start"
        keys.show(recorder(RECORDING))
        assert "stop episode" in labels(console.view) and press("stop episode") == "stop"
        keys.show(recorder(WAITING))
        assert "start episode" in labels(console.view)
        assert [press("success"), press("discard")] == ["success", "discard"]
        assert console.operator.said == [] and console.operator.stops == 0, "nothing of it reaches the robot"


@pytest.mark.long
def test_there_are_none_for_a_spectator():
    with serving(may_engage=False, episodes=lambda _verb: None) as console:
        assert labels(console.view) == ["SOFT STOP"]


def test_the_wishes_lie_in_the_consoles_own_slot(tmp_path: Path):
    (tmp_path / "token").write_text("42")
    session = Session("unitree_g1", tmp_path)
    assert _episodes(session, Bus(session, 3, create=True)) is None
    bus = Bus(session, 3, create=True, record=True)
    wish = _episodes(session, bus)
    assert wish is not None
    wish("success")
    found = bus.slot("episode_console").read()
    assert (found.seq, found.token, VERBS[found.verb]) == (1, 42, "success")
