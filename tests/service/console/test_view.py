from __future__ import annotations

import contextlib
import time

import msgspec
import numpy as np
import pytest

pytest.importorskip("viser")

import zstandard

from teleopd.drivers.gamepad.stick import NOTHING, Said
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Act
from teleopd.service.console.hidden import open_hidden
from teleopd.service.console.scene import scene_state
from teleopd.service.console.stage import Stage
from teleopd.service.console.stick import DIRECTIONS, HOLD_HZ
from teleopd.service.console.view import BrowserView, HoldToRun

from .served import CAMERA, SECRET, Recorder, said, serving

MS = 1_000_000


@pytest.fixture(scope="module")
def served():
    operator = Recorder()
    view = BrowserView(MODEL, SECRET, operator, may_engage=True)
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


def test_listens_on_the_loopback_address_only(served):
    assert served[0].server.get_host() == "127.0.0.1"


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
    view = BrowserView(MODEL, SECRET, Recorder(), may_engage=False)
    with contextlib.closing(view):
        assert labels(view) == ["SOFT STOP"]


def test_nothing_is_drawn_while_nobody_looks(served, snapshot):
    served[0].show(snapshot)
    assert "STARTING" in served[0]._head.content and served[0]._facts.content == ""


def told(view: BrowserView) -> dict[str, dict[str, list[float]]]:
    """Node -> its pose, from the newest message for the pages."""
    sizes, body = view.poses[:16], view.poses[16:]
    packed = zstandard.decompress(body)
    assert sizes == len(packed).to_bytes(8, "little") + len(body).to_bytes(8, "little")
    found: dict[str, dict[str, list[float]]] = {}
    for message in msgspec.msgpack.decode(packed)["messages"]:
        kind = {"SetPositionMessage": "position", "SetOrientationMessage": "wxyz"}[message["type"]]
        found.setdefault(message["name"], {})[kind] = message[kind]
        assert message["owner"] == "", "a node of the server's, not of one page"
    return found


def test_the_scene_follows_the_robot_and_hides_what_is_not_there(served, snapshot):
    view, stage = served[0], served[0]._scene
    stage.show(scene_state(snapshot))
    pelvis = min(stage._ghost)
    poses = told(view)
    assert set(poses) == {f"/{who}/{body}" for who in ("robot", "ghost") for body in stage._ghost}
    assert poses[f"/ghost/{pelvis}"]["position"][:2] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert poses[f"/robot/{pelvis}"]["position"][2] == pytest.approx(snapshot.state.root_pos_w[2])
    assert stage._ghost[pelvis].visible
    assert stage._person._balls.visible and len(stage._person._balls.batched_positions) == 24
    stage.show(scene_state(snapshot._replace(reference=None, human=None)))
    assert set(told(view)) == {f"/robot/{body}" for body in stage._robot}
    assert not stage._ghost[pelvis].visible
    assert not stage._person._balls.visible and not stage._person._bones.visible


def test_each_pose_is_that_of_the_robots_body(served, snapshot):
    view, stage = served[0], served[0]._scene
    q = snapshot.state.q + 0.2
    stage.show(scene_state(snapshot._replace(state=snapshot.state._replace(q=q))))
    for name, pose in told(view).items():
        _, who, body = name.split("/")
        data = stage._data if who == "robot" else stage._ghost_data
        assert pose["position"] == data.xpos[int(body)].tolist() and pose["wxyz"] == data.xquat[int(body)].tolist()


def test_without_a_gateway_viser_tells_the_poses_itself(snapshot):
    server = open_hidden(SECRET)
    try:
        stage = Stage(server, MODEL)
        stage.show(scene_state(snapshot))
        for body, handle in stage._robot.items():
            assert tuple(handle.position) == pytest.approx(tuple(stage._data.xpos[body]), abs=1e-6)
            assert abs(float(np.dot(handle.wxyz, stage._data.xquat[body]))) == pytest.approx(1.0)
    finally:
        server.stop()


def moved(message: bytes) -> bool:
    return message[16:] in (b"pose one", b"pose two")


def test_a_page_is_told_poses_once_it_has_spoken_and_only_the_newest():
    with serving() as console:
        console.view.poses = b"\x00" * 16 + b"pose one"
        with console.page() as silent, console.page() as page:
            page.send(said(CAMERA))
            while not moved(first := page.recv(timeout=30)):
                pass
            assert first == console.view.poses
            console.view.poses = b"\x00" * 16 + b"pose two"
            while not moved(second := page.recv(timeout=30)):
                pass
            assert second == console.view.poses
            with pytest.raises(TimeoutError):
                while not moved(silent.recv(timeout=0.5)):
                    pass
                raise AssertionError("poses for a page that does not know yet what they move")


def test_the_stick_is_offered_only_to_an_operator_of_that_source():
    words: list[Said] = []
    view = BrowserView(MODEL, SECRET, Recorder(), may_engage=True, stick=words.append)
    with contextlib.closing(view):
        assert [label for label in labels(view) if label in DIRECTIONS] == list(DIRECTIONS)
        view.serve_operator(5 * MS)
        view._stick.heard("back", 10 * MS)
        view.serve_operator(12 * MS)
    assert words == [NOTHING, Said(10 * MS, pytest.approx(-0.36), 0.0, 0.0, True)]
    spectator = BrowserView(MODEL, SECRET, Recorder(), may_engage=False, stick=words.append)
    with contextlib.closing(spectator):
        assert labels(spectator) == ["SOFT STOP"]


def test_a_browser_that_holds_a_stick_button_walks_the_robot():
    """The message viser's own page sends while the pointer is down, over a real websocket and through the gateway."""
    words: list[Said] = []
    with serving(stick=words.append) as console:
        message = {"type": "GuiButtonHoldMessage", "uuid": console.button("turn left"), "frequency": HOLD_HZ}
        with console.page() as page:
            page.recv(timeout=10)
            page.send(said(CAMERA))
            deadline = time.monotonic() + 20.0
            while not (words and words[-1].held) and time.monotonic() < deadline:
                page.send(said(message))
                time.sleep(0.02)
                console.view.serve_operator(time.monotonic_ns())
    assert words[-1].held and words[-1].turn == pytest.approx(0.6 * 0.8)
    assert (words[-1].forward, words[-1].left) == (0.0, 0.0)
