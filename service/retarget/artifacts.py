"""What is wrong with a retargeted motion, in numbers: sliding, sinking, shaking, colliding, missing its targets.

Definitions follow section 4 of the GMR measurements that this retargeter is compared with; they are restated at each
function. Everything works on plain arrays of a whole clip: N frames at `fps`, joints in motor order, world Z-up with
the floor at z = 0, left foot first. `measure` gives all figures under stable names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from teleopd.robots.capsules import capsule_distance
from teleopd.robots.model import Array, JointLimits
from teleopd.service.retarget.robot_shape import RobotShape, Shape

Mask = npt.NDArray[np.bool_]
STANCE_M_S = 0.20
"""A source toe slower than this, in three dimensions, may be standing."""
STANCE_M = 0.05
"""... where it is also no higher than this above the 5th percentile of its heights."""
UPRIGHT = 0.75
"""Share of the standing hip height above which a person is upright."""
SLIDING_M_S = 0.10
SINKING_M = 0.01
DEEP_M = 0.005
"""Deeper than this counts as a collision."""
SATURATED = 0.005
"""Share of a joint's range next to either bound."""
TOLERANCE = 1e-6
"""A joint at its speed limit is not above it."""
JUMP_M = 0.05
MOVING_M_S = 0.02
"""Targets slower than this, rms, tell nothing about delay."""
HANDS, BODY = ("hand", "wrist", "forearm"), ("pelvis", "abdomen", "belly", "chest", "hip", "upper_thigh", "thigh")
LAGS_S = np.arange(-0.020, 0.1201, 0.002)


@dataclass(frozen=True, slots=True)
class Source:
    """What of the person the artifacts are judged by."""

    toes: Array
    """Toe joints, raw [m], (N, 2, 3)."""
    hips_z: Array
    """Height of the point between the hips [m], (N,)."""
    standing_hips_m: float
    """That height while standing [m]."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the matched robot bodies were asked to do."""

    bodies: tuple[str, ...]
    """Body of the robot of each row, m of them."""
    pos: Array
    """Wanted positions [m], (N, m, 3)."""
    quat: Array
    """Wanted orientations wxyz, (N, m, 4)."""
    groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Rows of 'foot', 'hand', 'pelvis' (positions), and of 'orientation'."""


def stance(toes: Array, fps: float) -> Mask:
    """Which source toes stand, (N, 2): speed by central difference < 0.20 m/s and z < its 5th percentile + 0.05 m."""
    speed: Array = np.linalg.norm(rate(toes, fps), axis=-1)
    low: Mask = toes[..., 2] < np.percentile(toes[..., 2], 5.0, axis=0) + STANCE_M
    low &= speed < STANCE_M_S
    return low


def upright(source: Source) -> Mask:
    """Frames in which the hips are above 75 % of their standing height, (N,)."""
    standing: Mask = source.hips_z > UPRIGHT * source.standing_hips_m
    return standing


def rate(values: Array, fps: float) -> Array:
    """Rate of change over time by central difference; one-sided at both ends."""
    if len(values) < 2:
        return np.zeros_like(values)
    rates: Array = np.gradient(values, axis=0) * fps
    return rates


def slide(toes: Array, standing: Mask, fps: float) -> tuple[float, float]:
    """Horizontal speed of standing toes: mean [m/s], and the fraction above 0.10 m/s; nan where none stands."""
    speed = np.linalg.norm(rate(toes[..., :2], fps), axis=-1)[standing]
    return (float(speed.mean()), float((speed > SLIDING_M_S).mean())) if speed.size else (np.nan, np.nan)


def penetration(soles: Array) -> tuple[float, float]:
    """Depth of the deepest sole corner over all frames [m], at least 0; fraction of frames deeper than 0.01 m."""
    lowest = soles.reshape(len(soles), -1).min(axis=1)
    return max(0.0, -float(lowest.min())), float((lowest < -SINKING_M).mean())


def stance_sole_height(soles: Array, standing: Mask) -> float:
    """Median, over standing feet, of the foot's own lowest sole corner [m]; nan where none stands."""
    heights = soles.min(axis=-1)[standing]
    return float(np.median(heights)) if heights.size else np.nan


def below_floor(capsules: Array, radii: Array) -> tuple[float, float]:
    """Depth of the lowest point of any of the capsules [m], at least 0; fraction of frames deeper than 0.02 m."""
    lowest = (capsules[..., 2].min(axis=-1) - radii).min(axis=1)
    return max(0.0, -float(lowest.min())), float((lowest < -2.0 * SINKING_M).mean())


