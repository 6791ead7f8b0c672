"""NatNet messages of every bitstream, built with `struct` alone."""

from __future__ import annotations

import struct

VERSIONS = [(2, 5), (2, 6), (2, 7), (2, 9), (2, 10), (2, 11), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)]


def i32(*values):
    return struct.pack(f"<{len(values)}i", *values)


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values)


def message(kind, payload):
    return struct.pack("<HH", kind, len(payload)) + payload


def plain(records):
    """Structured records as plain tuples and lists."""
    return [tuple(v.tolist() if hasattr(v, "tolist") else v for v in record) for record in records]


def section(version, count, items):
    return i32(count) + (i32(len(items)) if version >= (4, 1) else b"") + items


def body(version, ident, pos, quat=(0.0, 0.0, 0.6, 0.8), error=0.25, params=1):
    """A rigid body or bone as the table of NatNet's layout has it; two markers before 3.0."""
    raw = i32(ident) + f32(*pos, *quat)
    if version < (3, 0):
        raw += i32(2) + f32(1, 2, 3, 4, 5, 6) + i32(7, 8) + f32(0.5, 0.25)
    raw += f32(error)
    return raw + (struct.pack("<h", params) if version >= (2, 6) else b"")


def marker(version, ident, pos):
    raw = i32(ident) + f32(*pos, 0.125)
    raw += struct.pack("<h", 10) if version >= (2, 6) else b""
    return raw + (f32(0.5) if version >= (3, 0) else b"")


def plate(ident):
    return i32(ident, 2) + i32(3) + f32(1, 2, 3) + i32(0)


def frame(version, *, bones=3, params=3, number=77, suffix=None):
    """A frame with something in every section of its version."""
    sized = [section(version, 1, b"all\0" + i32(2) + f32(1, 2, 3, 4, 5, 6)), section(version, 1, f32(7, 8, 9))]
    sized.append(section(version, 2, body(version, 5, (1, 2, 3)) + body(version, 6, (4, 5, 6), params=0)))
    skeleton = i32(2, bones) + b"".join(body(version, (2 << 16) | k, (k, 1, 0)) for k in range(1, bones + 1))
    sized.append(section(version, 1, skeleton))
    if version >= (4, 1):
        asset = i32(9, 1) + body(version, 1, (0, 0, 1)) + i32(1) + marker(version, 3, (1, 1, 1))
        sized.append(section(version, 1, asset))
    sized.append(section(version, 1, marker(version, (5 << 16) | 4, (0.5, 1, 2))))
    sized += [section(version, 1, plate(30))] if version >= (2, 9) else []
    sized += [section(version, 1, plate(40))] if version >= (2, 11) else []
    tail = f32(0.004) if version < (3, 0) else b""
    tail += struct.pack("<II", 11, 12) + (struct.pack("<d", 12.5) if version >= (2, 7) else f32(12.5))
    tail += struct.pack("<QQQ", 1000, 2000, 3000) if version >= (3, 0) else b""
    tail += struct.pack("<II", 1_700_000_001, 123_456) if version >= (4, 1) else b""
    tail += struct.pack("<hi", params, 0) if suffix is None else suffix
    return message(7, i32(number) + b"".join(sized) + tail)


def rigid_model(version, name, ident, parent, offset):
    raw = name + b"\0" + i32(ident, parent) + f32(*offset)
    raw += f32(0, 0, 0, 1) if version >= (4, 2) else b""
    if version >= (3, 0):
        raw += i32(1) + f32(0.25, 0.5, 0.75) + i32(6) + (b"m1\0" if version >= (4, 0) else b"")
    return raw
