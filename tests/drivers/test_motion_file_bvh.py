"""BVH text: what is read, and what is refused in which words."""

from __future__ import annotations

import numpy as np
import pytest

from teleopd.drivers.motion_file.bvh import MAX_JOINTS, joint_motion, parse_bvh
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.source import SourceError, SourceUnavailable

TWO = """HIERARCHY
ROOT a
{
\tOFFSET 1 2 3
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT b
\t{
\t\tOFFSET 0 10 0
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 5 0
\t\t}
\t}
}
MOTION
Frames: 2
Frame Time: .0083333
0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 90 0
"""


def test_reads_hierarchy_and_numbers() -> None:
    bvh = parse_bvh(TWO)
    rows = [(j.name, j.parent, j.first_channel, len(j.channels)) for j in bvh.joints]
    assert rows == [("a", -1, 0, 6), ("b", 0, 6, 3)]
    assert bvh.frame_time_s == 0.0083333
    assert bvh.joints[1].end is not None and bvh.joints[1].end.tolist() == [0, 5, 0]
    assert bvh.values.tolist() == [[0] * 9, [1, 2, 3, 90, 0, 0, 0, 90, 0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace(" ", "\t"),
        lambda s: s.replace("\n", "\r\n"),
        lambda s: "\ufeff" + s,
        lambda s: s.rstrip("\n"),
        lambda s: s + "\n\n",
        lambda s: s.replace("0 0 0 0 0 0 0 0 0", "  0 0\t0 0 -0 0e0 .0 0 0  "),
    ],
)
def test_tolerates_other_writers(change) -> None:
    assert np.array_equal(parse_bvh(change(TWO)).values, parse_bvh(TWO).values)


def test_forward_kinematics_by_hand() -> None:
    pos, quat = joint_motion(parse_bvh(TWO))
    # frame 1: root at (1,2,3) turned 90 deg about z takes b's offset (0,10,0) to (-10,0,0)
    assert pos[1] == pytest.approx(np.array([[1, 2, 3], [-9, 2, 3]]))
    # b: Rz(90) then its own Rx(90) in that frame: x -> y, y -> z, z -> x, i.e. 120 deg about (1,1,1)
    assert np.abs(quat[1, 1]) == pytest.approx(np.full(4, 0.5))
    assert (quat[1, 1] * np.sign(quat[1, 1, 0])).tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5])


def test_position_channels_replace_the_offset_of_any_joint() -> None:
    text = TWO.replace("CHANNELS 3 ", "CHANNELS 6 Xposition Yposition Zposition ")
    text = text.replace("0 0 0 0 0 0 0 0 0", " ".join("0" * 12))
    text = text.replace("1 2 3 90 0 0 0 90 0", "1 2 3 0 0 0 7 8 9 0 0 0")
    pos, _ = joint_motion(parse_bvh(text))
    assert pos[1, 1].tolist() == [8, 10, 12]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "HELLO", "x: not a BVH file: it does not begin with HIERARCHY"),
        ("MOTION", "NOTION", "x: it has no MOTION section"),
        ("Frames: 2", "Frames: 0", "x: it says 'Frames: 0'; at least one frame is needed"),
        ("Frames: 2", "Frames: 3", "x: the motion block is truncated: 'Frames: 3', 2 frame lines"),
        ("Frames: 2", "Frames: 1", "x: the motion block is longer than it says: 'Frames: 1', 2 frame lines"),
        ("Frames: 2", "Frames: 9999999", "x: it says 'Frames: 1e+07'; at most 2000000 are read"),
        ("1 2 3 90 0 0 0 90 0", "1 2 3 90 0 0 0 90", "x: frame 1 (line 20) has 8 values; the hierarchy has 9 channels"),
        ("2 3 90 0 0 0 90 0", "2 nan 90 0 0 0 90 0", "x: frame 1 (line 20) holds 'nan', which is not a finite number"),
        ("1 2 3 90 0 0 0 90 0", "1 2 3 9o 0 0 0 90 0", "x: frame 1 (line 20) holds '9o', which is not a finite number"),
        ("Frame Time: .0083333", "Frame Time: 0", "x: frame time 0 s; 0.0001 s to 1 s is believed"),
        ("Frame Time: .0083333", "Frame Time: nan", "x: frame time nan s; 0.0001 s to 1 s is believed"),
        ("Frame Time: .0083333", "Frame Rate: 30", "x: line 18 has 'Frame Rate: 30' where 'Frame Time:' belongs"),
        ("OFFSET 0 10 0", "OFFSET 0 ten 0", "x: line 8 has 'ten' where a number (OFFSET of b) belongs"),
        ("JOINT b", "JOINT a", "x: line 6 names a second joint 'a'"),
        ("CHANNELS 3 Z", "CHANNELS 7 Z", "x: joint b declares 7 channels; 0 to 6 exist"),
        ("3 Zrotation X", "3 Xrotation X", "x: joint b names a channel twice"),
        ("3 Zrotation X", "3 Wrotation X",
         "x: joint b has channel 'Wrotation'; known: Xposition, Yposition, Zposition, Xrotation, Yrotation, Zrotation"),
        ("\t}\n}\nMOTION", "\t}\nMOTION", "x: the hierarchy ends where JOINT, End Site or } belongs"),
        ("}\nMOTION", "}\nROOT c\nMOTION", "x: 'ROOT' after the root's end; one root is read"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where(old: str, new: str, message: str) -> None:
    assert old in TWO
    with pytest.raises(MotionFileError) as caught:
        parse_bvh(TWO.replace(old, new, 1), "x")
    assert str(caught.value) == message


def test_values_that_only_add_up_in_total_are_refused() -> None:
    text = TWO.replace("0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0").replace("1 2 3 90", "7 1 2 3 90")
    with pytest.raises(MotionFileError, match=r"frame 0 \(line 19\) has 8 values"):
        parse_bvh(text)


def test_truncation_anywhere_is_an_error_not_a_crash() -> None:
    for cut in range(len(TWO) - len("90 0\n")):
        with pytest.raises(MotionFileError):
            parse_bvh(TWO[:cut])


def test_number_of_joints_is_capped() -> None:
    many = "".join(f"JOINT j{i} {{ OFFSET 0 0 0 CHANNELS 0 }}\n" for i in range(MAX_JOINTS))
    with pytest.raises(MotionFileError, match="more than 512 joints"):
        parse_bvh(f"HIERARCHY ROOT a {{ OFFSET 0 0 0 CHANNELS 0 {many} }}\nMOTION\nFrames: 1\nFrame Time: 1\n")


def test_error_is_a_source_error_and_a_value_error() -> None:
    assert issubclass(MotionFileError, SourceError) and issubclass(MotionFileError, ValueError)
    assert issubclass(MotionFileError, SourceUnavailable)
