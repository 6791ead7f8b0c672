"""Frames and model definitions: values -> bytes, for the emulator. NatNet 3.0 to 4.2. Pure."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from teleopd.drivers.human_pose import Array
from teleopd.drivers.natnet.messages import BODY, TRACKED, BodyModel, Frame, Kind, ModelDef, Records, Version
from teleopd.drivers.natnet.modeldef import MARKER_SET, RIGID_BODY, SKELETON
from teleopd.drivers.natnet.wire import encode

_I32 = struct.Struct("<i")
_BODY_MODEL = struct.Struct("<ii3f")
_IDENTITY = struct.pack("<4f", 0.0, 0.0, 0.0, 1.0)
_SUFFIX = struct.Struct("<IIdQQQ")
_PRECISION = struct.Struct("<II")
_END = struct.Struct("<hi")


def bodies(
    ids: npt.NDArray[np.int64], pos: Array, quat_xyzw: Array, *, error: float = 0.0005, params: int = TRACKED
) -> Records:
    """BODY records (n,) of ids (n,), positions [m] (n, 3) and quaternions xyzw (n, 4)."""
    records = np.empty(len(pos), BODY)
    records["id"], records["pos"], records["quat_xyzw"] = ids, pos, quat_xyzw
    records["error"], records["params"] = error, params
    return records


def encode_frame(frame: Frame, version: Version) -> bytes:
    """FRAMEOFDATA datagram in the bitstream of `version`, 3.0 or newer."""
    sized = version >= (4, 1)
    sets = [_text(s.name) + _counted(s.points) for s in frame.marker_sets]
    skeletons = [_I32.pack(s.id) + _counted(s.bones) for s in frame.skeletons]
    assets = [_I32.pack(a.id) + _counted(a.bodies) + _counted(a.markers) for a in frame.assets]
    plates, devices = ([_analog(a.id, a.channels) for a in group] for group in (frame.force_plates, frame.devices))
    parts = [
        _I32.pack(frame.number),
        _section(sized, len(sets), b"".join(sets)),
        _section(sized, len(frame.unlabelled), frame.unlabelled.tobytes()),
        _section(sized, len(frame.rigid_bodies), frame.rigid_bodies.tobytes()),
        _section(sized, len(skeletons), b"".join(skeletons)),
        _section(sized, len(assets), b"".join(assets)) if sized else b"",
        _section(sized, len(frame.markers), frame.markers.tobytes()),
        _section(sized, len(plates), b"".join(plates)),
        _section(sized, len(devices), b"".join(devices)),
        _SUFFIX.pack(
            frame.timecode, frame.timecode_sub, frame.timestamp_s, frame.mid_exposure, frame.received, frame.transmit
        ),
        _PRECISION.pack(frame.precision_s, frame.precision_fraction) if sized else b"",
        _END.pack(frame.params, 0),
    ]
    return encode(Kind.FRAMEOFDATA, b"".join(parts))


def encode_modeldef(models: ModelDef, version: Version) -> bytes:
    """MODELDEF datagram in the bitstream of `version`, 3.0 or newer; marker sets, rigid bodies and skeletons."""
    definitions = [
        (MARKER_SET, _text(s.name) + _I32.pack(len(s.markers)) + b"".join(map(_text, s.markers)))
        for s in models.marker_sets
    ]
    definitions += [(RIGID_BODY, _body_model(b, version)) for b in models.rigid_bodies]
    for s in models.skeletons:
        head = _text(s.name) + _I32.pack(s.id) + _I32.pack(len(s.bones))
        definitions.append((SKELETON, head + b"".join(_body_model(b, version) for b in s.bones)))
    parts = [_I32.pack(len(definitions))]
    for kind, body in definitions:
        parts += [_I32.pack(kind), _I32.pack(len(body)) if version >= (4, 1) else b"", body]
    return encode(Kind.MODELDEF, b"".join(parts))


def _body_model(body: BodyModel, version: Version) -> bytes:
    """Without markers."""
    turn = _IDENTITY if version >= (4, 2) else b""
    return _text(body.name) + _BODY_MODEL.pack(body.id, body.parent, *body.offset) + turn + _I32.pack(0)


def _analog(ident: int, channels: tuple[np.ndarray[tuple[int], np.dtype[np.float32]], ...]) -> bytes:
    return _I32.pack(ident) + _I32.pack(len(channels)) + b"".join(map(_counted, channels))


def _section(sized: bool, count: int, items: bytes) -> bytes:
    return _I32.pack(count) + (_I32.pack(len(items)) if sized else b"") + items


def _counted(items: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | Records) -> bytes:
    return _I32.pack(len(items)) + items.tobytes()


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
