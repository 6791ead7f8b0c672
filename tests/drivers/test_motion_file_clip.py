"""BVH -> MVN segments: frames, places, units and skeleton families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from teleopd.drivers.human_pose import MVN_SEGMENTS
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.bvh import joint_motion, parse_bvh
from teleopd.drivers.motion_file.clip import SEGMENT, to_local, to_world
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.families import FAMILIES, detect_family
from teleopd.drivers.motion_file.kinematics import clip_from_bvh, segment_frames
from teleopd.drivers.motion_file.library import load_motion

# name, parent, OFFSET in cm (Y up, facing +Z, left is +X), arms out
JOINTS: tuple[tuple[str, str, tuple[float, float, float]], ...] = (
    ("Hips", "", (0, 0, 0)),
    ("Chest", "Hips", (0, 10, -1)),
    ("Chest2", "Chest", (0, 11, 0)),
    ("Chest3", "Chest2", (0, 10, 0)),
    ("Chest4", "Chest3", (0, 10, 0)),
    ("Neck", "Chest4", (0, 14, 0)),
    ("Head", "Neck", (0, 10, 0)),
    *(
        row
        for side, x in (("Right", -1), ("Left", 1))
        for row in (
            (f"{side}Collar", "Chest4", (3 * x, 8, 0)),
            (f"{side}Shoulder", f"{side}Collar", (15 * x, 0, 0)),
            (f"{side}Elbow", f"{side}Shoulder", (31 * x, 0, 0)),
            (f"{side}Wrist", f"{side}Elbow", (25 * x, 0, 0)),
        )
    ),
    *(
        row
        for side, x in (("Right", -1), ("Left", 1))
        for row in (
            (f"{side}Hip", "Hips", (8 * x, 0, 0)),
            (f"{side}Knee", f"{side}Hip", (0, -43, 0)),
            (f"{side}Ankle", f"{side}Knee", (0, -42, 0)),
            (f"{side}Toe", f"{side}Ankle", (0, -7, 17)),
        )
    ),
)
CHANNELS = 6 + 3 * (len(JOINTS) - 1)


def text(frames: Sequence[Sequence[float]], *, scale: float = 1.0, rename: dict[str, str] | None = None,
         arms_down: bool = False, frame_time: str = "0.01", count: str | None = None) -> str:  # fmt: skip
    """BVH text; `frames` are rows of CHANNELS values, `rename` changes joint names."""
    rename = rename or {}
    children: dict[str, list[int]] = {}
    for i, (_, parent, _) in enumerate(JOINTS):
        children.setdefault(parent, []).append(i)

    def block(i: int) -> str:
        name, parent, (x, y, z) = JOINTS[i]
        if arms_down and name.endswith(("Elbow", "Wrist")):
            x, y = 0, -abs(x)
        word = "JOINT" if parent else "ROOT"
        position = "Xposition Yposition Zposition " if not parent else ""
        inner = "".join(block(k) for k in children.get(name, []))
        end = inner or "End Site\n{\nOFFSET 0 0 0\n}\n"
        return (
            f"{word} {rename.get(name, name)}\n{{\nOFFSET {x * scale} {y * scale} {z * scale}\n"
            f"CHANNELS {3 + 3 * bool(position)} {position}Yrotation Xrotation Zrotation\n{end}}}\n"
        )

    body = "\n".join(" ".join(f"{v:g}" for v in row) for row in frames)
    head = f"MOTION\nFrames: {len(frames) if count is None else count}\nFrame Time: {frame_time}\n"
    return "HIERARCHY\n" + block(0) + head + body + "\n"


def row(root: tuple[float, float, float] = (0, 94, 0), **rotations: tuple[float, float, float]) -> list[float]:
    """One frame: root position and (Y, X, Z) degrees per joint, zero where not given."""
    values: list[float] = list(root)
    for name, _, _ in ORDER:
        values += rotations.get(name, (0, 0, 0))
    return values


def _depth_first() -> list[tuple[str, str, tuple[float, float, float]]]:
    children: dict[str, list[int]] = {}
    for i, (_, parent, _) in enumerate(JOINTS):
        children.setdefault(parent, []).append(i)

    def walk(i: int) -> list[tuple[str, str, tuple[float, float, float]]]:
        return [JOINTS[i]] + [j for k in children.get(JOINTS[i][0], []) for j in walk(k)]

    return walk(0)


ORDER = _depth_first()

CLIPS = {
    "bandai1_kick_normal_001": "Bandai-Namco",
    "bandai1_run_normal_001": "Bandai-Namco",
    "bandai1_walk_normal_001": "Bandai-Namco",
    "cmu_12_01_walk": "CMU (MotionBuilder names)",
    "cmu_131_01_startwalkstop": "CMU (3ds Max names)",
    "lafan1_fallAndGetUp1_subject1": "LAFAN1",
    "mocap_sk00_146": "optical",
    "soma_pickup_A508": "SOMA",
    "xsens_gmr_boxing_120Hz": "Xsens",
    "xsens_hh_stand": "Xsens",
}


def clip_of(frames, **kwargs):
    return clip_from_bvh(parse_bvh(text(frames, **kwargs)), "x")


def turned(q: np.ndarray, v: tuple[float, float, float]) -> np.ndarray:
    """Rotate by the textbook matrix, not by the code under test."""
    w, x, y, z = q
    m = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return m @ np.array(v)


def angles_deg(q: np.ndarray) -> np.ndarray:
    """Rotation angle of (..., 4) quaternions [deg]."""
    return np.rad2deg(2 * np.arctan2(np.linalg.norm(q[..., 1:], axis=-1), np.abs(q[..., 0])))


def test_t_pose_gives_identity_everywhere_and_places_in_metres() -> None:
    clip = clip_of([row(), row()])
    assert np.abs(clip.quat_w[0]) == pytest.approx(np.tile([1, 0, 0, 0], (23, 1)), abs=1e-12)
    at = {n: clip.pos_w[0, i] for n, i in SEGMENT.items()}
    assert at["LeftHand"] - at["Pelvis"] == pytest.approx([-0.01, 0.74, 0.49])
    assert at["RightToe"] - at["Pelvis"] == pytest.approx([0.17, -0.08, -0.92])
    assert at["LeftToe"][2] == pytest.approx(0.02)
    assert (clip.fps, clip.family) == (100.0, "Xsens")


def test_arms_down_rest_pose_means_the_same_person() -> None:
    clip = clip_of([row(), row()], arms_down=True)
    # left arm hanging with the thumb forward is Rx(-90) of the T-pose with the palm down; the right arm Rx(+90)
    for side, sign in (("Left", -1.0), ("Right", 1.0)):
        for segment in ("UpperArm", "ForeArm", "Hand"):
            q = clip.quat_w[0, SEGMENT[side + segment]]
            assert q * np.sign(q[0]) == pytest.approx([np.sqrt(0.5), sign * np.sqrt(0.5), 0, 0], abs=1e-12)
    assert np.abs(clip.quat_w[0, SEGMENT["LeftShoulder"], 0]) == pytest.approx(1.0)


def test_flexions_turn_about_the_canonical_axes() -> None:
    # BVH: facing +Z, left +X, so knee flexion is +X, a left elbow bends forward about -Y
    frame = row(LeftKnee=(0, 60, 0), LeftElbow=(-90, 0, 0), RightElbow=(90, 0, 0), Hips=(30, 0, 0))
    clip = clip_of([row(), frame])
    _, local = to_local(clip.pos_w, clip.quat_w)
    assert turned(local[1, SEGMENT["LeftLowerLeg"]], (0, 0, -1)) == pytest.approx([-np.sin(np.pi / 3), 0, -0.5])
    assert turned(local[1, SEGMENT["LeftForeArm"]], (0, 1, 0)) == pytest.approx([1, 0, 0])
    assert turned(local[1, SEGMENT["RightForeArm"]], (0, -1, 0)) == pytest.approx([1, 0, 0])
    assert turned(clip.quat_w[1, 0], (1, 0, 0)) == pytest.approx([np.cos(np.pi / 6), 0.5, 0])


def test_first_heading_and_place_become_the_origin() -> None:
    clip = clip_of([row((50, 94, 70), Hips=(90, 0, 0)), row((150, 94, 70), Hips=(90, 0, 0))])
    assert clip.pos_w[0, 0, :2] == pytest.approx([0, 0])
    # the person faced BVH +X and went 1 m along it: forward
    assert clip.pos_w[1, 0] - clip.pos_w[0, 0] == pytest.approx([1, 0, 0])
    raw = clip_from_bvh(parse_bvh(text([row((50, 94, 70))])), "x", align=False)
    assert raw.pos_w[0, 0] == pytest.approx([0.7, 0.5, 0.94])


@pytest.mark.parametrize(("scale", "unit"), [(0.01, "m"), (10, "mm"), (1 / 5.6444, "CMU")])
def test_wrong_unit_is_refused_and_the_right_one_named(scale: float, unit: str) -> None:
    with pytest.raises(MotionFileError) as caught:
        clip_of([row()], scale=scale)
    assert f"seems to be written in {unit}" in str(caught.value) and "(1.73 m)" in str(caught.value)


def test_unit_can_be_said_and_is_still_checked() -> None:
    metres = parse_bvh(text([row((0, 0.94, 0))], scale=0.01))
    clip = clip_from_bvh(metres, "x", unit_m=1.0)
    assert clip.pos_w[0, 0, 2] == pytest.approx(0.94)
    with pytest.raises(MotionFileError, match=r"0.01 m a unit \(skeleton Xsens\) the person would be 0.0173 m tall"):
        clip_from_bvh(metres, "x", unit_m=0.01)


def test_a_broken_position_is_refused() -> None:
    with pytest.raises(MotionFileError) as caught:
        clip_of([row(), row((0, 94, 200_000))])
    assert str(caught.value) == "x: frame 1 puts a joint 2e+03 m from the origin; 1000 m is believed"
    clip_of([row(), row((0, 94, 99_900))])


def test_unknown_joints_are_listed_with_the_families() -> None:
    with pytest.raises(MotionFileError) as caught:
        clip_of([row()], rename={"LeftKnee": "KneeL", "Neck": "Cou"})
    assert str(caught.value) == (
        "x: unknown skeleton: nearest is Xsens, but joints LeftKnee, Neck are missing; skeletons read: "
        "Xsens, CMU (3ds Max names), CMU (MotionBuilder names), optical, LAFAN1, Bandai-Namco, SOMA"
    )
    with pytest.raises(MotionFileError, match="none of its 2 joints is known; skeletons read: Xsens"):
        detect_family({"foo", "bar"}, "x")


def test_namespaces_are_ignored_and_missing_collars_and_toes_derived() -> None:
    names = {n: f"Bob:{n}" for n in ("Hips", "Chest", "LeftKnee")}
    clip = clip_of([row()], rename=names | {"LeftCollar": "Clavicle1"})
    assert np.abs(clip.quat_w[0, SEGMENT["LeftShoulder"], 0]) == pytest.approx(1.0)
    with pytest.raises(MotionFileError, match="joint LeftAnkle has neither a toe joint nor an End Site"):
        clip_of([row()], rename={"LeftToe": "Bulb"})


def test_every_family_maps_all_segments_and_frames_are_rotations() -> None:
    for family in FAMILIES:
        assert tuple(family.origins()) == MVN_SEGMENTS
        if family.axes:
            frames = segment_frames(parse_bvh(text([row()])), family)
            assert [np.linalg.norm(q) for q in frames.values()] == pytest.approx([1.0] * 23)


def test_channels_of_the_helper() -> None:
    assert parse_bvh(text([row()])).values.shape == (1, CHANNELS)


def test_local_and_world_forms_are_inverse() -> None:
    rng = np.random.default_rng(1)
    quat = rng.normal(size=(4, 23, 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    pos = rng.normal(size=(4, 23, 3))
    back_pos, back_quat = to_world(*to_local(pos, quat))
    assert back_pos == pytest.approx(pos) and back_quat == pytest.approx(quat)


# ---- recorded people -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(shared_data: Path):
    return {name: load_motion(shared_data / "bvh" / f"{name}.bvh") for name in CLIPS}


@pytest.mark.parametrize("name", CLIPS)
def test_recorded_person_is_plausible(clips, name: str) -> None:
    clip = clips[name]
    assert clip.family == CLIPS[name]
    assert np.isfinite(clip.pos_w).all() and np.linalg.norm(clip.quat_w, axis=-1) == pytest.approx(1.0)
    assert (np.sum(clip.quat_w[1:] * clip.quat_w[:-1], axis=-1) >= 0).all()
    offsets, local = to_local(clip.pos_w, clip.quat_w)
    lengths = np.linalg.norm(offsets[:, 1:], axis=-1)
    spread = lengths.max(axis=0) - lengths.min(axis=0)
    spread[SEGMENT["Head"] - 1] = max(spread[SEGMENT["Head"] - 1] - 0.005, 0.0)  # two neck joints folded into one
    assert spread.max() < 1e-6
    # upright frames: pelvis level up to heading, head over pelvis, feet level at median, toes ahead of ankles
    up = clip.pos_w[:, 0, 2] > np.quantile(clip.pos_w[:, 0, 2], 0.5)
    facing = rot.about(2, -rot.heading(clip.quat_w[:, 0]))
    pelvis = rot.multiply(facing, clip.quat_w[:, 0])[up]
    assert np.median(angles_deg(pelvis)) < 12.0  # cmu_131 tips forward by 9 deg
    ahead = rot.rotate(facing[:, None], clip.pos_w - clip.pos_w[:, :1])[up]
    assert np.median(ahead[:, SEGMENT["LeftUpperArm"], 1]) > 0.05
    assert np.median(ahead[:, SEGMENT["RightUpperArm"], 1]) < -0.05
    toe_ahead = ahead[:, SEGMENT["LeftToe"], 0] - ahead[:, SEGMENT["LeftFoot"], 0]
    assert np.median(toe_ahead) > 0.05
    # hinges: a bent knee turns about +Y, a bent elbow about -Z (left) or +Z (right)
    for side, z in (("Left", -1.0), ("Right", 1.0)):
        knee = local[:, SEGMENT[side + "LowerLeg"]]
        knee = knee[:, 1:] * np.sign(knee[:, :1])
        bent = np.linalg.norm(knee, axis=1) > max(np.quantile(np.linalg.norm(knee, axis=1), 0.7), 0.08)
        if bent.any():
            assert np.median(knee[bent, 1] / np.linalg.norm(knee[bent], axis=1)) > 0.97
        elbow = local[:, SEGMENT[side + "ForeArm"]]
        elbow = elbow[:, 1:] * np.sign(elbow[:, :1])
        bent = np.linalg.norm(elbow, axis=1) > np.sin(np.deg2rad(15))
        if bent.sum() > 20:
            assert np.median(elbow[bent, 2] / np.linalg.norm(elbow[bent], axis=1)) * z > 0.75
    assert 0.75 < np.median(clip.pos_w[up, 0, 2]) < 1.1
    assert clip.pos_w[0, 0, :2] == pytest.approx([0, 0])
    assert rot.heading(clip.quat_w[0, 0]) == pytest.approx(0, abs=1e-9)


def test_lafan_begins_in_a_t_pose_so_frames_are_near_identity(clips) -> None:
    """Independent of the axis table: the actor holds a T-pose in frame 0; feet turn out freely."""
    first = clips["lafan1_fallAndGetUp1_subject1"].quat_w[0]
    angle = angles_deg(first)
    for name in ("Pelvis", "T8", "Head", "LeftUpperArm", "RightUpperArm", "LeftUpperLeg", "RightUpperLeg"):
        assert angle[SEGMENT[name]] < 16.0, name
    for name in ("LeftForeArm", "RightForeArm", "LeftHand", "RightHand"):
        assert angle[SEGMENT[name]] < 25.0, name


@pytest.mark.parametrize("name", ["xsens_hh_stand", "xsens_gmr_boxing_120Hz"])
def test_xsens_trunk_and_legs_are_the_bvh_joint_frames(clips, shared_data: Path, name: str) -> None:
    """Xsens exports identity joint frames in the zero pose: MVN frames are those, seen with Z up (x'=z, y'=x, z'=y)."""
    bvh = parse_bvh((shared_data / "bvh" / f"{name}.bvh").read_text())
    _, quat = joint_motion(bvh)
    moved = quat[..., [0, 3, 1, 2]]  # conjugation by the axis cycle permutes the vector part
    clip = clip_from_bvh(bvh, name, align=False)
    for segment in (0, 1, 2, 3, 4, 5, 6, 7, 11, *range(15, 23)):
        dot = np.abs(np.sum(clip.quat_w[:, segment] * moved[:, segment], axis=-1))
        assert np.arccos(np.clip(dot, 0, 1)).max() < 1e-4, MVN_SEGMENTS[segment]


def test_cmu_skips_its_rest_frame(clips) -> None:
    assert (clips["cmu_12_01_walk"].frames, clips["cmu_12_01_walk"].fps) == (523, 120.0)
    assert clips["cmu_131_01_startwalkstop"].frames == 993


def test_cmu_elbow_and_knee_hinges_are_exact(clips) -> None:
    _, local = to_local(clips["cmu_12_01_walk"].pos_w, clips["cmu_12_01_walk"].quat_w)
    assert np.abs(local[:, SEGMENT["LeftForeArm"], 1:3]).max() < 1e-3
    assert np.abs(local[:, SEGMENT["RightLowerLeg"]][:, [1, 3]]).max() < 1e-3
