from __future__ import annotations

import contextlib
import socket
import time

import msgspec
import pytest

pytest.importorskip("viser")

import websockets
from websockets.sync.client import connect

from teleopd.drivers.gamepad.stick import NOTHING, Said
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act
from teleopd.service.console.errors import PortTaken
from teleopd.service.console.stick import DIRECTIONS, HOLD_HZ
from teleopd.service.console.view import BrowserView, HoldToRun, open_server

MS = 1_000_000


class Recorder:
    """An operator that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, int]] = []

    def act(self, act: Act, now_ns: int) -> None:
        self.said.append((act, now_ns))

    def hold(self, held: bool, now_ns: int) -> None:
        self.said.append((held, now_ns))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def served():
    operator = Recorder()
    view = BrowserView(MODEL, free_port(), operator, may_engage=True)
    with contextlib.closing(view):
        yield view, operator


def test_a_heartbeat_is_as_old_as_the_browsers_message_and_is_said_once():
    hold, operator = HoldToRun(), Recorder()
    hold.step(0, operator)
    assert operator.said == []
    hold.heard(100 * MS)
    hold.step(130 * MS, operator)
    hold.step(160 * MS, operator)
    assert operator.said == [(True, 100 * MS)]


def test_silence_is_never_told_as_a_release():
    """It would make the next heartbeat of a finger that was never lifted look like a new press."""
    hold, operator = HoldToRun(), Recorder()
    hold.heard(100 * MS)
    for ms in range(130, 5_000, 30):
        hold.step(ms * MS, operator)
    hold.heard(5_000 * MS)
    hold.step(5_010 * MS, operator)
    assert operator.said == [(True, 100 * MS), (True, 5_000 * MS)]


def test_the_click_that_ends_a_press_is_the_release_and_a_new_press_comes_after_it():
    hold, operator = HoldToRun(), Recorder()
    hold.heard(100 * MS)
    hold.step(110 * MS, operator)
    hold.heard(150 * MS)
    hold.let_go()
    hold.step(160 * MS, operator)
    hold.step(190 * MS, operator)
    assert operator.said == [(True, 100 * MS), (False, 160 * MS)], "the last heartbeat was older than the release"
    hold.let_go()
    hold.heard(200 * MS)
    hold.step(210 * MS, operator)
    hold.step(240 * MS, operator)
    assert operator.said[2:] == [(False, 210 * MS), (True, 200 * MS)]


def test_a_press_on_another_page_is_a_new_press():
    hold, operator = HoldToRun(), Recorder()
    hold.heard(100 * MS, page=1)
    hold.step(110 * MS, operator)
    hold.step(120 * MS, operator)
    hold.heard(900 * MS, page=2)
    hold.step(910 * MS, operator)
    hold.step(940 * MS, operator)
    assert operator.said == [(False, 110 * MS), (True, 100 * MS), (False, 910 * MS), (True, 900 * MS)]


def test_a_taken_port_is_an_error_not_another_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            open_server(port)
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is in use, so the browser view cannot start; choose another with --view-port"
    )


def test_listens_on_the_loopback_address_only(served):
    view, _ = served
    assert view.server.get_host() == "127.0.0.1"
    assert view.url == f"http://127.0.0.1:{view.server.get_port()}"


def test_another_web_page_cannot_connect_but_our_own_can(served):
    address = served[0].url.replace("http", "ws")
    protocol = [websockets.Subprotocol(f"viser-v{__import__('viser').__version__}")]
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        connect(address, origin=websockets.Origin("http://evil.example"), subprotocols=protocol)
    assert caught.value.response.status_code == 403
    with connect(address, origin=websockets.Origin(served[0].url), subprotocols=protocol) as own:
        assert own.recv(timeout=10)


def test_acts_pressed_are_passed_on_one_a_call_before_the_deadman(served):
    view, operator = served
    operator.said.clear()
    view._acts.extend([Act.READY, Act.STOP])
    view._hold.heard(7)
    for now_ns in (10, 20, 30):
        view.serve_operator(now_ns)
    assert operator.said == [(Act.READY, 10), (Act.STOP, 20), (True, 7)]


def labels(view: BrowserView) -> list[str]:
    handles = view.server.gui._gui_input_handle_from_uuid.values()
    return [handle.label for handle in handles]


def test_an_operator_gets_every_act(served):
    assert labels(served[0]) == ["SOFT STOP", "hold to run", "ready", "arm", "damp", "reset"]


def test_a_spectator_can_only_lower_authority():
    view = BrowserView(MODEL, free_port(), Recorder(), may_engage=False)
    with contextlib.closing(view):
        assert labels(view) == ["SOFT STOP"]


def test_nothing_is_drawn_while_nobody_looks(served, snapshot):
    served[0].show(snapshot)
    assert "STARTING" in served[0]._head.content and served[0]._facts.content == ""


def test_the_scene_follows_the_robot_and_hides_what_is_not_there(served, snapshot):
    from teleopd.service.console.scene import scene_state

    stage = served[0]._scene
    stage.show(scene_state(snapshot))
    ghost = next(iter(stage._ghost.values()))
    assert ghost.visible and tuple(ghost.position[:2]) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert stage._person._balls.visible and len(stage._person._balls.batched_positions) == 24
    stage.show(scene_state(snapshot._replace(reference=None, human=None)))
    assert not ghost.visible and not stage._person._balls.visible and not stage._person._bones.visible


def test_the_stick_is_offered_only_to_an_operator_of_that_source():
    words: list[Said] = []
    view = BrowserView(MODEL, free_port(), Recorder(), may_engage=True, stick=words.append)
    with contextlib.closing(view):
        assert [label for label in labels(view) if label in DIRECTIONS] == list(DIRECTIONS)
        view.serve_operator(5 * MS)
        view._stick.heard("back", 10 * MS)
        view.serve_operator(12 * MS)
    assert words == [NOTHING, Said(10 * MS, pytest.approx(-0.36), 0.0, 0.0, True)]
    spectator = BrowserView(MODEL, free_port(), Recorder(), may_engage=False, stick=words.append)
    with contextlib.closing(spectator):
        assert labels(spectator) == ["SOFT STOP"]


def test_a_browser_that_holds_a_stick_button_walks_the_robot():
    """The message viser's own page sends while the pointer is down, over a real websocket."""
    words: list[Said] = []
    view = BrowserView(MODEL, free_port(), Recorder(), may_engage=True, stick=words.append)
    with contextlib.closing(view):
        handles = view.server.gui._gui_input_handle_from_uuid
        uuid = next(key for key, handle in handles.items() if handle.label == "turn left")
        message = {"type": "GuiButtonHoldMessage", "uuid": uuid, "frequency": HOLD_HZ}
        camera = {
            "type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (2, 0, 1), "fov": 1.0, "near": 0.1,
            "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0, 0, 0), "up_direction": (0, 0, 1),
        }  # fmt: skip
        protocol = [websockets.Subprotocol(f"viser-v{__import__('viser').__version__}")]
        address, origin = view.url.replace("http", "ws"), websockets.Origin(view.url)
        with connect(address, origin=origin, subprotocols=protocol, max_size=None) as page:
            page.recv(timeout=10)
            page.send(msgspec.msgpack.encode(camera))  # a page counts as there once it has said where it looks from
            deadline = time.monotonic() + 20.0
            while not (words and words[-1].held) and time.monotonic() < deadline:
                page.send(msgspec.msgpack.encode(message))
                time.sleep(0.02)
                view.serve_operator(time.monotonic_ns())
    assert words[-1].held and words[-1].turn == pytest.approx(0.6 * 0.8)
    assert (words[-1].forward, words[-1].left) == (0.0, 0.0)
