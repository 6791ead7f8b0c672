"""Which cameras a run records: `NAME=URL`, checked before anything starts.

    virtual                         what the robot's head would see, drawn by MuJoCo; also virtual?size=640x480&fps=30
    zmq://192.168.123.164:55555     JPEG pictures from Unitree's image server
    rtsp://user:word@host/stream    a network camera
    v4l2:///dev/video0              a USB camera; also v4l2:///dev/video0?size=640x480&fps=30&format=mjpeg
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from teleopd.service.streams import MOST_CAMERAS

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
SIZES = (32, 1920)
"""Least and greatest width and height [px]."""
FPS = (1.0, 120.0)
VIRTUAL_SIZE, VIRTUAL_FPS = (320, 240), 15.0
"""Of a virtual camera where its URL says nothing: what a computer that draws in software can do beside a robot."""
WAYS = "virtual, v4l2:///dev/video0, rtsp://HOST/PATH or zmq://HOST:PORT"


class _Need(NamedTuple):
    module: str
    extra: str


NEEDS: Mapping[str, tuple[_Need, ...]] = {
    "virtual": (_Need("av", "capture"),), "v4l2": (_Need("av", "capture"),), "rtsp": (_Need("av", "capture"),),
    "rtsps": (_Need("av", "capture"),), "zmq": (_Need("av", "capture"), _Need("zmq", "zmq")),
}  # fmt: skip
"""Scheme -> what it imports, and the extra that installs it."""
KNOWN_OPTIONS: Mapping[str, frozenset[str]] = {
    "virtual": frozenset({"size", "fps"}), "v4l2": frozenset({"size", "fps", "format"}), "zmq": frozenset(),
}  # fmt: skip


class CameraError(ValueError):
    """A camera that cannot be used; one sentence."""


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera. Picklable."""

    name: str
    """In the file's topic `/camera/NAME` and in `observation.images.NAME`."""
    scheme: str
    url: str
    """As it was given."""
    size: tuple[int, int] | None = None
    """Width and height asked for [px]; None: the camera's own."""
    fps: float | None = None
    """Pictures a second asked for; None: the camera's own."""
    format: str = ""
    """Of a USB camera: 'mjpeg', 'yuyv422' ...; empty: the driver's own."""

    @property
    def shown(self) -> str:
        """The URL without user and password, for files and displays."""
        return re.sub(r"//[^/@]*@", "//", self.url)


def camera_specs(cameras: Mapping[str, str]) -> tuple[CameraSpec, ...]:
    """The cameras of a run, in the order given.

    Raises:
        CameraError: a name or a URL that cannot be, too many, or a package that is missing.
    """
    if len(cameras) > MOST_CAMERAS:
        raise CameraError(f"{len(cameras)} cameras; {MOST_CAMERAS} are the most")
    found = tuple(_spec(name, url) for name, url in cameras.items())
    for spec in found:
        for need in NEEDS[spec.scheme]:
            if importlib.util.find_spec(need.module) is None:
                raise CameraError(
                    f"camera '{spec.name}' needs {need.module}; install it with: pip install 'teleopd[{need.extra}]'"
                )
    return found


def _spec(name: str, url: str) -> CameraSpec:
    if not NAME.fullmatch(name):
        raise CameraError(f"camera name '{name}': give small letters, digits and _, beginning with a letter")
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme or parts.path, parts.hostname, parts.port
    except ValueError as error:
        raise CameraError(f"camera '{name}': '{url}' is no URL ({error})") from None
    if scheme not in NEEDS:
        raise CameraError(f"camera '{name}': '{url}' is none of {WAYS}")
    if scheme in ("rtsp", "rtsps", "zmq") and not host:
        raise CameraError(f"camera '{name}': '{url}' has no host; give {WAYS}")
    if scheme == "zmq" and parts.port is None:
        raise CameraError(f"camera '{name}': '{url}' has no port; Unitree's image server uses 5555, or 55555 and up")
    if scheme == "v4l2" and not parts.path:
        raise CameraError(f"camera '{name}': '{url}' names no device, as v4l2:///dev/video0 does")
    options = _options(name, scheme, parts)
    size = _size(name, options["size"]) if "size" in options else None
    fps = _fps(name, options["fps"]) if "fps" in options else None
    if scheme == "virtual":
        size, fps = size or VIRTUAL_SIZE, fps or VIRTUAL_FPS
    return CameraSpec(name, scheme, url, size, fps, options.get("format", ""))


def _options(name: str, scheme: str, parts: SplitResult) -> dict[str, str]:
    """What stands behind the `?`; that of an RTSP URL is the camera's own business."""
    known = KNOWN_OPTIONS.get(scheme)
    if known is None:
        return {}
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for key in options:
        if key not in known:
            words = ", ".join(sorted(known)) or "none"
            raise CameraError(f"camera '{name}': {scheme} has no option '{key}'; it has {words}")
    return options


def _size(name: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (SIZES[0] <= width <= SIZES[1] and SIZES[0] <= height <= SIZES[1]) or width % 2 or height % 2:
        raise CameraError(
            f"camera '{name}': size '{text}'; give even numbers from {SIZES[0]} to {SIZES[1]}, as 640x480"
        )
    return width, height


def _fps(name: str, text: str) -> float:
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not FPS[0] <= fps <= FPS[1]:
        raise CameraError(f"camera '{name}': fps '{text}'; give {FPS[0]:g} to {FPS[1]:g}")
    return fps