def depths(shape: Shape, robot: RobotShape, ones: Sequence[int], others: Sequence[int]) -> Array:
    """How deep the deepest pair of capsules lies in each other, per frame [m], (N,); negative: the smallest gap."""
    deepest = np.full(len(shape.capsules), -np.inf)
    for i in ones:
        for j in others:
            apart = capsule_distance(shape.capsules[:, i], shape.capsules[:, j])
            np.maximum(deepest, robot.radii[i] + robot.radii[j] - apart, out=deepest)
    return deepest


def saturation(q: Array, lower: Array, upper: Array) -> tuple[float, float]:
    """Fraction of joint-frames within 0.5 % of the range of either bound; fraction of frames with any."""
    margin = SATURATED * (upper - lower)
    at_bound = (q < lower + margin) | (q > upper - margin)
    return float(at_bound.mean()), float(at_bound.any(axis=1).mean())


def joint_speeds(q: Array, fps: float) -> Array:
    """|forward difference| times fps [rad/s], (N - 1, n)."""
    speeds: Array = np.abs(np.diff(q, axis=0)) * fps
    return speeds


def jerk(q: Array, fps: float) -> float:
    """Mean |third difference| times fps cubed [rad/s^3]; nan below 4 frames."""
    return float(np.abs(np.diff(q, 3, axis=0)).mean() * fps**3) if len(q) > 3 else np.nan


def root_jumps(root: Array, wanted: Array) -> int:
    """Frames whose root moved over 0.05 m otherwise than its target did; positions (N, 3)."""
    return int((np.linalg.norm(np.diff(root, axis=0) - np.diff(wanted, axis=0), axis=-1) > JUMP_M).sum())


def angles(quat: Array, wanted: Array) -> Array:
    """2 acos(|q . q_t|) [rad] over the last axis."""
    turned: Array = 2.0 * np.arccos(np.clip(np.abs(np.sum(quat * wanted, axis=-1)), 0.0, 1.0))
    return turned


def objective(distance: Array, angle: Array, weights: Array) -> Array:
    """sum_i w_p^2 |dp_i|^2 + w_r^2 theta_i^2, per frame; distance and angle (N, m), weights (m, 2)."""
    total: Array = np.square(distance) @ np.square(weights[:, 0]) + np.square(angle) @ np.square(weights[:, 1])
    return total


def cold_start_failed(one_frame: Array, best: Array) -> Mask:
    """Cold starts that ended in another basin: objective of the one frame > 1.5 best + 20, elementwise."""
    failed: Mask = one_frame > 1.5 * best + 20.0
    return failed


def lag(pos: Array, wanted: Array, fps: float) -> float:
    """Delay [s] at which body velocities fit the wanted ones best in the mean square; -0.020 to 0.120 by 0.002 s.

    Velocities, so that constant offsets do not matter; positions (N, m, 3). nan below 0.5 s, and where the targets
    hardly move (below 0.02 m/s rms).
    """
    n = len(pos)
    moved, asked = rate(pos, fps).reshape(n, -1), rate(wanted, fps).reshape(n, -1)
    if n < 0.5 * fps or np.sqrt(np.square(asked).mean()) < MOVING_M_S:
        return np.nan
    at, edge = np.arange(n, dtype=np.float64), int(np.ceil(LAGS_S[-1] * fps)) + 1
    inner = slice(edge, max(edge + 1, n - edge))
    misfits = []
    for tau in LAGS_S:
        when = np.clip(at - tau * fps, 0, n - 1)
        i = np.minimum(when.astype(np.intp), n - 2)
        share = (when - i)[:, None]
        shifted = asked[i] * (1.0 - share) + asked[i + 1] * share
        misfits.append(float(np.square(moved - shifted)[inner].mean()))
    return float(LAGS_S[int(np.argmin(misfits))])


def static_noise(q: Array, fps: float, dropped: int = 50) -> tuple[float, float]:
    """Of a person who holds still under sensor noise: rms joint speed [rad/s], mean spread of the joints [rad]."""
    kept = q[dropped:]
    return float(np.sqrt(np.square(np.diff(kept, axis=0) * fps).mean())), float(kept.std(axis=0).mean())


def measure(
    robot: RobotShape, fps: float, qpos: Array, source: Source, asked: Asked, speed_limit_rad_s: float,
    bounds: JointLimits | None = None,
) -> dict[str, float]:  # fmt: skip
    """Every figure of one clip. `qpos` (N, 7 + n): root position, root wxyz, joints in motor order.

    `bounds`: what the solver keeps joints inside, where that is less than the robot's own range; saturation is judged
    by it.

    Raises:
        ValueError: arrays of unlike lengths, or no frame.
    """
    lengths = {len(qpos), len(source.toes), len(source.hips_z), len(asked.pos), len(asked.quat)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"a motion needs one number of frames, at least 1; its arrays have {sorted(lengths)}")
    shape = robot.over(qpos)
    return (
        _contact_figures(robot, fps, shape, source)
        | _joint_figures(robot, fps, qpos[:, 7:], speed_limit_rad_s, bounds or robot.robot.limits)
        | _error_figures(robot, fps, shape, asked)
    )


