"""Protobuf and JSON of the PC service: bytes written by hand, and anything at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico import messages, skeleton, wire
from teleopd.drivers.pico.emulator import EmulatorOptions, PicoEmulator
from teleopd.drivers.pico.extras import read_extras
from teleopd.drivers.pico.wire import Feedback
from teleopd.drivers.source import ProtocolError

FIND = b"\x0a\x0adeviceFind\x1a\x02P1"
CONNECT = b"\x0a\x0ddeviceConnect\x2a\x06\x0a\x02P1\x10\x01"
STATE = b"\x0a\x0fdeviceStateJson\x7a\x08\x0a\x02P1\x12\x02{}"
CUSTOM = b"\x0a\x13deviceCustomMessage\x32\x07\x0a\x02P1\x12\x01\xff"


@pytest.mark.parametrize(
    ("data", "feedback"),
    [
        (FIND, Feedback("deviceFind", "P1")),
        (CONNECT, Feedback("deviceConnect", "P1", 1)),
        (STATE, Feedback("deviceStateJson", "P1", None, b"{}")),
        (CUSTOM, Feedback("deviceCustomMessage", "P1", None, b"\xff")),
    ],
)
def test_feedback_both_ways(data, feedback):
    assert wire.decode_feedback(data) == feedback
    assert wire.encode_feedback(feedback) == data


@pytest.mark.parametrize(
    ("data", "feedback"),
    [
        (b"", Feedback("")),
        (b"\x1a\x02P1\x0a\x0adeviceFind", Feedback("deviceFind", "P1")),  # fields in another order
        (FIND + b"\x12\x03abc" + b"\x20\x05", Feedback("deviceFind", "P1")),  # unknown members 2 and 4
        (FIND + b"\x39" + bytes(8) + b"\x45" + bytes(4), Feedback("deviceFind", "P1")),  # unknown fixed64 and fixed32
        (FIND + b"\x1a\x02P2", Feedback("deviceFind", "P2")),  # the last one counts
        (CONNECT[:-1] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None),  # -1, as protobuf writes it: size grows
        (b"\x0a\x01\xff", Feedback("\ufffd")),
        (b"\x1a\x04P\x1b1\n", Feedback("", "P\\x1b1\\n")),  # no control characters reach a terminal
    ],
)
def test_feedback_that_is_unusual_but_right(data, feedback):
    if feedback is None:
        data = b"\x0a\x0ddeviceConnect\x2a\x0f\x0a\x02P1\x10" + b"\xff" * 9 + b"\x01"
        feedback = Feedback("deviceConnect", "P1", -1)
    assert wire.decode_feedback(data) == feedback


@pytest.mark.parametrize(
    ("data", "reason", "sentence"),
    [
        (b"\x0a", "truncated", "a number ends beyond the message of 1 B"),
        (b"\x0a\x05abc", "truncated", "field 1 ends at byte 7 of a message of 5 B"),
        (b"\x39\x00", "truncated", "field 7 ends at byte 9 of a message of 2 B"),
        (b"\x0b", "malformed", "field 1 has wire type 3; 0, 1, 2 and 5 exist"),
        (b"\x02\x00", "malformed", "a field has number 0"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "malformed", "a number is longer than 10 B"),
        (b"\x08\x01", "malformed", "name is a number where bytes are expected"),
        (b"\x78\x01", "malformed", "devblob or devicestatejson is a number where bytes are expected"),
        (b"\x2a\x04\x12\x02ab", "malformed", "bytes stand where a number is expected"),
        (b"\x0a\x81\x02" + b"n" * 257, "malformed", "name has 257 B; at most 256 B are read"),
        (b"\x20\x01" * 65, "malformed", "a message has more than 64 fields"),
        (bytes(131073), "oversized", "message of 131073 B; at most 131072 B are read"),
    ],
)
def test_feedback_that_is_wrong_is_one_sentence(data, reason, sentence):
    with pytest.raises(ProtocolError) as raised:
        wire.decode_feedback(data)
    assert (raised.value.reason, str(raised.value)) == (reason, sentence)


def test_sixty_four_fields_are_read():
    assert wire.decode_feedback(b"\x20\x01" * 63 + b"\x0a\x01x").name == "x"


def test_requests_both_ways():
    assert wire.encode_pid(300) == b"\x08\xac\x02"
    request = b"\x0a\x02P1\x12\x03{a}"
    assert wire.encode_control("P1", b"{a}") == request and wire.decode_control(request) == ("P1", b"{a}")


def test_a_message_cut_anywhere_is_refused_or_whole():
    for cut in range(1, len(STATE)):
        if cut == 17:  # after the name: a whole message without a member
            assert wire.decode_feedback(STATE[:cut]) == Feedback("deviceStateJson")
        else:
            with pytest.raises(ProtocolError):
                wire.decode_feedback(STATE[:cut])


def read_all(data):
    """Everything a source does with the bytes of one message; only ProtocolError may come out."""
    try:
        feedback = wire.decode_feedback(data)
        tracking = messages.read_tracking(feedback.content or b"")
        if tracking is not None:
            read_extras(tracking, 0)
            return skeleton.to_mvn(messages.read_poses([joint.p for joint in messages.body_joints(tracking)]))
    except ProtocolError as error:
        assert error.reason and "\n" not in str(error)
    return None


FRAME = PicoEmulator(load_motion("stand"), EmulatorOptions(digits=9, hands=True)).frame(0, 10**18)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    read_all(data)
    try:
        wire.decode_control(data)
    except ProtocolError as error:
        assert error.reason


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(FRAME) - 1), st.integers(0, 255)), max_size=4), st.integers(0, 30))
def test_a_damaged_frame_is_read_or_refused(damage, cut):
    data = bytearray(FRAME)
    for at, byte in damage:
        data[at] = byte
    read_all(bytes(data[: len(data) - cut]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("Body", "joints", "p", "t", "Controller", "left", "grip", "timeStampNs")), inner
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(JSON)
def test_any_json_is_read_or_refused(value):
    text = json.dumps({"functionName": "Tracking", "value": json.dumps(value)}).encode()
    read_all(wire.encode_feedback(Feedback(wire.STATE, "P1", None, text)))


def test_json_nested_a_thousand_deep_is_refused():
    with pytest.raises(ProtocolError) as raised:
        messages.read_tracking(b'{"functionName":"Tracking","value":' + b"[" * 5000 + b"]" * 5000 + b"}")
    assert raised.value.reason == "json"


def state(value, function="Tracking"):
    return json.dumps({"functionName": function, "value": json.dumps(value)}).encode()


def test_tracking_fields():
    tracking = messages.read_tracking(
        state(
            {
                "timeStampNs": 1_700_000_000_123_000_000, "appState": {"focus": False}, "Input": 2, "unknown": [1, {}],
                "Head": {"pose": "0,1,2,0,0,0,1", "status": 3},
                "Controller": {"left": {"grip": 1, "primaryButton": True, "pose": ""}},
                "Body": {"joints": [{"p": "1,2,3,0,0,0,1", "t": 5, "va": "x"}]},
            }
        )
    )  # fmt: skip
    assert (tracking.stamp_ns, tracking.app.focus, tracking.input) == (1_700_000_000_123_000_000, False, 2)
    assert (tracking.controller.left.grip, tracking.controller.left.primary_button) == (1.0, True)
    assert tracking.controller.right is None and bytes(tracking.motion) == b""
    assert [(joint.p, joint.t) for joint in tracking.body.joints] == [("1,2,3,0,0,0,1", 5)]


def test_a_nested_object_is_read_as_a_string_is():
    nested = json.dumps({"functionName": "Tracking", "value": {"timeStampNs": 7}}).encode()
    assert messages.read_tracking(nested).stamp_ns == 7


def test_a_state_about_something_else_is_none():
    assert messages.read_tracking(state("x", function="timeTest")) is None
    assert messages.read_tracking(b"{}") is None


def test_wrong_json_is_one_sentence():
    with pytest.raises(ProtocolError) as raised:
        messages.read_tracking(state({"timeStampNs": -1}))
    assert str(raised.value) == (
        "the device's state cannot be read as tracking JSON: Expected `int` >= 0 - at `$.timeStampNs`"
    )


def test_pose_strings():
    rows = messages.read_poses(["1,-2,3.5,0,0,0,1", " .5,1E-05,+3,0,0,1,0"])
    np.testing.assert_array_equal(rows, [[1, -2, 3.5, 0, 0, 0, 1], [0.5, 1e-5, 3, 0, 0, 1, 0]])


@pytest.mark.parametrize(
    ("texts", "reason", "sentence"),
    [
        (["1,2,3,0,0,0,1", "1,2,3,0,0,0"], "wrong_count", "pose 1 is '1,2,3,0,0,0'; seven numbers are expected"),
        (["1,2,3,0,0,0", "1,2,3,0,0,0,1,9"], "wrong_count", "pose 0 is '1,2,3,0,0,0'; seven numbers are expected"),
        (["1,2,3,0,0,x,1"], "wrong_count", "pose 0 is '1,2,3,0,0,x,1'; seven numbers are expected"),
        (["0,5,1,0,0,0,1,0"], "wrong_count", "pose 0 is '0,5,1,0,0,0,1,0'; seven numbers are expected"),
        (["[1],2,3,0,0,0,1"], "wrong_count", "pose 0 is '[1],2,3,0,0,0,1'; seven numbers are expected"),
        ([""], "wrong_count", "pose 0 is ''; seven numbers are expected"),
        (["1,2,NaN,0,0,0,1"], "non_finite", "a position or quaternion is NaN or infinite"),
        (["1,2,1e999,0,0,0,1"], "non_finite", "a position or quaternion is NaN or infinite"),
        (["0" * 200 + ",0,0,0,0,0,1"], "wrong_count", f"pose 0 is '{'0' * 80}'; seven numbers are expected"),
    ],
)
def test_wrong_poses_are_one_sentence(texts, reason, sentence):
    with pytest.raises(ProtocolError) as raised:
        messages.read_poses(texts)
    assert (raised.value.reason, str(raised.value)) == (reason, sentence)
