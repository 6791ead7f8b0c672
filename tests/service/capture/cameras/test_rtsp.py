"""An RTSP camera on loopback, read by FFmpeg as a network camera is; and one that is not there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.service.capture.cameras.peers import RtspCamera, shade

from teleopd.service.capture.cameras.av_input import AvInput
from teleopd.service.capture.cameras.spec import CameraError, camera_specs


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    made = RtspCamera()
    yield made
    made.close()


def opened(url: str) -> AvInput:
    return AvInput(camera_specs({"head": url})[0])


def test_its_pictures_come_in_order_at_the_times_the_camera_stamped(camera: RtspCamera):
    source = opened(camera.url)
    pictures = [picture for _ in range(12) if (picture := source.read()) is not None]
    source.close()
    levels = np.array([shade(picture.frame) for picture in pictures])
    assert {(picture.frame.width, picture.frame.height) for picture in pictures} == {RtspCamera.SIZE}
    steps = np.diff(levels)
    assert len(pictures) == 12 and np.allclose(steps[np.abs(steps) < 100], 8, atol=3)
    assert all(picture.t_ns <= picture.t_received_ns for picture in pictures)
    stamps = np.diff([picture.t_ns for picture in pictures]) / 1e9
    assert (np.abs(stamps - 1 / 30) < 2e-3).sum() >= 8, "a mapped time moves as the camera's own clock does"


def test_a_camera_that_vanishes_is_one_sentence_and_can_be_opened_again(camera: RtspCamera):
    source = opened(camera.url)
    assert source.read() is not None
    camera.vanish()
    with pytest.raises(CameraError, match=r"^camera 'head': rtsp://127\.0\.0\.1:\d+/live"):
        for _ in range(1000):
            source.read()
    source.close()
    again = opened(camera.url)
    assert again.read() is not None
    again.close()


def test_a_camera_that_is_not_there_is_one_sentence():
    camera = RtspCamera()
    camera.close()
    sentence = r"^camera 'head': cannot open rtsp://127\.0\.0\.1:\d+/live: Connection refused$"
    with pytest.raises(CameraError, match=sentence):
        opened(camera.url.replace("rtsp://", "rtsp://user:secret@"))


def test_a_usb_camera_that_is_not_there_is_one_sentence():
    with pytest.raises(CameraError) as raised:
        opened("v4l2:///dev/video99")
    assert str(raised.value) == "camera 'head': cannot open v4l2:///dev/video99: No such file or directory"
