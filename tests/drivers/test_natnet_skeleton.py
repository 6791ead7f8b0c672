"""Motive's bodies -> MVN segments: axes by hand, names of three conventions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.natnet import encode
from teleopd.drivers.natnet.messages import (
    BODY,
    MARKER,
    BodyModel,
    Frame,
    ModelDef,
    SkeletonData,
    SkeletonModel,
)
from teleopd.drivers.natnet.plan import plan
from teleopd.drivers.natnet.skeleton import Reader, to_z_up
from teleopd.drivers.source import ProtocolError

AT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
MOTIVE = (
    "Hip Ab Chest Neck Head LShoulder LUArm LFArm LHand RShoulder RUArm RFArm RHand "
    "LThigh LShin LFoot RThigh RShin RFoot LToe RToe"
).split()
FBX = (
    "Hips Spine Spine1 Neck Head LeftShoulder LeftArm LeftForeArm LeftHand RightShoulder RightArm RightForeArm "
    "RightHand LeftUpLeg LeftLeg LeftFoot RightUpLeg RightLeg RightFoot LeftToeBase RightToeBase"
).split()
BIPED = [
    "Bip01 " + name if name else "Bip01"
    for name in (
        ",Spine,Spine1,Neck,Head,L Clavicle,L UpperArm,L Forearm,L Hand,R Clavicle,R UpperArm,R Forearm,R Hand,"
        "L Thigh,L Calf,L Foot,R Thigh,R Calf,R Foot,L Toe0,R Toe0"
    ).split(",")
]
Y_UP = np.array([
    (0, 1.0, 0), (0, 1.1, 0), (0, 1.3, 0), (0, 1.5, 0), (0, 1.6, 0.02),
    (0.05, 1.45, 0), (0.2, 1.45, 0), (0.5, 1.45, 0), (0.75, 1.45, 0),
    (-0.05, 1.45, 0), (-0.2, 1.45, 0), (-0.5, 1.45, 0), (-0.75, 1.45, 0),
    (0.1, 0.95, 0), (0.1, 0.5, 0), (0.1, 0.1, 0), (-0.1, 0.95, 0), (-0.1, 0.5, 0), (-0.1, 0.1, 0),
    (0.1, 0.02, 0.15), (-0.1, 0.02, 0.15),
])  # fmt: skip
"""A T-pose in Motive's default axes: left along +X, up +Y, facing +Z."""
PARENTS = [0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 1, 14, 15, 1, 17, 18, 16, 19]
IDENTITY = np.tile((0.0, 0.0, 0.0, 1.0), (21, 1))


def models(names=MOTIVE, prefix="Ada_", **others):
    offsets = [Y_UP[k] - (Y_UP[p - 1] if p else 0) for k, p in enumerate(PARENTS)]
    bones = tuple(
        BodyModel(prefix + n, k + 1, p, tuple(o))
        for k, (n, p, o) in enumerate(zip(names, PARENTS, offsets, strict=True))
    )
    return ModelDef((), others.get("rigid", ()), (SkeletonModel("Ada", 2, bones), *others.get("more", ())), (), 0)


