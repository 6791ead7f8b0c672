"""Named bodies -> MVN segments: axes, SMPL names, missing bodies, impossible persons."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.network.bodies import SMPL_JOINTS, Bodies
from teleopd.drivers.network.wire import SCHEMA, Frame
from teleopd.drivers.source import ProtocolError

AT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
CLIP = load_motion("walk_and_turn")


def frame(names=MVN_SEGMENTS, index=100, **fields):
    """The walking person's frame, with some of its bodies."""
    if "pos_m" not in fields or "quat_wxyz" not in fields:
        rows = [AT[name] for name in names]
        fields.setdefault("pos_m", CLIP.pos_w[index][rows].tolist())
        fields.setdefault("quat_wxyz", CLIP.quat_w[index][rows].tolist())
    return Frame(schema=SCHEMA, seq=0, stamp_ns=0, names=tuple(names), **fields)


def refused(told, bodies=None):
    with pytest.raises(ProtocolError) as error:
        (bodies or Bodies()).read(told)
    return error.value.reason, str(error.value)


def test_mvn_segments_are_taken_as_they_are_in_any_order():
    names = tuple(reversed(MVN_SEGMENTS))
    person = Bodies().read(frame(names))
    np.testing.assert_allclose(person.pos_w, CLIP.pos_w[100], atol=1e-12)
    np.testing.assert_allclose(person.quat_w, CLIP.quat_w[100], atol=1e-12)
    assert person.valid.all()


def test_y_up_looks_along_z_with_the_left_arm_along_x():
    """Ahead (0,0,1) -> X; left (1,0,0) -> Y; up (0,1,0) -> Z. A turn about up stays one about up."""
    names = ("Pelvis", "LeftHand", "LeftToe", "Head")
    turn = [math.cos(0.3), 0.0, math.sin(0.3), 0.0]
    person = Bodies().read(
        frame(names, pos_m=[(0, 0, 0), (0.7, 0, 0), (0, 0, 0.2), (0, 0.6, 0)], quat_wxyz=[turn] * 4, up="y")
    )
    rows = [AT[name] for name in names]
    np.testing.assert_allclose(person.pos_w[rows], [(0, 0, 0), (0, 0.7, 0), (0.2, 0, 0), (0, 0, 0.6)], atol=1e-15)
    np.testing.assert_allclose(person.quat_w[rows], [(math.cos(0.3), 0, 0, math.sin(0.3))] * 4, atol=1e-15)


def test_smpl_joints_become_segments():
    """Each segment takes the joint at its own proximal end; T12 is between the vertebrae; palms are not needed."""
    of = {"pelvis": "Pelvis", "spine1": "L5", "spine2": "L3", "spine3": "T8", "neck": "Neck", "head": "Head"}
    limbs = {"collar": "Shoulder", "shoulder": "UpperArm", "elbow": "ForeArm", "wrist": "Hand", "hip": "UpperLeg",
             "knee": "LowerLeg", "ankle": "Foot", "foot": "Toe"}  # fmt: skip
    of |= {f"{side.lower()}_{joint}": side + s for side in ("Left", "Right") for joint, s in limbs.items()}
    rows = [AT[segment] for segment in of.values()]
    to_y_up = [1, 2, 0]
    person = Bodies().read(
        frame(
            tuple(of), pos_m=CLIP.pos_w[100][rows][:, to_y_up].tolist(),
            quat_wxyz=CLIP.quat_w[100][rows][:, [0, 2, 3, 1]].tolist(), up="y",
        )
    )  # fmt: skip
    np.testing.assert_allclose(person.pos_w[rows], CLIP.pos_w[100][rows], atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(person.quat_w[rows] * CLIP.quat_w[100][rows], axis=1)), 1.0, atol=1e-12)
    assert person.valid.all() and set(of) == set(SMPL_JOINTS) - {"left_hand", "right_hand"}
    np.testing.assert_allclose(person.pos_w[AT["T12"]], CLIP.pos_w[100][AT["T12"]], atol=0.01)


def test_smpl_without_a_vertebra_lacks_what_it_told():
    names = tuple(name for name in SMPL_JOINTS if name not in ("spine3", "left_wrist"))
    pos = [(0.0, 0.0, 0.05 * k) for k in range(len(names))]
    person = Bodies().read(frame(names, pos_m=pos, quat_wxyz=[(1.0, 0, 0, 0)] * len(names)))
    assert [name for name, valid in zip(MVN_SEGMENTS, person.valid, strict=True) if not valid] == [
        "T12", "T8", "LeftHand",
    ]  # fmt: skip
    assert np.isfinite(person.pos_w).all()


