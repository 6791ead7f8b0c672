"""The frame format: JSON by the standard library, so that no test leans on what it tests."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.network import wire
from teleopd.drivers.source import ProtocolError


def frame(**fields):
    whole = {
        "schema": "teleopd.pose/1", "seq": 7, "stamp_ns": 5_000_000_000, "names": ["Pelvis", "Head"],
        "pos_m": [[0, 0, 0.9], [0.1, 0, 1.6]], "quat_wxyz": [[1, 0, 0, 0], [0.6, 0.8, 0, 0]],
    }  # fmt: skip
    return {key: value for key, value in {**whole, **fields}.items() if value != "absent"}


def as_json(**fields):
    return json.dumps(frame(**fields)).encode()


def refused(data):
    with pytest.raises(ProtocolError) as error:
        wire.decode(data)
    assert "\n" not in str(error.value)
    return error.value.reason, str(error.value)


@pytest.mark.parametrize("write", [lambda f: json.dumps(f).encode(), lambda f: json.dumps(f, indent=1).encode(),
                                   lambda f: b"\n " + json.dumps(f).encode(), msgspec.msgpack.encode])  # fmt: skip
def test_a_frame_says_the_same_in_every_encoding(write):
    read = wire.decode(memoryview(write(frame(buttons=["a"], deadman=True, up="y", valid=[True, False], origin=3))))
    assert (read.seq, read.stamp_ns, read.names) == (7, 5_000_000_000, ("Pelvis", "Head"))
    assert read.pos_m == [(0.0, 0.0, 0.9), (0.1, 0.0, 1.6)]
    assert read.quat_wxyz == [(1.0, 0.0, 0.0, 0.0), (0.6, 0.8, 0.0, 0.0)]
    assert (read.buttons, read.deadman, read.up, read.valid, read.origin) == (["a"], True, "y", [True, False], 3)


def test_what_is_left_out_is_harmless():
    read = wire.decode(as_json())
    assert (read.buttons, read.deadman, read.up, read.valid, read.origin) == ([], False, "z", None, 0)


@pytest.mark.parametrize("encoding", wire.ENCODINGS)
def test_encode_is_read_back(encoding):
    read = wire.decode(as_json(buttons=["a"]))
    assert wire.decode(wire.encode(read, encoding)) == read


@pytest.mark.parametrize("field", ["schema", "seq", "stamp_ns", "names", "pos_m", "quat_wxyz"])
def test_every_needed_field_is_named_when_missing(field):
    assert refused(as_json(**{field: "absent"})) == (
        "malformed", f"JSON frame is not teleopd.pose/1: Object missing required field `{field}`",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"quat_xyzw": []}, "Object contains unknown field `quat_xyzw`"),
        ({"seq": -1}, "Expected `int` >= 0 - at `$.seq`"),
        ({"seq": 2**32}, "Expected `int` <= 4294967295 - at `$.seq`"),
        ({"seq": 1.5}, "Expected `int`, got `float` - at `$.seq`"),
        ({"seq": True}, "Expected `int`, got `bool` - at `$.seq`"),
        ({"stamp_ns": 2**63}, "Expected `int` <= 9223372036854775807 - at `$.stamp_ns`"),
        ({"deadman": 1}, "Expected `bool`, got `int` - at `$.deadman`"),
        ({"up": "x"}, "Invalid enum value 'x' - at `$.up`"),
        ({"names": []}, "Expected `array` of length >= 1 - at `$.names`"),
        ({"names": ["a" * 33, "b"]}, "Expected `str` of length <= 32 - at `$.names[0]`"),
        ({"pos_m": [[0, 0], [0, 0, 0]]}, "Expected `array` of length 3 - at `$.pos_m[0]`"),
        ({"buttons": [""]}, "Expected `str` of length >= 1 - at `$.buttons[0]`"),
    ],
)  # fmt: skip
def test_wrong_fields_are_refused_by_name(fields, sentence):
    assert refused(as_json(**fields)) == ("malformed", f"JSON frame is not teleopd.pose/1: {sentence}")


def test_sizes_are_capped():
    for count, many in ((64, False), (65, True)):
        names = [f"body{k}" for k in range(count)]
        data = as_json(names=names, pos_m=[[0, 0, 0]] * count, quat_wxyz=[[1, 0, 0, 0]] * count)
        if many:
            assert refused(data)[0] == "malformed"
        else:
            assert len(wire.decode(data).names) == 64
    assert refused(b"{" + b" " * 65_507) == ("oversized", "frame is longer than 65507 B")
    assert wire.decode(as_json().ljust(65_507)).seq == 7
    assert refused(as_json(buttons=["b"] * 33))[0] == "malformed"


@pytest.mark.parametrize("field", ["pos_m", "quat_wxyz", "valid"])
def test_lists_of_other_lengths_are_refused(field):
    value = {"pos_m": [[0, 0, 0]], "quat_wxyz": [[1, 0, 0, 0]], "valid": [True]}[field]
    assert refused(as_json(**{field: value})) == ("wrong_count", f"names has 2 entries but {field} has 1")


@pytest.mark.parametrize("write", [json.dumps, msgspec.msgpack.encode])
@pytest.mark.parametrize("fields", [{}, {"new_field": 1}, {"names": 5}])
def test_another_version_is_named_whatever_else_it_says(write, fields):
    data = write(frame(schema="teleopd.pose/2", **fields))
    assert refused(data.encode() if isinstance(data, str) else data) == (
        "wrong_schema", "frame has schema 'teleopd.pose/2'; this version reads 'teleopd.pose/1'",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"), (b"{", "malformed"), (b"hello", "malformed"), (b"[" * 60_000, "malformed"),
        (b'{"schema":' + b"[" * 60_000, "malformed"), (b'{"schema":"\xff"}', "malformed"),
        (b"\x81\xa1\xff\x01", "malformed"), (b"\x91" * 60_000, "malformed"), (b'{"seq":NaN}', "malformed"),
        (b'{"stamp_ns":' + b"9" * 5000 + b"}", "malformed"), (b"\xdf\xff\xff\xff\xff", "malformed"),
        (as_json()[:-3], "malformed"), (as_json() + b"{}", "malformed"),
    ],
)  # fmt: skip
def test_rubbish_is_refused(data, reason):
    assert refused(data)[0] == reason


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_bytes_raise_anything_else(data):
    raw = bytearray(data.draw(st.sampled_from((as_json(), msgspec.msgpack.encode(frame())))))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=4)):
        raw[at] = byte
    raw = raw[: data.draw(st.integers(0, len(raw)))] + data.draw(st.binary(max_size=8))
    try:
        read = wire.decode(bytes(raw))
    except ProtocolError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
    else:
        assert len(read.names) == len(read.pos_m) == len(read.quat_wxyz)


def test_msgpack_may_carry_what_json_cannot():
    """NaN passes the decoder and is refused where poses are judged (test_network_bodies.py)."""
    raw = msgspec.msgpack.encode(frame(pos_m=[[float("nan"), 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert struct.pack(">d", float("nan")) in raw
    assert wire.decode(raw).pos_m[0][0] != wire.decode(raw).pos_m[0][0]
