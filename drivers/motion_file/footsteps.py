"""Footsteps: where each foot is over time (bit-constant in stance), and the pelvis that they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import Array
from teleopd.drivers.motion_file import rotations as rot
from teleopd.drivers.motion_file.clip import BALL_HEIGHT_M
from teleopd.drivers.motion_file.human import BALL_AHEAD_M, HALF_HIPS_M, STANDING_M, FootTrack
from teleopd.drivers.motion_file.timing import eased_steps, envelope, minimum_jerk

LIFT_OFF, TRAVEL_FROM, TRAVEL_TO = 0.10, 0.15, 0.95
"""Shares of a swing: the heel rises about the resting ball, the ball lifts, then travels and comes down vertically."""
SWAY = 0.45
"""Pelvis sway over the stance foot, as a share of its lateral distance: the linear inverted pendulum's
1 - 1/cosh(w T / 2) for steps of 0.6 to 0.8 s is 0.33 to 0.5."""


@dataclass(frozen=True, slots=True)
class Step:
    """One swing of one foot to a new flat stance."""

    side: str
    start_s: float
    end_s: float
    body: tuple[float, float, float]
    """Where the body goes with it: x, y [m] and heading [rad]; the foot lands beside that."""
    lift_m: float
    pitch_rad: float
    stride_m: float
    """Forward progress, which scales arm swing and pelvis rotation; 0 for steps on the spot."""

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2.0


def plan(moves: Sequence[tuple[float, float]], *, start_s: float, step_s: float, swing_s: float, first: str = "Left",
         lift_m: float = 0.05, pitch_rad: float = 0.45, heading: float = 0.0) -> list[Step]:  # fmt: skip
    """Alternating steps from moves (forward [m], turn [rad]); a last step brings the feet side by side."""
    x = y = 0.0
    yaw = heading
    steps: list[Step] = []
    side = first
    for forward, turn in (*moves, (0.0, 0.0)):
        middle = yaw + turn / 2.0
        x, y, yaw = x + forward * np.cos(middle), y + forward * np.sin(middle), yaw + turn
        steps.append(Step(side, start_s, start_s + swing_s, (x, y, yaw), lift_m, pitch_rad, forward))
        side = "Right" if side == "Left" else "Left"
        start_s += step_s
    return steps


def ball_beside(body: tuple[float, float, float], side: str) -> Array:
    """Ball of a foot standing beside a body pose, (3,) [m]."""
    x, y, yaw = body
    across = HALF_HIPS_M if side == "Left" else -HALF_HIPS_M
    forward, left = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    return np.array([*(np.array([x, y]) + BALL_AHEAD_M * forward + across * left), BALL_HEIGHT_M])


def foot_track(t_s: Array, side: str, steps: Sequence[Step]) -> FootTrack:
    """One foot: constant in stance; in swing the heel rises about the ball, then the ball travels and lands flat."""
    frames = len(t_s)
    start = ball_beside((0.0, 0.0, 0.0), side)
    ball, yaw, pitch = np.tile(start, (frames, 1)), np.zeros(frames), np.zeros(frames)
    repeats = np.arange(frames)
    stance_from, at, facing = 0, start, 0.0
    for step in (s for s in steps if s.side == side):
        begin, end = (int(np.searchsorted(t_s, edge)) for edge in (step.start_s, step.end_s))
        repeats[stance_from:begin] = stance_from
        target, new_facing = ball_beside(step.body, side), step.body[2]
        s = (t_s[begin:end] - step.start_s) / (step.end_s - step.start_s)
        travel = minimum_jerk((s - TRAVEL_FROM) / (TRAVEL_TO - TRAVEL_FROM))
        ball[begin:end] = at + travel[:, None] * (target - at)
        lifted = minimum_jerk((s - LIFT_OFF) / (0.5 - LIFT_OFF)) - minimum_jerk((s - 0.6) / 0.4)
        ball[begin:end, 2] += step.lift_m * lifted
        yaw[begin:end] = facing + travel * (new_facing - facing)
        pitch[begin:end] = step.pitch_rad * (minimum_jerk(s / 0.35) - minimum_jerk((s - 0.35) / 0.5))
        ball[end:], yaw[end:] = target, new_facing
        stance_from, at, facing = end, target, new_facing
    repeats[stance_from:] = stance_from
    return FootTrack(ball, yaw, pitch, repeats)


@dataclass(frozen=True, slots=True)
class Carried:
    """The body above the feet."""

    pelvis_w: Array
    """(T, 3) [m]."""
    heading_rad: Array
    """(T,)."""
    swing: Array
    """-1 to 1: +1 where the left foot leads by a full stride; drives arms and pelvis rotation, (T,)."""


def carry(t_s: Array, steps: Sequence[Step], *, step_s: float, drop_m: float) -> Carried:
    """Pelvis over the steps: even progress, sway over the stance foot, lowered by drop_m on the way."""
    double_s = step_s - (steps[0].end_s - steps[0].start_s)
    # Over the stance foot in mid-swing, half-way between the feet in double support.
    progress = [(s.end_s + double_s / 2.0, np.array(s.body)) for s in steps]
    body = eased_steps(t_s, np.zeros(3), progress, 2.0 * step_s)
    sway: list[tuple[float, Array]] = []
    swing: list[tuple[float, Array]] = []
    for s in steps:
        towards = -1.0 if s.side == "Left" else 1.0  # the stance foot is the other one
        yaw = s.body[2]
        sway.append((s.start_s - double_s / 2.0, towards * SWAY * HALF_HIPS_M * np.array([-np.sin(yaw), np.cos(yaw)])))
        swing.append((s.middle_s, np.array([-towards * min(s.stride_m / 0.4, 1.0)])))
    sway.append((steps[-1].end_s + double_s / 2.0, np.zeros(2)))
    pelvis = np.empty((len(t_s), 3))
    pelvis[:, :2] = body[:, :2] + eased_steps(t_s, np.zeros(2), sway, step_s)
    low = envelope(t_s, steps[0].start_s - step_s, steps[-1].end_s + step_s, 1.5 * step_s)
    pelvis[:, 2] = STANDING_M - drop_m * low
    return Carried(pelvis, body[:, 2], eased_steps(t_s, np.zeros(1), swing, step_s)[:, 0])


def upright(carried: Carried, twist_rad: float) -> Array:
    """Pelvis orientation: the heading, turned so that the leading leg's hip goes first, (T, 4)."""
    return rot.about(2, carried.heading_rad - twist_rad * carried.swing)
