"""What NatNet messages say, as values; the arrays are little-endian views of the datagram, read-only."""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]
Version = tuple[int, int]

BODY = np.dtype([("id", "<i4"), ("pos", "<f4", 3), ("quat_xyzw", "<f4", 4), ("error", "<f4"), ("params", "<i2")])
"""Rigid body or bone, 38 B: [m], [m] mean marker error, bit 0 of params: tracking valid."""
MARKER = np.dtype([("id", "<i4"), ("pos", "<f4", 3), ("size", "<f4"), ("params", "<i2"), ("residual", "<f4")])
"""Labelled marker, 26 B: id = model << 16 | marker, [m]; params as in `MarkerFlag`."""
POINT = np.dtype("<f4")

TRACKED = 1
"""Bit of a body's params."""


class Kind(enum.IntEnum):
    """Message ids."""

    CONNECT = 0
    SERVERINFO = 1
    REQUEST = 2
    RESPONSE = 3
    REQUEST_MODELDEF = 4
    MODELDEF = 5
    REQUEST_FRAMEOFDATA = 6
    FRAMEOFDATA = 7
    MESSAGESTRING = 8
    DISCONNECT = 9
    KEEPALIVE = 10
    ECHOREQUEST = 12
    ECHORESPONSE = 13
    DISCOVERY = 14
    UNRECOGNIZED = 100


class FrameFlag(enum.IntFlag):
    """Params at the end of a frame."""

    RECORDING = 1
    MODELS_CHANGED = 2
    EDIT_MODE = 4
    BITSTREAM_CHANGED = 8


class MarkerFlag(enum.IntFlag):
    """Params of a labelled marker."""

    OCCLUDED = 1
    POINT_CLOUD_SOLVED = 2
    MODEL_SOLVED = 4
    HAS_MODEL = 8
    UNLABELLED = 16
    ACTIVE = 32


class Hello(NamedTuple):
    """CONNECT or DISCOVERY: who asks, and which protocol it speaks."""

    name: str
    app_version: tuple[int, int, int, int]
    natnet_version: tuple[int, int, int, int]


class ServerInfo(NamedTuple):
    """The answer to them."""

    name: str
    app_version: tuple[int, int, int, int]
    natnet_version: tuple[int, int, int, int]
    clock_hz: int
    """Ticks per second of every stamp of this server; 0 before NatNet 3.0."""
    data_port: int
    """0 before NatNet 3.0."""
    multicast: bool | None
    """None before NatNet 3.0, whose servers do not say."""
    group: str
    """Multicast address; empty before NatNet 3.0."""


class Echo(NamedTuple):
    """ECHOREQUEST (server_ticks None) or ECHORESPONSE."""

    client_stamp: int
    """u64, sent back as it came."""
    server_ticks: int | None
    """At the request's receipt."""


class MarkerSet(NamedTuple):
    """Named group of markers."""

    name: str
    points: npt.NDArray[np.float32]
    """[m], (n, 3)."""


class BodyMarkers(NamedTuple):
    """Markers of one rigid body, sent before NatNet 3.0."""

    points: npt.NDArray[np.float32]
    """[m], (n, 3)."""
    ids: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.float32]
    """[m], (n,)."""


class SkeletonData(NamedTuple):
    """One skeleton in a frame."""

    id: int
    bones: Records
    """BODY records; bone id in the low 16 bits, skeleton id in the high 16."""


class AssetData(NamedTuple):
    """One trained asset in a frame, from NatNet 4.1."""

    id: int
    bodies: Records
    markers: Records


class Analog(NamedTuple):
    """Force plate or device in a frame: the samples of every channel."""

    id: int
    channels: tuple[npt.NDArray[np.float32], ...]


class Frame(NamedTuple):
    """FRAMEOFDATA."""

    number: int
    marker_sets: tuple[MarkerSet, ...]
    unlabelled: npt.NDArray[np.float32]
    """Legacy 'other markers' [m], (n, 3)."""
    rigid_bodies: Records
    body_markers: tuple[BodyMarkers, ...]
    """Of `rigid_bodies`, before NatNet 3.0; empty since."""
    skeletons: tuple[SkeletonData, ...]
    assets: tuple[AssetData, ...]
    markers: Records
    """Labelled markers."""
    force_plates: tuple[Analog, ...]
    devices: tuple[Analog, ...]
    latency_s: float
    """Before NatNet 3.0: software latency; 0 since."""
    timecode: int
    timecode_sub: int
    timestamp_s: float
    """Since the server's software started."""
    mid_exposure: int
    """Server ticks at the middle of the exposure; 0 before NatNet 3.0, as the two that follow."""
    received: int
    """Server ticks when the camera data had arrived."""
    transmit: int
    """Server ticks when the frame was sent."""
    precision_s: int
    """Precision timestamp, whole seconds and fraction, from NatNet 4.1."""
    precision_fraction: int
    params: int
    """`FrameFlag` bits."""


class BodyModel(NamedTuple):
    """A rigid body or bone as MODELDEF defines it."""

    name: str
    id: int
    parent: int
    """Id of the parent bone, low 16 bits; -1 or 0 without one."""
    offset: tuple[float, float, float]
    """From the parent [m]."""
    markers: tuple[tuple[float, float, float], ...] = ()
    """Markers it is defined by, in its own frame [m]; none before NatNet 3.0."""
    labels: tuple[int, ...] = ()
    """Of these markers; 0 for passive ones."""


class SkeletonModel(NamedTuple):
    """A skeleton as MODELDEF defines it."""

    name: str
    id: int
    bones: tuple[BodyModel, ...]


class AssetModel(NamedTuple):
    """A trained asset as MODELDEF defines it."""

    name: str
    id: int
    bodies: tuple[BodyModel, ...]


class MarkerSetModel(NamedTuple):
    """A marker set as MODELDEF defines it."""

    name: str
    markers: tuple[str, ...]


class ModelDef(NamedTuple):
    """MODELDEF: everything the frames refer to by id."""

    marker_sets: tuple[MarkerSetModel, ...]
    rigid_bodies: tuple[BodyModel, ...]
    skeletons: tuple[SkeletonModel, ...]
    assets: tuple[AssetModel, ...]
    skipped: int
    """Definitions not read: force plates, devices, cameras, kinds unknown."""


class Message(NamedTuple):
    """One datagram, read."""

    kind: Kind
    body: Hello | ServerInfo | Echo | Frame | ModelDef | str | bytes | None
    """Text of a request or message; raw bytes of a response; None where there is none."""
