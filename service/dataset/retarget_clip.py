"""A whole clip through frame checks and retargeter, as the live service would have done it, into plain arrays."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from teleopd.drivers.human_pose import HumanPose
from teleopd.drivers.motion_file.clip import SEGMENT, MotionClip
from teleopd.robots.model import Array, RobotModel
from teleopd.service.frame_checks import FrameChecks
from teleopd.service.retarget.artifacts import Asked, Source
from teleopd.service.retarget.calibration import Calibration
from teleopd.service.retarget.retargeter import Retargeter, table_path
from teleopd.service.retarget.solver_choice import SolverName
from teleopd.service.retarget.tables import Match, SkeletonTable, load_table

HIPS_PER_LEGS = 0.530 / 0.491
"""Standing hip height over thigh + shank (Drillis & Contini 1966, in Winter, Biomechanics, figure 4.1)."""
START_NS = 1_000_000_000
"""Time stamp of the first frame; any positive one serves."""


class NothingRetargeted(ValueError):
    """No frame of a clip gave a reference; says why."""


@dataclass(frozen=True, slots=True)
class Retargeted:
    """One clip on one robot: as many frames as the clip has, at its rate."""

    fps: float
    qpos: Array
    """Root position [m], root orientation wxyz, joints in motor order [rad], (N, 7 + n)."""
    asked: Asked
    """See `asked_of`."""
    held: int
    """Frames that were refused; the pose before (at the start: after) stands in for them."""
    reasons: dict[str, int]
    """Why they were refused -> how many."""
    cpu_ms: Array
    """CPU time of `Retargeter.update` for each frame that it was given."""


def source_of(clip: MotionClip) -> Source:
    """What of the person artifacts are judged by. Hips: the point between the hip joints."""
    toes = clip.pos_w[:, [SEGMENT["LeftToe"], SEGMENT["RightToe"]]]
    hips = clip.pos_w[:, [SEGMENT["LeftUpperLeg"], SEGMENT["RightUpperLeg"]], 2].mean(axis=1)
    legs = 0.0
    for side in ("Left", "Right"):
        hip, knee, ankle = (clip.pos_w[0, SEGMENT[side + s]] for s in ("UpperLeg", "LowerLeg", "Foot"))
        legs += float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)) / 2.0
    return Source(toes, hips, HIPS_PER_LEGS * legs)


def pose_of(clip: MotionClip, index: int) -> HumanPose:
    """One frame at its own time."""
    return clip.pose(index, seq=index + 1, t_ns=START_NS + round(index * 1e9 / clip.fps))


def groups_of(matches: tuple[Match, ...], table: SkeletonTable) -> dict[str, list[int]]:
    """Rows of feet, hands, pelvis and of everything that has an orientation; hands: forearms where none is matched."""
    rows = list(enumerate(matches))
    placed = [(i, m) for i, m in rows if m.position != "none"]
    hands = [i for i, m in placed if m.human.endswith(("Hand", "Wrist"))]
    return {
        "foot": [i for i, m in rows if m.position == "foot"],
        "hand": hands or [i for i, m in placed if "fore" in m.human.lower()],
        "pelvis": [i for i, m in rows if m.position == "root"],
        "orientation": [i for i, m in rows if table.stage.acquire.get(m.robot, (0.0, 0.0))[1] > 0.0],
    }


def asked_of(retargeter: Retargeter, pose: HumanPose) -> tuple[Array, Array]:
    """Where the newest pose wants the matched bodies, (m, 3) [m] and (m, 4) wxyz: the map of the person, with heights
    as corrected for the ground. What the contacts change besides (place and flatness of a foot) counts as error.

    Raises:
        ValueError: the retargeter has had no usable frame.
    """
    if retargeter.targets is None or retargeter.target_map is None:
        raise ValueError("the retargeter has had no usable frame")
    heights = np.array(retargeter.targets.pos[:, 2])
    mapped = retargeter.target_map(pose)
    pos = np.array(mapped.pos)
    pos[:, 2] = heights
    return pos, np.array(mapped.quat)


def retarget_clip(
    robot: RobotModel, clip: MotionClip, *, solver: SolverName = "fast",
    calibration: Calibration | None = None,
) -> Retargeted:  # fmt: skip
    """Every frame of the clip in order. Without `calibration` the first frame calibrates, as live.

    Raises:
        NothingRetargeted: no frame gave a reference.
        TableError: the robot has no table for people, or a wrong one.
    """
    checks = FrameChecks(clip.skeleton)
    retargeter = Retargeter(
        robot, clip.skeleton, solver=solver, calibration=calibration, source_id=1, nominal_hz=clip.fps
    )
    frames: list[int] = []
    qpos: list[Array] = []
    pos: list[Array] = []
    quat: list[Array] = []
    cpu_ms: list[float] = []
    reasons: dict[str, int] = {}
    for i in range(clip.frames):
        pose = pose_of(clip, i)
        verdict = checks.check(pose, pose.t_ns)
        if not verdict.accepted:
            reasons[verdict.reason] = reasons.get(verdict.reason, 0) + 1
            continue
        if verdict.restarted:
            retargeter.reset()
        start = time.process_time_ns()  # the process's: nothing hides in a thread
        reference = retargeter.update(pose, verdict.t_content_ns)
        cpu_ms.append((time.process_time_ns() - start) * 1e-6)
        if reference is None:
            reasons[retargeter.problem] = reasons.get(retargeter.problem, 0) + 1
            continue
        frames.append(i)
        qpos.append(np.concatenate((reference.root_pos_w, reference.root_quat_w, reference.q)))
        wanted_pos, wanted_quat = asked_of(retargeter, pose)
        pos.append(wanted_pos)
        quat.append(wanted_quat)
    if not frames or retargeter.target_map is None:
        worst = max(reasons, key=lambda reason: reasons[reason])
        raise NothingRetargeted(f"{clip.name}: none of its {clip.frames} frames could be retargeted: {worst}")
    stands_in = np.maximum(np.searchsorted(frames, np.arange(clip.frames), side="right") - 1, 0)
    matches = retargeter.target_map.matches
    table = load_table(table_path(robot)).for_family(clip.skeleton.family)
    asked = Asked(
        tuple(m.robot for m in matches), np.array(pos)[stands_in], np.array(quat)[stands_in], groups_of(matches, table)
    )
    return Retargeted(
        clip.fps, np.array(qpos)[stands_in], asked, clip.frames - len(frames), reasons, np.array(cpu_ms)
    )
