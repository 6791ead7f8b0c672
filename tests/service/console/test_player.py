"""An episode shown again: which sample at which time, pictures in any order, a real page that scrubs."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import websockets
from tests.service.capture.cameras.peers import grey
from websockets.sync.client import connect

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.safety.words import Mode
from teleopd.service.capture.cameras.h264 import Encoder
from teleopd.service.capture.episode import Episode, Stream
from teleopd.service.capture.video import Video
from teleopd.service.console.errors import NotShown
from teleopd.service.console.playback import FRESH_NS, PictureAt, Playback
from teleopd.service.console.player import Player, facts_html

N, MS, T0 = MODEL.n, 1_000_000, 7_000_000_000
BEGIN = T0
TEXT = 'lift <b>"it"</b> 👋'


def level(i: int) -> int:
    return 30 + 2 * i


def film(count: int = 60) -> Video:
    encoder = Encoder()
    data = tuple(encoder.encode(grey(level(i)), key=i == 0).data for i in range(count))
    return Video(T0 + 33 * MS * np.arange(count, dtype=np.int64), data, (64, 48))


def episode(**streams: Stream) -> Episode:
    """Two seconds: joint 0 is at the time [s], the reference 0.5 rad above, gone after one second."""
    t_ns, early = T0 + 2 * MS * np.arange(1001, dtype=np.int64), T0 + 20 * MS * np.arange(20, dtype=np.int64)
    q = np.zeros((1001, N))
    q[:, 0] = (t_ns - T0) / 1e9
    up, root = np.tile([1.0, 0, 0, 0], (1001, 1)), np.tile([0.0, 0, 0.79], (1001, 1))
    state = Stream(t_ns, {"joint_pos": q, "imu_quat_w": up, "root_pos_w": root, "has_odometry": np.ones((1001, 1))})
    wanted = np.zeros((20, N))
    wanted[:, 0] = (early - T0) / 1e9 + 0.5
    shaped = Stream(early, {"joint_pos": wanted, "root_quat_w": up[:20], "root_pos_w": root[:20]})
    person = Stream(early, {"pos_w": np.tile(np.arange(69.0) / 69, (20, 1))})
    made = {"state": state, "shaped_reference": shaped, "human": person, **streams}
    events = (
        (T0 + 100 * MS, {"kind": "mode", "text": "ARMED", "mode": "ARMED"}),
        (T0 + 900 * MS, {"kind": "mode", "text": "ACTIVE", "mode": "ACTIVE"}),
        (T0 + 950 * MS, {"kind": "operator", "text": "ctl: <STOP>"}),
    )
    about = {"human_bodies": json.dumps(MVN_SEGMENTS), "task": TEXT, "verdict": "keep"}
    given = {name: stream for name, stream in made.items() if stream.n}
    return Episode(Path("walk.mcap"), "unitree_g1", MODEL.joint_names, given, about, {}, {}, events, {"head": film()})


NOTHING = Stream(np.zeros(0, dtype=np.int64), {})


@pytest.mark.parametrize(("t_s", "q", "mode"), [
    (-1.0, 0.0, None), (0.0, 0.0, None), (0.5, 0.5, Mode.ARMED), (0.899, 0.898, Mode.ARMED), (0.9, 0.9, Mode.ACTIVE),
    (2.0, 2.0, Mode.ACTIVE), (9.0, 2.0, Mode.ACTIVE),
])  # fmt: skip
def test_at_each_time_the_newest_sample_is_shown(t_s: float, q: float, mode: Mode | None):
    scene = Playback(episode(), MODEL).at(t_s).scene
    assert scene.q[0] == pytest.approx(q) and scene.mode is mode
    assert scene.root_pos_w is not None and scene.root_pos_w[2] == 0.79


def test_a_reference_and_a_person_that_are_gone_are_not_shown():
    playback = Playback(episode(), MODEL)
    early, late = playback.at(0.2).scene, playback.at(0.381 + FRESH_NS / 1e9).scene
    assert early.reference_q is not None and early.reference_q[0] == pytest.approx(0.7)
    assert early.human_pos_w is not None and early.human_pos_w.shape == (23, 3) and early.family == "mvn"
    assert late.reference_q is None and late.human_pos_w is None


def test_events_come_newest_first():
    assert Playback(episode(), MODEL).at(0.93).said == ((0.9, "ACTIVE"), (0.1, "ARMED"))


def test_a_preview_shows_the_reference_as_the_robot():
    scene = Playback(episode(state=NOTHING), MODEL).at(0.1).scene
    assert scene.q[0] == pytest.approx(0.6) and scene.reference_q is None


def test_what_cannot_be_shown_is_one_sentence():
    bare = episode(state=NOTHING, shaped_reference=NOTHING)
    with pytest.raises(NotShown, match=r"^walk\.mcap holds neither the robot's state nor a reference to show$"):
        Playback(bare, MODEL)
    import dataclasses

    other = dataclasses.replace(episode(), joint_names=("hip", "knee"))
    with pytest.raises(NotShown, match=r"^walk\.mcap has 2 joints, which are not those of unitree_g1 now$"):
        Playback(other, MODEL)


def test_numbers_that_are_none_do_not_stop_the_show():
    made = episode()
    made.streams["state"].columns["joint_pos"][500] = np.nan
    assert Playback(made, MODEL).at(1.0).scene.q[0] == 0.0


def test_pictures_are_those_of_the_time_forwards_backwards_and_in_leaps():
    camera = PictureAt(film())
    order = [0, 1, 2, 40, 41, 5, 59, 30, 29, 29, 0]
    shades = [float(camera.at(T0 + 33 * MS * i + 10 * MS).mean()) for i in order]
    np.testing.assert_allclose(shades, [level(i) for i in order], atol=3)
    assert camera.at(T0 - 1) is None


def test_names_are_text_not_markup():
    playback = Playback(episode(), MODEL)
    shown = facts_html(playback, playback.at(2.0))
    assert "lift &lt;b&gt;&quot;it&quot;&lt;/b&gt; 👋" in shown and "ctl: &lt;STOP&gt;" in shown and "<b>" not in shown


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    made = Player(MODEL, Playback(episode(), MODEL), port)
    with contextlib.closing(made):
        yield made


def test_it_goes_on_by_the_viewers_time_and_stops_at_the_end(player: Player):
    player.step(0.5)
    assert player.t_s == 0.5 and player.playing
    player._speed = 2.0
    player.step(0.25)
    assert player.t_s == 1.0
    player.step(10.0)
    assert player.t_s == 2.0 and not player.playing and player._button.label == "play"


def test_a_page_scrubs_and_sees_robot_and_pictures(player: Player):
    """The messages that viser's own page sends, over a real websocket."""
    handles = player.server.gui._gui_input_handle_from_uuid
    slider = next(key for key, handle in handles.items() if handle.label == "time [s]")
    move = {"type": "GuiUpdateMessage", "uuid": slider, "updates": {"value": 1.2}}
    camera = {
        "type": "ViewerCameraMessage", "wxyz": (1, 0, 0, 0), "position": (2, 0, 1), "fov": 1.0, "near": 0.1,
        "far": 100.0, "image_height": 100, "image_width": 100, "look_at": (0, 0, 0), "up_direction": (0, 0, 1),
    }  # fmt: skip
    protocol = [websockets.Subprotocol(f"viser-v{__import__('viser').__version__}")]
    address, origin = player.url.replace("http", "ws"), websockets.Origin(player.url)
    with connect(address, origin=origin, subprotocols=protocol, max_size=None) as page:
        page.recv(timeout=10)
        page.send(msgspec.msgpack.encode(camera))
        deadline = time.monotonic() + 60.0
        while player.t_s != pytest.approx(1.2) and time.monotonic() < deadline:
            page.send(msgspec.msgpack.encode(move))
            time.sleep(0.02)
            player.step(0.0)
        while not player._images and time.monotonic() < deadline:
            player.step(0.0)
            time.sleep(0.02)
        assert "1.20 of 2.00 s" in player._head.content and "ACTIVE" in player._head.content
        shown = player._images["head"].image
        assert abs(float(shown.mean()) - level(36)) < 4
    player.step(0.0)
