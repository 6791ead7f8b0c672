"""MXTP types 01, 05, 20 and 25, props and fingers: bytes built with `struct`, and what source and emulator do."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from teleopd.drivers.emulation import EmulatorError
from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.source import ProtocolError, SourceUnavailable
from teleopd.drivers.tap.capture import NOWHERE, Arrival
from teleopd.drivers.tap.decode import Decoder
from teleopd.drivers.xsens import wire
from teleopd.drivers.xsens.emulator import EmulatorOptions, XsensEmulator
from teleopd.drivers.xsens.source import XsensSource
from teleopd.drivers.xsens.tables import HAND_SEGMENTS, UNITY_SEGMENTS

SENDER = ("192.168.0.7", 50000)
HALF = 0.5**0.5


def clip():
    """Two frames of a body that leans 90 degrees about x, its right forearm turned 90 degrees more about its own z."""
    pos = np.zeros((2, 23, 3))
    pos[..., 0], pos[..., 1], pos[..., 2] = 0.5, np.linspace(-0.3, 0.3, 23), np.linspace(0.9, 1.7, 23)
    quat = np.zeros((2, 23, 4))
    quat[...] = (HALF, HALF, 0.0, 0.0)
    quat[:, MVN_SEGMENTS.index("RightForeArm")] = (0.5, 0.5, -0.5, 0.5)
    quat[:, MVN_SEGMENTS.index("RightHand")] = (0.5, 0.5, -0.5, 0.5)
    return MotionClip("leaning", 100.0, pos, quat)


def emulated(datagram, **options):
    return XsensEmulator(clip(), EmulatorOptions(datagram=datagram, **options)).frame(1)


# --- decoding --------------------------------------------------------------------------------------------------------


def test_euler_is_centimetres_and_degrees(mxtp):
    rows = b"".join(struct.pack(">i6f", k, 10.0 * k, -20.0, 30.0, 1.5, -90.0, 180.0) for k in (1, 2))
    body = wire.decode(mxtp.message(1, rows, items=2)).body
    assert body.ids.tolist() == [1, 2]
    np.testing.assert_allclose(body.pos_yup_m, [[0.1, -0.2, 0.3], [0.2, -0.2, 0.3]], atol=1e-12)
    assert body.euler_deg.tolist() == [[1.5, -90.0, 180.0]] * 2


def test_unity_is_as_sent(mxtp):
    rows = struct.pack(">i7f", 3, 0.25, 1.0, -0.5, 0.5, -0.5, 0.5, 0.5)
    body = wire.decode(mxtp.message(5, rows)).body
    assert (body.ids.tolist(), body.pos_m.tolist(), body.quat.tolist()) == (
        [3], [[0.25, 1.0, -0.5]], [[0.5, -0.5, 0.5, 0.5]]
    )  # fmt: skip


def test_joint_angles_name_both_points(mxtp):
    rows = struct.pack(">2i3f", 256 * 1 + 13, 256 * 2, 10.0, -20.5, 30.25)
    body = wire.decode(mxtp.message(20, rows)).body
    assert (body.parents.tolist(), body.children.tolist()) == ([[1, 13]], [[2, 0]])
    assert body.angles_deg.tolist() == [[10.0, -20.5, 30.25]]


@pytest.mark.parametrize("raw", [b"23:59:59.999", struct.pack(">i", 12) + b"23:59:59.999"])
def test_time_code_bare_or_with_its_length(mxtp, raw):
    assert wire.decode(mxtp.message(25, raw)).body == "23:59:59.999"


@pytest.mark.parametrize(
    ("kind", "items", "payload", "reason", "sentence"),
    [
        (1, 2, bytes(28), "wrong_count", "2 items do not fit a payload of 28 B, 28 B each"),
        (5, 1, bytes(31), "wrong_count", "1 items do not fit a payload of 31 B, 32 B each"),
        (20, 1, bytes(8) + b"\x7f\x80\0\1" + bytes(8), "non_finite", "a number is NaN or infinite"),
        (1, 1, bytes(24) + b"\xff\x80\0\0", "non_finite", "a number is NaN or infinite"),
        (25, 1, b"1:2:3", "wrong_time_code", "time code is b'1:2:3'; HH:MM:SS.mmm is expected"),
        (25, 1, "१२:00:00.000".encode(), "wrong_time_code",
         "time code is b'\\xe0\\xa5\\xa7\\xe0\\xa5\\xa8:00:00.000'; HH:MM:SS.mmm is expected"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why(mxtp, kind, items, payload, reason, sentence):
    with pytest.raises(ProtocolError) as error:
        wire.decode(mxtp.message(kind, payload, items=items))
    assert (error.value.reason, str(error.value)) == (reason, sentence)


def test_props_come_first_then_the_left_hand_then_the_right(mxtp):
    extras = wire.decode(mxtp.pose(payload=mxtp.segments(66), props=3, fingers=40)).body.extras
    assert extras.props.ids.tolist() == [24, 25, 26]
    assert extras.left_hand.ids.tolist() == list(range(27, 47))
    assert extras.right_hand.ids.tolist() == list(range(47, 67))
    np.testing.assert_allclose(extras.left_hand.pos_w[0], (0.27, -0.54, 1.45), atol=1e-6)
    assert extras.right_hand.quat_w.shape == (20, 4) and len(HAND_SEGMENTS) == 20
    assert wire.decode(mxtp.pose()).body.extras is None


def test_a_hand_alone_is_no_hand(mxtp):
    with pytest.raises(ProtocolError, match="^character has 20 finger segments; 0 or 40 are possible$"):
        wire.decode(mxtp.pose(payload=mxtp.segments(43), fingers=20))


def test_a_part_of_a_split_sample_is_decoded_as_its_rows(mxtp):
    body = wire.decode(mxtp.pose(payload=mxtp.segments(3, first=30), counter=1, props=4, fingers=40)).body
    assert body.ids.tolist() == [30, 31, 32]
    np.testing.assert_allclose(body.pos_w[2], (0.32, -0.64, 1.7), atol=1e-6)


# --- the emulator ----------------------------------------------------------------------------------------------------


def test_every_type_has_its_size_and_order():
    sent = emulated("1,2,5,20,25", props=2, fingers=True)
    assert [(d[:6], len(d)) for d in sent] == [
        (b"MXTP02", 24 + 65 * 32), (b"MXTP01", 24 + 65 * 28), (b"MXTP05", 24 + 23 * 32), (b"MXTP20", 24 + 22 * 20),
        (b"MXTP25", 24 + 12),
    ]  # fmt: skip
    assert {d[16:20] for d in sent} == {bytes((0, 23, 2, 40))}
    assert sent[-1][24:] == b"00:00:00.010"


def test_emulated_euler_turns_back_into_the_pose():
    (datagram,) = emulated("01")
    body = wire.decode(datagram).body
    want_pos, want_quat = clip().pos_w[1], clip().quat_w[1]
    np.testing.assert_allclose(body.pos_yup_m[:, [2, 0, 1]], want_pos, atol=1e-6)
    for degrees, (w, x, y, z) in zip(body.euler_deg, want_quat, strict=True):
        a, b, c = np.radians(degrees)
        rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        yup = ry @ rx @ rz
        zup = yup[np.ix_([2, 0, 1], [2, 0, 1])]
        want = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip
        np.testing.assert_allclose(zup, want, atol=1e-6)


def test_emulated_unity_has_a_global_pelvis_and_relative_limbs():
    (datagram,) = emulated("05")
    body = wire.decode(datagram).body
    assert body.ids.tolist() == list(range(1, 24))
    np.testing.assert_allclose(body.pos_m[0], (0.3, 0.9, 0.5), atol=1e-6)
    np.testing.assert_allclose(body.quat[0], (HALF, 0.0, 0.0, -HALF), atol=1e-6)
    forearm, hand = UNITY_SEGMENTS.index("RightForeArm"), UNITY_SEGMENTS.index("RightHand")
    np.testing.assert_allclose(body.quat[forearm], (HALF, 0.0, -HALF, 0.0), atol=1e-6)
    np.testing.assert_allclose(np.abs(body.quat[hand]), (1.0, 0.0, 0.0, 0.0), atol=1e-6)


def test_emulated_joint_angles():
    (datagram,) = emulated("20")
    body = wire.decode(datagram).body
    assert body.children[:, 0].tolist() == list(range(2, 24)) and not body.children[:, 1].any()
    elbow = MVN_SEGMENTS.index("RightForeArm")
    assert body.parents[elbow - 1, 0] == 1 + MVN_SEGMENTS.index("RightUpperArm")
    want = np.zeros((22, 3))
    want[elbow - 1] = (0.0, 0.0, 90.0)
    np.testing.assert_allclose(body.angles_deg, want, atol=1e-4)


def test_emulated_props_and_fingers_move_with_the_hand():
    (datagram,) = emulated("02", props=1, fingers=True)
    body = wire.decode(datagram).body
    left, right = MVN_SEGMENTS.index("LeftHand"), MVN_SEGMENTS.index("RightHand")
    np.testing.assert_allclose(body.extras.left_hand.pos_w[0], clip().pos_w[1, left], atol=1e-6)
    np.testing.assert_allclose(body.extras.right_hand.pos_w[0], clip().pos_w[1, right], atol=1e-6)
    # 0.1 m along the hand's x; the hand is turned about x by 90 degrees and then about its own z: x points along z
    np.testing.assert_allclose(body.extras.props.pos_w[0] - clip().pos_w[1, right], (0.0, 0.0, 0.1), atol=1e-6)
    assert body.extras.props.ids.tolist() == [25]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"datagram": "02,03"}, "datagram is '03'; give some of 01, 02, 05, 12, 13, 20, 25, as 02,20"),
        ({"datagram": ""}, "datagram is ''; give some of 01, 02, 05, 12, 13, 20, 25, as 02,20"),
        ({"props": 5}, "props is 5; give 0 to 4"),
        ({"split": 68}, "split is 68; give 0 to 67 segments"),
        ({"characters": 0}, "characters is 0; give 1 to 8, with ids of 255 at most"),
        ({"character": 255, "characters": 2}, "characters is 2; give 1 to 8, with ids of 255 at most"),
    ],
)
def test_settings_out_of_range_are_refused(options, sentence):
    with pytest.raises(EmulatorError) as error:
        XsensEmulator(clip(), EmulatorOptions(**options))
    assert str(error.value) == sentence


def test_teleop_decode_prints_every_type_as_one_line():
    import msgspec

    emulator = XsensEmulator(
        clip(), EmulatorOptions(datagram="01,02,05,12,13,20,25", props=1, fingers=True, split=30)
    )
    decoder, lines = Decoder("xsens"), []
    for number, datagram in enumerate(emulator.information(0) + emulator.frame(0)):
        line = decoder.line(number, Arrival(0, number, NOWHERE, NOWHERE, datagram), 0)
        lines.append(msgspec.json.decode(msgspec.json.encode(line)))
    assert [line["type"][4:] for line in lines] == ["12", "13", "02", "02", "02", "01", "05", "20", "25"]
    assert not [line for line in lines if "error" in line]
    assert lines[0]["value"]["body"]["name"] == "leaning"
    assert lines[4]["value"]["body"]["ids"] == [61, 62, 63, 64]
    assert lines[-1]["value"]["body"] == "00:00:00.000"


# --- the source ------------------------------------------------------------------------------------------------------


class Fed:
    """A source fed by hand, 10 ms a datagram."""

    def __init__(self, **options):
        self.source = XsensSource(port=0, **options)
        self.now_ns = 10**12

    def __call__(self, datagram, sender=SENDER):
        self.now_ns += 10_000_000
        self.source.receive(memoryview(datagram), sender, self.now_ns)
        return self.source.take()


def test_a_split_sample_brings_body_props_and_fingers():
    fed = Fed()
    emulator = XsensEmulator(clip(), EmulatorOptions(props=4, fingers=True, split=30))
    poses = [fed(part) for part in emulator.frame(0)]
    assert [pose is not None for pose in poses] == [False, False, True]
    np.testing.assert_allclose(poses[2].pos_w, clip().pos_w[0], atol=1e-6)
    extras = fed.source.extras
    assert (len(extras.props.ids), len(extras.left_hand.ids), len(extras.right_hand.ids)) == (4, 20, 20)
    (plain,) = XsensEmulator(clip()).frame(1)
    fed(plain)
    assert fed.source.extras is None


def test_a_bad_finger_costs_no_pose(mxtp):
    raw = bytearray(mxtp.pose(payload=mxtp.segments(63), fingers=40))
    raw[-4:] = struct.pack(">f", float("nan"))
    fed = Fed()
    assert fed(bytes(raw)).seq == 5
    assert fed.source.extras is None and fed.source.counters.rejected == {"non_finite": 1}


def test_other_types_beside_poses_are_welcome():
    fed = Fed()
    emulator = XsensEmulator(MotionClip("x", 100.0, clip().pos_w.repeat(100, 0), clip().quat_w.repeat(100, 0)),
                             EmulatorOptions(datagram="01,02,05,20,25"))  # fmt: skip
    for number in range(60):
        for datagram in emulator.frame(number):
            fed(datagram)
    assert fed.source.counters.rejected == {}
    assert fed.source.other_messages == {1: 60, 5: 60, 20: 60, 25: 60}


@pytest.mark.parametrize(("kind", "what"), [("20", "joint angles"), ("25", "time code")])
def test_additions_alone_say_what_to_enable(kind, what):
    fed, (datagram,) = Fed(), emulated(kind)
    for _ in range(101):
        fed(datagram)
    assert fed.source.counters.rejected == {}, "for a second a pose may still come"
    fed(datagram)
    assert fed.source.counters.rejected == {"wrong_type": 1}
    assert fed.source.counters.last_rejection == (
        f"type {kind} ({what}) is streamed, but no pose; in MVN's network streamer choose "
        "'Position + Orientation (Quaternion)', type 02"
    )


# --- several characters ----------------------------------------------------------------------------------------------


def test_without_a_choice_one_sentence_says_who_there_is(mxtp):
    fed = Fed()
    for character, name in ((4, "Ada"), (1, "Bo"), (9, None)):
        fed(mxtp.pose(character=character))
        if name:
            fed(mxtp.message(12, f"name:{name}\n".encode(), character=character))
    fed(mxtp.pose(character=9))
    assert fed.source.counters.last_rejection == (
        "characters 1 (Bo) and 9 are streamed too; character 4 (Ada) is followed"
    )
    assert fed.source.characters == {4: "Ada", 1: "Bo", 9: ""}
    assert fed.source.character_name == "Ada"


def test_a_character_that_is_not_there_is_said_and_locks_nobody_out(mxtp):
    fed = Fed(character=2)
    assert [fed(mxtp.pose(character=c)) for c in (0, 1)] == [None, None]
    assert fed.source.counters.last_rejection == (
        "characters 0 and 1 are streamed, not character 2; choose with --device character=N"
    )
    assert fed.source.sender is None
    assert fed(mxtp.pose(character=2), sender=("192.168.0.7", 50002)).seq == 5


def test_mvn_sends_each_character_from_a_port_of_its_own(mxtp):
    fed, other = Fed(character=1), ("192.168.0.7", 50001)
    sent = [(mxtp.pose(k, character=c), s) for k in range(3) for c, s in ((0, SENDER), (1, other))]
    taken = [fed(datagram, sender=sender) is not None for datagram, sender in sent]
    assert taken == [False, True] * 3
    assert fed.source.sender == other
    assert (fed.source.counters.foreign, fed.source.counters.rejected) == (0, {"other_character": 3})


def test_emulated_people_stand_side_by_side():
    fed = Fed(character=6)
    poses = [fed(datagram) for datagram in emulated("02", character=5, characters=3)]
    assert [pose is not None for pose in poses] == [False, True, False]
    np.testing.assert_allclose(poses[1].pos_w - clip().pos_w[1], np.tile((0.0, 1.0, 0.0), (23, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"character": 256}, "character is 256; give 0 to 255"),
        ({"character": -1}, "character is -1; give 0 to 255"),
        ({"transport": "sctp"}, "transport is 'sctp'; choose one of udp, tcp"),
        ({"transport": "tcp", "port": 65536}, "TCP port 65536 is not between 0 and 65535"),
    ],
)
def test_impossible_options_are_one_sentence(options, sentence):
    with pytest.raises(SourceUnavailable) as error:
        XsensSource(**options)
    assert str(error.value) == sentence
