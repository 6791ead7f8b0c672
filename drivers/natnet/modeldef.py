"""MODELDEF, NatNet 2.0 to 4.2: bytes -> `ModelDef`. Pure.

`int32 count`, then per definition `int32 type`, from 4.1 `int32 size in bytes`, and a body by type. Before 4.1 the
layouts of force plates, devices and types unknown cannot be passed over: reading ends at the first of them, and what
stood before it is kept (Motive lists them after the skeletons).
"""

from __future__ import annotations

import struct

from teleopd.drivers.natnet.cursor import Cursor
from teleopd.drivers.natnet.messages import (
    AssetModel,
    BodyModel,
    MarkerSetModel,
    ModelDef,
    SkeletonModel,
    Version,
    WireError,
)

BUDGET = 4000
"""Definitions, bones and names in one message, walked one by one: at most 4 ms."""

MARKER_SET, RIGID_BODY, SKELETON, FORCE_PLATE, DEVICE, CAMERA, ASSET = range(7)
_BODY = struct.Struct("<ii3f")
_CAMERA = struct.Struct("<3f4f")
_QUAT_SIZE = 16
_ASSET_MARKER_SIZE = 4 + 12 + 4 + 2


def read_modeldef(data: bytes, at: int, version: Version) -> ModelDef:
    """The model definitions in `data` from byte `at` on, in the bitstream of `version`.

    Raises:
        WireError: truncated, wrong_count, too_many, bad_string, section_size.
    """
    cursor = Cursor(data, at, BUDGET)
    sized = version >= (4, 1)
    found: dict[int, list[MarkerSetModel | BodyModel | SkeletonModel | AssetModel]] = {
        MARKER_SET: [], RIGID_BODY: [], SKELETON: [], ASSET: [],
    }  # fmt: skip
    count = cursor.count(4, "definitions")
    read = 0
    for _ in range(count):
        kind = cursor.i32()
        outer = cursor.enter("definitions") if sized else cursor.limit
        if kind in found:
            found[kind].append(_READERS[kind](cursor, version))
            read += 1
        elif kind == CAMERA and not sized:
            cursor.text()
            cursor.skip(_CAMERA.size)
        elif not sized:
            break
        if sized:
            cursor.leave(outer)
    return ModelDef(
        tuple(m for m in found[MARKER_SET] if isinstance(m, MarkerSetModel)),
        tuple(m for m in found[RIGID_BODY] if isinstance(m, BodyModel)),
        tuple(m for m in found[SKELETON] if isinstance(m, SkeletonModel)),
        tuple(m for m in found[ASSET] if isinstance(m, AssetModel)),
        count - read,
    )


def _marker_set(cursor: Cursor, _version: Version) -> MarkerSetModel:
    name = cursor.text()
    return MarkerSetModel(name, tuple([cursor.text() for _ in range(cursor.count(1, "marker names"))]))


def _body(cursor: Cursor, version: Version) -> BodyModel:
    name = cursor.text() if version >= (2, 0) else ""
    ident, parent, x, y, z = cursor.take(_BODY)
    if version >= (4, 2):
        cursor.skip(_QUAT_SIZE)
    markers = 0
    if version >= (3, 0):
        markers = cursor.count(16, "markers", walked=False)
        cursor.skip(16 * markers)
        if version >= (4, 0):
            cursor.budget -= markers
            if cursor.budget < 0:
                raise WireError("too_many", f"{markers} markers are declared, more than a datagram may hold")
            for _ in range(markers):
                cursor.text()
    return BodyModel(name, int(ident), int(parent), (float(x), float(y), float(z)), markers)


def _skeleton(cursor: Cursor, version: Version) -> SkeletonModel:
    name, ident = cursor.text(), cursor.i32()
    return SkeletonModel(name, ident, tuple([_body(cursor, version) for _ in range(cursor.count(20, "bones"))]))


def _asset(cursor: Cursor, version: Version) -> AssetModel:
    name = cursor.text()
    cursor.i32()
    ident = cursor.i32()
    bodies = tuple([_body(cursor, version) for _ in range(cursor.count(20, "asset bodies"))])
    for _ in range(cursor.count(1 + _ASSET_MARKER_SIZE, "asset markers")):
        cursor.text()
        cursor.skip(_ASSET_MARKER_SIZE)
    return AssetModel(name, ident, bodies)


_READERS = {MARKER_SET: _marker_set, RIGID_BODY: _body, SKELETON: _skeleton, ASSET: _asset}
