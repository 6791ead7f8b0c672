"""Unitree's image server on loopback: a real PUB socket, JPEG made by FFmpeg, with and without the server's header."""

from __future__ import annotations

import contextlib
import queue
import struct
import time
from collections.abc import Iterator

import pytest
import zmq
from tests.service.capture.cameras.peers import jpeg, shade

from teleopd.service.capture.cameras import zmq_jpeg
from teleopd.service.capture.cameras.pictures import Picture
from teleopd.service.capture.cameras.spec import camera_specs
from teleopd.service.capture.cameras.zmq_jpeg import MOST_BYTES, WAITING, ZmqJpeg


class Server:
    """The publishing half of the image server."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.PUB)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        camera = ZmqJpeg(camera_specs({"head": f"zmq://127.0.0.1:{self.port}"})[0])
        deadline = time.monotonic() + 60.0
        while True:  # a subscription takes a moment; what is sent before it is heard by nobody
            assert time.monotonic() < deadline
            self.socket.send(jpeg(10))
            time.sleep(0.01)
            if not camera._waiting.empty():
                break
        with contextlib.suppress(queue.Empty):
            while True:
                camera._waiting.get(timeout=0.1)
        self.camera = camera

    def close(self) -> None:
        self.camera.close()
        self.socket.close(0)
        self._context.term()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def read(server: Server) -> Picture:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        picture = server.camera.read()
        if picture is not None:
            return picture
    raise AssertionError("no picture came")


def test_a_picture_comes_as_it_was_sent_with_its_receipt_as_its_time(server: Server):
    before_ns = time.monotonic_ns()
    server.socket.send(jpeg(200))
    picture = read(server)
    assert abs(shade(picture.frame) - 200) < 3 and (picture.frame.width, picture.frame.height) == (64, 48)
    assert before_ns <= picture.t_ns == picture.t_received_ns <= time.monotonic_ns()
    assert (server.camera.received, server.camera.damaged) == (1, 0)


def test_the_servers_own_time_is_mapped_and_its_count_tells_what_never_came(server: Server):
    """Pictures sent 0.1 s apart by the server's clock, which is years away from ours."""
    seen = []
    for number, at_s in ((7, 1.5e9), (8, 1.5e9 + 0.1), (12, 1.5e9 + 0.5)):
        server.socket.send(struct.pack("<dI", at_s, number) + jpeg(100))
        seen.append(read(server))
    assert server.camera.received == 3 + 3, "9, 10 and 11 never came"
    assert all(picture.t_ns <= picture.t_received_ns for picture in seen)
    offsets = [picture.t_ns - round(at * 1e9) for picture, at in zip(seen, (0.0, 0.1, 0.5), strict=True)]
    assert min(picture.t_received_ns - picture.t_ns for picture in seen) == 0, "the quickest one says what now is"
    assert offsets == sorted(offsets, reverse=True), "a quicker picture only ever moves the map to earlier times"


def test_of_a_message_of_several_parts_the_first_is_the_picture(server: Server):
    server.socket.send_multipart([jpeg(30), b"\x89PNG depth", struct.pack("f", 0.001)])
    assert abs(shade(read(server).frame) - 30) < 3


@pytest.mark.parametrize("message", [b"", b"\xff\xd8", jpeg(1)[:40], b"x" * 500, bytes(12) + b"\xff\xd8 no jpeg"])
def test_what_is_no_picture_is_counted_and_the_next_one_comes(server: Server, message: bytes):
    server.socket.send(message)
    while server.camera.received == 0:
        assert server.camera.read() is None
    assert (server.camera.received, server.camera.damaged) == (1, 1)
    server.socket.send(jpeg(90))
    assert abs(shade(read(server).frame) - 90) < 3


def test_a_message_that_is_too_long_costs_the_connection_which_is_made_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zmq_jpeg, "WAIT_MS", 20)
    server.socket.send(b"\xff\xd8" + bytes(MOST_BYTES))
    deadline = time.monotonic() + 60.0
    picture = None
    while picture is None and time.monotonic() < deadline:
        server.socket.send(jpeg(77))
        picture = server.camera.read()
    assert picture is not None and abs(shade(picture.frame) - 77) < 3


def test_pictures_that_wait_are_stamped_when_they_came_and_those_that_are_too_many_counted(server: Server):
    begun_ns = time.monotonic_ns()
    deadline = time.monotonic() + 60.0
    while server.camera._dropped < 5:
        assert time.monotonic() < deadline
        server.socket.send(jpeg(120))
    full_ns = time.monotonic_ns()
    seen = [read(server) for _ in range(WAITING)]
    assert all(begun_ns < picture.t_received_ns < full_ns for picture in seen)
    assert server.camera.received == server.camera._dropped + WAITING
