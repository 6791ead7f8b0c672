"""The camera process beside a recorder, as processes: pictures from a real server into a file; what may go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from tests.service.capture.cameras.peers import jpeg, shade

from teleopd.launch.processes import Processes
from teleopd.robots.at_rest import state_at_rest
from teleopd.robots.ipc.session import SessionOwner
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.camera_process import Feed
from teleopd.service.capture.cameras.h264 import decoded
from teleopd.service.capture.cameras.parts import Assembler
from teleopd.service.capture.cameras.spec import camera_specs
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import (
    NO_PICTURE,
    PARTS,
    RECORDING,
    SHOWING,
    CameraStatus,
    RecorderStatus,
    as_bytes,
    as_text,
)
from teleopd.service.capture.wishes import EpisodeWishes
from teleopd.service.capture.writer import EpisodeHeader
from teleopd.service.streams import Bus


class ImageServer:
    """Publishes grey JPEG pictures at about 100 Hz until closed; the shade goes on by 2 with each."""

    def __init__(self) -> None:
        self._context, self._stop = zmq.Context(), threading.Event()
        socket = self._context.socket(zmq.PUB)
        self.port = socket.bind_to_random_port("tcp://127.0.0.1")
        self._thread = threading.Thread(target=self._run, args=(socket,), daemon=True)
        self._thread.start()

    def _run(self, socket: zmq.Socket[bytes]) -> None:
        pictures = [jpeg(30 + 2 * i) for i in range(90)]
        count = 0
        while not self._stop.wait(0.01):
            socket.send(pictures[count % 90])
            count += 1
        socket.close(0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._context.term()


@pytest.fixture
def server() -> Iterator[ImageServer]:
    made = ImageServer()
    yield made
    made.close()


@pytest.fixture
def bus(owner: SessionOwner) -> Bus:
    return Bus(owner.session, MODEL.n, create=True, record=True, cameras=2)


def wait(done: Callable[[], bool], timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def status(bus: Bus, camera: int = 0) -> CameraStatus | None:
    found: CameraStatus | None = bus.slot(f"camera_status_{camera}").read()
    return found


def recorder_says(t_begun_ns: int) -> RecorderStatus:
    return RecorderStatus(1, RECORDING, t_begun_ns, 0, 0, 0, False, as_bytes("", 1024), as_bytes("", 400))


def test_pictures_of_a_server_and_of_the_virtual_head_come_into_the_episode(
    server: ImageServer, owner: SessionOwner, bus: Bus, tmp_path: Path
):
    specs = camera_specs({"hand": f"zmq://127.0.0.1:{server.port}", "head": "virtual?size=64x48&fps=30"})
    header = EpisodeHeader("unitree_g1", MODEL.joint_names, ("Pelvis",), {}, {}, ("hand", "head"))
    bus.slot("state").write(state_at_rest(MODEL, time.monotonic_ns()))
    processes, slot = Processes(lambda _sentence: None), bus.slot("recorder_status")
    wishes = EpisodeWishes(bus.slot("episode_ctl"), owner.session.token)
    processes.start("cameras", session=owner.session, robot="unitree_g1", cameras=specs)
    processes.start("recorder", session=owner.session, robot="unitree_g1", folder=str(tmp_path), header=header)
    try:
        wait(lambda: slot.read() is not None and all((s := status(bus, i)) and s.state == SHOWING for i in (0, 1)))
        wishes.wish("start", time.monotonic_ns())
        wait(lambda: slot.read().state == RECORDING)
        begun = [status(bus, i).received for i in (0, 1)]  # type: ignore[union-attr]
        wait(lambda: all(status(bus, i).received > begun[i] + 40 for i in (0, 1)))  # type: ignore[union-attr]
        wishes.wish("stop", time.monotonic_ns())
        wait(lambda: slot.read().state != RECORDING)
    finally:
        processes.end()
    episode = read_episode(Path(as_text(slot.read().path)))
    hand, head = episode.videos["hand"], episode.videos["head"]
    assert hand.size == head.size == (64, 48) and hand.n > 20 and head.n > 20
    assert (np.diff(hand.t_ns) > 0).all() and (np.diff(head.t_ns) > 0).all()
    shades = np.array([shade(frame) for frame in decoded(hand.data)])
    steps = np.diff(shades)
    assert (steps[steps > 0] < 40).all() and len(steps[steps > 0]) > 0.9 * len(steps), "in order, from the first on"
    assert np.ptp([shade(frame) for frame in decoded(head.data)]) < 3, "the robot stood still"
    assert set(episode.dropped) >= {"camera/hand", "camera/head"}


def test_when_the_recorder_is_gone_pictures_are_lost_and_counted_and_a_key_frame_follows(server: ImageServer, bus: Bus):
    """Nobody drains the ring: it fills, the camera goes on. Then somebody does."""
    ring, stop = bus.ring("record_camera_0"), threading.Event()
    spec = camera_specs({"hand": f"zmq://127.0.0.1:{server.port}"})[0]
    feed = Feed(spec, ring, bus.slot("camera_status_0"), bus.slot("recorder_status"))
    thread = threading.Thread(target=feed.run, args=(MODEL, lambda: None, stop), daemon=True)
    thread.start()
    try:
        wait(lambda: (found := status(bus)) is not None and found.lost > 20)
        assembler = Assembler()
        assert len(assembler.take(ring.drain())) == PARTS
        after = []
        wait(lambda: bool(after.extend(assembler.take(ring.drain())) or after))
        assert after[0].key and assembler.lost > 20
    finally:
        stop.set()
        thread.join()


def test_an_episode_that_begins_asks_for_a_key_frame(server: ImageServer, bus: Bus):
    ring, stop = bus.ring("record_camera_0"), threading.Event()
    spec = camera_specs({"hand": f"zmq://127.0.0.1:{server.port}"})[0]
    feed = Feed(spec, ring, bus.slot("camera_status_0"), bus.slot("recorder_status"))
    thread = threading.Thread(target=feed.run, args=(MODEL, lambda: None, stop), daemon=True)
    thread.start()
    keys: list[bool] = []
    try:
        wait(lambda: bool(keys.extend(ring.drain()["key"].tolist()) or len(keys) >= 3))
        assert keys[0] and not any(keys[1:3])
        for begun in range(1, 4):
            bus.slot("recorder_status").write(recorder_says(begun))
            found: list[bool] = []
            wait(lambda: bool(found.extend(ring.drain()["key"].tolist()) or any(found)))  # noqa: B023
            assert found.index(True) < 20, "well before the next one was due"
    finally:
        stop.set()
        thread.join()


def test_a_camera_that_cannot_be_opened_says_so_and_is_tried_again(bus: Bus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("teleopd.service.camera_process.AGAIN_S", 0.01)
    stop, spec = threading.Event(), camera_specs({"hand": "v4l2:///dev/video99"})[0]
    feed = Feed(spec, bus.ring("record_camera_0"), bus.slot("camera_status_0"), bus.slot("recorder_status"))
    thread = threading.Thread(target=feed.run, args=(MODEL, lambda: None, stop), daemon=True)
    thread.start()
    said = set()
    wait(lambda: (found := status(bus)) is not None and bool(said.add(found.state) or said >= {NO_PICTURE}))
    wait(lambda: as_text(status(bus).sentence) != "")  # type: ignore[union-attr]
    sentence = as_text(status(bus).sentence)  # type: ignore[union-attr]
    stop.set()
    thread.join()
    assert sentence == "camera 'hand': cannot open v4l2:///dev/video99: No such file or directory"
    assert as_text(status(bus).name) == "hand"  # type: ignore[union-attr]
