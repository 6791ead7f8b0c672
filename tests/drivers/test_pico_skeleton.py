"""24 PICO joints <-> 23 MVN segments: axes, T-pose, the derived T12, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.pico import skeleton
from teleopd.drivers.source import ProtocolError

AT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
JOINT = {name: i for i, name in enumerate(skeleton.JOINTS)}
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 12, 12, 13, 14, 16, 17, 18, 19, 20, 21)


def t_pose():
    """A person in the T-pose in PICO's axes (X right, Y up, Z back), identity joint frames as OpenXR defines them."""
    raw = np.zeros((24, 7))
    raw[:, 6] = 1.0
    heights = {"Pelvis": 0.95, "Spine1": 1.05, "Spine2": 1.15, "Spine3": 1.3, "Neck": 1.45, "Head": 1.55}
    for name, y in heights.items():
        raw[JOINT[name], 1] = y
    for side, sign in (("Left", -1.0), ("Right", 1.0)):
        arms = (("Collar", 0.05), ("Shoulder", 0.2), ("Elbow", 0.5), ("Wrist", 0.75), ("Hand", 0.85))
        for name, x in arms:
            raw[JOINT[f"{side}_{name}"], :2] = (sign * x, 1.4)
        for name, y in (("Hip", 0.9), ("Knee", 0.5), ("Ankle", 0.1), ("Foot", 0.02)):
            raw[JOINT[f"{side}_{name}"], :2] = (sign * 0.1, y)
        raw[JOINT[f"{side}_Foot"], 2] = -0.13  # ahead: Z points to the back
    return raw


def test_stream_order_is_that_of_the_table():
    assert len(skeleton.JOINTS) == 24 and len(set(skeleton.JOINTS)) == 24
    for name, index in (("Pelvis", 0), ("Spine1", 3), ("Spine2", 6), ("Spine3", 9), ("Neck", 12), ("Head", 15),
                        ("Left_Hip", 1), ("Right_Foot", 11), ("Left_Collar", 13), ("Right_Wrist", 21)):  # fmt: skip
        assert JOINT[name] == index
    for child, parent in enumerate(PARENTS[1:], 1):
        assert parent < child


def test_the_t_pose_is_identity_and_faces_along_x():
    pos, quat = skeleton.to_mvn(t_pose())
    np.testing.assert_array_equal(quat, np.tile([1.0, 0.0, 0.0, 0.0], (23, 1)))
    np.testing.assert_allclose(pos[AT["LeftHand"]], (0.0, 0.75, 1.4), atol=1e-15)
    np.testing.assert_allclose(pos[AT["RightUpperArm"]], (0.0, -0.2, 1.4), atol=1e-15)
    np.testing.assert_allclose(pos[AT["LeftToe"]], (0.13, 0.1, 0.02), atol=1e-15)
    np.testing.assert_allclose(pos[AT["RightFoot"]], (0.0, -0.1, 0.1), atol=1e-15)
    np.testing.assert_allclose(pos[AT["Head"]], (0.0, 0.0, 1.55), atol=1e-15)


@pytest.mark.parametrize(
    ("axis", "xyzw", "wxyz"),
    [
        ("up, to the left", (0, 0.6, 0, 0.8), (0.8, 0, 0, 0.6)),  # about PICO's Y = our Z
        ("right", (0.6, 0, 0, 0.8), (0.8, 0, -0.6, 0)),  # about PICO's X = our -Y
        ("back", (0, 0, 0.6, 0.8), (0.8, -0.6, 0, 0)),  # about PICO's Z = our -X
    ],
)
def test_a_turn_keeps_its_axis_in_the_room(axis, xyzw, wxyz):
    raw = t_pose()
    raw[:, 3:] = xyzw
    np.testing.assert_allclose(skeleton.to_mvn(raw)[1], np.tile(wxyz, (23, 1)), atol=1e-15)


@pytest.mark.parametrize(
    ("robot", "offset"),
    [
        ((1.0, 0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, -0.5)),  # pelvis, torso, hips, knees, feet
        ((np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0), (np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0)),  # left shoulder, Rx(+90)
        ((np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0), (0.0, np.sqrt(0.5), 0.0, -np.sqrt(0.5))),  # right shoulder
        ((0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 0.0)),  # left elbow and wrist, Rx(+90) Ry(90)
        ((0.5, -0.5, 0.5, -0.5), (0.0, 1.0, 0.0, 0.0)),  # right elbow and wrist
    ],
)
def test_identity_joint_frames_are_what_published_offsets_say(robot, offset):
    """offset = rest^-1 * heading * robot, the rest turned from Y-up to Z-up: equals GMR's PICO table up to sign."""
    rest = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])
    ahead = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])  # PICO's forward -Z is +Y after that turn
    computed = rot.multiply(rot.conjugate(rest), rot.multiply(ahead, np.array(robot)))
    assert abs(computed @ np.array(offset)) == pytest.approx(1.0, abs=1e-12)


