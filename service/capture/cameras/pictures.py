"""What every source of pictures gives: decoded pictures, each with its time on this host's clock."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from teleopd.drivers.clock import ClockMap
from teleopd.robots.model import LowState, RobotModel
from teleopd.service.capture.cameras.spec import CameraSpec

JUMP_NS = 2_000_000_000
"""A camera whose clock leaves the host's by more than this has restarted it."""


_HERE = "teleopd.service.capture.cameras"
SOURCES: Mapping[str, str] = {
    "virtual": f"{_HERE}.virtual_head:VirtualHead", "zmq": f"{_HERE}.zmq_jpeg:ZmqJpeg",
    "rtsp": f"{_HERE}.av_input:AvInput", "rtsps": f"{_HERE}.av_input:AvInput", "v4l2": f"{_HERE}.av_input:AvInput",
}  # fmt: skip
"""Scheme of a camera's URL -> 'module:class', called with the camera, the robot and what gives its newest report."""


class Picture(NamedTuple):
    """One picture."""

    t_ns: int
    """When it was taken, as far as the camera says, on this host's monotonic clock; else its receipt [ns]."""
    t_received_ns: int
    """When it was here [ns]."""
    frame: Any
    """`av.VideoFrame`."""


class PictureSource(Protocol):
    """A camera that is open. One thread uses it."""

    @property
    def received(self) -> int:
        """Pictures that came, used or not."""

    @property
    def damaged(self) -> int:
        """Of these, those that could not be decoded."""

    def read(self) -> Picture | None:
        """The next picture; None where none came within a second.

        Raises:
            CameraError: the camera is gone.
        """

    def close(self) -> None:
        """Let go of it."""


class CameraClock:
    """A camera's own times on this host's monotonic clock: mapped by the smallest delay seen lately."""

    def __init__(self) -> None:
        self._map = ClockMap()
        self._last: tuple[int, int] | None = None

    def map(self, device_ns: int, received_ns: int) -> int:
        """Monotonic time [ns] of a device time, at most `received_ns`. A clock that jumped is learned anew."""
        if self._last is not None:
            apart_ns = (device_ns - self._last[0]) - (received_ns - self._last[1])
            if device_ns < self._last[0] or abs(apart_ns) > JUMP_NS:
                self._map.reset()
        self._last = device_ns, received_ns
        return self._map.to_monotonic(device_ns, received_ns)


def open_pictures(spec: CameraSpec, model: RobotModel, state: Callable[[], LowState | None]) -> PictureSource:
    """Open a camera; `state`: the robot's newest report, for a camera that is drawn.

    Raises:
        CameraError: it cannot be opened.
    """
    made: PictureSource = source_class(spec)(spec, model, state)
    return made


def source_class(spec: CameraSpec) -> Callable[..., PictureSource]:
    """What opens this kind of camera; imports it, which takes seconds on a busy machine."""
    module, _, name = SOURCES[spec.scheme].partition(":")
    found: Callable[..., PictureSource] = getattr(importlib.import_module(module), name)
    return found
