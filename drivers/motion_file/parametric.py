"""Built-in motions of the parametric person; each starts and ends in relaxed standing, and stance feet never move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import SEGMENT, MotionClip
from teleopd.drivers.motion_file.errors import MotionFileError
from teleopd.drivers.motion_file.footsteps import Step, carry, foot_track, plan, upright
from teleopd.drivers.motion_file.human import STANDING_M, arm, compose, relaxed, spine
from teleopd.drivers.motion_file.timing import envelope, track

DEFAULT_FPS = 120.0
STEP_S, SWING_S = 0.72, 0.59
"""83 steps a minute with 18 % double support per step: unhurried walking."""
STEP_M = 0.40
"""0.56 m/s at that cadence."""
WALK_DROP_M = 0.035
"""Walking rides lower than standing, so that the trailing leg reaches."""
deg = np.deg2rad


def _times(duration_s: float, fps: float) -> Array:
    return np.arange(round(duration_s * fps) + 1) / fps


def _standing(name: str, fps: float, t: Array, turns: Array, *, shift: Array | None = None,
              pitch: Array | float = 0.0) -> MotionClip:  # fmt: skip
    """Both feet planted; the pelvis moves by `shift` (T, 3) and tips forward by `pitch`."""
    pelvis = np.tile(np.array([0.0, 0.0, STANDING_M]), (len(t), 1))
    if shift is not None:
        pelvis = pelvis + shift
    quat = rot.about(1, np.broadcast_to(np.asarray(pitch, dtype=np.float64), t.shape))
    return compose(name, fps, pelvis, quat, turns, foot_track(t, "Left", ()), foot_track(t, "Right", ()))


def stand(fps: float) -> MotionClip:
    """Relaxed standing: a little sway, a look to both sides."""
    t = _times(6.0, fps)
    turns, quiet = relaxed(len(t)), envelope(t, 0.5, 5.5, 1.0)
    look = track(t, [(1.0, 0.0), (2.0, deg(25)), (3.0, deg(25)), (4.2, deg(-25)), (4.5, deg(-25)), (5.5, 0.0)])
    spine(turns, yaw=-0.3 * look)
    turns[:, SEGMENT["Head"]] = rot.multiply(rot.about(2, look), turns[:, SEGMENT["Head"]])
    shift = np.zeros((len(t), 3))
    shift[:, 0] = 0.008 * quiet * np.sin(2 * np.pi * 0.35 * t)
    shift[:, 1] = 0.015 * quiet * np.sin(2 * np.pi * 0.25 * t)
    return _standing("stand", fps, t, turns, shift=shift)


def wave(fps: float) -> MotionClip:
    """The right hand goes up and waves four times."""
    t = _times(7.0, fps)
    turns, up = relaxed(len(t)), envelope(t, 0.5, 6.5, 1.3)
    waving = envelope(t, 1.5, 5.5, 0.6) * np.sin(2 * np.pi * 1.1 * (t - 1.5))
    arm(turns, "Right", flex=deg(15) * up, abduct=deg(10) + deg(70) * up, twist=deg(80) * up,
        elbow=deg(15) + deg(75) * up + deg(22) * waving)  # fmt: skip
    spine(turns, roll=deg(-4) * up)
    shift = np.stack((np.zeros_like(t), 0.015 * up, np.zeros_like(t)), axis=-1)
    return _standing("wave", fps, t, turns, shift=shift)


def reach(fps: float) -> MotionClip:
    """The right hand reaches forward, then the left, then both."""
    t = _times(10.0, fps)
    turns = relaxed(len(t))
    both = envelope(t, 6.2, 9.5, 1.2)
    right, left = envelope(t, 0.5, 3.2, 1.1) + both, envelope(t, 3.3, 6.0, 1.1) + both
    for side, out in (("Right", right), ("Left", left)):
        arm(turns, side, flex=deg(88) * out, elbow=deg(15) + deg(5) * out)
    lean = envelope(t, 0.5, 3.2, 1.1) + envelope(t, 3.3, 6.0, 1.1) + both
    spine(turns, pitch=deg(14) * lean, yaw=deg(12) * (right - left))
    shift = np.zeros((len(t), 3))
    shift[:, 0], shift[:, 2] = -0.03 * lean, -0.02 * lean
    return _standing("reach", fps, t, turns, shift=shift, pitch=deg(8) * lean)


def squat(fps: float) -> MotionClip:
    """Two squats, arms forward for balance."""
    t = _times(9.0, fps)
    turns = relaxed(len(t))
    down = envelope(t, 0.6, 4.2, 1.5) + 0.8 * envelope(t, 4.6, 8.2, 1.5)
    for side in ("Left", "Right"):
        arm(turns, side, flex=deg(110) * down, elbow=deg(15))
    spine(turns, pitch=deg(15) * down)
    shift = np.zeros((len(t), 3))
    shift[:, 0], shift[:, 2] = -0.15 * down, -0.25 * down
    return _standing("squat", fps, t, turns, shift=shift, pitch=deg(28) * down)


def _stepping(name: str, fps: float, duration_s: float, steps: list[Step], *, drop_m: float, swing_deg: float,
              step_s: float = STEP_S) -> MotionClip:  # fmt: skip
    """A body on planned steps, with counter-swinging arms and shoulders."""
    t = _times(duration_s, fps)
    carried = carry(t, steps, step_s=step_s, drop_m=drop_m)
    turns = relaxed(len(t))
    forward = deg(swing_deg) * carried.swing
    arm(turns, "Right", flex=forward, elbow=deg(15) + 0.5 * np.abs(forward) ** 2)
    arm(turns, "Left", flex=-forward, elbow=deg(15) + 0.5 * np.abs(forward) ** 2)
    spine(turns, yaw=deg(9) * carried.swing)
    feet = (foot_track(t, side, steps) for side in ("Left", "Right"))
    return compose(name, fps, carried.pelvis_w, upright(carried, deg(5)), turns, *feet)


def turn(fps: float) -> MotionClip:
    """A quarter turn to the left on the spot, then back."""
    quarter = [m for _ in range(3) for m in ((0.0, deg(30)), (0.0, 0.0))]
    there = plan(quarter[:-1], start_s=0.8, step_s=STEP_S, swing_s=SWING_S, pitch_rad=0.3)
    back = [m for _ in range(3) for m in ((0.0, deg(-30)), (0.0, 0.0))]
    again = plan(back[:-1], start_s=0.8 + 6 * STEP_S + 0.8, step_s=STEP_S, swing_s=SWING_S, first="Right",
                 pitch_rad=0.3, heading=deg(90))  # fmt: skip
    return _stepping("turn", fps, 11.4, there + again, drop_m=0.02, swing_deg=0.0)


def step_in_place(fps: float) -> MotionClip:
    """Ten steps on the spot."""
    steps = plan([(0.0, 0.0)] * 9, start_s=0.9, step_s=0.75, swing_s=0.58, lift_m=0.09)
    return _stepping("step_in_place", fps, 9.6, steps, drop_m=0.02, swing_deg=0.0, step_s=0.75)


def walk(fps: float) -> MotionClip:
    """Eight steps forward, about 2.6 m."""
    moves = [(STEP_M / 2, 0.0), *[(STEP_M, 0.0)] * 6]
    steps = plan(moves, start_s=0.9, step_s=STEP_S, swing_s=SWING_S)
    return _stepping("walk", fps, 8.2, steps, drop_m=WALK_DROP_M, swing_deg=16.0)


def walk_and_turn(fps: float) -> MotionClip:
    """Forward, a quarter turn to the left on the way, forward again."""
    straight = (STEP_M, 0.0)
    moves = [(STEP_M / 2, 0.0), *[straight] * 2, *[(0.25, deg(18))] * 5, *[straight] * 3]
    steps = plan(moves, start_s=0.9, step_s=STEP_S, swing_s=SWING_S)
    return _stepping("walk_and_turn", fps, 11.5, steps, drop_m=WALK_DROP_M, swing_deg=16.0)


MOTIONS: dict[str, Callable[[float], MotionClip]] = {
    f.__name__: f for f in (stand, wave, reach, squat, turn, step_in_place, walk, walk_and_turn)
}
"""Built-in motions by name."""


def built_in(name: str, fps: float = DEFAULT_FPS) -> MotionClip:
    """A built-in motion sampled at `fps`.

    Raises:
        MotionFileError: unknown name, or a rate outside 10 to 1000 Hz.
    """
    if name not in MOTIONS:
        raise MotionFileError(f"no built-in motion {name!r}; there are {', '.join(MOTIONS)}")
    if not 10.0 <= fps <= 1000.0:
        raise MotionFileError(f"{fps} frames per second; 10 to 1000 are possible")
    return MOTIONS[name](fps)
