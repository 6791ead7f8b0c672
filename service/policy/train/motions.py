"""The motions that may be trained on, as 50 Hz clips: our own, CMU's, the Xsens boxing clip, TWIST2's examples.

Clips under non-commercial or unstated terms (LAFAN1, Bandai-Namco, SOMA, the optical and the standing Xsens take)
serve evaluation only: `training_clips` never opens them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from teleopd.drivers.motion_file.clip import MotionClip
from teleopd.drivers.motion_file.footsteps import Step, carry, foot_track, plan, upright
from teleopd.drivers.motion_file.human import arm, compose, relaxed, spine
from teleopd.drivers.motion_file.library import load_motion, motion_names
from teleopd.robots.model import Array
from teleopd.robots.unitree_g1.model import MODEL
from teleopd.service.evaluation.robot_motion import NotAMotion as NotAMotion
from teleopd.service.evaluation.robot_motion import read_robot_motion
from teleopd.service.policy.train.channels import RATE_HZ, Clip, channels_of
from teleopd.service.retarget.retargeter import Retargeter

LICENSED = {
    "cmu_12_01_walk.bvh": "CMU, free use; mocap.cs.cmu.edu, NSF EIA-0196217",
    "cmu_131_01_startwalkstop.bvh": "CMU, free use; mocap.cs.cmu.edu, NSF EIA-0196217",
    "xsens_gmr_boxing_120Hz.bvh": "MIT",
}
"""BVH files whose terms allow a published policy -> the terms."""


def twist2_clip(path: Path) -> Clip:
    """A TWIST2 / GMR motion pickle at 50 Hz, without its corrupt leading frames.

    Raises:
        NotAMotion: it holds other things than arrays, or not a G1 motion.
    """
    motion = read_robot_motion(path, MODEL)
    return Clip(path.stem, channels_of(resampled(motion.qpos, motion.fps)))


def resampled(qpos: Array, fps: float) -> Array:
    """A motion (T, 36) at 50 Hz: positions and joints linearly, orientation along the great circle."""
    last = (len(qpos) - 1) / fps
    at = np.arange(int(np.floor(last * RATE_HZ)) + 1) / RATE_HZ * fps
    low = np.minimum(at.astype(int), len(qpos) - 2)
    part = (at - low)[:, None]
    one, two = qpos[low], qpos[low + 1].copy()
    dot = np.sum(one[:, 3:7] * two[:, 3:7], axis=1, keepdims=True)
    two[:, 3:7] *= np.where(dot < 0.0, -1.0, 1.0)
    out: Array = one + part * (two - one)
    out[:, 3:7] /= np.linalg.norm(out[:, 3:7], axis=1, keepdims=True)  # frames are close: chord for arc
    return out


def retargeted(clip: MotionClip) -> Clip:
    """A person's motion through the service's own retargeter."""
    retargeter = Retargeter(MODEL, clip.skeleton)
    rows = []
    for i in range(int(clip.duration_s * RATE_HZ) + 1):
        t_ns = round(i / RATE_HZ * 1e9) + 1
        reference = retargeter.update(clip.frame_at(i / RATE_HZ)._replace(t_ns=t_ns, t_source_ns=t_ns, seq=i))
        if reference is not None:
            rows.append(np.concatenate((reference.root_pos_w, reference.root_quat_w, reference.q)))
    return Clip(clip.name, channels_of(np.array(rows)))


def bvh_clip(path: Path) -> Clip:
    """A BVH file through the service's own retargeter."""
    return retargeted(load_motion(path))


def training_clips(shared: Path | None) -> list[Clip]:
    """Every clip a published policy may learn from; without `shared` (a folder of public data) our own only."""
    clips = [retargeted(load_motion(name)) for name in motion_names]
    clips += [retargeted(clip) for clip in own_walks()]
    if shared is not None:
        clips += [bvh_clip(shared / "bvh" / name) for name in LICENSED]
        clips += example_clips(shared)
    return clips


def example_clips(shared: Path) -> list[Clip]:
    """TWIST2's six example motions (MIT)."""
    return [twist2_clip(path) for path in sorted((shared / "policies/twist2/example_motions").glob("*.pkl"))]


def own_walks() -> Iterator[MotionClip]:
    """Walking of our own making: forward and back in several strides and cadences, sideways, curves, turns."""
    forward, back = ((0.15, 0.8), (0.3, 0.65), (0.45, 0.6), (0.5, 0.72)), ((-0.12, 0.75), (-0.22, 0.7), (-0.3, 0.65))
    for stride, step_s in forward + back:
        steps = _plan([(stride / 2, 0.0), *[(stride, 0.0)] * 7], step_s)
        drop_m = 0.035 + max(0.0, abs(stride) - 0.15) * 0.2
        yield _walking(f"stride {stride:+.2f} m, {step_s} s", steps, step_s, np.sign(stride) * 16.0, drop_m)
    for stride, turn in ((0.3, 14.0), (0.2, 25.0), (-0.18, 12.0)):
        steps = _plan([(stride / 2, 0.0), *[(stride, np.deg2rad(turn))] * 7], 0.7)
        yield _walking(f"curve {stride:+.2f} m, {turn:.0f} deg", steps, 0.7, 10.0, 0.06)
    for across, step_s in ((0.10, 0.7), (0.18, 0.65), (0.26, 0.75)):
        yield _walking(f"side {across:.2f} m, {step_s} s", _sideways(across, step_s), step_s, 0.0, 0.06)
    steps = _plan([m for _ in range(5) for m in ((0.0, np.deg2rad(40)), (0.0, 0.0))], 0.62)
    yield _walking("quick turn", steps, 0.62, 0.0, 0.03)


def _plan(moves: Sequence[tuple[float, float]], step_s: float) -> list[Step]:
    return plan(moves, start_s=0.9, step_s=step_s, swing_s=0.82 * step_s, pitch_rad=0.4)


def _sideways(across_m: float, step_s: float) -> list[Step]:
    """To the left and back: the leading foot goes out, the other closes."""
    steps, at, y = [], 0.9, 0.0
    for side, other, way in (("Left", "Right", across_m), ("Right", "Left", -across_m)):
        for _ in range(4):
            y += way
            for foot in (side, other):
                steps.append(Step(foot, at, at + 0.82 * step_s, (0.0, y, 0.0), 0.06, 0.1, 0.0))
                at += step_s
        at += 2 * step_s
    return steps


def _walking(name: str, steps: list[Step], step_s: float, swing: float, drop_m: float) -> MotionClip:
    """A body on planned steps, arms swinging by `swing` [deg], at 120 frames a second."""
    t = np.arange(round((steps[-1].end_s + 1.0) * 120)) / 120.0
    carried = carry(t, steps, step_s=step_s, drop_m=drop_m)
    turns = relaxed(len(t))
    forward = np.deg2rad(swing) * carried.swing
    for side, sign in (("Right", 1.0), ("Left", -1.0)):
        arm(turns, side, flex=sign * forward, elbow=np.deg2rad(15) + 0.5 * np.abs(forward) ** 2)
    spine(turns, yaw=np.deg2rad(0.5 * swing) * carried.swing)
    feet = (foot_track(t, side, steps) for side in ("Left", "Right"))
    return compose(name, 120.0, carried.pelvis_w, upright(carried, np.deg2rad(5)), turns, *feet)
