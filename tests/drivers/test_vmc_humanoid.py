"""Unity's humanoid -> MVN segments: axes, chains, missing bones, default proportions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file.library import load_motion
from teleopd.drivers.motion_file.resampling import null_pose
from teleopd.drivers.source import ProtocolError
from teleopd.drivers.vmc import wire
from teleopd.drivers.vmc.emulator import VmcEmulator
from teleopd.drivers.vmc.humanoid import BONES, OPTIONAL, person, plan, to_unity, to_world

AT = {name: i for i, name in enumerate(MVN_SEGMENTS)}
CLIP = load_motion("walk_and_turn")
STILL = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def bones_of(index):
    """What the emulator sends for a frame of the walk."""
    found = {}
    for datagram in VmcEmulator(CLIP).datagrams(index):
        found |= wire.decode(datagram).transforms
    return found


def read(frame):
    return person(frame, plan(frozenset(frame)))


def test_axes_by_hand():
    """Right (1,0,0) is -Y, up (0,1,0) is Z, ahead (0,0,1) is X; a clockwise turn seen from above stays clockwise."""
    s, c = math.sin(math.pi / 4), math.cos(math.pi / 4)
    pos, quat = to_world(np.array([
        (1.0, 0, 0, 0, s, 0, c),  # Unity: about Y (up), positive = clockwise from above = to the right
        (0, 1.0, 0, s, 0, 0, c),  # about X (right), positive = nose down
        (0, 0, 1.0, 0, 0, s, c),  # about Z (ahead), positive = counter-clockwise seen from behind = left side down
    ]))  # fmt: skip
    np.testing.assert_array_equal(pos, [(0, -1, 0), (0, 0, 1), (1, 0, 0)])
    # ours: clockwise from above is about -Z; nose down is about +Y; left side down is about -X
    np.testing.assert_array_equal(quat, [(c, 0, 0, -s), (c, 0, s, 0), (c, -s, 0, 0)])


def test_there_and_back():
    pos, quat = to_world(to_unity(CLIP.pos_w[40], CLIP.quat_w[40]))
    np.testing.assert_array_equal(pos, CLIP.pos_w[40])
    np.testing.assert_array_equal(quat, CLIP.quat_w[40])


def test_the_walk_arrives_through_forward_kinematics():
    for index in (0, 60, 200):
        found = read(bones_of(index))
        rows = [AT[name] for name in MVN_SEGMENTS if name != "L3"]
        np.testing.assert_allclose(found.pos_w[rows], CLIP.pos_w[index][rows], atol=1e-6)
        np.testing.assert_allclose(np.abs(np.vecdot(found.quat_w, CLIP.quat_w[index]))[rows], 1.0, atol=1e-9)
        assert found.valid.all()
        np.testing.assert_allclose(found.pos_w[AT["L3"]], CLIP.pos_w[index][AT["L3"]], atol=0.01)


def test_the_root_moves_everything():
    frame = bones_of(0)
    s, c = math.sin(0.25), math.cos(0.25)
    moved = read({**frame, "": (1.0, 2.0, 3.0, 0.0, s, 0.0, c)})
    x, y, z = CLIP.pos_w[0][AT["Head"]]
    turned = (math.cos(0.5) * x + math.sin(0.5) * y, math.cos(0.5) * y - math.sin(0.5) * x, z)  # -0.5 rad about Z
    np.testing.assert_allclose(moved.pos_w[AT["Head"]], np.add(turned, (3.0, -1.0, 2.0)), atol=1e-6)


def test_bones_without_offsets_get_an_adult_s():
    """All bones at zero in the T-pose, hips at 0.95 m: the segments of the null pose of the built-in adult."""
    frame = {bone: STILL for bone in BONES} | {"Hips": (0.0, 0.95, 0.0, 0.0, 0.0, 0.0, 1.0)}
    found = read(frame)
    adult = null_pose(load_motion("stand"))
    rows = [AT[name] for name in MVN_SEGMENTS if name != "L3"]
    np.testing.assert_allclose(found.pos_w[rows] - found.pos_w[0], (adult - adult[0])[rows], atol=1e-6)
    assert found.pos_w[0].tolist() == [0.0, 0.0, 0.95]


def test_optional_bones_are_derived():
    """An avatar with VRM's required bones only, standing in the T-pose, offsets of the adult."""
    frame = {bone: STILL for bone in BONES if bone not in OPTIONAL}
    found = read(frame)
    adult = null_pose(load_motion("stand"))
    assert found.valid.all()
    np.testing.assert_allclose(found.pos_w - found.pos_w[0], adult - adult[0], atol=1e-6)


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        ("LeftLowerArm", ["LeftForeArm", "LeftHand"]),
        ("RightFoot", ["RightFoot", "RightToe"]),
        ("LeftHand", ["LeftHand"]),
        ("Head", ["Head"]),
    ],
)
def test_missing_bones_take_their_children_along(missing, lost):
    frame = {name: value for name, value in bones_of(0).items() if name != missing}
    found = read(frame)
    assert [name for name, valid in zip(MVN_SEGMENTS, found.valid, strict=True) if not valid] == lost
    assert np.isfinite(found.pos_w).all()


def test_without_hips_there_is_nobody():
    with pytest.raises(ProtocolError) as error:
        plan(frozenset(("Spine", "Head")))
    assert str(error.value) == "no bone Hips is sent; choose a humanoid avatar in the sending program"


@pytest.mark.parametrize(
    ("bone", "value", "reason"),
    [
        ("Head", (0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.9), "quaternion_norm"),
        ("Head", (0.0, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0), "quaternion_norm"),
        ("Head", (0.0, 10.0, 0.0, 0.0, 0.0, 0.0, 1.0), "implausible_position"),
        ("Head", (0.0, 1e308, 0.0, 0.0, 0.0, 0.0, 1.0), "implausible_position"),
        ("", (1e5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), "implausible_position"),
    ],
)
def test_impossible_persons_are_refused(bone, value, reason):
    with pytest.raises(ProtocolError) as error:
        read({**bones_of(0), bone: value})
    assert error.value.reason == reason
