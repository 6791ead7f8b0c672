"""BVH text -> joints and a channel table, and their forward kinematics. Knows nothing about people or units."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.errors import MotionFileError

MAX_BYTES = 256 * 1024 * 1024
"""A three-hour capture of 23 joints at 30 Hz is 200 MB."""
MAX_JOINTS = 512
MAX_DEPTH = 64
MAX_FRAMES = 2_000_000
MAX_VALUES = 50_000_000
"""Numbers in the motion block; 400 MB as float64."""
MIN_FRAME_TIME_S, MAX_FRAME_TIME_S = 1e-4, 1.0

CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")


@dataclass(frozen=True, slots=True)
class BvhJoint:
    """One joint of the hierarchy."""

    name: str
    parent: int
    """Index of the parent joint, -1 for the root; parents come first."""
    offset: Array
    """From the parent, in the file's unit, (3,)."""
    channels: tuple[int, ...]
    """Indices into CHANNELS in the order they are written."""
    first_channel: int
    """Column of its first channel."""
    end: Array | None
    """Offset of its End Site, if it has one, (3,)."""


@dataclass(frozen=True, slots=True)
class Bvh:
    """A parsed file."""

    joints: tuple[BvhJoint, ...]
    frame_time_s: float
    values: Array
    """The motion block, file units and degrees, (frames, channels)."""

    def index(self, name: str) -> int:
        """Index of the joint of that name; KeyError where there is none."""
        for i, joint in enumerate(self.joints):
            if joint.name == name:
                return i
        raise KeyError(name)


