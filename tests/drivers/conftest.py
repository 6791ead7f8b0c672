"""Shared by the driver tests: MXTP datagrams written with `struct` alone, so that no test leans on what it tests."""

from __future__ import annotations

import struct

import pytest

BODY = 23


class Mxtp:
    """Builders, field by field as in the MVN streaming specification, sections 2.4 to 2.6."""

    @staticmethod
    def header(
        kind=2, sample=5, counter=0x80, items=BODY, time_ms=1000, character=0, body=BODY, props=0, fingers=0, size=736
    ):
        """24-byte header, field by field as in the specification, section 2.4.1."""
        return (
            b"MXTP%02d" % kind
            + struct.pack(">I", sample)
            + bytes([counter, items])
            + struct.pack(">I", time_ms)
            + bytes([character, body, props, fingers])
            + struct.pack(">HH", 0, size)
        )

    @staticmethod
    def segments(n=BODY, first=1, *, quat=(1.0, 0.0, 0.0, 0.0), scale=1.0):
        """`n` segments stacked along z from 0.1 m, 5 cm apart."""
        items = range(first, first + n)
        return b"".join(struct.pack(">i3f4f", i, 0.01 * i, -0.02 * i, scale * (0.1 + 0.05 * i), *quat) for i in items)

    @staticmethod
    def pose(sample=5, time_ms=None, *, payload=None, **fields):
        """Whole type 02 datagram, 760 B unless told otherwise."""
        payload = Mxtp.segments() if payload is None else payload
        fields.setdefault("size", len(payload))
        fields.setdefault("items", len(payload) // 32)
        return Mxtp.header(sample=sample, time_ms=sample * 8 if time_ms is None else time_ms, **fields) + payload

    @staticmethod
    def text(value):
        """A string as type 13 carries it: i32 length, UTF-8."""
        raw = value.encode()
        return struct.pack(">i", len(raw)) + raw

    @staticmethod
    def message(kind, payload, **fields):
        """A datagram of another type."""
        return Mxtp.header(kind=kind, items=fields.pop("items", 1), size=len(payload), **fields) + payload


@pytest.fixture(scope="session")
def mxtp():
    """Builders of MXTP datagrams."""
    return Mxtp