def frame(pos=Y_UP, quat=IDENTITY, *, params=1, rigid=None, ids=None, skeleton=2):
    ids = np.arange(1, len(pos) + 1) if ids is None else ids
    bones = encode.bodies((skeleton << 16) | ids, pos, quat, params=params)
    empty = np.empty((0, 3), np.float32)
    return Frame(
        1, (), empty, np.empty(0, BODY) if rigid is None else rigid, (), (SkeletonData(skeleton, bones),), (),
        np.empty(0, MARKER), (), (), 0.0, 0, 0, 0.0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip


def person(data, definitions=None, up="y", wanted=None):
    return Reader(plan(definitions or models(), wanted), up).read(data)


def refused(call):
    with pytest.raises(ProtocolError) as error:
        call()
    return error.value.reason, str(error.value)


@pytest.mark.parametrize(("names", "prefix"), [(MOTIVE, "Ada_"), (MOTIVE, ""), (FBX, "Ada:"), (BIPED, "")])
def test_a_t_pose_faces_x_with_the_left_arm_along_y(names, prefix):
    seen = person(frame(), models(names, prefix))
    assert seen.valid.all()
    expected = {
        "Pelvis": (0, 0, 1.0), "Head": (0.02, 0, 1.6), "LeftHand": (0, 0.75, 1.45), "RightUpperArm": (0, -0.2, 1.45),
        "LeftUpperLeg": (0, 0.1, 0.95), "RightFoot": (0, -0.1, 0.1), "LeftToe": (0.15, 0.1, 0.02), "Neck": (0, 0, 1.5),
    }  # fmt: skip
    for name, point in expected.items():
        np.testing.assert_allclose(seen.pos_w[AT[name]], point, atol=1e-6)
    np.testing.assert_array_equal(seen.quat_w, np.tile((1.0, 0, 0, 0), (23, 1)))


def test_the_vertebrae_lie_between_the_bones_there_are():
    """Ab at 1.1 m, Chest at 1.3 m, Neck at 1.5 m."""
    heights = person(frame()).pos_w[[AT[n] for n in ("L5", "L3", "T12", "T8")], 2]
    np.testing.assert_allclose(heights, (1.1, 1.2, 1.3, 1.39), atol=1e-6)


@pytest.mark.parametrize(
    ("motive_axis", "ours"),
    [("left (x)", (0, 1, 0)), ("up (y)", (0, 0, 1)), ("forward (z)", (1, 0, 0))],
)
def test_orientations_turn_with_the_axes(motive_axis, ours):
    """90 deg about Motive's axis is 90 deg about the same direction of the room in ours."""
    k = ("left (x)", "up (y)", "forward (z)").index(motive_axis)
    half = 0.5**0.5
    quat = np.zeros((1, 4))
    quat[0, k], quat[0, 3] = half, half
    _, turned = to_z_up(np.zeros((1, 3)), quat, "y")
    np.testing.assert_allclose(turned[0], (half, *np.multiply(half, ours)), atol=1e-12)


def test_z_up_streams_are_the_same_person():
    """Motive's own Z-up: x stays, y becomes z, z becomes -y."""
    half = 0.5**0.5
    y_quat, z_quat = IDENTITY.copy(), IDENTITY.copy()
    y_quat[4], z_quat[4] = (0, 0, half, half), (0, -half, 0, half)
    z_up = np.stack((Y_UP[:, 0], -Y_UP[:, 2], Y_UP[:, 1]), axis=1)
    a, b = person(frame(quat=y_quat)), person(frame(z_up, z_quat), up="z")
    np.testing.assert_allclose(a.pos_w, b.pos_w, atol=1e-6)
    np.testing.assert_allclose(a.quat_w, b.quat_w, atol=1e-7)


def test_bones_are_found_by_id_in_any_order():
    order = np.random.default_rng(1).permutation(21)
    mixed = frame(Y_UP[order], ids=order + 1)
    np.testing.assert_array_equal(person(mixed).pos_w, person(frame()).pos_w)


def test_a_bone_that_is_not_tracked_is_invalid_and_stays_where_it_was():
    reader = Reader(plan(models(), None), "y")
    first = reader.read(frame())
    moved = Y_UP.copy()
    moved[12] = np.nan
    params = np.ones(21, int)
    params[12] = 0
    second = reader.read(frame(moved + (0.1, 0, 0), params=params))
    lost = AT["RightHand"]
    assert np.flatnonzero(~second.valid).tolist() == [lost]
    np.testing.assert_array_equal(second.pos_w[lost], first.pos_w[lost])
    np.testing.assert_allclose(second.pos_w[AT["Head"]], first.pos_w[AT["Head"]] + (0, 0.1, 0), atol=1e-6)
    params[:] = 1
    params[1] = 0
    names = [MVN_SEGMENTS[i] for i in np.flatnonzero(~reader.read(frame(params=params)).valid)]
    assert names == ["L5", "L3"], "what Ab tells"


def test_quaternion_signs_are_continuous():
    reader = Reader(plan(models(), None), "y")
    quat = IDENTITY.copy()
    quat[:, :] = (0.6, 0, 0, 0.8)
    signs = [reader.read(frame(quat=s * quat)).quat_w[3, 0] for s in (-1, 1, -1)]
    np.testing.assert_allclose(signs, (-0.8, -0.8, -0.8), atol=1e-7)


def test_toes_may_be_missing():
    short = models()
    short = short._replace(skeletons=(short.skeletons[0]._replace(bones=short.skeletons[0].bones[:19]),))
    seen = person(frame(Y_UP[:19], IDENTITY[:19]), short)
    assert [MVN_SEGMENTS[i] for i in np.flatnonzero(~seen.valid)] == ["RightToe", "LeftToe"]
    assert np.isfinite(seen.pos_w).all()


def test_two_skeletons_are_named_and_one_can_be_chosen():
    bob = models().skeletons[0]._replace(name="Bob", id=3)
    both = models(more=(bob,))
    assert refused(lambda: plan(both, None)) == (
        "two_skeletons", "2 skeletons are streamed: 'Ada', 'Bob'; choose one by name",
    )  # fmt: skip
    assert refused(lambda: plan(both, "Eve")) == (
        "no_such_skeleton", "skeleton 'Eve' is not streamed; streamed skeletons: 'Ada', 'Bob'",
    )  # fmt: skip
    assert plan(both, "Bob").skeleton == 3


def test_a_skeleton_without_the_bones_that_are_needed_is_refused():
    names = [*MOTIVE[:8], "Tail", *MOTIVE[9:]]
    reason, sentence = refused(lambda: plan(models(names, ""), None))
    assert reason == "missing_bones"
    assert sentence.startswith("skeleton 'Ada' has no bone for LeftHand; its bones are Hip, Ab,")


@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        (lambda: frame(skeleton=9), "not_streamed", "21 of 21 bodies of skeleton 'Ada' are not in the frame; enable"),
        (lambda: frame(params=0), "not_tracked", "no body of skeleton 'Ada' is tracked"),
        (lambda: frame(Y_UP * np.nan), "non_finite", "a position or quaternion of a tracked body is NaN or infinite"),
        (lambda: frame(quat=IDENTITY * 1.02), "quaternion_norm", "a quaternion has norm 1.02; 1 is expected"),
        (lambda: frame(Y_UP + 2e4), "implausible_position", "a body is at (2e+04, 2e+04, 2e+04) m, beyond 10000 m"),
        (lambda: frame(Y_UP * 1000), "implausible_position", "the stream looks like millimetres, set 'Scale' to 1"),
        (lambda: frame(Y_UP * 100), "implausible_position", "the stream looks like centimetres, set 'Scale' to 1"),
        (lambda: frame(Y_UP / 10), "implausible_position", "the farthest body is 0.0996 m from the first; 0.2 to 3"),
        (
            lambda: frame([b.offset for b in models().skeletons[0].bones]),
            "local_coordinates",
            "skeleton 'Ada' is streamed in local coordinates; choose 'Skeleton Coordinates: Global'",
        ),
        (
            lambda: frame(np.stack((Y_UP[:, 0], -Y_UP[:, 2], Y_UP[:, 1]), axis=1)),
            "wrong_up_axis",
            "the operator lies, or Motive streams Z-up (choose up axis z)",
        ),
    ],
)
def test_what_is_no_person_is_refused(change, reason, sentence):
    got = refused(lambda: person(change()))
    assert got[0] == reason and sentence in got[1] and "\n" not in got[1]