def test_missing_bodies_are_not_valid_and_stay_where_they_were():
    bodies = Bodies()
    first = bodies.read(frame(("Pelvis", "Head", "LeftHand", "RightHand")))
    assert np.flatnonzero(first.valid).tolist() == [AT[n] for n in ("Pelvis", "Head", "RightHand", "LeftHand")]
    np.testing.assert_array_equal(first.pos_w[AT["LeftFoot"]], CLIP.pos_w[100][0])
    np.testing.assert_array_equal(first.quat_w[AT["LeftFoot"]], (1, 0, 0, 0))
    bodies.read(frame(index=110))
    later = bodies.read(frame(("Pelvis", "Head"), index=120))
    np.testing.assert_allclose(later.pos_w[AT["LeftFoot"]], CLIP.pos_w[110][AT["LeftFoot"]], atol=1e-15)
    np.testing.assert_allclose(later.pos_w[0], CLIP.pos_w[120][0], atol=1e-15)
    assert np.count_nonzero(later.valid) == 2


def test_bodies_flagged_invalid_are_not_even_judged():
    pos = CLIP.pos_w[100].copy()
    pos[AT["LeftHand"]] = np.nan
    flags = [name != "LeftHand" for name in MVN_SEGMENTS]
    person = Bodies().read(frame(pos_m=pos.tolist(), valid=flags))
    assert person.valid.tolist() == flags and np.isfinite(person.pos_w).all()
    assert refused(frame(valid=[False] * 23)) == ("not_tracked", "no body of the frame is valid")


def test_signs_are_continuous():
    bodies = Bodies()
    bodies.read(frame())
    again = bodies.read(frame(quat_wxyz=(-CLIP.quat_w[100]).tolist()))
    np.testing.assert_allclose(again.quat_w, CLIP.quat_w[100], atol=1e-12)


@pytest.mark.parametrize(
    ("names", "reason", "sentence"),
    [
        (("Pelvis", "Pelvis"), "duplicate_body", "body 'Pelvis' is named twice in one frame"),
        (("Pelvis", "LeftElbow"), "unknown_body", "'LeftElbow' is no MVN segment"),
        (("Pelvis", "LeftForearm"), "unknown_body", "'LeftForearm' is no MVN segment; did you mean 'LeftForeArm'?"),
        (("pelvis", "left_ellbow"), "unknown_body", "'left_ellbow' is no SMPL joint; did you mean 'left_elbow'?"),
    ],
)
def test_names_are_checked(names, reason, sentence):
    told = frame(names, pos_m=[(0, 0, 0)] * 2, quat_wxyz=[(1, 0, 0, 0)] * 2)
    found = refused(told)
    assert found[0] == reason and found[1].startswith(sentence)


def test_a_wrong_name_is_refused_every_time():
    bodies = Bodies()
    told = frame(("Pelvis", "Nose"), pos_m=[(0, 0, 0)] * 2, quat_wxyz=[(1, 0, 0, 0)] * 2)
    assert [refused(told, bodies)[0] for _ in range(2)] == ["unknown_body"] * 2
    assert bodies.read(frame()).valid.all()


@pytest.mark.parametrize(
    ("factor", "sentence"),
    [(1000.0, "the stream looks like millimetres"), (100.0, "the stream looks like centimetres"), (0.01, "possible")],
)
def test_a_scale_that_is_off_is_explained(factor, sentence):
    reason, told = refused(frame(pos_m=(CLIP.pos_w[0] * factor).tolist()))
    assert reason == "implausible_position" and told.endswith(sentence)


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "non_finite"), (np.inf, "non_finite"), (1e200, "implausible_position")]
)
def test_impossible_positions(value, reason):
    pos = CLIP.pos_w[0].copy()
    pos[5, 1] = value
    assert refused(frame(pos_m=pos.tolist()))[0] == reason


@pytest.mark.parametrize("factor", [0.0, 0.98, 1.02, 1e200])
def test_quaternions_that_are_none(factor):
    quat = CLIP.quat_w[0].copy()
    quat[3] *= factor
    reason, told = refused(frame(quat_wxyz=quat.tolist()))
    assert (reason, told) == ("quaternion_norm", f"a quaternion has norm {factor:.3g}; 1 is expected")
