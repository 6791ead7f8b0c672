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
)

BUDGET = 4000
"""Definitions, bones and names in one message, walked one by one: at most 4 ms."""

MARKER_SET, RIGID_BODY, SKELETON, FORCE_PLATE, DEVICE, CAMERA, ASSET = range(7)
_BODY = struct.Struct("<ii3f")
_CAMERA_SIZE = 12 + 16
_QUAT_SIZE = 16
_ASSET_MARKER_SIZE = 4 + 12 + 4 + 2


def read_modeldef(data: bytes, at: int, version: Version) -> ModelDef:
    """The model definitions in `data` from byte `at` on, in the bitstream of `version`.

    Raises:
        ProtocolError: truncated, wrong_count, too_many, bad_string, section_size.
    """
    cursor = Cursor(data, at, BUDGET)
    sized = version >= (4, 1)
    sets: list[MarkerSetModel] = []
    bodies: list[BodyModel] = []
    skeletons: list[SkeletonModel] = []
    assets: list[AssetModel] = []
    count = cursor.count(4, "definitions")
    for _ in range(count):
        kind = cursor.i32()
        outer = cursor.enter("definitions") if sized else cursor.limit
        if kind == MARKER_SET:
            sets.append(_marker_set(cursor))
        elif kind == RIGID_BODY:
            bodies.append(_body(cursor, version))
        elif kind == SKELETON:
            skeletons.append(_skeleton(cursor, version))
        elif kind == ASSET:
            assets.append(_asset(cursor, version))
        elif not sized:
            if kind != CAMERA:
                break
            cursor.text()
            cursor.skip(_CAMERA_SIZE)
        if sized:
            cursor.leave(outer)
    read = len(sets) + len(bodies) + len(skeletons) + len(assets)
    return ModelDef(tuple(sets), tuple(bodies), tuple(skeletons), tuple(assets), count - read)


def _marker_set(cursor: Cursor) -> MarkerSetModel:
    name = cursor.text()
    return MarkerSetModel(name, tuple([cursor.text() for _ in range(cursor.count(1, "marker names"))]))


def _body(cursor: Cursor, version: Version) -> BodyModel:
    name = cursor.text() if version >= (2, 0) else ""
    ident, parent, *offset = cursor.take(_BODY)
    if version >= (4, 2):
        cursor.skip(_QUAT_SIZE)
    markers: tuple[tuple[float, float, float], ...] = ()
    labels: tuple[int, ...] = ()
    if version >= (3, 0):
        count = cursor.count(16, "markers")
        markers = tuple((x, y, z) for x, y, z in cursor.floats(3 * count).reshape(count, 3).tolist())
        labels = tuple(cursor.floats(count).view("<i4").tolist())
        if version >= (4, 0):
            for _ in range(count):
                cursor.text()
    return BodyModel(name, int(ident), int(parent), (offset[0], offset[1], offset[2]), markers, labels)


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
