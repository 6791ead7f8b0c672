"""Cameras as a user names them: every mistake is one sentence before anything starts."""

from __future__ import annotations

import pytest

from teleopd.service.capture.cameras import spec
from teleopd.service.capture.cameras.spec import CameraError, camera_specs

WAYS = "virtual, v4l2:///dev/video0, rtsp://HOST/PATH or zmq://HOST:PORT"


def test_what_the_urls_say():
    found = camera_specs({
        "head": "virtual", "hand": "virtual?size=640x480&fps=30", "left": "zmq://192.168.123.164:55555",
        "desk": "v4l2:///dev/video2?size=1280x720&fps=25&format=mjpeg",
    })  # fmt: skip
    assert [(s.name, s.scheme, s.size, s.fps, s.format) for s in found] == [
        ("head", "virtual", (320, 240), 15.0, ""), ("hand", "virtual", (640, 480), 30.0, ""),
        ("left", "zmq", None, None, ""), ("desk", "v4l2", (1280, 720), 25.0, "mjpeg"),
    ]  # fmt: skip


def test_a_password_is_shown_to_nobody():
    found = camera_specs({"yard": "rtsp://ada:secret@cam:554/live?x=1"})[0]
    assert found.url == "rtsp://ada:secret@cam:554/live?x=1" and found.shown == "rtsp://cam:554/live?x=1"


@pytest.mark.parametrize(("name", "url", "sentence"), [
    ("Head", "virtual", "camera name 'Head': give small letters, digits and _, beginning with a letter"),
    ("a/b", "virtual", "camera name 'a/b': give small letters, digits and _, beginning with a letter"),
    ("head", "http://x/y", f"camera 'head': 'http://x/y' is none of {WAYS}"),
    ("head", "", f"camera 'head': '' is none of {WAYS}"),
    ("head", "/dev/video0", f"camera 'head': '/dev/video0' is none of {WAYS}"),
    ("head", "rtsp:///live", f"camera 'head': 'rtsp:///live' has no host; give {WAYS}"),
    ("head", "zmq://robot", "camera 'head': 'zmq://robot' has no port; Unitree's image server uses 5555, or 55555 and "
     "up"),
    ("head", "zmq://robot:70000", "camera 'head': 'zmq://robot:70000' is no URL (Port out of range 0-65535)"),
    ("head", "v4l2://", "camera 'head': 'v4l2://' names no device, as v4l2:///dev/video0 does"),
    ("head", "virtual?size=640", "camera 'head': size '640'; give even numbers from 32 to 1920, as 640x480"),
    ("head", "virtual?size=641x480", "camera 'head': size '641x480'; give even numbers from 32 to 1920, as 640x480"),
    ("head", "virtual?fps=0", "camera 'head': fps '0'; give 1 to 120"),
    ("head", "virtual?fps=nan", "camera 'head': fps 'nan'; give 1 to 120"),
    ("head", "virtual?zoom=2", "camera 'head': virtual has no option 'zoom'; it has fps, size"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(name: str, url: str, sentence: str):
    with pytest.raises(CameraError) as raised:
        camera_specs({name: url})
    assert str(raised.value) == sentence


def test_too_many_and_a_missing_package_are_one_sentence(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CameraError, match=r"^5 cameras; 4 are the most$"):
        camera_specs({f"c{i}": "virtual" for i in range(5)})
    monkeypatch.setattr(spec.importlib.util, "find_spec", lambda name: None if name == "zmq" else object())
    with pytest.raises(CameraError) as raised:
        camera_specs({"head": "zmq://h:1"})
    assert str(raised.value) == "camera 'head' needs zmq; install it with: pip install 'teleopd[zmq]'"