def _contact_figures(robot: RobotShape, fps: float, shape: Shape, source: Source) -> dict[str, float]:
    standing = stance(source.toes, fps)
    mean, often = slide(shape.toes, standing, fps)
    on_feet = slide(shape.toes, standing & upright(source)[:, None], fps)
    deepest, sinking = penetration(shape.soles)
    below, below_often = below_floor(shape.capsules, robot.radii)
    hands = depths(shape, robot, robot.capsule_ids("hand", "wrist"), robot.capsule_ids(*BODY))
    long = depths(shape, robot, robot.capsule_ids("hand_long"), robot.capsule_ids(*BODY))
    arms = {side: [i for i in robot.capsule_ids(*HANDS) if robot.capsule_names[i].startswith(side)]
            for side in ("left", "right")}  # fmt: skip
    crossed = depths(shape, robot, arms["left"], arms["right"])
    knees = depths(shape, robot, *([robot.capsule_names.index(f"{side}_shin")] for side in ("left", "right")))
    return {
        "slide_cm_s": 100.0 * mean, "slide_above_10_percent": 100.0 * often,
        "slide_upright_cm_s": 100.0 * on_feet[0], "source_slide_cm_s": 100.0 * slide(source.toes, standing, fps)[0],
        "stance_percent": 100.0 * float(standing.mean()),
        "penetration_cm": 100.0 * deepest, "penetration_above_1_percent": 100.0 * sinking,
        "stance_sole_cm": 100.0 * stance_sole_height(shape.soles, standing),
        "below_floor_cm": 100.0 * below, "below_floor_above_2_percent": 100.0 * below_often,
        "hand_deep_percent": 100.0 * float((hands > DEEP_M).mean()), "hand_deep_cm": 100.0 * max(0.0, hands.max()),
        "rubber_hand_deep_percent": 100.0 * float((np.maximum(hands, long) > DEEP_M).mean()),
        "arms_deep_percent": 100.0 * float((crossed > DEEP_M).mean()),
        "shins_deep_percent": 100.0 * float((knees > DEEP_M).mean()),
    }  # fmt: skip


def _joint_figures(
    robot: RobotShape, fps: float, q: Array, speed_limit_rad_s: float, bounds: JointLimits
) -> dict[str, float]:
    limits = robot.robot.limits
    joints, frames = saturation(q, bounds.q_lower, bounds.q_upper)
    speeds = joint_speeds(q, fps)
    outside = np.maximum(limits.q_lower - q, q - limits.q_upper)
    return {
        "saturated_percent": 100.0 * joints, "saturated_frames_percent": 100.0 * frames,
        "outside_limits_rad": max(0.0, float(outside.max())),
        "joint_speed_max_rad_s": float(speeds.max(initial=0.0)),
        "above_20_rad_s": float((speeds > 20.0 * (1.0 + TOLERANCE)).sum()),
        "above_30_rad_s": float((speeds > 30.0).sum()),
        "above_limit": float((speeds > speed_limit_rad_s * (1.0 + TOLERANCE)).sum()),
        "jerk_rad_s3": jerk(q, fps),
    }  # fmt: skip


def _error_figures(robot: RobotShape, fps: float, shape: Shape, asked: Asked) -> dict[str, float]:
    ids = robot.body_ids(asked.bodies)
    pos, turned = shape.body_pos[:, ids], angles(shape.body_quat[:, ids], asked.quat)
    off = pos - asked.pos
    distance = np.linalg.norm(off, axis=-1)
    foot, hand, pelvis = (list(asked.groups[name]) for name in ("foot", "hand", "pelvis"))
    return {
        "foot_cm": 100.0 * float(distance[:, foot].mean()),
        "foot_xy_cm": 100.0 * float(np.linalg.norm(off[:, foot, :2], axis=-1).mean()),
        "hand_cm": 100.0 * float(distance[:, hand].mean()) if hand else np.nan,
        "pelvis_cm": 100.0 * float(distance[:, pelvis].mean()),
        "pelvis_deg": float(np.degrees(turned[:, pelvis].mean())),
        "orientation_deg": float(np.degrees(turned[:, list(asked.groups["orientation"])].mean())),
        "root_jumps": float(root_jumps(pos[:, pelvis[0]], asked.pos[:, pelvis[0]])),
        "lag_hand_ms": 1e3 * lag(pos[:, hand], asked.pos[:, hand], fps) if hand else np.nan,
        "lag_foot_ms": 1e3 * lag(pos[:, foot], asked.pos[:, foot], fps),
    }  # fmt: skip