def test_local_coordinates_are_judged_when_a_stream_begins_and_lying_down_later_is_allowed():
    reader = Reader(plan(models(), None), "y")
    reader.read(frame())
    assert reader.read(frame(np.stack((Y_UP[:, 0], -Y_UP[:, 2], Y_UP[:, 1]), axis=1))).valid.all()


def rigid_models(*names):
    return ModelDef((), tuple(BodyModel(n, 10 + k, -1, (0, 0, 0)) for k, n in enumerate(names)), (), (), 0)


def rigid_frame(**bodies):
    ids = np.array([int(k[1:]) for k in bodies])
    records = encode.bodies(ids, np.array(list(bodies.values()), float), IDENTITY[: len(ids)])
    return frame(rigid=records)._replace(skeletons=())


def test_three_to_six_rigid_bodies_are_an_operator_of_whom_only_these_are_known():
    definitions = rigid_models("Drone", "head", "L_Hand", "Right Hand")
    data = rigid_frame(b13=(-0.4, 1, 0.2), b10=(9, 9, 9), b11=(0, 1.6, 0), b12=(0.4, 1, 0.2))
    seen = person(data, definitions)
    assert [MVN_SEGMENTS[i] for i in np.flatnonzero(seen.valid)] == ["Head", "RightHand", "LeftHand"]
    np.testing.assert_allclose(seen.pos_w[AT["Head"]], (0, 0, 1.6), atol=1e-6)
    np.testing.assert_allclose(seen.pos_w[AT["RightHand"]], (0.2, -0.4, 1), atol=1e-6)
    assert np.isfinite(seen.pos_w).all()
    np.testing.assert_allclose(np.linalg.norm(seen.quat_w, axis=1), 1.0)
    six = plan(rigid_models("Head", "LeftHand", "RightHand", "Pelvis", "LeftFoot", "RightFoot"), None)
    assert [MVN_SEGMENTS[i] for i in np.flatnonzero(six.known)] == [
        "Pelvis", "Head", "RightHand", "LeftHand", "RightFoot", "LeftFoot",
    ]  # fmt: skip


def test_too_few_rigid_bodies_say_what_is_there():
    assert refused(lambda: plan(rigid_models("Head", "Drone"), None)) == (
        "no_person",
        "neither a skeleton nor rigid bodies named Head, LeftHand and RightHand are streamed "
        "(rigid bodies: 'Head', 'Drone'); enable 'Skeletons' in Motive's streaming settings",
    )
