"""Motions of a robot rather than of a person: TWIST2 / GMR pickles and the npz of `teleop retarget`.

They hold a root and joint angles, so they enter after the retargeter: frame by frame as references.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.service.retarget.velocity import VelocityEstimator

MAX_SPEED_M_S, MAX_RATE_RAD_S = 4.0, 30.0
"""Between consecutive frames; faster leading frames of a pickle are capture glitches: in three of TWIST2's ten public
clips the first frames move at 41 to 95 m/s, and no others are as fast."""
GLITCH_FRAMES = 5
"""So many leading frames are looked at."""
MAX_BYTES = 512 * 1024 * 1024
BLEND_S = 1.5
"""From standing into the first frame; as for clips of people."""
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
    ("numpy", "ndarray"), ("numpy", "dtype"),
}  # fmt: skip


class NotAMotion(ValueError):
    """A file that holds no motion of this robot; says what it holds."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise NotAMotion(f"the pickle wants to load {module}.{name}; motions hold numpy arrays, lists and strings")
        return super().find_class(module, name)


@dataclass(frozen=True, slots=True)
class RobotMotion:
    """Frames of root and joints."""

    name: str
    fps: float
    qpos: Array
    """(frames, 7 + n): root position [m], root orientation wxyz, joints in motor order [rad]."""
    left_out: int = 0
    """Corrupt leading frames that were cut off."""

    @property
    def duration_s(self) -> float:
        """From the first frame to the last [s]."""
        return (len(self.qpos) - 1) / self.fps

    def first(self, seconds: float) -> RobotMotion:
        """At most so much of it."""
        return replace(self, qpos=self.qpos[: max(2, round(seconds * self.fps) + 1)])

    def with_leads(self, model: RobotModel, lead_in_s: float, lead_out_s: float) -> RobotMotion:
        """Standing before and after: held, then blended into the motion over 1.5 s, at its place and heading."""
        before = self._lead(model, self.qpos[0], lead_in_s)
        after = self._lead(model, self.qpos[-1], lead_out_s)[::-1]
        return replace(self, qpos=np.vstack((before, self.qpos, after)))

    def _lead(self, model: RobotModel, frame: Array, seconds: float) -> Array:
        count = round(seconds * self.fps)
        blend = min(round(BLEND_S * self.fps), count)
        u = np.clip((np.arange(count) - (count - blend)) / max(blend, 1), 0.0, 1.0)
        share = (u**3 * (10.0 - 15.0 * u + 6.0 * u * u))[:, None]  # minimum jerk
        w, x, y, z = frame[3:7]
        yaw = float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
        root = [model.stand_height_m, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
        stand = np.concatenate((frame[:2], root, model.q_stand))
        if float(stand[3:7] @ frame[3:7]) < 0.0:
            stand[3:7] *= -1.0
        lead = stand + share * (frame - stand)
        lead[:, 3:7] /= np.linalg.norm(lead[:, 3:7], axis=1, keepdims=True)
        return np.asarray(lead)


def read_robot_motion(path: Path, model: RobotModel) -> RobotMotion:
    """A `.pkl` (TWIST2, GMR) or `.npz` (`teleop retarget`) motion of this robot, without corrupt leading frames.

    Raises:
        NotAMotion: it is something else, is broken, or moves another robot; one sentence.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise NotAMotion(f"{path.name} has {size} bytes; at most {MAX_BYTES} are read")
        fps, qpos = _pickled(path, model) if path.suffix.lower() == ".pkl" else _zipped(path, model)
    except OSError as error:
        raise NotAMotion(f"{path} cannot be read: {error.strerror}") from None
    if not (np.isfinite(fps) and 1.0 <= fps <= 1000.0):
        raise NotAMotion(f"{path.name} has {fps:g} frames a second; 1 to 1000 are possible")
    if not np.isfinite(qpos).all():
        raise NotAMotion(f"{path.name} has {int(np.count_nonzero(~np.isfinite(qpos)))} values that are no numbers")
    norms = np.linalg.norm(qpos[:, 3:7], axis=1)
    if np.any(np.abs(norms - 1.0) > 0.01):
        worst = float(norms[np.argmax(np.abs(norms - 1.0))])
        raise NotAMotion(f"{path.name} has a root orientation of length {worst:.3g}, must be 1")
    if len(qpos) < 2:
        raise NotAMotion(f"{path.name} has {len(qpos)} frames; at least 2 are a motion")
    first = leading_glitches(qpos, fps)
    if len(qpos) - first < 2:
        raise NotAMotion(f"{path.name} has no frames left after its {first} corrupt leading ones")
    return RobotMotion(path.stem, fps, qpos[first:], first)


def leading_glitches(qpos: Array, fps: float) -> int:
    """Number of leading frames that a robot or a person cannot have moved through."""
    speed = np.linalg.norm(np.diff(qpos[:, :3], axis=0), axis=1) * fps
    rate = np.abs(np.diff(qpos[:, 7:], axis=0)).max(axis=1) * fps
    bad = np.flatnonzero((speed > MAX_SPEED_M_S) | (rate > MAX_RATE_RAD_S))
    leading = bad[bad < GLITCH_FRAMES]
    return int(leading[-1]) + 1 if len(leading) else 0


def _pickled(path: Path, model: RobotModel) -> tuple[float, Array]:
    try:
        with path.open("rb") as file:
            data = _Unpickler(file).load()
    except NotAMotion as error:
        raise NotAMotion(f"{path.name}: {error}") from None
    except OSError:
        raise
    except Exception as error:  # a broken pickle raises whatever its bytes happen to ask for
        raise NotAMotion(f"{path.name} is no readable pickle: {' '.join(str(error).split())[:120]}") from None
    try:
        fps, pos, dof = float(data["fps"]), np.asarray(data["root_pos"], float), np.asarray(data["dof_pos"], float)
        quat = np.asarray(data["root_rot"], float)[:, [3, 0, 1, 2]]
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise NotAMotion(f"{path.name} has no fps, root_pos, root_rot and dof_pos: {error}") from None
    _check_shapes(path, model, pos, quat, dof)
    return fps, np.hstack((pos, quat, dof))


def _zipped(path: Path, model: RobotModel) -> tuple[float, Array]:
    try:
        with np.load(path, allow_pickle=False) as data:
            fps, qpos = float(data["fps"]), np.asarray(data["qpos"], float)
            names = [" ".join(str(name).split())[:60] for name in data["joint_names"]]
    except OSError as error:
        if error.strerror:
            raise
        raise NotAMotion(f"{path.name} is no npz file") from None
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise NotAMotion(f"{path.name} has no fps, qpos and joint_names: {error}") from None
    except Exception as error:  # a broken archive raises whatever zlib, zipfile and numpy's header reader make of it
        raise NotAMotion(f"{path.name} is no readable npz file: {' '.join(str(error).split())[:120]}") from None
    if sorted(names) != sorted(model.joint_names):
        other = next((name for name in names if name not in model.joint_names), f"{len(names)} joints")
        raise NotAMotion(f"{path.name} moves {other}, which is not the {model.n} joints of {model.name}")
    if qpos.ndim != 2 or qpos.shape[1] != 7 + model.n:
        raise NotAMotion(f"{path.name} has qpos of shape {list(qpos.shape)}, wanted [frames, {7 + model.n}]")
    order = [names.index(name) for name in model.joint_names]
    return fps, np.hstack((qpos[:, :7], qpos[:, 7:][:, order]))


def _check_shapes(path: Path, model: RobotModel, pos: Array, quat: Array, dof: Array) -> None:
    for key, array in (("root_pos", pos), ("dof_pos", dof)):
        if array.ndim != 2:
            raise NotAMotion(f"{path.name} has {key} of shape {list(array.shape)}, wanted a row for each frame")
    if dof.shape[1] != model.n:
        raise NotAMotion(f"{path.name} moves {dof.shape[-1]} joints, the {model.name} has {model.n}")
    if pos.shape != (len(dof), 3) or quat.shape != (len(dof), 4):
        lengths = f"{len(pos)}, {len(quat)} and {len(dof)}"
        raise NotAMotion(f"{path.name} has root positions, orientations and joints of {lengths} frames")


class MotionStream:
    """References of a robot motion as the source process would publish them; the counterpart of `PoseStream`."""

    def __init__(self, model: RobotModel, motion: RobotMotion, start_ns: int) -> None:
        """Frame i is sent and received at `start_ns + i / fps`."""
        self._motion, self._start_ns = motion, start_ns
        self._limits = model.limits
        self._velocity = VelocityEstimator(model.n)
        self._next = 0
        self._newest: Reference | None = None
        self.lost: Callable[[int], bool] = lambda _frame: False
        """Frames that never arrive."""

    @property
    def ended(self) -> bool:
        """Every frame was sent."""
        return self._next >= len(self._motion.qpos)

    def __call__(self, now_ns: int) -> Reference | None:
        while not self.ended:
            t_ns = self._start_ns + round(self._next * 1e9 / self._motion.fps)
            if t_ns > now_ns:
                break
            if not self.lost(self._next):
                self._newest = self._reference(self._motion.qpos[self._next], t_ns)
            self._next += 1
        return self._newest

    def _reference(self, frame: Array, t_ns: int) -> Reference:
        qpos = frame.copy()
        np.clip(qpos[7:], self._limits.q_lower, self._limits.q_upper, out=qpos[7:])
        velocity = self._velocity.update(t_ns, qpos)
        return Reference(
            seq=self._next + 1, source_id=1, t_ns=t_ns, t_content_ns=t_ns, t_published_ns=t_ns, valid=True,
            deadman=False, resets=0, nominal_hz=self._motion.fps, root_pos_w=qpos[:3], root_quat_w=qpos[3:7],
            root_lin_vel_w=velocity.root_lin_w, root_ang_vel_w=velocity.root_ang_w, q=qpos[7:], dq=velocity.q,
        )  # fmt: skip