def test_there_and_back_is_exact_for_every_segment_but_t12():
    clip = load_motion("walk_and_turn")
    raw = skeleton.from_mvn(clip.pos_w, clip.quat_w)
    others = [i for name, i in AT.items() if name != "T12"]
    for k in range(0, clip.frames, 40):
        pos, quat = skeleton.to_mvn(raw[k])
        np.testing.assert_allclose(pos[others], clip.pos_w[k, others], atol=1e-12)
        np.testing.assert_allclose(np.abs(np.vecdot(quat, clip.quat_w[k])), 1.0, atol=1e-5)
        assert np.linalg.norm(pos[AT["T12"]] - clip.pos_w[k, AT["T12"]]) < 0.5e-3


@pytest.mark.parametrize("bend_deg", [0.0, 1.0, 30.0, 80.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_t12_of_an_evenly_bent_spine(bend_deg, axis):
    """Forward kinematics of two straight bones, each turned against the one before by half of the bend."""
    base = rot.multiply(rot.about(2, 0.7), rot.about(0, 0.4))
    half = rot.multiply(base, rot.about(axis, np.deg2rad(bend_deg / 2)))
    top = rot.multiply(base, rot.about(axis, np.deg2rad(bend_deg)))
    along, length = np.array([0.1, -0.2, 0.9]), 0.24
    low = np.array([0.3, -0.2, 1.1])
    middle = low + rot.rotate(base, along) * length * skeleton.T12_SHARE
    high = middle + rot.rotate(half, along) * length * (1 - skeleton.T12_SHARE)
    pos, quat = np.zeros((23, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (23, 1))
    for name, p, q in (("L3", low, base), ("T12", middle, half), ("T8", high, -top)):
        pos[AT[name]], quat[AT[name]] = p, q
    pos[AT["Head"], 2] = 1.6
    found_pos, found_quat = skeleton.to_mvn(skeleton.from_mvn(pos, quat))
    np.testing.assert_allclose(found_pos[AT["T12"]], middle, atol=1e-12)
    assert abs(found_quat[AT["T12"]] @ half) == pytest.approx(1.0, abs=1e-12)


def test_hand_joints_lie_beyond_the_wrists():
    raw = skeleton.from_mvn(*skeleton.to_mvn(t_pose()))
    np.testing.assert_allclose(raw[JOINT["Left_Hand"], :3], (-0.84, 1.4, 0.0), atol=1e-12)
    np.testing.assert_allclose(raw[JOINT["Right_Hand"], :3], (0.84, 1.4, 0.0), atol=1e-12)


def test_quaternions_come_out_unit():
    raw = t_pose()
    raw[:, 3:] *= 1.009
    np.testing.assert_allclose(np.linalg.norm(skeleton.to_mvn(raw)[1], axis=1), 1.0, atol=1e-15)


@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        (lambda raw: raw.fill(0.0), "zero_body",
         "every body joint is zero: body tracking is not running; calibrate the motion trackers"),
        (lambda raw: raw[4, 3:].__imul__(1.02), "quaternion_norm", "a quaternion has norm 1.02; 1 is expected"),
        (lambda raw: raw[4, 3:].fill(0.0), "quaternion_norm", "a quaternion has norm 0; 1 is expected"),
        (lambda raw: raw[:, :3].__imul__(100.0), "implausible_position",
         "farthest joint is 96.2 m from the pelvis; 0.2 to 3.0 m are possible"),
        (lambda raw: raw[:, :3].__imul__(0.1), "implausible_position",
         "farthest joint is 0.0962 m from the pelvis; 0.2 to 3.0 m are possible"),
        (lambda raw: raw[:, 0].__iadd__(2e4), "implausible_position",
         "pelvis is at (2e+04, 0.95, 0) m, beyond 10000 m"),
    ],
)  # fmt: skip
def test_no_person_is_one_sentence(change, reason, sentence):
    raw = t_pose()
    change(raw)
    with pytest.raises(ProtocolError) as raised:
        skeleton.to_mvn(raw)
    assert (raised.value.reason, str(raised.value)) == (reason, sentence)
