"""NatNet bytes that are none: exact reasons, bounded work, and nothing but `ProtocolError`."""

from __future__ import annotations

import struct
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drivers.natnet_bytes import (
    VERSIONS,
    frame,
    i32,
    message,
    rigid_model,
)

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.natnet import encode, wire
from teleopd.drivers.natnet.emulator import EmulatorOptions, NatNetEmulator
from teleopd.drivers.natnet.messages import (
    Kind,
)
from teleopd.drivers.source import ProtocolError

V = (4, 1)
HEAD = i32(1)
EMPTY = i32(0, 0)
BAD = {
    "nothing": (b"", "truncated", "datagram of 0 B is shorter than the 4 B header"),
    "id": (message(77, b""), "wrong_kind", "message id 77 is none of NatNet's"),
    "cut": (struct.pack("<HH", 7, 9) + b"x", "truncated", "header declares 9 B of payload but 1 B follow"),
    "huge": (bytes(65508), "oversized", "datagram is longer than 65507 B, more than UDP carries"),
    "negative": (message(7, HEAD + i32(-1, 0)), "wrong_count", "-1 marker sets are declared but 4 B are left for them"),
    "more than fits": (
        message(7, HEAD + EMPTY + i32(2**30, 0)),
        "wrong_count",
        "1073741824 unlabelled markers are declared but 4 B are left for them",
    ),
    "section": (message(7, HEAD + i32(0, 99)), "section_size", "marker sets declare 99 B but 0 B are left"),
    "name": (
        message(7, HEAD + i32(1, 300) + b"n" * 300),
        "bad_string",
        "the name at byte 16 does not end within 256 B",
    ),
    "samples": (
        message(7, HEAD + EMPTY * 6 + i32(1, 12, 1, 1, 2**26) + bytes(40)),
        "wrong_count",
        "67108864 samples are declared but 0 B are left for them",
    ),
    "trailing": (
        message(7, frame(V)[4:] + b"xy"),
        "trailing",
        "2 B follow the end of the frame; its bitstream is not what the server declared",
    ),
    "connect": (message(0, bytes(263)), "truncated", "connect message has 263 B; 264 are needed"),
    "echo": (message(13, bytes(15)), "truncated", "echo response has 15 B; 16 are needed"),
    "server version": (
        message(1, b"Motive".ljust(256, b"\0") + bytes([9, 0, 0, 0, 5, 0, 0, 0])),
        "wrong_version",
        "server 'Motive' speaks NatNet 5.0; 2.5 to 4.2 are read",
    ),
    "server clock": (
        message(1, b"Motive".ljust(256, b"\0") + bytes([2, 0, 0, 0, 3, 0, 0, 0]) + bytes(15)),
        "no_clock",
        "server 'Motive' declares a clock of 0 Hz; its stamps mean nothing",
    ),
    "many channels": (
        message(7, HEAD + EMPTY * 6 + i32(1, 8 + 4 * 801, 1, 801) + bytes(4 * 801)),
        "too_many",
        "801 channels are declared, more than a datagram may hold",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=BAD.keys())
def test_bad_datagrams_say_what_is_wrong(case):
    raw, reason, sentence = BAD[case]
    with pytest.raises(ProtocolError) as error:
        wire.decode(raw, V)
    assert (error.value.reason, str(error.value)) == (reason, sentence)


@pytest.mark.parametrize("version", [(2, 10), (3, 0), (4, 1)], ids=str)
def test_no_prefix_of_a_frame_is_a_frame(version):
    whole = frame(version)[4:]
    shorter = {len(whole) - n for n in (6, 4, 2)} if version < (3, 0) else set()
    for size in set(range(len(whole))) - shorter:
        with pytest.raises(ProtocolError):
            wire.decode(message(7, whole[:size]), version)


def hostile():
    """Full-size datagrams that make the reader walk as many items as it lets them."""
    named = b"s\0" + i32(3990) + b"m\0" * 3990
    yield message(5, i32(2, 0, len(named)) + named), (4, 1)
    yield message(7, HEAD + i32(799) + (b"s\0" + i32(0)) * 799), (3, 0)
    yield message(7, HEAD + i32(0, 0, 0, 799) + i32(1, 0) * 799), (3, 0)
    yield message(7, HEAD + i32(0, 0, 399) + (i32(1) + bytes(28) + i32(0) + bytes(6)) * 399), (2, 10)
    channels = i32(1, 799) + (i32(8) + bytes(32)) * 799
    yield message(7, HEAD + EMPTY * 6 + i32(1, len(channels)) + channels), (4, 1)
    yield message(7, HEAD + i32(0, 5000) + bytes(60000)), (3, 0)


class Steps:
    """Counts the lines of Python a call runs: the same on every machine, however slow or busy."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, _frame, event, _argument):
        self.lines += event == "line"
        return self


def test_no_datagram_makes_the_reader_walk_far_or_take_10_mb():
    """Work bounded in lines of Python, not in milliseconds; `benchmarks/natnet_decode.py` has the times."""
    for raw, version in hostile():
        steps = Steps()
        sys.settrace(steps)
        try:
            with pytest.raises(ProtocolError):
                wire.decode(raw, version)
        finally:
            sys.settrace(None)
        tracemalloc.start()
        with pytest.raises(ProtocolError):
            wire.decode(raw, version)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0 < steps.lines < 40_000 and peak < 10_000_000


def seeds():
    for version in VERSIONS:
        yield frame(version), version
        yield (
            message(5, i32(2, 0) + b"all\0" + i32(1) + b"a\0" + i32(1) + rigid_model(version, b"r", 1, 0, (0, 0, 0))),
            version,
        )
    info = wire.ServerInfo("Motive", (3, 1, 0, 0), (4, 1, 0, 0), 10_000_000, 1511, False, "239.255.42.99")
    for raw in (wire.encode_server_info(info), wire.encode_hello(Kind.CONNECT), wire.encode_echo(1, 2)):
        yield raw, V


SEEDS = list(seeds())


@pytest.mark.parametrize("stamp_s", [float("nan"), float("inf"), 1e306, -2e9])
@pytest.mark.parametrize("version", [(3, 0), (4, 1)])
def test_a_timestamp_that_is_no_time_is_refused(stamp_s, version):
    emulator = NatNetEmulator(load_motion("walk"), EmulatorOptions(natnet=f"{version[0]}.{version[1]}"))
    known = wire.decode(emulator.datagram(0, 10**12), version).body
    with pytest.raises(ProtocolError) as error:
        wire.decode(encode.encode_frame(known._replace(timestamp_s=stamp_s), version), version)
    assert error.value.reason == "implausible_stamp"
    assert str(error.value) == f"the frame's timestamp is {stamp_s:.3g} s since Motive started"


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_only_protocol_errors_escape(data):
    """Valid datagrams of every kind and version with bytes replaced, cut or added, read in any version."""
    raw, version = data.draw(st.sampled_from(SEEDS))
    raw = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        how = data.draw(st.sampled_from(("set", "word", "cut", "insert")))
        if how == "set" and raw:
            raw[at] = data.draw(st.integers(0, 255))
        elif how == "word" and len(raw) >= at + 4:
            raw[at : at + 4] = struct.pack("<i", data.draw(st.sampled_from((-1, 0, 1, 2**16, 2**26, 2**31 - 1))))
        elif how == "cut":
            del raw[at:]
        else:
            raw[at:at] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()) and len(raw) >= 4:
        struct.pack_into("<H", raw, 2, len(raw) - 4)
    other = data.draw(st.sampled_from(VERSIONS))
    for asked in (version, other):
        try:
            wire.decode(bytes(raw), asked)
        except ProtocolError as error:
            assert "\n" not in str(error)


@settings(deadline=None)
@given(st.sampled_from([0, 1, 5, 7, 12, 13, 14]), st.binary(max_size=600), st.sampled_from(VERSIONS))
def test_noise_behind_a_true_header(kind, noise, version):
    try:
        wire.decode(message(kind, noise), version)
    except ProtocolError:
        pass