class _Words:
    """The hierarchy's words, with their line for messages."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._words = [(w, n) for n, line in enumerate(text.splitlines(), 1) for w in line.split()]
        self._at = 0

    @property
    def line(self) -> int:
        """Line of the newest word, 1-based."""
        return self._words[max(self._at - 1, 0)][1] if self._words else 1

    @property
    def exhausted(self) -> bool:
        return self._at >= len(self._words)

    def next(self, wanted: str) -> str:
        """The next word; `wanted` says what belongs here."""
        if self.exhausted:
            raise MotionFileError(f"{self.where}: the hierarchy ends where {wanted} belongs")
        word = self._words[self._at][0]
        self._at += 1
        return word

    def expect(self, wanted: str) -> None:
        """The next word must be `wanted` (any case)."""
        word = self.next(wanted)
        if word.upper() != wanted.upper():
            raise MotionFileError(f"{self.where}: line {self.line} has {word!r} where {wanted} belongs")

    def number(self, wanted: str) -> float:
        """The next word as a finite number."""
        word = self.next(wanted)
        try:
            value = float(word)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise MotionFileError(f"{self.where}: line {self.line} has {word!r} where a number ({wanted}) belongs")
        return value

    def vector(self, wanted: str) -> Array:
        """Three numbers."""
        return np.array([self.number(wanted) for _ in range(3)])


def parse_bvh(text: str, where: str = "BVH") -> Bvh:
    """Parse the text of a BVH file; tabs, CRLF, `.0083333` and position channels on any joint are fine.

    Raises:
        MotionFileError: not a BVH, a broken hierarchy or motion block, zero frames, a size beyond the caps.
    """
    if len(text) > MAX_BYTES:
        raise MotionFileError(f"{where}: {len(text)} bytes; at most {MAX_BYTES} are read")
    text = text.removeprefix("\ufeff")
    if not text.lstrip()[:9].upper() == "HIERARCHY":
        raise MotionFileError(f"{where}: not a BVH file: it does not begin with HIERARCHY")
    cut = _motion_keyword(text)
    if cut < 0:
        raise MotionFileError(f"{where}: it has no MOTION section")
    joints, width = _parse_hierarchy(_Words(text[:cut], where))
    first_line = text.count("\n", 0, cut) + 1
    frames, frame_time_s, lines, first_line = _parse_motion_header(text[cut:].splitlines(), first_line, where)
    return Bvh(joints, frame_time_s, _parse_frames(lines, first_line, frames, width, where))


def _motion_keyword(text: str) -> int:
    """Position of the line that says MOTION, -1 without one."""
    at = 0
    while (at := text.find("MOTION", at)) >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        if text[start : end if end >= 0 else None].strip() == "MOTION":
            return at
        at += 6
    return -1


def _parse_hierarchy(words: _Words) -> tuple[tuple[BvhJoint, ...], int]:
    """Joints with parents first, and the number of channels."""
    words.expect("HIERARCHY")
    words.expect("ROOT")
    joints: list[BvhJoint] = []
    names: set[str] = set()
    width = 0
    stack = [-1]
    name = words.next("the root's name")
    while True:
        if len(joints) >= MAX_JOINTS:
            raise MotionFileError(f"{words.where}: more than {MAX_JOINTS} joints")
        if name in names:
            raise MotionFileError(f"{words.where}: line {words.line} names a second joint {name!r}")
        names.add(name)
        words.expect("{")
        words.expect("OFFSET")
        offset = words.vector(f"OFFSET of {name}")
        channels = _parse_channels(words, name)
        joints.append(BvhJoint(name, stack[-1], offset, channels, width, None))
        width += len(channels)
        stack.append(len(joints) - 1)
        if len(stack) > MAX_DEPTH:
            raise MotionFileError(f"{words.where}: joints are nested deeper than {MAX_DEPTH}")
        while True:  # close joints until the next one begins
            word = words.next("JOINT, End Site or }")
            if word.upper() == "JOINT":
                name = words.next("a joint's name")
                break
            if word.upper() == "END":
                _parse_end_site(words, joints, stack[-1])
            elif word == "}":
                stack.pop()
                if len(stack) == 1:
                    if not words.exhausted:
                        word = words.next("")
                        raise MotionFileError(f"{words.where}: {word!r} after the root's end; one root is read")
                    return tuple(joints), width
            else:
                raise MotionFileError(f"{words.where}: line {words.line} has {word!r} where JOINT or }} belongs")


def _parse_channels(words: _Words, name: str) -> tuple[int, ...]:
    """The CHANNELS line of one joint."""
    words.expect("CHANNELS")
    count = words.number(f"channel count of {name}")
    if count not in range(7):
        raise MotionFileError(f"{words.where}: joint {name} declares {count:g} channels; 0 to 6 exist")
    known = {c.lower(): i for i, c in enumerate(CHANNELS)}
    channels = []
    for _ in range(int(count)):
        word = words.next("a channel name")
        if word.lower() not in known:
            raise MotionFileError(f"{words.where}: joint {name} has channel {word!r}; known: {', '.join(CHANNELS)}")
        channels.append(known[word.lower()])
    if len(set(channels)) < len(channels):
        raise MotionFileError(f"{words.where}: joint {name} names a channel twice")
    return tuple(channels)


def _parse_end_site(words: _Words, joints: list[BvhJoint], owner: int) -> None:
    """`End Site { OFFSET x y z }`: kept in the joint that owns it."""
    words.expect("Site")
    words.expect("{")
    words.expect("OFFSET")
    j = joints[owner]
    end = words.vector(f"End Site of {j.name}")
    joints[owner] = BvhJoint(j.name, j.parent, j.offset, j.channels, j.first_channel, end)
    words.expect("}")


def _parse_motion_header(lines: list[str], line: int, where: str) -> tuple[int, float, list[str], int]:
    """`MOTION`, `Frames:` and `Frame Time:`; returns frames, seconds, the lines after and the number of the first."""
    wanted = ["MOTION", "Frames:", "Frame Time:"]
    found: list[float] = []
    at = 0
    for key in wanted:
        while at < len(lines) and not lines[at].strip():
            at += 1
        got = " ".join(lines[at].split()) if at < len(lines) else ""
        if not got.lower().startswith(key.lower()):
            raise MotionFileError(f"{where}: line {line + at} has {got[:40]!r} where '{key}' belongs")
        if key != "MOTION":
            try:
                found.append(float(got[len(key) :]))
            except ValueError:
                raise MotionFileError(f"{where}: line {line + at} has {got[:40]!r}; a number belongs there") from None
        at += 1
    frames, seconds = found
    if frames < 1 or not frames.is_integer():
        raise MotionFileError(f"{where}: it says 'Frames: {frames:g}'; at least one frame is needed")
    if frames > MAX_FRAMES:
        raise MotionFileError(f"{where}: it says 'Frames: {frames:g}'; at most {MAX_FRAMES} are read")
    if not MIN_FRAME_TIME_S <= seconds <= MAX_FRAME_TIME_S:
        raise MotionFileError(
            f"{where}: frame time {seconds:g} s; {MIN_FRAME_TIME_S:g} s to {MAX_FRAME_TIME_S:g} s is believed"
        )
    return int(frames), seconds, lines[at:], line + at


def _parse_frames(lines: list[str], first_line: int, frames: int, width: int, where: str) -> Array:
    """The motion block as (frames, width); every line is counted, then all numbers are read at once."""
    if frames * width > MAX_VALUES:
        raise MotionFileError(f"{where}: {frames} frames of {width} values; at most {MAX_VALUES} values are read")
    rows = [(n, line) for n, line in enumerate(lines, first_line) if not line.isspace() and line]
    for i, (n, line) in enumerate(rows[:frames]):
        count = len(line.split())
        if count != width:
            raise MotionFileError(
                f"{where}: frame {i} (line {n}) has {count} values; the hierarchy has {width} channels"
            )
    if len(rows) != frames:
        what = "truncated" if len(rows) < frames else "longer than it says"
        raise MotionFileError(f"{where}: the motion block is {what}: 'Frames: {frames}', {len(rows)} frame lines")
    values = _floats(" ".join(line for _, line in rows), frames * width)
    if values is None or not np.isfinite(values).all():
        i, n, word = _first_bad(rows)
        raise MotionFileError(f"{where}: frame {i} (line {n}) holds {word!r}, which is not a finite number")
    return values.reshape(frames, width)


def _floats(text: str, count: int) -> Array | None:
    """All numbers of a text, None where one cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            return None
    return values if values.size == count else None


