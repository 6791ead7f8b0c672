"""`Retargeter`: one `HumanPose` in, one `Reference` out, at frame rate."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from teleopd.drivers.human_pose import HumanPose, Skeleton
from teleopd.robots.model import Array, Reference, RobotModel
from teleopd.service.retarget import quaternions as quat
from teleopd.service.retarget.calibration import Calibration, CalibrationError
from teleopd.service.retarget.contacts import Contacts
from teleopd.service.retarget.kinematics import Kinematics
from teleopd.service.retarget.solver import IkSolver
from teleopd.service.retarget.solver_choice import SolverName, parts
from teleopd.service.retarget.tables import NoTable, RetargetTable, check_names, load_table
from teleopd.service.retarget.targets import TargetMap, Targets
from teleopd.service.retarget.velocity import VelocityEstimator

GAP_NS = 250_000_000
"""A longer silence of the source is a dropout: the next frame is acquired anew."""
MIN_DT_S, MAX_DT_S = 1.0 / 500.0, 0.1
"""Frame intervals are believed between these [s]; a late frame may move a joint by at most 0.1 s of its speed limit."""
RATE_SMOOTHING = 0.05
"""Weight of the newest interval in the shown frame rate."""


NOT_FINITE = "the pose has no solution: its numbers are not finite"


def finite(pose: HumanPose) -> bool:
    """Every tracked body has a place and an orientation; what others hold does not matter."""
    if 0 not in np.isfinite(pose.pos_w).tobytes() and 0 not in np.isfinite(pose.quat_w).tobytes():
        return True
    return bool(np.isfinite(pose.pos_w[pose.valid]).all() and np.isfinite(pose.quat_w[pose.valid]).all())


def table_path(robot: RobotModel) -> Path:
    """Where a robot keeps its `retarget.toml`: beside its MJCF."""
    return robot.mjcf.parent / "retarget.toml"


def with_constraints(table: RetargetTable, contacts: bool | None, avoidance: bool | None) -> RetargetTable:
    """The table with these two settings changed where they are not None."""
    changed = {k: v for k, v in (("contacts", contacts), ("avoidance", avoidance)) if v is not None}
    return msgspec.structs.replace(table, solver=msgspec.structs.replace(table.solver, **changed))


class Retargeter:
    """Follows one operator. Frames must have passed the frame checks. Not thread-safe."""

    def __init__(
        self,
        model: RobotModel,
        skeleton: Skeleton,
        *,
        solver: SolverName = "fast",
        contacts: bool | None = None,
        avoidance: bool | None = None,
        calibration: Calibration | None = None,
        source_id: int = 0,
        nominal_hz: float = 0.0,
    ) -> None:
        """Read the robot's table and compile its kinematics.

        Without `calibration` the first frame with every body tracked calibrates, whatever its posture.
        `nominal_hz` 0: the rate shown in references is measured. `contacts` and `avoidance` None: as the table says;
        the mink solver knows neither.

        Raises:
            NoTable: the robot has no table for this skeleton; the message lists the ones it has.
            TableError: the table is wrong, or names bodies that do not exist.
            CalibrationError: the calibration is of another kind of skeleton.
            ValueError: an unknown solver, or the compiled one where it cannot be had.
        """
        if calibration is not None and calibration.family != skeleton.family:
            raise CalibrationError(
                f"the calibration is of skeleton '{calibration.family}', the source's skeleton is '{skeleton.family}'"
            )
        if not table_path(model).exists():
            raise NoTable(skeleton.family, model.name, ())
        self._table = with_constraints(load_table(table_path(model)), contacts, avoidance)
        self._family = self._table.for_family(skeleton.family)
        self._kinematics = Kinematics(self._table.narrowed(model))
        check_names(self._table, skeleton.family, self._kinematics.body_names, skeleton.body_names)
        self._skeleton, self._source_id, self._hz = skeleton, source_id, nominal_hz
        self._measure_hz = nominal_hz <= 0.0
        self._parts = parts(solver)
        self._solver = self._make_solver()
        self._velocity = VelocityEstimator(model.n)
        self._map: TargetMap | None = None
        self._contacts: Contacts | None = None
        self._calibration = calibration
        if calibration is not None:
            self._map = self._make_map(calibration)
        self._seq, self._resets, self._pose_resets = 0, 0, 0
        self._last_ns: int | None = None
        self._tracking = False
        self._out: Array = np.zeros(7 + model.n)
        self.targets: Targets | None = None
        """What the newest frame asked of the matched bodies; None before the first."""
        self.problem = ""
        """Why the newest frame gave no reference; '' when it did."""

    @property
    def calibration(self) -> Calibration | None:
        """The operator's measured body; None before the first usable frame."""
        return self._calibration

    @property
    def target_map(self) -> TargetMap | None:
        """The map in force, with its scales; None before the first usable frame."""
        return self._map

    def reset(self) -> None:
        """Forget the motion, keep the operator: the next frame is acquired anew and `resets` increases."""
        self._tracking = False

    def recalibrate(self) -> None:
        """Forget the operator too: the next fully tracked frame is measured again."""
        self.reset()
        self._map = self._calibration = None

    def update(self, pose: HumanPose, t_content_ns: int | None = None) -> Reference | None:
        """The reference for one pose, or None (with `problem`) when the pose cannot give one.

        `t_content_ns` comes from the frame checks; default: this frame's receipt.
        """
        if not finite(pose):  # only what the frame checks refuse
            self._tracking, self.problem = False, NOT_FINITE
            return None
        target_map = self._map_for(pose)
        if target_map is None:
            return None
        if not target_map.root_seen(pose):
            self.problem = "the pelvis or a hip is not tracked"
            return None
        self.problem = ""
        gap_ns = pose.t_source_ns - self._last_ns if self._last_ns is not None else 0
        if self._tracking and (pose.resets != self._pose_resets or not -GAP_NS <= gap_ns <= GAP_NS):
            self._tracking = False
        dt_s = min(max(gap_ns * 1e-9, MIN_DT_S), MAX_DT_S)
        qpos = self._track(target_map, pose, dt_s) if self._tracking else self._acquire(target_map, pose)
        if 0 in np.isfinite(qpos).tobytes():  # numbers beyond all measure; never publish it
            self._tracking, self.problem = False, NOT_FINITE
            return None
        self._last_ns, self._pose_resets = pose.t_source_ns, pose.resets
        return self._reference(pose, qpos, t_content_ns)

    def _map_for(self, pose: HumanPose) -> TargetMap | None:
        """The operator's map, measured from this pose if there is none yet."""
        if self._map is None:
            try:
                self._calibration = Calibration.from_pose(pose, self._family)
                self._map = self._make_map(self._calibration)
            except (CalibrationError, ValueError) as error:
                self._calibration, self.problem = None, str(error)
        return self._map

    def _make_map(self, calibration: Calibration) -> TargetMap:
        """The map for an operator, and the contacts that go with it."""
        target_map = self._parts.target_map(self._table, self._skeleton, self._kinematics, calibration)
        self._contacts = None
        contacts = self._parts.contacts if self._table.solver.contacts else None
        if contacts is not None and len(target_map.foot_soles()) == 2:
            at, family = self._skeleton.body_names.index, self._family
            feet = [(at(toe), at(ankle)) for toe, ankle in zip(family.toes, family.feet, strict=True)]
            self._contacts = contacts(target_map, self._kinematics, calibration, feet)
            target_map.keeps_above_floor = False
        self._solver.stand_on(self._contacts)
        return target_map

    def _track(self, target_map: TargetMap, pose: HumanPose, dt_s: float) -> Array:
        if self._measure_hz:
            self._hz += RATE_SMOOTHING * (1.0 / dt_s - self._hz) if self._hz > 0.0 else 1.0 / dt_s
        if self._contacts is not None:
            target_map.sideways[:] = self._contacts.sideways
        self.targets = target_map(pose)
        if self._contacts is not None:
            self._contacts.update(pose, self.targets, dt_s)
        return self._solver.track(self.targets, dt_s)

    def _acquire(self, target_map: TargetMap, pose: HumanPose) -> Array:
        """First frame and after every dropout: place the motion where the reference last was, then solve afresh."""
        here, yaw = np.array(self._out[:2]), 0.0
        if self._seq:
            yaw = quat.yaw(self._out[3:7])
            self._resets += 1
        target_map.align(target_map.heading(pose), target_map.hip_centre_xy(pose), yaw, here)
        targets = target_map(pose)
        target_map.shift(here - targets.pos[target_map.root_row, :2])
        if self._contacts is not None:
            self._contacts.reset()
            self._contacts.face(targets.quat[target_map.root_row].tolist(), MAX_DT_S)
            target_map.sideways[:] = self._contacts.sideways
        self.targets = target_map(pose)
        if self._contacts is not None:
            self._contacts.update(pose, self.targets, MAX_DT_S)
        self._velocity.reset()
        self._tracking = True
        return self._solver.acquire(self.targets, target_map.root_row)

    def _reference(self, pose: HumanPose, qpos: Array, t_content_ns: int | None) -> Reference:
        limits = self._kinematics.robot.limits
        out = np.empty_like(self._out)
        out[:7] = qpos[:7]
        if float(out[3:7] @ self._out[3:7]) < 0.0:  # one hemisphere, so that readers may interpolate
            out[3:7] = -out[3:7]
        q = np.maximum(qpos[self._kinematics.qpos_index], limits.q_lower, out=out[7:])
        np.minimum(q, limits.q_upper, out=q)
        velocity = self._velocity.update(pose.t_source_ns, out)
        self._out = out
        self._seq += 1
        return Reference(
            seq=self._seq, source_id=self._source_id, t_ns=pose.t_ns,
            t_content_ns=pose.t_ns if t_content_ns is None else t_content_ns, t_published_ns=0,
            valid=True, deadman=pose.deadman, resets=self._resets, nominal_hz=self._hz,
            root_pos_w=out[:3], root_quat_w=out[3:7], root_lin_vel_w=velocity.root_lin_w,
            root_ang_vel_w=velocity.root_ang_w, q=out[7:], dq=velocity.q,
        )  # fmt: skip

    def _make_solver(self) -> IkSolver:
        matches = self._family.match
        ids = self._kinematics.body_ids([m.robot for m in matches])
        return self._parts.solver(self._kinematics, matches, ids, self._family.stage, self._table.solver)
