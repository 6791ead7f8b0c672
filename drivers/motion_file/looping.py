"""A clip again and again without a seam: its end is blended into its beginning, place and heading go on.

The last `BLEND_S` of a lap overlap the first of the next one, which starts where the lap before ended and looks where
it looked. A clip that travels therefore goes on travelling; before it would leave the room, the loop begins anew at the
origin, as a new recording (`resets`), which nobody follows as a step.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import MotionClip, to_local, to_world
from teleopd.drivers.motion_file.timing import minimum_jerk

BLEND_S = 0.5
"""Overlap of two laps [s]; half the clip where it is shorter than a second."""
ROOM_M = 7.0
"""Farthest from the origin that a loop goes [m]; the service follows an operator within 10 m."""
MAX_LAPS = 100_000
"""Of a motion that ends where it began: days."""
MAX_TRAVELLED = 1000
"""Laps of a motion that goes somewhere else each time and yet never leaves the room: hours."""


class Loop:
    """Frame numbers that go on for ever -> poses of the clip; the first frames are the clip's own."""

    def __init__(self, clip: MotionClip) -> None:
        self.clip = clip
        blend = min(round(BLEND_S * clip.fps), clip.frames // 2)
        self._first = blend
        """Frames before the part that repeats."""
        self._lap = clip.frames - blend
        turn, move = _seam(clip, blend)
        self._pos, self._quat = _blended(clip, blend, turn, move)
        self._turns, self._moves = _powers(turn, move, self._pos[:, 0, :2])
        self.laps = len(self._turns)
        """Laps before the loop begins anew."""
        self.frames = blend + self.laps * self._lap
        """Frames before the loop begins anew."""

    def unrolled(self, frames: int) -> MotionClip:
        """The first so many frames as a clip, at most `self.frames`; at least one lap."""
        frames = max(min(frames, self.frames), self.clip.frames)
        laps = min(-(-(frames - self._first) // self._lap), self.laps)
        pos, quat = [self.clip.pos_w[: self._first]], [self.clip.quat_w[: self._first]]
        for lap in range(laps):
            lap_pos, lap_quat = _moved(self._pos, self._quat, self._turns[lap], self._moves[lap])
            pos.append(lap_pos)
            quat.append(lap_quat)
        quat_w = rot.continuous(np.concatenate(quat)[:frames])
        return replace(self.clip, pos_w=np.concatenate(pos)[:frames], quat_w=quat_w)

    def frame(self, number: int) -> tuple[Array, Array, int]:
        """Positions (23, 3), orientations (23, 4) and how often the loop began anew, of a running frame number."""
        resets, at = divmod(number, self.frames)
        if at < self._first:
            return self.clip.pos_w[at], self.clip.quat_w[at], resets
        lap, index = divmod(at - self._first, self._lap)
        pos, quat = _moved(self._pos[index], self._quat[index], self._turns[lap], self._moves[lap])
        return pos, quat, resets


def _seam(clip: MotionClip, blend: int) -> tuple[float, Array]:
    """Turn [rad] and move [m] (2,) of the next lap: its root begins where this one's is `blend` frames from its end."""
    at = clip.frames - blend if blend else clip.frames - 1
    turn = float(rot.heading(clip.quat_w[at, 0]) - rot.heading(clip.quat_w[0, 0]))
    return turn, clip.pos_w[at, 0, :2] - clip.pos_w[0, 0, :2] @ _matrix(turn)


def _blended(clip: MotionClip, blend: int, turn: float, move: Array) -> tuple[Array, Array]:
    """The part that repeats, world poses: from frame `blend` on, its end blended into the next lap's first frames."""
    pos, quat = clip.pos_w[blend:].copy(), clip.quat_w[blend:].copy()
    if blend:
        end = to_local(pos[-blend:], quat[-blend:])
        begin = to_local(*_moved(clip.pos_w[:blend], clip.quat_w[:blend], turn, move))
        s = minimum_jerk(np.linspace(0.0, 1.0, blend + 2)[1:-1])
        offsets = (1.0 - s[:, None, None]) * end[0] + s[:, None, None] * begin[0]
        pos[-blend:], quat[-blend:] = to_world(offsets, rot.slerp(end[1], begin[1], s[:, None]))
    return pos, quat


def _powers(turn: float, move: Array, root_xy: Array) -> tuple[Array, Array]:
    """Turn and move of every lap that stays in the room: laps after the first follow where the one before led."""
    turns, moves, root_xy = [0.0], [np.zeros(2)], root_xy[::10]
    if abs(turn) < 1e-9 and not np.abs(move).max() > 1e-9:
        return np.zeros(MAX_LAPS), np.zeros((MAX_LAPS, 2))
    while len(turns) < MAX_TRAVELLED:
        to_xy = move @ _matrix(turns[-1]) + moves[-1]
        to_turn = turns[-1] + turn
        if np.hypot(*(root_xy @ _matrix(to_turn) + to_xy).T).max() > ROOM_M:
            break
        turns.append(to_turn)
        moves.append(to_xy)
    return np.array(turns), np.array(moves)


def _moved(pos: Array, quat: Array, turn: float, move: Array) -> tuple[Array, Array]:
    """World poses turned about the vertical [rad] and moved [m]."""
    moved = pos.copy()
    moved[..., :2] = pos[..., :2] @ _matrix(turn) + move
    return moved, rot.multiply(rot.about(2, turn), quat)


def _matrix(turn: float) -> Array:
    """Rotation of row vectors (x, y)."""
    c, s = np.cos(turn), np.sin(turn)
    return np.array([[c, s], [-s, c]])