def _first_bad(rows: list[tuple[int, str]]) -> tuple[int, int, str]:
    """Frame index, line number and word of the first value that is not a finite number."""
    for i, (n, line) in enumerate(rows):
        for word in line.split():
            try:
                good = bool(np.isfinite(float(word)))
            except ValueError:
                good = False
            if not good:
                return i, n, word
    return 0, rows[0][0], rows[0][1].split()[0]


def joint_motion(bvh: Bvh) -> tuple[Array, Array]:
    """World positions (T, J, 3) [file unit] and orientations wxyz (T, J, 4) in the file's own Y-up frame.

    Channels apply left to right as written (v' = R1 R2 R3 v); position channels replace OFFSET where present.
    """
    frames = len(bvh.values)
    pos = np.empty((frames, len(bvh.joints), 3))
    quat = np.empty((frames, len(bvh.joints), 4))
    for i, joint in enumerate(bvh.joints):
        local_pos = np.broadcast_to(joint.offset, (frames, 3)).copy()
        local_quat = np.broadcast_to(rot.IDENTITY, (frames, 4))
        for k, channel in enumerate(joint.channels):
            column = bvh.values[:, joint.first_channel + k]
            if channel < 3:
                local_pos[:, channel] = column
            else:
                local_quat = rot.multiply(local_quat, rot.about(channel - 3, np.deg2rad(column)))
        if joint.parent < 0:
            pos[:, i], quat[:, i] = local_pos, local_quat
        else:
            pos[:, i] = pos[:, joint.parent] + rot.rotate(quat[:, joint.parent], local_pos)
            quat[:, i] = rot.multiply(quat[:, joint.parent], local_quat)
    return pos, quat
